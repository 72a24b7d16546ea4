//! The response cache: serves cached responses before the router runs.
//!
//! A cached response is reused for an identical request as long as none of its inputs can have changed: no day was added,
//! replaced or deleted since, and its lifetime has not ended. Otherwise the router handles the request, revalidates the
//! response, and inserts it again.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, Uri, header},
    response::Response,
};
use moka::sync::Cache;

use super::{CacheEntry, ResponseStore};
use crate::{
    access::{Authenticator, Caller},
    api::{
        access_log, authorization, credentials, http_metrics::HttpMetrics, prefer,
        rate_limit_headers::set_rate_limit_headers, request_id::RequestId,
    },
    prometheus::{Collector, Exposition, MetricCounter},
    query::QueryEngine,
};

/// Maximum number of entries. Their responses count towards the size of the response store.
const MAX_ENTRIES: u64 = 20_000;

/// Maximum length of a cache key, in bytes. Longer requests are not cached, so that clients cannot fill the memory with
/// long headers.
const MAX_KEY_BYTES: usize = 4 << 10;

/// Caches responses by request and by the caller's view of the data.
pub struct ResponseCache {
    store: ResponseStore,
    entries: Cache<Vec<u8>, Arc<CacheEntry>>,
    engine: QueryEngine,
    authenticator: Arc<Authenticator>,
    http_metrics: Arc<HttpMetrics>,
    hits: MetricCounter,
}

impl ResponseCache {
    /// A cache of at most `bytes` bytes of responses. It reads the cache generation of `engine` and records hits in
    /// `http_metrics`.
    #[must_use]
    pub fn new(
        bytes: u64,
        engine: QueryEngine,
        http_metrics: Arc<HttpMetrics>,
        authenticator: Arc<Authenticator>,
    ) -> Self {
        let entries = Cache::builder().max_capacity(MAX_ENTRIES).build();
        let hits = MetricCounter::default();
        Self { store: ResponseStore::new(bytes), entries, engine, authenticator, http_metrics, hits }
    }

    /// The stored responses.
    #[must_use]
    pub const fn store(&self) -> &ResponseStore {
        &self.store
    }

    /// The response to a request, if it is cached and fresh and the caller may read it. Performs authentication,
    /// authorization, rate limiting, logging and metrics like the layers of the router, so that a hit does not pass
    /// through them.
    #[must_use]
    pub fn respond<B>(&self, request: &Request<B>) -> Option<Response> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let headers = request.headers();
        // The router handles `Prefer`, requests for an uncached response, and CORS.
        let is_special = |name| headers.contains_key(name);
        if !is_read || [prefer::PREFER, header::CACHE_CONTROL, header::ORIGIN].into_iter().any(is_special) {
            return None;
        }
        let began_at = tokio::time::Instant::now();
        // If the caller cannot be identified without I/O, the router does it.
        let now = self.engine.now();
        let caller = credentials::authenticate_locally(&self.authenticator, request, now)?;
        let entry = self.entries.get(&cache_key(request.uri(), headers, &caller))?;
        let stored = entry.stored().filter(|_| entry.is_fresh(self.engine.generation(), now))?;
        authorization::may_read(entry.route(), &caller).then_some(())?;
        let rate_limit = self.authenticator.check_rate_limit(&caller);
        if rate_limit.is_some_and(|status| status.retry_after.is_some()) {
            return None;
        }
        let mut response = entry.response(&stored, headers, now);
        set_rate_limit_headers(rate_limit, response.headers_mut());
        if *request.method() == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        let id = RequestId::of(headers);
        id.set_header(&mut response);
        access_log::log_access(&caller, request.method(), entry.route(), response.status(), &stored.rows, &id);
        self.hits.increment();
        self.http_metrics.record(entry.route(), request.method(), &response, began_at.elapsed());
        Some(response)
    }

    /// Inserts the response to a request, if the entry is reusable.
    pub fn insert(&self, uri: &Uri, headers: &HeaderMap, caller: &Caller, entry: CacheEntry) {
        if entry.is_reusable() {
            let key = cache_key(uri, headers, caller);
            if key.len() <= MAX_KEY_BYTES {
                self.entries.insert(key, Arc::new(entry));
            }
        }
    }
}

/// The cache key: all parts of a request that its response depends on, and the caller's view of the data.
fn cache_key(uri: &Uri, headers: &HeaderMap, caller: &Caller) -> Vec<u8> {
    let path_and_query = uri.path_and_query().map_or("", |path_and_query| path_and_query.as_str());
    let mut key = Vec::with_capacity(path_and_query.len() + caller.view_key().len() + 64);
    for field in [header::ACCEPT, header::ACCEPT_ENCODING] {
        // A header may have several lines.
        for line in headers.get_all(field) {
            key.extend_from_slice(line.as_bytes());
            key.push(b',');
        }
        key.push(b'\n');
    }
    // The parts before the view key contain no line feed, so the key is unambiguous.
    key.extend_from_slice(path_and_query.as_bytes());
    key.push(b'\n');
    key.extend_from_slice(caller.view_key().as_bytes());
    key
}

impl Collector for ResponseCache {
    fn collect(&self, page: &mut Exposition) {
        page.counter("feishu_pulse_response_cache_hits_total", "Requests answered with a cached response.")
            .sample(self.hits.get() as f64);
        page.gauge("feishu_pulse_response_cache_bytes", "Size of the cached responses.")
            .sample(self.store.stored_bytes() as f64);
        page.gauge("feishu_pulse_response_cache_capacity_bytes", "Maximum size of the cached responses.")
            .sample(self.store.capacity_bytes() as f64);
    }
}
