//! The building block of the layers: what a layer does before and after the inner service.
//!
//! A layer of this kind adds no allocation to a request: its future contains the future of the inner service.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::Pin,
    task::{Context, Poll, ready as try_ready},
};

use axum::{http::Request, response::Response};
use futures_util::future::Either;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

/// The output of a service. It never fails: errors are responses.
pub type Served = Result<Response, Infallible>;

/// A service that answers every request.
pub trait HttpService<B>:
    Service<Request<B>, Response = Response, Error = Infallible, Future: Send + 'static> + Clone + Send + 'static
{
}

impl<S, B> HttpService<B> for S where
    S: Service<Request<B>, Response = Response, Error = Infallible, Future: Send + 'static> + Clone + Send + 'static
{
}

/// A layer without waiting of its own.
pub trait Middleware: Clone {
    /// What is done with the response of the inner service.
    type Finish: Finish;

    /// Prepares the request for the inner service.
    ///
    /// # Errors
    /// The response, if the inner service is not called.
    fn before<B>(&self, request: &mut Request<B>) -> Result<Self::Finish, Response>;
}

/// Completes the output of an inner future.
pub trait Finish<T = Served> {
    /// The response.
    fn finish(self, output: T) -> Response;
}

/// Passes the response on unchanged.
impl Finish for () {
    fn finish(self, Ok(response): Served) -> Response {
        response
    }
}

/// The [`tower::Layer`] of a [`Middleware`].
#[derive(Clone, Debug)]
pub struct MiddlewareLayer<M>(pub M);

/// The [`tower::Service`] of a [`Middleware`].
#[derive(Clone, Debug)]
pub struct MiddlewareService<M, S> {
    middleware: M,
    inner: S,
}

/// The future of a service that responds at once, or calls the inner service.
pub type EarlyOr<F> = Either<Ready<Served>, F>;

/// A future that responds at once.
#[must_use]
pub fn early<F>(response: Response) -> EarlyOr<F> {
    Either::Left(ready(Ok(response)))
}

pin_project! {
    /// Runs the inner future and completes its output.
    pub struct Finishing<F, A> {
        #[pin]
        inner: F,
        finish: Option<A>,
    }
}

impl<F, A> Finishing<F, A> {
    /// Runs `inner`, then `finish`.
    pub const fn new(inner: F, finish: A) -> Self {
        Self { inner, finish: Some(finish) }
    }
}

impl<F: Future, A: Finish<F::Output>> Future for Finishing<F, A> {
    type Output = Served;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Served> {
        let this = self.project();
        let output = try_ready!(this.inner.poll(context));
        this.finish.take().map_or(Poll::Pending, |finish| Poll::Ready(Ok(finish.finish(output))))
    }
}

impl<M: Clone, S> Layer<S> for MiddlewareLayer<M> {
    type Service = MiddlewareService<M, S>;

    fn layer(&self, inner: S) -> Self::Service {
        MiddlewareService { middleware: self.0.clone(), inner }
    }
}

impl<M, S, B> Service<Request<B>> for MiddlewareService<M, S>
where
    M: Middleware,
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = EarlyOr<Finishing<S::Future, M::Finish>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.middleware.before(&mut request) {
            Ok(finish) => Either::Right(Finishing::new(self.inner.call(request), finish)),
            Err(response) => early(response),
        }
    }
}
