//! Answers from what is kept, before anything else looks at the request.
//!
//! An answer is given again to the same request as long as nothing it rests on can have changed: no day has come,
//! changed or been forgotten since, and the time until which it lasts is not over. Otherwise the request goes its way, finds
//! out whether the answer still stands, and teaches it to the front anew.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header},
    response::Response,
};
use jiff::Timestamp;
use moka::sync::Cache;

use super::{Kept, conditions::Conditions, fields, kept::Answer, tag::Tag};
use crate::{
    access::{Caller, Gatekeeper},
    api::{audit, gate, prefer, request_id, traffic::Traffic},
    meter::{Count, Exposition, Meter},
    query::{Engine, Evidence},
    store::Generation,
};

/// Requests that are remembered. What they are answered with counts where it is kept.
const REMEMBERED: u64 = 20_000;

/// A request whose name is longer is not remembered, in bytes: no client that means well sends one, and others could fill
/// the memory with them.
const LONGEST_NAME: usize = 4 << 10;

/// The front, and what it answers from.
pub struct Front {
    kept: Kept,
    known: Cache<String, Arc<Standing>>,
    engine: Engine,
    gatekeeper: Arc<Gatekeeper>,
    traffic: Arc<Traffic>,
    hits: Count,
}

/// An answer that stands for now.
pub struct Standing {
    /// The answer, for as long as it is kept.
    pub answer: Weak<Answer>,
    /// Its tag.
    pub tag: Tag,
    /// What it rests on.
    pub evidence: Evidence,
    /// The data that was held when that was found.
    pub generation: Generation,
    /// When that was.
    pub found_at: Timestamp,
    /// The pattern of the route that answered.
    pub route: Arc<str>,
}

impl Front {
    /// A front before `engine` that keeps so many bytes of answers and counts its own into `traffic`.
    #[must_use]
    pub fn new(bytes: u64, engine: Engine, traffic: Arc<Traffic>, gatekeeper: Arc<Gatekeeper>) -> Self {
        let known = Cache::builder().max_capacity(REMEMBERED).build();
        Self { kept: Kept::new(bytes), known, engine, gatekeeper, traffic, hits: Count::default() }
    }

    /// The answers that are kept.
    #[must_use]
    pub const fn kept(&self) -> &Kept {
        &self.kept
    }

    /// The answer to a request, where it stands.
    #[must_use]
    pub fn answer<B>(&self, request: &Request<B>) -> Option<Response> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let headers = request.headers();
        // A preference is to be heeded, whoever wants no cached answer gets none, and a layer further in tells which pages
        // of other origins may read an answer.
        let is_special = |name| headers.contains_key(name);
        if !is_read || [prefer::PREFER, header::CACHE_CONTROL, header::ORIGIN].into_iter().any(is_special) {
            return None;
        }
        let begun = tokio::time::Instant::now();
        // Who asks has to pass here as well as at the gate; who cannot be told from others at once goes there.
        let now = self.engine.now();
        let caller = gate::known(&self.gatekeeper, request, now)?;
        let standing = self.known.get(&name(request.uri(), headers, &caller))?;
        let answer = standing.answer.upgrade().filter(|_| self.stands(&standing, now))?;
        gate::may_read(&standing.route, &caller).then_some(())?;
        let turn = self.gatekeeper.take(&caller);
        if turn.is_some_and(|turn| turn.retry_after.is_some()) {
            return None;
        }
        let mut response = standing.response(&answer, headers, now);
        gate::mark(turn, response.headers_mut());
        if *request.method() == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        request_id::mark(headers, &mut response);
        audit::known(&caller, request.method(), &standing.route, &mut response);
        self.hits.add_one();
        self.traffic.answered(&standing.route, request.method(), &response, begun.elapsed());
        Some(response)
    }

    /// Remembers the answer to a request.
    pub fn learn(&self, uri: &Uri, headers: &HeaderMap, caller: &Caller, standing: Standing) {
        // What was fetched for this request will not be fetched for the next.
        if standing.evidence.supply.held && standing.evidence.supply.stale == 0 {
            let name = name(uri, headers, caller);
            if name.len() <= LONGEST_NAME {
                self.known.insert(name, Arc::new(standing));
            }
        }
    }

    fn stands(&self, standing: &Standing, now: Timestamp) -> bool {
        let (then, latest) = (standing.generation, self.engine.generation());
        let Evidence { lasts_until, supply, .. } = &standing.evidence;
        match lasts_until {
            // Nothing but being forgotten changes days that are final.
            None if !supply.without_lead => then.forgotten == latest.forgotten,
            None => then == latest,
            Some(until) => then == latest && now < *until,
        }
    }
}

impl Standing {
    fn response(&self, answer: &Answer, headers: &HeaderMap, now: Timestamp) -> Response {
        let age = Duration::try_from(now.duration_since(self.found_at)).unwrap_or_default();
        // As long as then; how much of it is over is told by the age.
        let mut fields = fields::of(&self.evidence, self.found_at);
        fields.insert(header::AGE, HeaderValue::from(age.as_secs()));
        if Conditions::read(headers).hold(&self.tag, self.evidence.fetched_at) {
            return not_modified(&self.tag, fields);
        }
        answer.response(fields)
    }
}

/// The answer to a caller who holds the representation with this tag.
#[must_use]
pub fn not_modified(tag: &Tag, mut fields: HeaderMap) -> Response {
    fields.extend(tag.header().map(|tag| (header::ETAG, tag)));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.headers_mut() = fields;
    response
}

/// Names everything in a request that its answer depends on, and what of its caller.
fn name(uri: &Uri, headers: &HeaderMap, caller: &Caller) -> String {
    let question = uri.path_and_query().map_or("", |question| question.as_str());
    let mut name = String::with_capacity(question.len() + 64);
    for field in [header::ACCEPT, header::ACCEPT_ENCODING] {
        // A field may stand in several lines, each of which counts.
        for line in headers.get_all(field) {
            name.push_str(&String::from_utf8_lossy(line.as_bytes()));
            name.push(',');
        }
        name.push('\n');
    }
    name.push_str(question);
    // An address has no line feed.
    name.push('\n');
    name.push_str(&caller.sight());
    name
}

impl Meter for Front {
    fn write(&self, page: &mut Exposition) {
        let (bytes, capacity) = self.kept.bytes();
        page.counter("feishu_pulse_answer_hits_total", "Requests answered from an answer that was kept whole.")
            .value(self.hits.get() as f64);
        page.gauge("feishu_pulse_answer_cache_bytes", "Bytes of whole answers that are kept.").value(bytes as f64);
        page.gauge("feishu_pulse_answer_cache_capacity_bytes", "Bytes of whole answers that may be kept.")
            .value(capacity as f64);
    }
}
