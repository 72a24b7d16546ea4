//! The response cache: the layer that serves cached responses instead of the router.
//!
//! A cached response is reused for an identical request as long as none of its inputs can have changed: no day was added,
//! replaced or deleted since, and its lifetime has not ended. Otherwise the router handles the request, revalidates the
//! response, and attaches a [`CacheEntry`] to it, which is inserted again.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Method, Request, header},
    response::Response,
};
use moka::sync::Cache;

use super::{CacheEntry, ResponseStore, ranges::without_range};
use crate::{
    api::{
        authorization::authorize,
        middleware::{Finish, Middleware, Served},
        prefer,
        request_facts::RequestFacts,
        route_policy::RoutePolicy,
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
    entries: Cache<Vec<u8>, CachedResponse>,
    engine: QueryEngine,
    hits: MetricCounter,
}

/// A cached response, and the route that made it.
#[derive(Clone, Debug)]
struct CachedResponse {
    entry: Arc<CacheEntry>,
    route: Arc<str>,
    policy: RoutePolicy,
}

/// The layer that serves cached responses, and caches those to which a handler has attached a [`CacheEntry`].
#[derive(Clone)]
pub struct CacheResponses(pub Arc<ResponseCache>);

/// Caches the response to a request, if a handler allows it.
pub struct InsertResponse {
    cache: Arc<ResponseCache>,
    key: Vec<u8>,
    facts: Arc<RequestFacts>,
}

impl Middleware for CacheResponses {
    type Finish = Option<InsertResponse>;

    fn before<B>(&self, request: &mut Request<B>) -> Result<Option<InsertResponse>, Response> {
        let Self(cache) = self;
        let facts = RequestFacts::of(request);
        let Some(key) = cache_key(request, &facts) else { return Ok(None) };
        match cache.hit(&key, request, &facts) {
            Some(response) => Err(response),
            None => Ok(Some(InsertResponse { cache: Arc::clone(cache), key, facts })),
        }
    }
}

impl Finish for Option<InsertResponse> {
    fn finish(self, Ok(mut response): Served) -> Response {
        let entry = response.extensions_mut().remove::<Arc<CacheEntry>>().filter(|entry| entry.is_reusable());
        if let (Some(InsertResponse { cache, key, facts }), Some(entry)) = (self, entry)
            && let (Some(route), Some(policy)) = (facts.route().cloned(), facts.policy())
        {
            cache.entries.insert(key, CachedResponse { entry, route, policy });
        }
        response
    }
}

impl ResponseCache {
    /// A cache with this store. It reads the generation of the day cache from `engine`.
    #[must_use]
    pub fn new(store: ResponseStore, engine: QueryEngine) -> Self {
        let entries = Cache::builder().max_capacity(MAX_ENTRIES).build();
        Self { store, entries, engine, hits: MetricCounter::default() }
    }

    /// The stored responses.
    #[must_use]
    pub const fn store(&self) -> &ResponseStore {
        &self.store
    }

    /// The response to a request, if it is cached and fresh and the caller may use its route. Otherwise the router
    /// responds.
    fn hit<B>(&self, key: &[u8], request: &Request<B>, facts: &RequestFacts) -> Option<Response> {
        let headers = request.headers();
        // The router handles `Prefer` and requests for an uncached response.
        if headers.contains_key(prefer::PREFER) || headers.contains_key(header::CACHE_CONTROL) {
            return None;
        }
        let CachedResponse { entry, route, policy } = self.entries.get(key)?;
        let now = self.engine.now();
        let stored = entry.stored().filter(|_| entry.is_fresh(self.engine.generation(), now))?;
        authorize(facts, policy).ok()?;
        facts.set_route(route);
        self.hits.increment();
        if *request.method() != Method::HEAD {
            return Some(stored.rows.attach_to(entry.response(&stored, headers, now)));
        }
        let mut response = stored.rows.attach_to(entry.response(&stored, &without_range(headers), now));
        *response.body_mut() = Body::empty();
        Some(response)
    }
}

/// The cache key: all parts of a request that its response depends on, and the caller's view of the data. `None` if the
/// response must not be cached.
fn cache_key<B>(request: &Request<B>, facts: &RequestFacts) -> Option<Vec<u8>> {
    let caller = facts.caller().filter(|_| matches!(*request.method(), Method::GET | Method::HEAD))?;
    let path_and_query = request.uri().path_and_query().map_or("", |path_and_query| path_and_query.as_str());
    let mut key = Vec::with_capacity(path_and_query.len() + caller.view_key().len() + 64);
    for field in [header::ACCEPT, header::ACCEPT_ENCODING] {
        // A header may have several lines.
        for line in request.headers().get_all(field) {
            key.extend_from_slice(line.as_bytes());
            key.push(b',');
        }
        key.push(b'\n');
    }
    // The parts before the view key contain no line feed, so the key is unambiguous.
    key.extend_from_slice(path_and_query.as_bytes());
    key.push(b'\n');
    key.extend_from_slice(caller.view_key().as_bytes());
    (key.len() <= MAX_KEY_BYTES).then_some(key)
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
