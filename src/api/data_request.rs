//! A request to an endpoint that answers from days, and what is done for all of these alike.
//!
//! A handler reads its parameters, has the days gathered, and computes. Whatever may end the request before that stands
//! here: a problem, or the word that the days are being fetched.

use std::{future::Future, num::NonZeroU64, sync::Arc, time::Duration};

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
    access::{Caller, Scope},
    model::Geo,
    query::{Asking, Engine, Job, NotAnswered, Order, Query},
};

/// A request to an endpoint that answers from days.
pub struct DataRequest {
    state: ApiState,
    caller: Caller,
    engine: Engine,
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
        /// Who asks.
        caller: Box<Caller>,
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
        let query = Query { scope: self.caller.view().source(&query.scope), ..query.clone() };
        let (order, owner) = (Order::of_question(&query, self.now()), Arc::clone(self.caller.name()));
        let job = self.state.backfills.start(order, question, owner).await;
        // How long days take tells how many people there are.
        let foreseen = job.progress.left().or(left).filter(|_| !self.caller.view().is_bound());
        let (job, caller) = (Box::new(job), Box::new(self.caller.clone()));
        Early::Accepted { job, caller, retry_after: foreseen.unwrap_or(UNKNOWN_WAIT) }
    }

    /// What answers questions: it sees what the caller may see, and nothing else.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The size of the smallest group of people whose figures the caller may see, where there is one.
    #[must_use]
    pub fn least_group(&self) -> Option<NonZeroU64> {
        self.state.least_group.filter(|_| !self.caller.may(Scope::UsersRead))
    }

    /// Who asks.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
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
        self.state.now()
    }
}

impl FromRequestParts<ApiState> for DataRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let Ok(preference) = Preference::from_request_parts(parts, state).await;
        Ok(Self {
            engine: state.engine(&caller).await,
            caller,
            state: state.clone(),
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            preference,
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
            Self::Accepted { job, caller, retry_after } => backfills::accepted(&job, &caller, Some(retry_after)),
        }
    }
}
