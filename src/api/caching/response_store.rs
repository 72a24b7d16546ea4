//! Whole answers as they were sent, kept by their tag, so that none is computed, serialised or compressed twice.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use moka::{policy::EvictionPolicy, sync::Cache};

use super::Tag;
use crate::api::audit::Rows;

/// A longer answer is an export, which nobody asks for twice a second.
pub const LARGEST: usize = 4 << 20;

/// Fields of an answer, when it is sent.
const FIELDS: usize = 24;

/// What an answer takes besides its body.
const OVERHEAD: usize = 1024;

/// An answer: its body as it is sent, and the fields that belong to it whenever it is sent.
#[derive(Clone, Debug)]
pub struct Answer {
    /// `Content-Type`, `Content-Encoding`, `ETag` and their kind.
    pub fields: HeaderMap,
    /// The encoded body. It is shared, never copied.
    pub body: Bytes,
    /// The rows about people in it, for the audit log.
    pub rows: Rows,
}

/// The answers that are kept, bounded by their bytes; those that were not asked for the longest go first.
#[derive(Debug)]
pub struct Kept {
    answers: Cache<Tag, Arc<Answer>>,
}

impl Kept {
    /// Room for so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let weigh = |_: &Tag, answer: &Arc<Answer>| u32::try_from(answer.body.len() + OVERHEAD).unwrap_or(u32::MAX);
        let cache = Cache::builder().max_capacity(bytes).weigher(weigh).eviction_policy(EvictionPolicy::lru());
        Self { answers: cache.build() }
    }

    /// The answer with this tag.
    #[must_use]
    pub fn get(&self, tag: &Tag) -> Option<Arc<Answer>> {
        self.answers.get(tag)
    }

    /// Keeps an answer, unless it is too long.
    pub fn keep(&self, tag: Tag, answer: &Arc<Answer>) {
        if answer.body.len() <= LARGEST {
            self.answers.insert(tag, Arc::clone(answer));
        }
    }

    /// Bytes that are kept, and how many may be.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.answers.weighted_size(), self.answers.policy().max_capacity().unwrap_or(u64::MAX))
    }
}

impl Answer {
    /// The fields of the answer, with those of this time.
    #[must_use]
    pub fn fields(&self, fields: HeaderMap) -> HeaderMap {
        // Room for what every answer gets on its way out, so that it is not moved for it.
        let mut all = HeaderMap::with_capacity(FIELDS);
        all.extend(self.fields.clone());
        all.extend(fields);
        all.insert(header::CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        all
    }

    /// The answer as a response with all its [`Self::fields`].
    #[must_use]
    pub fn response(&self, fields: HeaderMap) -> Response {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.headers_mut() = fields;
        response
    }
}
