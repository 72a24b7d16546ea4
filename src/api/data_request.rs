//! The stages of a request over days: parse, load, validate, compute, respond.
//!
//! ```text
//! let request = ActivityRequest::parse(&context)?;                           // or a problem that names every fault
//! let input = context.load(&request.data, context.engine().load_…).await?;   // or 202, or a problem
//! let current = context.validate(&input, &request.data)?;                    // or 304, or a stored response
//! let report = compute(move || report(&input, &request)).await?;
//! context.respond(current, report).await
//! ```
//!
//! A stage takes what the previous one returns: only [`load`](RequestContext::load) makes a [`Loaded`], and only
//! [`validate`](RequestContext::validate) makes the [`Representation`] that a response is completed with.

use std::{future::Future, num::NonZeroU64, ops::Deref, sync::Arc, time::Duration};

use axum::{
    body::to_bytes,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, Method, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use jiff::Timestamp;

use super::{
    caching::{
        CacheEntry, ContentEncoding, ETag,
        cache_entry::{not_modified, with_etag},
        cache_headers::cache_headers,
        content_encoding::EncodedChunks,
        preconditions::Preconditions,
        ranges::without_range,
        response_store::{CollectedBody, StoredResponse},
    },
    compute::compute,
    export_limits::ExportPermit,
    export_pool::ChunkSource,
    exports,
    format::{Format, PathSuffix, RequestedFormat},
    meta::RANGES_CAN_BE_COMPARED,
    missing_days::{MISSING_DAYS, missing_days_header},
    params::Params,
    prefer::Preference,
    problem::{DEFAULT_RETRY_AFTER, Problem, ProblemCode},
    selection_check::{SelectionCheck, check_selection},
    state::ApiState,
    v1::backfill_item::accepted_response,
};
use crate::{
    access::{Caller, Scope},
    model::Geo,
    query::{
        BackfillJob, BackfillRequest, HasProvenance, LoadOptions, Provenance, Query, QueryEngine, QueryError,
        SelectableDays,
    },
    store::CacheGeneration,
};

/// Size in bytes below which bodies are compressed on the async thread: moving them to another thread takes as long.
const MAX_INLINE_ENCODING_BYTES: usize = 8 << 10;

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

/// The representation that answers the request: its validator, its coding, and the data that it is made from.
pub struct Representation {
    etag: ETag,
    encoding: ContentEncoding,
    provenance: Provenance,
    generation: CacheGeneration,
    /// The header that lists missing days, for formats without `meta`.
    missing_days: Option<HeaderValue>,
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
        /// When the client should retry.
        retry_after: Duration,
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

    /// The representation that is computed from the loaded days.
    ///
    /// # Errors
    /// [`EarlyResponse::Ready`], if no computation is needed.
    pub fn validate<D: HasProvenance + SelectableDays>(
        &self,
        loaded: &Loaded<D>,
        request: &DataRequest,
    ) -> Result<Representation, EarlyResponse> {
        let provenance = loaded.provenance(&self.engine, &request.query);
        let missing_days = if request.format.has_meta() {
            None
        } else {
            missing_days_header(&request.query.geos, &loaded.loaded_days().selected_days_left_out())
        };
        let representation =
            Representation { missing_days, ..self.representation(request, provenance, loaded.generation) };
        match self.ready_response(&representation) {
            Some(response) => Err(EarlyResponse::Ready(Box::new(response))),
            None => Ok(representation),
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
        EarlyResponse::Accepted { job, caller, retry_after: estimate.unwrap_or(DEFAULT_RETRY_AFTER) }
    }

    fn representation(
        &self,
        request: &DataRequest,
        provenance: Provenance,
        generation: CacheGeneration,
    ) -> Representation {
        let DataRequest { format, min_group_size, .. } = request;
        let offered = match format.format {
            Format::Json => ContentEncoding::STORED,
            Format::Csv | Format::Ndjson => ContentEncoding::STREAMED,
            // These files are compressed already.
            Format::Parquet | Format::Xlsx => &[],
        };
        let encoding = ContentEncoding::negotiate(&self.headers, offered);
        // The ETag also depends on what the caller may see of the same days.
        let accepts_identity = !ContentEncoding::is_identity_refused(&self.headers);
        let form = format!("{format:?} {} {min_group_size:?} {accepts_identity}", self.caller.view_key());
        let etag = ETag::new(&provenance.version, self.path_and_query(), &form, encoding);
        Representation { etag, encoding, provenance, generation, missing_days: None }
    }

    /// The response, if nothing must be computed for it.
    fn ready_response(&self, representation: &Representation) -> Option<Response> {
        let stored = self.state.data.response_cache.store().get(&representation.etag);
        if Preconditions::from_headers(&self.headers).lists(&representation.etag, representation.provenance.fetched_at)
        {
            let response = self.not_modified(representation);
            // Also cached, because a client that revalidates once does so again.
            return Some(
                stored
                    .iter()
                    .fold(response, |response, stored| self.cache_entry(representation, stored).attach_to(response)),
            );
        }
        stored.map(|stored| self.conditional_response(representation, &stored))
    }

    /// The stored response, or what the preconditions demand, with its entry for the response cache.
    fn conditional_response(&self, representation: &Representation, stored: &Arc<StoredResponse>) -> Response {
        let response = self.precondition_response(representation).unwrap_or_else(|| {
            let headers = stored.headers_with(cache_headers(&representation.provenance, self.now()));
            stored.rows.attach_to(stored.to_response(headers, &self.headers))
        });
        self.cache_entry(representation, stored).attach_to(response)
    }

    /// The response that the preconditions demand instead of the representation.
    fn precondition_response(&self, representation: &Representation) -> Option<Response> {
        let Representation { etag, provenance, .. } = representation;
        let preconditions = Preconditions::from_headers(&self.headers);
        preconditions.response(etag, provenance.fetched_at, || self.not_modified(representation))
    }

    fn not_modified(&self, Representation { etag, provenance, .. }: &Representation) -> Response {
        not_modified(with_etag(etag, cache_headers(provenance, self.now())))
    }

    /// The entry of the response in the response cache.
    fn cache_entry(&self, representation: &Representation, stored: &Arc<StoredResponse>) -> CacheEntry {
        let Representation { etag, provenance, generation, .. } = representation;
        CacheEntry::new(stored, etag.clone(), provenance.clone(), *generation, self.now())
    }

    /// Completes a computed response: compresses it, adds its validators, and stores it in the response cache.
    ///
    /// # Errors
    /// [`EarlyResponse::Problem`], if the body cannot be read or compressed.
    pub async fn respond(self, representation: Representation, response: Response) -> Result<Response, EarlyResponse> {
        // A problem is neither stored nor validated.
        if !response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let unreadable = |_| Problem::new(ProblemCode::Internal, "the response body ended early");
        let body = to_bytes(body, usize::MAX).await.map_err(unreadable)?;
        // From now on, so that responses that wait to be compressed count as well.
        let permit = self.state.data.body_budget.take(body.len() as u64)?;
        let encoding = match representation.encoding {
            negotiated if ContentEncoding::is_identity_refused(&self.headers) => negotiated,
            negotiated => negotiated.unless_small(body.len()),
        };
        let encoded = match body.len() {
            _ if encoding == ContentEncoding::Identity => Ok(body),
            ..MAX_INLINE_ENCODING_BYTES => encoding.encode(body),
            _ => compute(move || encoding.encode(body)).await?,
        };
        let body = encoded.map_err(|error| Problem::new(ProblemCode::Internal, error.to_string()))?;
        let mut headers = parts.headers;
        headers.extend(encoding.header().map(|encoding| (header::CONTENT_ENCODING, encoding)));
        headers.extend(representation.etag.header().map(|etag| (header::ETAG, etag)));
        headers.extend(representation.missing_days.clone().map(|days| (MISSING_DAYS, days)));
        let rows = parts.extensions.get().cloned().unwrap_or_default();
        let stored = Arc::new(StoredResponse { headers, body, rows });
        self.state.data.response_cache.store().insert(representation.etag.clone(), &stored);
        let mut response = self.conditional_response(&representation, &stored);
        if let Some(permit) = permit {
            response.extensions_mut().insert(permit);
        }
        Ok(response)
    }

    /// Begins an export of rows, before its days are loaded.
    ///
    /// # Errors
    /// The problem to respond with, if too many exports are in progress.
    pub fn begin_export(&self) -> Result<ExportPermit, Problem> {
        self.state.data.export_limits.begin(&self.caller)
    }

    /// Completes an export: its chunks are compressed while they are written. `file` turns the body into a response. The
    /// export ends with `permit`, which is held until its last chunk is written and, if it is streamed, read.
    ///
    /// An export that may be stored is collected first, so that the response has a length and parts of it can be requested;
    /// a longer one is streamed.
    ///
    /// # Errors
    /// [`EarlyResponse::Problem`], if the compressor cannot be created, or if the export fails before it is sent.
    pub async fn respond_with_export<C: ChunkSource>(
        self,
        representation: &Representation,
        chunks: C,
        permit: ExportPermit,
        file: impl FnOnce(axum::body::Body) -> Response,
    ) -> Result<Response, EarlyResponse> {
        if let Some(response) = self.precondition_response(representation) {
            return Ok(response);
        }
        let Representation { etag, encoding, provenance, missing_days, .. } = representation;
        let chunks = EncodedChunks::new(chunks, *encoding);
        let chunks = chunks.map_err(|error| Problem::new(ProblemCode::Internal, error.to_string()))?;
        let store = self.state.data.response_cache.store();
        let export = self.state.data.export_pool.body(chunks, permit);
        let collected = store.collect(export, &self.state.data.body_budget).await;
        let collected = collected.map_err(|error| Problem::new(ProblemCode::Internal, error.to_string()))?;
        let own_headers = |headers: &mut HeaderMap| {
            headers.extend(encoding.header().map(|encoding| (header::CONTENT_ENCODING, encoding)));
            headers.extend(etag.header().map(|etag| (header::ETAG, etag)));
            headers.extend(missing_days.clone().map(|days| (MISSING_DAYS, days)));
        };
        match collected {
            CollectedBody::Whole(chunks, permit) => {
                let body = match <[Bytes; 1]>::try_from(chunks) {
                    Ok([only]) => only,
                    // Copying 64 MiB takes tens of milliseconds.
                    Err(chunks) => compute(move || Bytes::from(chunks.concat())).await?,
                };
                let (mut parts, _) = file(axum::body::Body::empty()).into_parts();
                own_headers(&mut parts.headers);
                let rows = parts.extensions.get().cloned().unwrap_or_default();
                let stored = Arc::new(StoredResponse { headers: parts.headers, body, rows });
                store.insert(etag.clone(), &stored);
                let mut response = self.conditional_response(representation, &stored);
                // The memory is counted until the body is sent.
                if let Some(permit) = permit {
                    response.extensions_mut().insert(permit);
                }
                Ok(response)
            }
            CollectedBody::Streamed(body) => {
                let mut response = file(body);
                own_headers(response.headers_mut());
                response.headers_mut().extend(cache_headers(provenance, self.now()));
                Ok(response)
            }
        }
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

    fn path_and_query(&self) -> &str {
        self.uri.path_and_query().map_or("", |path_and_query| path_and_query.as_str())
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
            Self::Accepted { job, caller, retry_after } => accepted_response(&job, &caller, Some(retry_after)),
            Self::Ready(response) => *response,
        }
    }
}
