//! Threads for computations over the rows of days.

use std::sync::LazyLock;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::task::{JoinError, spawn_blocking};

/// One thread for each CPU. A request for a range starts one computation for each day. On tokio's threads for blocking tasks each
/// would run on a thread of its own, and the allocator keeps memory for every thread that has allocated: about 500 MiB with
/// 600 access views. Limiting those threads instead would let slow lookups of host names, which use them too, delay reports.
static THREADS: LazyLock<ThreadPool> = LazyLock::new(|| {
    let threads = ThreadPoolBuilder::new().thread_name(|number| format!("day-{number}"));
    threads.build().expect("the operating system starts a thread for each CPU")
});

/// Runs a computation that takes about a millisecond or more, such as decoding or filtering a day, off the async threads. It
/// continues if the caller stops waiting.
///
/// # Errors
/// If the computation panics, or if the operating system refuses to start the threads.
pub async fn run_day_task<T: Send + 'static>(task: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    // A blocking thread waits for the result, because tokio's paused clock, which tests use, stands still only during such tasks.
    spawn_blocking(move || THREADS.install(task)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_computation_that_panics_is_an_error_and_the_threads_stay_usable() {
        for _ in 0..100 {
            assert!(run_day_task(|| panic!("a fault")).await.is_err());
        }
        assert_eq!(run_day_task(|| 7).await.unwrap(), 7);
    }
}
