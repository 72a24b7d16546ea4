//! Answers from what is kept, before anything else looks at the request.
//!
//! An answer is given again to the same request as long as nothing it rests on can have changed: no day has come,
//! changed or been forgotten since, and the time until which it lasts is not over. Otherwise the request goes its way, finds
//! out whether the answer still stands, and teaches it to the front anew.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, Uri, header},
    response::Response,
};
use moka::sync::Cache;

use super::{Kept, Standing};
use crate::{
    access::{Caller, Gatekeeper},
    api::{audit, gate, prefer, request_id::RequestId, traffic::Traffic},
    meter::{Count, Exposition, Meter},
    query::Engine,
};

/// Requests that are remembered. What they are answered with counts where it is kept.
const REMEMBERED: u64 = 20_000;

/// A request whose name is longer is not remembered, in bytes: no client that means well sends one, and others could fill
/// the memory with them.
const LONGEST_NAME: usize = 4 << 10;

/// The front, and what it answers from.
pub struct Front {
    kept: Kept,
    known: Cache<Vec<u8>, Arc<Standing>>,
    engine: Engine,
    gatekeeper: Arc<Gatekeeper>,
    traffic: Arc<Traffic>,
    hits: Count,
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
        let answer = standing.answer().filter(|_| standing.still_stands(self.engine.generation(), now))?;
        gate::may_read(standing.route(), &caller).then_some(())?;
        let turn = self.gatekeeper.take(&caller);
        if turn.is_some_and(|turn| turn.retry_after.is_some()) {
            return None;
        }
        let mut response = standing.response(&answer, headers, now);
        gate::mark(turn, response.headers_mut());
        if *request.method() == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        let id = RequestId::of(headers);
        id.mark(&mut response);
        audit::tell(&caller, request.method(), standing.route(), response.status(), &answer.rows, &id);
        self.hits.add_one();
        self.traffic.answered(standing.route(), request.method(), &response, begun.elapsed());
        Some(response)
    }

    /// Remembers the answer to a request.
    pub fn learn(&self, uri: &Uri, headers: &HeaderMap, caller: &Caller, standing: Standing) {
        if standing.is_settled() {
            let name = name(uri, headers, caller);
            if name.len() <= LONGEST_NAME {
                self.known.insert(name, Arc::new(standing));
            }
        }
    }
}

/// Names everything in a request that its answer depends on, and what of its caller.
fn name(uri: &Uri, headers: &HeaderMap, caller: &Caller) -> Vec<u8> {
    let question = uri.path_and_query().map_or("", |question| question.as_str());
    let mut name = Vec::with_capacity(question.len() + caller.sight().len() + 64);
    for field in [header::ACCEPT, header::ACCEPT_ENCODING] {
        // A field may stand in several lines, each of which counts.
        for line in headers.get_all(field) {
            name.extend_from_slice(line.as_bytes());
            name.push(b',');
        }
        name.push(b'\n');
    }
    // None of them has a line feed but the last.
    name.extend_from_slice(question.as_bytes());
    name.push(b'\n');
    name.extend_from_slice(caller.sight().as_bytes());
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
