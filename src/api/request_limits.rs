//! What one request may take, and how many there may be: whoever asks for more is told at once, and cheaply.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{MatchedPath, Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::sync::Semaphore;

use super::problem::{Problem, ProblemCode};

/// The longest path and query, in bytes. Every parameter at its longest fits.
const LONGEST_URI: usize = 8 << 10;

/// The longest body, in bytes. Only a request for a token has one.
pub const LARGEST_BODY: usize = 64 << 10;

/// What a request may take beyond the time it may wait for days: for sending its body, and for being computed.
const GRACE: Duration = Duration::from_secs(30);

/// When those who found no room may try again.
const COME_BACK: Duration = Duration::from_secs(1);

/// Routes that are answered however many requests there are: they tell how the service is.
const ALWAYS: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Marks a request on a connection that is one too many: probes are answered all the same, everything else is turned away.
#[derive(Clone, Copy, Debug)]
pub struct Crowded;

/// What requests share.
#[derive(Clone, Debug)]
pub struct Bounds {
    room: Arc<Semaphore>,
    longest: Duration,
}

impl Bounds {
    /// So many requests at once, each of which may wait so long for days.
    #[must_use]
    pub fn new(requests: usize, wait: Duration) -> Self {
        Self { room: Arc::new(Semaphore::new(requests.min(Semaphore::MAX_PERMITS))), longest: wait + GRACE }
    }
}

/// Lets a request through that keeps within its bounds, where there is room for it.
pub async fn keep(State(bounds): State<Bounds>, request: Request, next: Next) -> Response {
    if let Err(problem) = check(&request) {
        return problem.into_response();
    }
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if route.is_some_and(|route| ALWAYS.contains(&route)) {
        return next.run(request).await;
    }
    if request.extensions().get::<Crowded>().is_some() {
        return overloaded("as many connections as there may be are open");
    }
    let Ok(_place) = bounds.room.try_acquire() else {
        return overloaded("as many requests as there may be are under way");
    };
    let answered = tokio::time::timeout(bounds.longest, next.run(request)).await;
    answered.unwrap_or_else(|_| {
        let detail = format!("it was not answered within {} s", bounds.longest.as_secs());
        Problem::new(ProblemCode::RequestTimeout, detail).into_response()
    })
}

fn overloaded(detail: &str) -> Response {
    Problem::new(ProblemCode::Overloaded, detail).retry_after(COME_BACK).into_response()
}

fn check(request: &Request) -> Result<(), Problem> {
    let uri = request.uri().path_and_query().map_or(0, |question| question.as_str().len());
    if uri > LONGEST_URI {
        let detail = format!("path and query are {uri} bytes long, at most {LONGEST_URI} are read");
        return Err(Problem::new(ProblemCode::UriTooLong, detail));
    }
    let length = request.headers().get(header::CONTENT_LENGTH);
    let body: Option<usize> = length.and_then(|length| length.to_str().ok()?.parse().ok());
    match body {
        Some(body) if body > LARGEST_BODY => {
            let detail = format!("the body is {body} bytes long, at most {LARGEST_BODY} are read");
            Err(Problem::new(ProblemCode::PayloadTooLarge, detail))
        }
        _ => Ok(()),
    }
}
