//! Encoded responses by ETag, so that none is computed, serialised or compressed twice.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use moka::{policy::EvictionPolicy, sync::Cache};

use super::ETag;
use crate::api::access_log::RowCount;

/// Maximum size of a stored body, in bytes. Longer responses are exports, which are rarely repeated.
pub const MAX_STORED_BYTES: usize = 4 << 20;

/// Capacity of the header map of a response.
const HEADER_CAPACITY: usize = 24;

/// Estimated memory of an entry in addition to its body, in bytes.
const ENTRY_OVERHEAD_BYTES: usize = 1024;

/// A response as it is sent: the encoded body, and the headers that do not depend on the time.
#[derive(Clone, Debug)]
pub struct StoredResponse {
    /// `Content-Type`, `Content-Encoding`, `ETag` and similar headers.
    pub headers: HeaderMap,
    /// The encoded body. Clones share it.
    pub body: Bytes,
    /// The number of rows about people in the body, for the access log.
    pub rows: RowCount,
}

/// Responses by ETag, bounded by their total size; the least recently used are evicted first.
#[derive(Debug)]
pub struct ResponseStore {
    responses: Cache<ETag, Arc<StoredResponse>>,
}

impl ResponseStore {
    /// A store of at most `bytes` bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let weigh = |_: &ETag, response: &Arc<StoredResponse>| {
            u32::try_from(response.body.len() + ENTRY_OVERHEAD_BYTES).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().max_capacity(bytes).weigher(weigh).eviction_policy(EvictionPolicy::lru());
        Self { responses: cache.build() }
    }

    /// The response with this ETag.
    #[must_use]
    pub fn get(&self, etag: &ETag) -> Option<Arc<StoredResponse>> {
        self.responses.get(etag)
    }

    /// Inserts a response, unless its body is longer than [`MAX_STORED_BYTES`].
    pub fn insert(&self, etag: ETag, response: &Arc<StoredResponse>) {
        if response.body.len() <= MAX_STORED_BYTES {
            self.responses.insert(etag, Arc::clone(response));
        }
    }

    /// The size of the stored responses, in bytes.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.responses.weighted_size()
    }

    /// The maximum size of the stored responses, in bytes.
    #[must_use]
    pub fn capacity_bytes(&self) -> u64 {
        self.responses.policy().max_capacity().unwrap_or(u64::MAX)
    }
}

impl StoredResponse {
    /// The headers of the response, including `varying` ones, which depend on the time or the request.
    #[must_use]
    pub fn headers_with(&self, varying: HeaderMap) -> HeaderMap {
        // The capacity includes the headers that the layers add, so that the map does not grow.
        let mut all = HeaderMap::with_capacity(HEADER_CAPACITY);
        all.extend(self.headers.clone());
        all.extend(varying);
        all.insert(header::CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        all
    }

    /// The response with the headers that [`Self::headers_with`] has returned.
    #[must_use]
    pub fn to_response(&self, headers: HeaderMap) -> Response {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.headers_mut() = headers;
        response
    }
}
