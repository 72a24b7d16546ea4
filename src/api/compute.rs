//! Runs computations off the async threads, so that small requests never wait behind a large one.

use std::{sync::LazyLock, thread::available_parallelism};

use tokio::{sync::Semaphore, task::spawn_blocking};

use super::problem::{Problem, ProblemCode};

/// Computations that run at the same time. More of them would not end sooner, and each holds the response that it writes:
/// a page of 10,000 rows takes about 10 MB.
static PERMITS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(2 * available_parallelism().map_or(1, std::num::NonZero::get)));

/// Runs a computation on a blocking thread. Waits while too many others run.
///
/// # Errors
/// A problem if the computation panics.
pub(super) async fn compute<T: Send + 'static>(computation: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    // The semaphore is never closed.
    let permit = PERMITS.acquire().await.ok();
    let computation = move || {
        // Held until the computation has ended, also if the client disconnects before.
        let _permit = permit;
        computation()
    };
    let result = spawn_blocking(computation).await;
    result.map_err(|_| Problem::new(ProblemCode::Internal, "the computation of the response panicked"))
}
