//! An answer that stands for now, ready to be sent: what does not go by the hour or the request is made once.

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

use super::{Tag, conditions::Conditions, fields, kept::Answer};
use crate::{query::Evidence, store::Generation};

/// An answer, and until when it stands.
#[derive(Debug)]
pub struct Standing {
    answer: Weak<Answer>,
    tag: Tag,
    evidence: Evidence,
    generation: Generation,
    found_at: Timestamp,
    route: Arc<str>,
    whole: HeaderMap,
    unchanged: HeaderMap,
}

impl Standing {
    /// An answer of `route` that was found to rest on `evidence` at `found_at`, when `generation` was held.
    #[must_use]
    pub fn new(
        answer: &Arc<Answer>,
        tag: Tag,
        evidence: Evidence,
        generation: Generation,
        found_at: Timestamp,
        route: Arc<str>,
    ) -> Self {
        // As long as then; how much of it is over is told by the age.
        let fields = fields::of(&evidence, found_at);
        let (unchanged, whole) = (tagged(&tag, fields.clone()), answer.fields(fields));
        Self { answer: Arc::downgrade(answer), tag, evidence, generation, found_at, route, whole, unchanged }
    }

    /// The answer, as long as it is kept.
    #[must_use]
    pub fn answer(&self) -> Option<Arc<Answer>> {
        self.answer.upgrade()
    }

    /// The pattern of the route that answered.
    #[must_use]
    pub const fn route(&self) -> &Arc<str> {
        &self.route
    }

    /// Whether others may be answered with it: what was fetched for one will not be fetched for the next, and what is
    /// stale will be better.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.evidence.supply.held && self.evidence.supply.stale == 0
    }

    /// Whether nothing it rests on can have changed, where `latest` is held `now`.
    #[must_use]
    pub fn still_stands(&self, latest: Generation, now: Timestamp) -> bool {
        let Evidence { lasts_until, supply, .. } = &self.evidence;
        match lasts_until {
            // Nothing but being forgotten changes days that are final.
            None if !supply.without_lead => self.generation.forgotten == latest.forgotten,
            None => self.generation == latest,
            Some(until) => self.generation == latest && now < *until,
        }
    }

    /// What is sent `now` to a caller who sent these `headers`.
    #[must_use]
    pub fn response(&self, answer: &Answer, headers: &HeaderMap, now: Timestamp) -> Response {
        let mut response = if Conditions::read(headers).hold(&self.tag, self.evidence.fetched_at) {
            not_modified(self.unchanged.clone())
        } else {
            answer.response(self.whole.clone())
        };
        let fields = response.headers_mut();
        let age = Duration::try_from(now.duration_since(self.found_at)).unwrap_or_default();
        fields.insert(header::AGE, HeaderValue::from(age.as_secs()));
        if self.evidence.lasts_until.is_some() {
            fields.extend(fields::cache_status(&self.evidence, now));
        }
        response
    }
}

/// These fields, with the tag of a representation.
#[must_use]
pub fn tagged(tag: &Tag, mut fields: HeaderMap) -> HeaderMap {
    fields.extend(tag.header().map(|tag| (header::ETAG, tag)));
    fields
}

/// The answer to a caller who holds the representation that these fields tell of.
#[must_use]
pub fn not_modified(fields: HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.headers_mut() = fields;
    response
}
