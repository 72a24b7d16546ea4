//! Files that are served from the binary: compressed once, with an entity tag.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;

use super::{
    access_log::RowCount,
    caching::{
        ContentEncoding, ETag, cache_entry::not_modified, preconditions::Preconditions, response_store::StoredResponse,
    },
    problem::{Problem, ProblemCode},
};

/// A file in all content codings.
pub(super) struct StaticFile(Vec<(ContentEncoding, ETag, StoredResponse)>);

impl StaticFile {
    /// `name` decides the media type by its ending.
    pub(super) fn new(content: &Bytes, name: &str, headers: &[(HeaderName, HeaderValue)]) -> Self {
        let encodings = [ContentEncoding::Identity].into_iter().chain(ContentEncoding::STORED.iter().copied());
        let encoded = |encoding: ContentEncoding| {
            // The content alone does not decide: two pages differ only in a header.
            let etag = ETag::new(content, name, &format!("{headers:?}"), encoding);
            let body = encoding.encode(content.clone()).ok()?;
            let mut headers: HeaderMap = headers.iter().cloned().collect();
            headers.insert(header::CONTENT_TYPE, media_type(name));
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            headers.extend(encoding.header().map(|encoding| (header::CONTENT_ENCODING, encoding)));
            headers.extend(etag.header().map(|etag| (header::ETAG, etag)));
            Some((encoding, etag, StoredResponse { headers, body, rows: RowCount::default() }))
        };
        Self(encodings.filter_map(encoded).collect())
    }

    /// The file in the coding that the client prefers, or 304.
    pub(super) fn response(&self, request_headers: &HeaderMap) -> Response {
        let negotiated = ContentEncoding::negotiate(request_headers, ContentEncoding::STORED);
        let found = self.0.iter().find(|(encoding, ..)| *encoding == negotiated).or(self.0.first());
        let Some((_, etag, stored)) = found else {
            return Problem::new(ProblemCode::Internal, "the file cannot be compressed").into_response();
        };
        Preconditions::from_headers(request_headers)
            .response(etag, None, || not_modified(stored.headers.clone()))
            .unwrap_or_else(|| stored.to_response(stored.headers_with(HeaderMap::new()), request_headers))
    }
}

fn media_type(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    })
}
