//! Encoded responses by ETag, so that none is computed, serialised or compressed twice.

use std::sync::Arc;

use axum::{
    BoxError,
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use moka::{policy::EvictionPolicy, sync::Cache};

use super::{ETag, cache_headers::header_field, ranges::RequestedPart};
use crate::api::{
    access_log::RowCount,
    body_budget::{BodyBudget, BodyPermit},
    problem::{Problem, ProblemCode},
};

/// Maximum size of a stored body, in bytes. A longer export is streamed.
const MAX_STORED_BYTES: u64 = 64 << 20;

/// Size in bytes above which a body is large. Large bodies have a store of their own, so that they do not evict many small
/// ones.
const MIN_LARGE_BYTES: usize = 4 << 20;

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
    small: Cache<ETag, Arc<StoredResponse>>,
    large: Cache<ETag, Arc<StoredResponse>>,
    /// Maximum size of a stored body, in bytes.
    max_body_bytes: usize,
}

/// An export that was collected as far as it may be stored.
pub enum CollectedBody {
    /// All of it in chunks, with the permit for its memory, which lasts until the body is sent.
    Whole(Vec<Bytes>, Option<BodyPermit>),
    /// It is too long, or too many exports are being collected. The body streams all of it.
    Streamed(Body),
}

impl ResponseStore {
    /// A store of at most `small_bytes` bytes of small responses and `large_bytes` bytes of large ones.
    #[must_use]
    pub fn new(small_bytes: u64, large_bytes: u64) -> Self {
        let cache = |bytes: u64| {
            let weigh = |_: &ETag, response: &Arc<StoredResponse>| {
                u32::try_from(response.body.len() + ENTRY_OVERHEAD_BYTES).unwrap_or(u32::MAX)
            };
            Cache::builder().max_capacity(bytes).weigher(weigh).eviction_policy(EvictionPolicy::lru()).build()
        };
        Self {
            small: cache(small_bytes),
            // So that a body of exactly the maximum fits.
            large: cache(large_bytes + ENTRY_OVERHEAD_BYTES as u64),
            max_body_bytes: usize::try_from(large_bytes.min(MAX_STORED_BYTES)).unwrap_or(usize::MAX),
        }
    }

    /// The response with this ETag.
    #[must_use]
    pub fn get(&self, etag: &ETag) -> Option<Arc<StoredResponse>> {
        self.small.get(etag).or_else(|| self.large.get(etag))
    }

    /// Inserts a response, unless its body is too long.
    pub fn insert(&self, etag: ETag, response: &Arc<StoredResponse>) {
        match response.body.len() {
            ..=MIN_LARGE_BYTES => self.small.insert(etag, Arc::clone(response)),
            length if length <= self.max_body_bytes => self.large.insert(etag, Arc::clone(response)),
            _ => {}
        }
    }

    /// Collects an export until it is longer than a stored body may be, or the `budget` is used up.
    ///
    /// # Errors
    /// If the export fails before that.
    pub async fn collect(&self, export: Body, budget: &BodyBudget) -> Result<CollectedBody, BoxError> {
        let mut chunks = export.into_data_stream();
        let (mut collected, mut length) = (Vec::new(), 0);
        let mut permit: Option<BodyPermit> = None;
        while let Some(chunk) = chunks.try_next().await? {
            length += chunk.len();
            collected.push(chunk);
            if length > self.max_body_bytes || !budget.grow(&mut permit, length as u64) {
                let first = stream::iter(collected.into_iter().map(Ok));
                return Ok(CollectedBody::Streamed(Body::from_stream(first.chain(chunks))));
            }
        }
        Ok(CollectedBody::Whole(collected, permit))
    }

    /// The size of the stored responses, in bytes.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.small.weighted_size() + self.large.weighted_size()
    }

    /// The maximum size of the stored responses, in bytes.
    #[must_use]
    pub fn capacity_bytes(&self) -> u64 {
        let capacities = [&self.small, &self.large].map(|cache| cache.policy().max_capacity().unwrap_or(u64::MAX));
        capacities.into_iter().fold(0, u64::saturating_add)
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
        all.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        all
    }

    /// The response with the headers that [`Self::headers_with`] has returned: the whole body, or the part that the request
    /// asks for.
    #[must_use]
    pub fn to_response(&self, mut headers: HeaderMap, request_headers: &HeaderMap) -> Response {
        let etag = self.headers.get(header::ETAG).map(HeaderValue::as_bytes);
        let length = self.body.len();
        let (status, body) = match RequestedPart::from_headers(request_headers, etag, length) {
            RequestedPart::Whole => (StatusCode::OK, self.body.clone()),
            RequestedPart::Unsatisfiable => return range_not_satisfiable(length),
            RequestedPart::Bytes(part) => {
                let content_range = format!("bytes {}-{}/{length}", part.start, part.end - 1);
                headers.extend(header_field(header::CONTENT_RANGE, &content_range));
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(part.len()));
                (StatusCode::PARTIAL_CONTENT, self.body.slice(part))
            }
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// A response with the actual length (RFC 9110, section 15.5.17).
fn range_not_satisfiable(length: usize) -> Response {
    let detail = format!("the response has {length} bytes, and the range begins after them");
    let mut response = Problem::new(ProblemCode::RangeNotSatisfiable, detail).into_response();
    response.headers_mut().extend(header_field(header::CONTENT_RANGE, &format!("bytes */{length}")));
    response
}
