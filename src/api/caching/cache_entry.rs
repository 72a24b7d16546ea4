//! A cached response and the conditions under which it is fresh. Headers that do not depend on the request are prepared
//! once.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use jiff::Timestamp;

use super::{
    ETag,
    cache_headers::{cache_headers, cache_status},
    preconditions::Preconditions,
    response_store::StoredResponse,
};
use crate::{query::Provenance, store::CacheGeneration};

/// A cached response: a reference to the stored body, its provenance, and prepared headers.
#[derive(Debug)]
pub struct CacheEntry {
    stored: Weak<StoredResponse>,
    etag: ETag,
    provenance: Provenance,
    generation: CacheGeneration,
    validated_at: Timestamp,
    /// Headers of a 200 response.
    full_headers: HeaderMap,
    /// Headers of a 304 response.
    not_modified_headers: HeaderMap,
}

impl CacheEntry {
    /// An entry for a response that had this provenance at `validated_at`, in this generation of the day
    /// cache.
    #[must_use]
    pub fn new(
        stored: &Arc<StoredResponse>,
        etag: ETag,
        provenance: Provenance,
        generation: CacheGeneration,
        validated_at: Timestamp,
    ) -> Self {
        // The lifetime as of `validated_at`; `Age` shows how much of it has passed.
        let headers = cache_headers(&provenance, validated_at);
        let not_modified_headers = with_etag(&etag, headers.clone());
        let (stored, full_headers) = (Arc::downgrade(stored), stored.headers_with(headers));
        Self { stored, etag, provenance, generation, validated_at, full_headers, not_modified_headers }
    }

    /// The stored response; `None` after its eviction.
    #[must_use]
    pub fn stored(&self) -> Option<Arc<StoredResponse>> {
        self.stored.upgrade()
    }

    /// Attaches the entry to a response, for the response cache.
    #[must_use]
    pub fn attach_to(self, mut response: Response) -> Response {
        response.extensions_mut().insert(Arc::new(self));
        response
    }

    /// Whether the entry may serve other requests. Not if days were fetched for this request, because the next one
    /// finds them cached, and not if days are stale, because they are being refreshed.
    #[must_use]
    pub const fn is_reusable(&self) -> bool {
        self.provenance.cache_status.hit && self.provenance.cache_status.stale_days == 0
    }

    /// Whether no input of the response can have changed: `latest` is the current generation of the day cache.
    #[must_use]
    pub fn is_fresh(&self, latest: CacheGeneration, now: Timestamp) -> bool {
        let Provenance { valid_until, cache_status, .. } = &self.provenance;
        match valid_until {
            // Settled days change only by revisions.
            None if !cache_status.lacks_lead_days => self.generation.revisions == latest.revisions,
            None => self.generation == latest,
            Some(until) => self.generation == latest && now < *until,
        }
    }

    /// The response sent at `now` to a request with these headers: 200, or what its preconditions demand.
    #[must_use]
    pub fn response(&self, stored: &StoredResponse, request_headers: &HeaderMap, now: Timestamp) -> Response {
        let preconditions = Preconditions::from_headers(request_headers);
        let not_modified = || not_modified(self.not_modified_headers.clone());
        let mut response = preconditions
            .response(&self.etag, self.provenance.fetched_at, not_modified)
            .unwrap_or_else(|| stored.to_response(self.full_headers.clone(), request_headers));
        let headers = response.headers_mut();
        let age = Duration::try_from(now.duration_since(self.validated_at)).unwrap_or_default();
        headers.insert(header::AGE, HeaderValue::from(age.as_secs()));
        // Replaces the status of the time when the entry was made.
        if let Some((name, value)) = self.provenance.valid_until.and_then(|_| cache_status(&self.provenance, now)) {
            headers.insert(name, value);
        }
        response
    }
}

/// Adds the ETag of a representation to headers.
#[must_use]
pub fn with_etag(etag: &ETag, mut headers: HeaderMap) -> HeaderMap {
    headers.extend(etag.header().map(|etag| (header::ETAG, etag)));
    headers
}

/// A 304 response with these headers.
#[must_use]
pub fn not_modified(headers: HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.headers_mut() = headers;
    response
}
