//! The stages of a request over days: parse, load, validate, compute, respond.
//!
//! ```text
//! let request = ActivityRequest::parse(&context)?;                           // or a problem that names every fault
//! let input = context.load(&request.data, context.engine().load_…).await?;   // or 202, or a problem
//! let current = Representation::validate(context, &input, &request.data)?;   // or 304, or a stored response
//! let report = compute(move || report(&input, &request)).await?;
//! current.respond(report).await
//! ```
//!
//! A stage takes what the previous one returns: only [`load`](RequestContext::load) makes a [`Loaded`], and only
//! [`validate`](super::representation::Representation::validate) makes what a response is completed with.

use std::{future::Future, num::NonZeroU64, ops::Deref, sync::Arc, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Method, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;

use super::{
    caching::ranges::without_range,
    export_limits::ExportPermit,
    exports,
    format::{PathSuffix, RequestedFormat},
    meta::RANGES_CAN_BE_COMPARED,
    params::Params,
    prefer::Preference,
    problem::{DEFAULT_RETRY_AFTER, Problem, retry_after_seconds},
    selection_check::{SelectionCheck, check_selection},
    state::ApiState,
    v1::backfill_item::accepted_response,
};
use crate::{
    access::{Caller, Scope},
    model::Geo,
    query::{BackfillJob, BackfillRequest, LoadOptions, Query, QueryEngine, QueryError, SelectableDays},
    store::CacheGeneration,
};

/// The context of a request over days: the caller, its query engine, and the headers.
pub struct RequestContext {
    state: ApiState,
    caller: Caller,
    engine: QueryEngine,
    uri: Uri,
    headers: HeaderMap,
    preference: Preference,
    /// The suffix of the path; `None` on paths without a suffix.
    suffix: Option<PathSuffix>,
}

/// The parsed request, as far as all endpoints over days have it in common.
#[derive(Debug)]
pub struct DataRequest {
    /// The days and rows that the request needs.
    pub query: Query,
    /// How long to wait for days, and whether a partial result is allowed.
    pub options: LoadOptions,
    /// The format of the response.
    pub format: RequestedFormat,
    /// The minimum size of a group whose figures the caller may see, in people; `None`: no minimum.
    pub min_group_size: Option<NonZeroU64>,
}

/// Loaded days, from which a response can be computed.
#[derive(Debug)]
pub struct Loaded<D> {
    days: D,
    /// The generation of the cached data before the days were loaded.
    generation: CacheGeneration,
    /// Remarks for `meta.notes` that do not depend on the report.
    notes: Vec<&'static str>,
}

/// A response that is known before anything is computed.
pub enum EarlyResponse {
    /// The request failed.
    Problem(Problem),
    /// The days are being fetched, and the client prefers not to wait (`Prefer: respond-async`).
    Accepted {
        /// The backfill job that fetches them.
        job: Box<BackfillJob>,
        /// The caller, who may see the job.
        caller: Box<Caller>,
        /// The estimated time until the days are there. `None` if it is unknown, or if the caller may not see it.
        estimate: Option<Duration>,
    },
    /// A 304, or a response that was stored earlier.
    Ready(Box<Response>),
}

impl<D> Loaded<D> {
    /// Remarks for `meta.notes`: no row of the days that are there is selected, while some selected days are not there; and
    /// what the minimum group size does not protect.
    pub fn notes(&self) -> impl Iterator<Item = &'static str> {
        self.notes.iter().copied()
    }

    /// The generation of the cached data before the days were loaded.
    pub const fn generation(&self) -> CacheGeneration {
        self.generation
    }

    /// The days.
    pub fn into_inner(self) -> D {
        self.days
    }
}

impl<D> Deref for Loaded<D> {
    type Target = D;

    fn deref(&self) -> &D {
        &self.days
    }
}

impl RequestContext {
    /// The query parameters.
    #[must_use]
    pub fn params(&self) -> Params {
        Params::parse(&self.uri)
    }

    /// The request for the days of `query`. Reads the format; faults are recorded in `params`.
    #[must_use]
    pub fn data_request(&self, params: &mut Params, query: Query, allow_partial: bool) -> DataRequest {
        DataRequest {
            query,
            options: self.state.load_options(self.preference, allow_partial),
            format: RequestedFormat::read(params, &self.headers, self.suffix),
            min_group_size: self.min_group_size(),
        }
    }

