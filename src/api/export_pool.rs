//! The thread pool for exports. Long computations stay off the async threads, so that small requests never wait behind a
//! large one.

use std::{io, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::oneshot;

/// Target size of a chunk in bytes. An async thread, which also serves small requests, copies a chunk of this size to the
/// socket in tens of microseconds.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Increment of the niceness of export threads. An export thread that competes with a request thread for a CPU gets a
/// tenth of it.
const NICE_INCREMENT: i32 = 10;

/// Thread pool for exports, shared by all requests: one thread per CPU, at a lower priority than request threads.
#[derive(Clone, Debug)]
pub struct ExportPool {
    threads: Arc<ThreadPool>,
}

/// The body of an export, computed chunk by chunk.
pub trait ChunkSource: Send + 'static {
    /// The next chunk, which is never empty; `None` after the last one.
    ///
    /// # Errors
    /// If the chunk cannot be written. The connection is then aborted, so that the client does not mistake the body for
    /// complete.
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>>;
}

/// Chunks, and what is held until all of them are written.
struct HoldingSource<C, H> {
    chunks: C,
    _held: H,
}

impl<C: ChunkSource, H: Send + 'static> ChunkSource for HoldingSource<C, H> {
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        self.chunks.next_chunk()
    }
}

impl ExportPool {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the operating system refuses to create a thread.
    pub fn start() -> Result<Self, ThreadPoolBuildError> {
        let threads = ThreadPoolBuilder::new()
            .thread_name(|number| format!("export-{number}"))
            .start_handler(|_| lower_priority())
            // The panic hook has reported the panic. The body is aborted, because the sender of its next chunk is dropped.
            .panic_handler(|_| ());
        Ok(Self { threads: Arc::new(threads.build()?) })
    }

    /// The chunks as a response body. While one chunk is sent, the next one is computed, but no further: an export of any
    /// length takes the memory of two chunks, and occupies no thread while its client reads slowly.
    ///
    /// `held` is dropped after the last chunk, or when the client has disconnected.
    pub fn body<C: ChunkSource>(&self, chunks: C, held: impl Send + 'static) -> Body {
        let pool = self.clone();
        let first = pool.spawn_next(HoldingSource { chunks, _held: held });
        Body::from_stream(stream::try_unfold(Some(first), move |pending| {
            let pool = pool.clone();
            async move {
                let Some(pending) = pending else { return Ok(None) };
                let (chunk, chunks) = pending.await.map_err(io::Error::other)?;
                Ok::<_, io::Error>(chunk?.map(|chunk| (chunk, Some(pool.spawn_next(chunks)))))
            }
        }))
    }

    fn spawn_next<C: ChunkSource>(&self, mut chunks: C) -> oneshot::Receiver<(io::Result<Option<Bytes>>, C)> {
        let (sender, receiver) = oneshot::channel();
        self.threads.spawn(move || {
            let chunk = chunks.next_chunk();
            // The client may have disconnected.
            let _ = sender.send((chunk, chunks));
        });
        receiver
    }
}

/// Lowers the priority of the current thread, so that request threads, which mostly sleep, get a CPU at once.
fn lower_priority() {
    // On other systems, niceness applies to the whole process.
    if cfg!(target_os = "linux") {
        // If this is not permitted, export threads keep the normal priority.
        let _ = rustix::process::nice(NICE_INCREMENT);
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    /// Yields this number of chunks, then panics.
    struct PanicsAfter(usize);

    impl ChunkSource for PanicsAfter {
        fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
            self.0 = self.0.checked_sub(1).expect("another chunk");
            Ok(Some("chunk".into()))
        }
    }

    #[tokio::test]
    async fn an_export_that_panics_is_aborted_and_the_pool_stays_usable() {
        let pool = ExportPool::start().unwrap();
        for _ in 0..100 {
            assert!(to_bytes(pool.body(PanicsAfter(2), ()), usize::MAX).await.is_err());
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn export_threads_have_a_lower_priority_than_request_threads() {
        /// An export whose only chunk is the niceness of its thread.
        struct ReportsNiceness(bool);

        impl ChunkSource for ReportsNiceness {
            fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
                let niceness = std::mem::take(&mut self.0).then(niceness);
                Ok(niceness.map(|niceness| niceness.to_string().into()))
            }
        }

        fn niceness() -> i32 {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            // The first two fields are the thread id and the name in parentheses. Niceness is field 19.
            stat.rsplit(") ").next().unwrap().split(' ').nth(16).unwrap().parse().unwrap()
        }

        let own_niceness = niceness();
        let output = to_bytes(ExportPool::start().unwrap().body(ReportsNiceness(true), ()), usize::MAX).await.unwrap();
        assert_eq!(String::from_utf8(output.to_vec()).unwrap(), (own_niceness + NICE_INCREMENT).min(19).to_string());
    }
}
