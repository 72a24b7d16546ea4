//! A request to an endpoint that answers from days, and what is done for all of these alike.
//!
//! A handler reads its parameters, has the days gathered, and computes. Whatever may end the request before that stands
//! here: a problem, or the word that the days are being fetched.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Uri, request::Parts},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;

use super::{
    negotiate::{FormatParams, Wanted},
    params::{Params, documented},
    prefer::Preference,
    problem::{Problem, UNKNOWN_WAIT},
    state::ApiState,
    v1::backfills,
};
use crate::{
    model::Geo,
    query::{Asking, Engine, Job, NotAnswered, Order, Query},
};

/// A request to an endpoint that answers from days.
pub struct DataRequest {
    state: ApiState,
    uri: Uri,
    headers: HeaderMap,
    preference: Preference,
}

/// An answer that is known before the days are there.
#[derive(Debug)]
pub enum Early {
    /// Something is wrong.
    Problem(Problem),
    /// The days are being fetched; the caller prefers not to wait for them.
    Accepted {
        /// What fetches them.
        job: Box<Job>,
        /// When it makes sense to ask again.
        retry_after: Duration,
    },
}

impl DataRequest {
    /// Reads the query, in which parameters of these groups and of [`FormatParams`] may occur.
    #[must_use]
    pub fn params(&self, known: &[Vec<String>]) -> Params {
        Params::of(&self.uri, &[&known.concat()[..], &documented::<FormatParams>()].concat())
    }

    /// How the answer is to be written. Where that cannot be done, `params` knows.
    pub fn wanted(&self, params: &mut Params) -> Wanted {
        Wanted::read(params, &self.headers)
    }

    /// How long the caller waits.
    #[must_use]
    pub fn asking(&self, allow_partial: bool) -> Asking {
        self.state.asking(self.preference, allow_partial)
    }

    /// The outcome of gathering what `query` needs, or what the caller is told instead.
    ///
    /// # Errors
    /// [`Early`], where the days could not be had in the caller's time or at all.
    pub async fn gathered<D>(
        &self,
        query: &Query,
        gathering: impl Future<Output = Result<D, NotAnswered>>,
    ) -> Result<D, Early> {
        match gathering.await {
            Ok(days) => Ok(days),
            Err(NotAnswered::NotInTime { left }) if self.preference.respond_async => {
                Err(self.accepted(query, left).await)
            }
            Err(error) => Err(Problem::not_answered(&error, self.now()).into()),
        }
    }

    async fn accepted(&self, query: &Query, left: Option<Duration>) -> Early {
        let question = self.uri.path_and_query().map(|question| Arc::from(question.as_str()));
        let job = self.state.backfills.start(Order::of_question(query, self.now()), question).await;
        let retry_after = job.progress.left().or(left).unwrap_or(UNKNOWN_WAIT);
        Early::Accepted { job: Box::new(job), retry_after }
    }

    /// What answers questions.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.state.engine
    }

    /// The path and query that were asked for.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The geos that are served; the first is the tenant's own.
    #[must_use]
    pub fn geos(&self) -> &[Geo] {
        &self.state.geos
    }

    /// The state that all handlers share.
    #[must_use]
    pub const fn state(&self) -> &ApiState {
        &self.state
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.state.engine.now()
    }
}

impl FromRequestParts<ApiState> for DataRequest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Infallible> {
        Ok(Self {
            state: state.clone(),
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            preference: Preference::from_request_parts(parts, state).await?,
        })
    }
}

impl From<Problem> for Early {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl IntoResponse for Early {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Accepted { job, retry_after } => backfills::accepted(&job, Some(retry_after)),
        }
    }
}
