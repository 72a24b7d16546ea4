//! Runs computations off the async threads, so that small requests never wait behind a large one.

use tokio::task::spawn_blocking;

use super::problem::{Problem, ProblemCode};

/// Runs a computation on a blocking thread.
///
/// # Errors
/// A problem if the computation panics.
pub(super) async fn compute<T: Send + 'static>(computation: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let result = spawn_blocking(computation).await;
    result.map_err(|_| Problem::new(ProblemCode::Internal, "the computation of the response panicked"))
}
