//! A request to an endpoint that answers from days, and what is done for all of these alike.
//!
//! A handler reads its parameters, has the days gathered, and computes. Whatever may end the request before that stands
//! here: a problem, the word that the days are being fetched, or that the caller has the answer already.

use std::{
    future::Future,
    num::NonZeroU64,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    body::to_bytes,
    extract::{FromRequestParts, MatchedPath},
    http::{HeaderMap, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;

use super::{
    caching::{
        Encoding, Standing, Tag,
        conditions::Conditions,
        encoding::Encoded,
        fields,
        kept::Answer,
        standing::{not_modified, tagged},
    },
    negotiate::{Format, FormatParams, Wanted},
    params::{Params, documented},
    prefer::Preference,
    problem::{Problem, ProblemCode, UNKNOWN_WAIT},
    state::ApiState,
    v1::backfills,
    work::{Chunks, compute},
};
use crate::{
    access::{Caller, Scope},
    model::Geo,
    query::{Asking, Engine, Evidence, Grounds, Job, NotAnswered, Order, Query},
    store::Generation,
};

/// Shorter bodies are encoded where they are: moving them to another thread takes as long.
const SHORT: usize = 8 << 10;

/// A request to an endpoint that answers from days.
pub struct DataRequest {
    state: ApiState,
    caller: Caller,
    engine: Engine,
    uri: Uri,
    route: Arc<str>,
    headers: HeaderMap,
    preference: Preference,
    wanted: Wanted,
    /// What the answer will be, once the days are gathered.
    representation: OnceLock<Representation>,
}

/// One representation of the answer.
struct Representation {
    tag: Tag,
    encoding: Encoding,
    evidence: Evidence,
    generation: Generation,
}

/// An answer that is known before anything is computed.
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
    /// The caller has the answer already, or it was given before and kept.
    Known(Box<Response>),
}

impl DataRequest {
    /// Reads the query, in which parameters of these groups and of [`FormatParams`] may occur.
    #[must_use]
    pub fn params(&self, known: &[Vec<String>]) -> Params {
        Params::of(&self.uri, &[&known.concat()[..], &documented::<FormatParams>()].concat())
    }

    /// How the answer is to be written. Where that cannot be done, `params` knows.
    pub fn wanted(&mut self, params: &mut Params) -> Wanted {
        self.wanted = Wanted::read(params, &self.headers);
        self.wanted
    }

    /// How long the caller waits.
    #[must_use]
    pub fn asking(&self, allow_partial: bool) -> Asking {
        self.state.asking(self.preference, allow_partial)
    }

    /// The outcome of gathering what `query` needs, or what the caller is told instead.
    ///
    /// # Errors
    /// [`Early`], where the days could not be had in the caller's time or at all, or nothing need be computed.
    pub async fn gathered<D: Grounds>(
        &self,
        query: &Query,
        gathering: impl Future<Output = Result<D, NotAnswered>>,
    ) -> Result<D, Early> {
        // Whatever changes from here on makes the answer one of the past.
        let generation = self.engine().generation();
        let days = match gathering.await {
            Ok(days) => days,
            Err(NotAnswered::NotInTime { left }) if self.preference.respond_async => {
                return Err(self.accepted(query, left).await);
            }
            Err(error) => return Err(Problem::not_answered(&error, self.now()).into()),
        };
        let evidence = days.evidence(self.engine(), query);
        let representation = self.representation(evidence, generation);
        if let Some(known) = self.known(&representation) {
            return Err(Early::Known(Box::new(known)));
        }
        // Days are gathered once a request.
        let _ = self.representation.set(representation);
        Ok(days)
    }

    async fn accepted(&self, query: &Query, left: Option<Duration>) -> Early {
        let query = Query { scope: self.caller.view().source(&query.scope), ..query.clone() };
        let (order, owner) = (Order::of_question(&query, self.now()), Arc::clone(self.caller.name()));
        let job = match self.state.backfills.start(order, Some(self.question().into()), owner).await {
            Ok(job) => job,
            Err(error) => return Problem::from(error).into(),
        };
        // How long days take tells how many people there are.
        let foreseen = job.progress.left().or(left).filter(|_| !self.caller.view().is_bound());
        let (job, caller) = (Box::new(job), Box::new(self.caller.clone()));
        Early::Accepted { job, caller, retry_after: foreseen.unwrap_or(UNKNOWN_WAIT) }
    }

    fn representation(&self, evidence: Evidence, generation: Generation) -> Representation {
        let offered = match self.wanted.format {
            Format::Json => Encoding::KEPT,
            Format::Csv | Format::Ndjson => Encoding::STREAMED,
            // Its pages are compressed already.
            Format::Parquet => &[],
        };
        let encoding = Encoding::wanted(&self.headers, offered);
        // Whoever sees something else gets another answer, though it be of the same days.
        let (least, identity) = (self.least_group(), !Encoding::is_identity_refused(&self.headers));
        let form = format!("{:?} {} {least:?} {identity}", self.wanted, self.caller.sight());
        let tag = Tag::new(&evidence.version, self.question(), &form, encoding);
        Representation { tag, encoding, evidence, generation }
    }

    /// The answer, where nothing need be computed for it.
    fn known(&self, representation: &Representation) -> Option<Response> {
        let answer = self.state.front.kept().get(&representation.tag);
        // Also where nothing is sent of it: whoever holds an answer asks again whether it holds.
        if let Some(answer) = &answer {
            self.teach(representation, answer);
        }
        if Conditions::read(&self.headers).name(&representation.tag) {
            return Some(self.not_modified(representation));
        }
        answer.map(|answer| self.told(representation, &answer))
    }

    /// The answer that there is, unless the caller holds it.
    fn told(&self, representation: &Representation, answer: &Answer) -> Response {
        if self.holds(representation) {
            return self.not_modified(representation);
        }
        let fields = answer.fields(fields::of(&representation.evidence, self.now()));
        answer.rows.on(answer.response(fields))
    }

    /// Whether the caller holds the answer that there is.
    fn holds(&self, Representation { tag, evidence, .. }: &Representation) -> bool {
        Conditions::read(&self.headers).hold(tag, evidence.fetched_at)
    }

    fn not_modified(&self, Representation { tag, evidence, .. }: &Representation) -> Response {
        not_modified(tagged(tag, fields::of(evidence, self.now())))
    }

    fn teach(&self, representation: &Representation, answer: &Arc<Answer>) {
        let Representation { tag, evidence, generation, .. } = representation;
        let route = Arc::clone(&self.route);
        let standing = Standing::new(answer, tag.clone(), evidence.clone(), *generation, self.now(), route);
        self.state.front.learn(&self.uri, &self.headers, &self.caller, standing);
    }

    /// A computed answer as it is sent: encoded, tagged, and kept for the next who asks.
    ///
    /// # Errors
    /// A problem where the body breaks off.
    pub async fn answered(mut self, response: Response) -> Result<Response, Early> {
        let Some(representation) = self.representation.take() else { return Ok(response) };
        let (parts, body) = response.into_parts();
        let broken = |_| Problem::new(ProblemCode::Internal, "the answer broke off");
        let body = to_bytes(body, usize::MAX).await.map_err(broken)?;
        let encoding = match representation.encoding {
            wanted if Encoding::is_identity_refused(&self.headers) => wanted,
            wanted => wanted.worth_it(body.len()),
        };
        let encoded = match body.len() {
            _ if encoding == Encoding::Identity => Ok(body),
            ..SHORT => encoding.encode(body),
            _ => compute(move || encoding.encode(body)).await?,
        };
        let body = encoded.map_err(|error| Problem::new(ProblemCode::Internal, error.to_string()))?;
        let mut fields = parts.headers;
        fields.extend(encoding.header().map(|encoding| (header::CONTENT_ENCODING, encoding)));
        fields.extend(representation.tag.header().map(|tag| (header::ETAG, tag)));
        let rows = parts.extensions.get().cloned().unwrap_or_default();
        let answer = Arc::new(Answer { fields, body, rows });
        self.state.front.kept().keep(representation.tag.clone(), &answer);
        self.teach(&representation, &answer);
        Ok(self.told(&representation, &answer))
    }

    /// An export as it is sent: encoded chunk by chunk, while it is being written.
    ///
    /// # Errors
    /// A problem where there is no memory for it.
    pub fn exported<C: Chunks>(
        self,
        chunks: C,
        file: impl FnOnce(axum::body::Body) -> Response,
    ) -> Result<Response, Early> {
        if let Some(held) = self.representation.get().filter(|representation| self.holds(representation)) {
            return Ok(self.not_modified(held));
        }
        let encoding = self.representation.get().map_or(Encoding::Identity, |known| known.encoding);
        let chunks = Encoded::new(chunks, encoding);
        let chunks = chunks.map_err(|error| Problem::new(ProblemCode::Internal, error.to_string()))?;
        let mut response = file(self.state.desks.body(chunks));
        let fields = response.headers_mut();
        fields.extend(encoding.header().map(|encoding| (header::CONTENT_ENCODING, encoding)));
        if let Some(Representation { tag, evidence, .. }) = self.representation.get() {
            fields.extend(tag.header().map(|tag| (header::ETAG, tag)));
            fields.extend(fields::of(evidence, self.now()));
        }
        Ok(response)
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

    fn question(&self) -> &str {
        self.uri.path_and_query().map_or("", |question| question.as_str())
    }

    /// The geos that are served; the first is the tenant's own.
    #[must_use]
    pub fn geos(&self) -> &[Geo] {
        &self.state.geos
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
            route: parts.extensions.get::<MatchedPath>().map_or_else(Arc::default, |path| path.as_str().into()),
            headers: parts.headers.clone(),
            preference,
            wanted: Wanted::default(),
            representation: OnceLock::new(),
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
            Self::Known(response) => *response,
        }
    }
}