    /// Awaits the `loading` of the days that `request` needs, and checks that they have rows of the selected department
    /// and person.
    ///
    /// # Errors
    /// [`EarlyResponse`], if the days could not be loaded in time or at all, or if all are there and the selection has no
    /// row.
    pub async fn load<D: SelectableDays + Send + 'static>(
        &self,
        request: &DataRequest,
        loading: impl Future<Output = Result<D, QueryError>>,
    ) -> Result<Loaded<D>, EarlyResponse> {
        // Read before the days are loaded, so that a later change makes the cache entry outdated.
        let generation = self.engine.generation();
        match loading.await {
            Ok(days) => {
                let SelectionCheck { days, note } =
                    check_selection(days, &request.query, &self.caller, request.min_group_size).await?;
                let limit_of_protection = request.min_group_size.map(|_| RANGES_CAN_BE_COMPARED);
                Ok(Loaded { days, generation, notes: note.into_iter().chain(limit_of_protection).collect() })
            }
            Err(QueryError::DeadlineExceeded { remaining, .. }) if self.preference.respond_async => {
                Err(self.accept(&request.query, remaining).await)
            }
            Err(error) => Err(Problem::from_query_error(&error, self.now()).with_unknown_id_as_not_found().into()),
        }
    }

    /// Starts a job that fetches the days of `query`. `remaining` is the estimated time, if known.
    async fn accept(&self, query: &Query, remaining: Option<Duration>) -> EarlyResponse {
        let query = Query { scope: self.caller.view().source_scope(&query.scope), ..query.clone() };
        let (request, owner) = (BackfillRequest::for_query(&query, self.now()), Arc::clone(self.caller.name()));
        let job = match self.state.data.backfills.start(request, Some(self.path_and_query().into()), owner).await {
            Ok(job) => job,
            Err(error) => return Problem::from(error).into(),
        };
        // The estimate depends on the number of people, so it is hidden from callers who may not see all departments.
        let estimate =
            job.progress.remaining_time().or(remaining).filter(|_| !self.caller.view().is_department_restricted());
        let (job, caller) = (Box::new(job), Box::new(self.caller.clone()));
        EarlyResponse::Accepted { job, caller, estimate }
    }

    /// Begins an export of rows, before its days are loaded.
    ///
    /// # Errors
    /// The problem to respond with, if too many exports are in progress.
    pub fn begin_export(&self) -> Result<ExportPermit, Problem> {
        self.state.data.export_limits.begin(&self.caller)
    }

    /// The query engine of the caller. It sees the data through the caller's view.
    #[must_use]
    pub const fn engine(&self) -> &QueryEngine {
        &self.engine
    }

    /// The minimum size of a group whose figures the caller may see, in people; `None`: no minimum.
    #[must_use]
    pub fn min_group_size(&self) -> Option<NonZeroU64> {
        self.state.access.min_group_size.filter(|_| !self.caller.has_scope(Scope::UsersRead))
    }

    /// The caller.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The URI of the request.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The path and query of the request.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        self.uri.path_and_query().map_or("", |path_and_query| path_and_query.as_str())
    }

    /// The headers of the request. A HEAD request has no range.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The state of the API.
    #[must_use]
    pub const fn state(&self) -> &ApiState {
        &self.state
    }

    /// The geos that are served; the first is the home geo of the tenant.
    #[must_use]
    pub fn geos(&self) -> &[Geo] {
        &self.state.data.geos
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.state.now()
    }
}

impl FromRequestParts<ApiState> for RequestContext {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let Ok(preference) = Preference::from_request_parts(parts, state).await;
        let suffix = exports::suffix(parts).await?;
        Ok(Self {
            engine: state.engine(&caller).await,
            caller,
            state: state.clone(),
            uri: parts.uri.clone(),
            headers: match parts.method {
                Method::HEAD => without_range(&parts.headers),
                _ => parts.headers.clone(),
            },
            preference,
            suffix,
        })
    }
}

impl From<Problem> for EarlyResponse {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl IntoResponse for EarlyResponse {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Accepted { job, caller, estimate } => {
                let mut response = accepted_response(&job, &caller, estimate);
                let retry_after = retry_after_seconds(estimate.unwrap_or(DEFAULT_RETRY_AFTER));
                response.headers_mut().insert(header::RETRY_AFTER, retry_after.into());
                response
            }
            Self::Ready(response) => *response,
        }
    }
}
