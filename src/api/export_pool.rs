//! Computation off the async threads: these only move bytes, so that small requests never wait behind a large one.

use std::{io, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::{sync::oneshot, task::spawn_blocking};

use super::problem::{Problem, ProblemCode};

/// Bytes of a chunk of text, more or less: a thread that serves small requests too copies it to the socket in some tens
/// of microseconds.
pub const CHUNK: usize = 256 << 10;

/// Steps by which desks are nicer than other threads: of a processor that both want, a desk gets a tenth.
const NICER: i32 = 10;

/// The desks at which exports are written, shared by all requests: one a processor, and whoever serves requests is let
/// through first.
#[derive(Clone, Debug)]
pub struct Desks {
    threads: Arc<ThreadPool>,
}

/// What an export is made of: the next chunk of it, until there is none.
pub trait Chunks: Send + 'static {
    /// The next chunk, never an empty one.
    ///
    /// # Errors
    /// Where it cannot be written; the answer breaks off then, so that nobody takes it for whole.
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>>;
}

impl Desks {
    /// Desks, each a thread of its own.
    ///
    /// # Errors
    /// Where the operating system gives no threads.
    pub fn open() -> Result<Self, ThreadPoolBuildError> {
        let threads = ThreadPoolBuilder::new()
            .thread_name(|number| format!("desk-{number}"))
            .start_handler(|_| give_way())
            // The panic has been reported by then, and the answer breaks off, since nobody sends its next chunk.
            .panic_handler(|_| ());
        Ok(Self { threads: Arc::new(threads.build()?) })
    }

    /// The chunks as a body. While one is on its way to the caller the next is written, and none further: an export
    /// takes the memory of two chunks whatever its length, and no thread while its caller is slow.
    pub fn body<C: Chunks>(&self, chunks: C) -> Body {
        let desks = self.clone();
        let first = desks.write(chunks);
        Body::from_stream(stream::try_unfold(Some(first), move |writing| {
            let desks = desks.clone();
            async move {
                let Some(writing) = writing else { return Ok(None) };
                let (chunk, chunks) = writing.await.map_err(io::Error::other)?;
                Ok::<_, io::Error>(chunk?.map(|chunk| (chunk, Some(desks.write(chunks)))))
            }
        }))
    }

    fn write<C: Chunks>(&self, mut chunks: C) -> oneshot::Receiver<(io::Result<Option<Bytes>>, C)> {
        let (done, written) = oneshot::channel();
        self.threads.spawn(move || {
            let chunk = chunks.next_chunk();
            // Nobody may be waiting for it any more.
            let _ = done.send((chunk, chunks));
        });
        written
    }
}

/// Lets other threads go first. What serves a small request sleeps most of the time and then wants a processor at once.
fn give_way() {
    // Elsewhere a process has one priority for all its threads.
    if cfg!(target_os = "linux") {
        // Where it is not allowed, desks take their share like all others.
        let _ = rustix::process::nice(NICER);
    }
}

/// Computes on a thread where nobody waits.
///
/// # Errors
/// Where the computation panics.
pub async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let done = spawn_blocking(work).await;
    done.map_err(|_| Problem::new(ProblemCode::Internal, "the computation broke off"))
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    /// So many chunks, then a panic.
    struct Breaking(usize);

    impl Chunks for Breaking {
        fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
            self.0 = self.0.checked_sub(1).expect("another chunk");
            Ok(Some("chunk".into()))
        }
    }

    #[tokio::test]
    async fn an_export_that_panics_breaks_off_and_leaves_the_desks_usable() {
        let desks = Desks::open().unwrap();
        for _ in 0..100 {
            assert!(to_bytes(desks.body(Breaking(2)), usize::MAX).await.is_err());
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_desk_gives_way_to_whoever_serves_requests() {
        /// How nice the thread is that writes it.
        struct Niceness(bool);

        impl Chunks for Niceness {
            fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
                let niceness = std::mem::take(&mut self.0).then(niceness);
                Ok(niceness.map(|niceness| niceness.to_string().into()))
            }
        }

        fn niceness() -> i32 {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            // The first two fields are a number and a name in brackets; niceness is the 19th.
            stat.rsplit(") ").next().unwrap().split(' ').nth(16).unwrap().parse().unwrap()
        }

        let ours = niceness();
        let desk = to_bytes(Desks::open().unwrap().body(Niceness(true)), usize::MAX).await.unwrap();
        assert_eq!(String::from_utf8(desk.to_vec()).unwrap(), (ours + NICER).min(19).to_string());
    }
}
