//! The panic guard: a panic in an inner layer or a handler becomes a response instead of closing the connection.

use std::{
    any::Any,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    http::Request,
    response::{IntoResponse as _, Response},
};
use futures_util::{
    FutureExt as _,
    future::{CatchUnwind, Either},
};
use tower::{Layer, Service};

use super::{
    middleware::{EarlyOr, Finish, Finishing, Served, early},
    problem::{Problem, ProblemCode},
    request_facts::RequestFacts,
};

/// The layer.
#[derive(Clone, Copy, Debug)]
pub struct PanicGuardLayer;

/// The service of [`PanicGuardLayer`].
#[derive(Clone, Debug)]
pub struct PanicGuard<S>(S);

/// Renders a panic.
#[derive(Debug)]
pub struct RenderPanic(Arc<RequestFacts>);

impl<S> Layer<S> for PanicGuardLayer {
    type Service = PanicGuard<S>;

    fn layer(&self, inner: S) -> PanicGuard<S> {
        PanicGuard(inner)
    }
}

impl<S, B> Service<Request<B>> for PanicGuard<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = EarlyOr<Finishing<CatchUnwind<AssertUnwindSafe<S::Future>>, RenderPanic>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let panic = RenderPanic(RequestFacts::of(&request));
        // The state behind locks stays usable after a panic, because poisoned locks are recovered.
        match catch_unwind(AssertUnwindSafe(|| self.0.call(request))) {
            Ok(response) => Either::Right(Finishing::new(AssertUnwindSafe(response).catch_unwind(), panic)),
            Err(payload) => early(panic.render(payload.as_ref())),
        }
    }
}

impl Finish<Result<Served, Box<dyn Any + Send>>> for RenderPanic {
    fn finish(self, output: Result<Served, Box<dyn Any + Send>>) -> Response {
        match output {
            Ok(Ok(response)) => response,
            Err(payload) => self.render(payload.as_ref()),
        }
    }
}

impl RenderPanic {
    fn render(&self, payload: &(dyn Any + Send)) -> Response {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        tracing::error!(panic = text, request_id = self.0.request_id(), "a handler panicked");
        Problem::new(ProblemCode::Internal, "the request failed because of a defect in this service").into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_response() {
        let at_once = service_fn(|_: Request<()>| -> std::future::Ready<Served> { panic!("on purpose") });
        let later = service_fn(async |_: Request<()>| -> Served { panic!("on purpose") });

        let Ok(first) = PanicGuard(at_once).oneshot(Request::new(())).await;
        let Ok(second) = PanicGuard(later).oneshot(Request::new(())).await;

        assert_eq!([first, second].map(|response| response.status()), [StatusCode::INTERNAL_SERVER_ERROR; 2]);
    }
}
