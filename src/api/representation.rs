//! The last stages of a request over days: [`Representation::validate`] finds responses that need no computation, and
//! [`Representation::respond`] completes a computed one.

use std::sync::Arc;

use axum::{
    body::to_bytes,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use bytes::Bytes;

use super::{
    caching::{
        CacheEntry, ContentEncoding, ETag,
        cache_entry::{not_modified, with_etag},
        cache_headers::cache_headers,
        content_encoding::EncodedChunks,
        preconditions::Preconditions,
        response_store::{CollectedBody, ResponseStore, StoredResponse},
    },
    compute::compute,
    data_request::{DataRequest, EarlyResponse, Loaded, RequestContext},
    export_limits::ExportPermit,
    export_pool::ChunkSource,
    format::Format,
    missing_days::{MISSING_DAYS, missing_days_header},
    problem::{Problem, ProblemCode},
};
use crate::{
    query::{HasProvenance, Provenance, SelectableDays},
    store::CacheGeneration,
};

/// Size in bytes below which bodies are compressed on the async thread: moving them to another thread takes as long.
const MAX_INLINE_ENCODING_BYTES: usize = 8 << 10;

/// The representation that answers a request: its validator, its coding, and the data that it is made from.
pub struct Representation {
    context: RequestContext,
    etag: ETag,
    encoding: ContentEncoding,
    provenance: Provenance,
    generation: CacheGeneration,
    /// The header that lists missing days, for formats without `meta`.
    missing_days: Option<HeaderValue>,
}

impl Representation {
    /// The representation that is computed from the loaded days.
    ///
    /// # Errors
    /// [`EarlyResponse::Ready`], if no computation is needed.
    pub fn validate<D: HasProvenance + SelectableDays>(
        context: RequestContext,
        loaded: &Loaded<D>,
        request: &DataRequest,
    ) -> Result<Self, EarlyResponse> {
        let provenance = loaded.provenance(context.engine(), &request.query);
        let missing_days = if request.format.has_meta() {
            None
        } else {
            missing_days_header(&request.query.geos, &loaded.loaded_days().selected_days_left_out())
        };
        let representation = Self::new(context, request, provenance, loaded.generation(), missing_days);
        match representation.ready_response() {
            Some(response) => Err(EarlyResponse::Ready(Box::new(response))),
            None => Ok(representation),
        }
    }

    fn new(
        context: RequestContext,
        request: &DataRequest,
        provenance: Provenance,
        generation: CacheGeneration,
        missing_days: Option<HeaderValue>,
    ) -> Self {
        let DataRequest { format, min_group_size, .. } = request;
        let offered = match format.format {
            Format::Json => ContentEncoding::STORED,
            Format::Csv | Format::Ndjson => ContentEncoding::STREAMED,
            // These files are compressed already.
            Format::Parquet | Format::Xlsx => &[],
        };
        let encoding = ContentEncoding::negotiate(context.headers(), offered);
        // The ETag also depends on what the caller may see of the same days.
        let accepts_identity = !ContentEncoding::is_identity_refused(context.headers());
        let form = format!("{format:?} {} {min_group_size:?} {accepts_identity}", context.caller().view_key());
        let etag = ETag::new(&provenance.version, context.path_and_query(), &form, encoding);
        Self { context, etag, encoding, provenance, generation, missing_days }
    }

    /// The response, if nothing must be computed for it.
    fn ready_response(&self) -> Option<Response> {
        let stored = self.store().get(&self.etag);
        if Preconditions::from_headers(self.context.headers()).lists(&self.etag, self.provenance.fetched_at) {
            let response = self.not_modified();
            // Also cached, because a client that revalidates once does so again.
            return Some(stored.iter().fold(response, |response, stored| self.cache_entry(stored).attach_to(response)));
        }
        stored.map(|stored| self.conditional_response(&stored))
    }

    /// The stored response, or what the preconditions demand, with its entry for the response cache.
    fn conditional_response(&self, stored: &Arc<StoredResponse>) -> Response {
        let response = self.precondition_response().unwrap_or_else(|| {
            let headers = stored.headers_with(cache_headers(&self.provenance, self.context.now()));
            stored.rows.attach_to(stored.to_response(headers, self.context.headers()))
        });
        self.cache_entry(stored).attach_to(response)
    }

    /// The response that the preconditions demand instead of the representation.
    fn precondition_response(&self) -> Option<Response> {
        let preconditions = Preconditions::from_headers(self.context.headers());
        preconditions.response(&self.etag, self.provenance.fetched_at, || self.not_modified())
    }

    fn not_modified(&self) -> Response {
        not_modified(with_etag(&self.etag, cache_headers(&self.provenance, self.context.now())))
    }

    /// The entry of the response in the response cache.
    fn cache_entry(&self, stored: &Arc<StoredResponse>) -> CacheEntry {
        CacheEntry::new(stored, self.etag.clone(), self.provenance.clone(), self.generation, self.context.now())
    }

    /// Completes a computed response: compresses it, adds its validators, and stores it in the response cache.
    ///
    /// # Errors
    /// [`EarlyResponse::Problem`], if the body cannot be read or compressed.
    pub async fn respond(self, response: Response) -> Result<Response, EarlyResponse> {
        // A problem is neither stored nor validated.
        if !response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let unreadable = |_| Problem::new(ProblemCode::Internal, "the response body ended early");
        let body = to_bytes(body, usize::MAX).await.map_err(unreadable)?;
        // From now on, so that responses that wait to be compressed count as well.
        let permit = self.context.state().data.body_budget.take(body.len() as u64)?;
        let encoding = match self.encoding {
            negotiated if ContentEncoding::is_identity_refused(self.context.headers()) => negotiated,
            negotiated => negotiated.unless_small(body.len()),
        };
        let encoded = match body.len() {
            _ if encoding == ContentEncoding::Identity => Ok(body),
            ..MAX_INLINE_ENCODING_BYTES => encoding.encode(body),
            _ => compute(move || encoding.encode(body)).await?,
        };
        let body = encoded.map_err(|error| Problem::new(ProblemCode::Internal, error.to_string()))?;
        let mut headers = parts.headers;
        headers.extend(encoding.header().map(|encoding| (header::CONTENT_ENCODING, encoding)));
        headers.extend(self.etag.header().map(|etag| (header::ETAG, etag)));
        headers.extend(self.missing_days.clone().map(|days| (MISSING_DAYS, days)));
        let rows = parts.extensions.get().cloned().unwrap_or_default();
        let stored = Arc::new(StoredResponse { headers, body, rows });
        self.store().insert(self.etag.clone(), &stored);
        let mut response = self.conditional_response(&stored);
        if let Some(permit) = permit {
            response.extensions_mut().insert(permit);
        }
        Ok(response)
    }

    /// Completes an export: its chunks are compressed while they are written. `file` turns the body into a response. The
    /// export ends with `permit`, which is held until its last chunk is written and, if it is streamed, read.
    ///
    /// An export that may be stored is collected first, so that the response has a length and parts of it can be requested;
    /// a longer one is streamed.
    ///
    /// # Errors
    /// [`EarlyResponse::Problem`], if the compressor cannot be created, or if the export fails before it is sent.
    pub async fn respond_with_export<C: ChunkSource>(
        self,
        chunks: C,
        permit: ExportPermit,
        file: impl FnOnce(axum::body::Body) -> Response,
    ) -> Result<Response, EarlyResponse> {
        if let Some(response) = self.precondition_response() {
            return Ok(response);
        }
        let Self { etag, encoding, provenance, missing_days, .. } = &self;
        let chunks = EncodedChunks::new(chunks, *encoding);
        let chunks = chunks.map_err(|error| Problem::new(ProblemCode::Internal, error.to_string()))?;
        let store = self.store();
        let export = self.context.state().data.export_pool.body(chunks, permit);
        let collected = store.collect(export, &self.context.state().data.body_budget).await;
        let collected = collected.map_err(|error| Problem::new(ProblemCode::Internal, error.to_string()))?;
        let own_headers = |headers: &mut HeaderMap| {
            headers.extend(encoding.header().map(|encoding| (header::CONTENT_ENCODING, encoding)));
            headers.extend(etag.header().map(|etag| (header::ETAG, etag)));
            headers.extend(missing_days.clone().map(|days| (MISSING_DAYS, days)));
        };
        match collected {
            CollectedBody::Whole(chunks, permit) => {
                let body = match <[Bytes; 1]>::try_from(chunks) {
                    Ok([only]) => only,
                    // Copying 64 MiB takes tens of milliseconds.
                    Err(chunks) => compute(move || Bytes::from(chunks.concat())).await?,
                };
                let (mut parts, _) = file(axum::body::Body::empty()).into_parts();
                own_headers(&mut parts.headers);
                let rows = parts.extensions.get().cloned().unwrap_or_default();
                let stored = Arc::new(StoredResponse { headers: parts.headers, body, rows });
                store.insert(etag.clone(), &stored);
                let mut response = self.conditional_response(&stored);
                // The memory is counted until the body is sent.
                if let Some(permit) = permit {
                    response.extensions_mut().insert(permit);
                }
                Ok(response)
            }
            CollectedBody::Streamed(body) => {
                let mut response = file(body);
                own_headers(response.headers_mut());
                response.headers_mut().extend(cache_headers(provenance, self.context.now()));
                Ok(response)
            }
        }
    }

    fn store(&self) -> &ResponseStore {
        self.context.state().data.response_cache.store()
    }
}
