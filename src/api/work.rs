//! Computation off the async threads: these only move bytes, so that small requests never wait behind a large one.

use std::{io, num::NonZero, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, spawn_blocking},
};

use super::problem::{Problem, ProblemCode};

/// The desks at which exports are written, shared by all requests.
#[derive(Clone, Debug)]
pub struct Desks {
    free: Arc<Semaphore>,
}

/// What an export is made of: the next chunk of it, until there is none.
pub trait Chunks: Send + 'static {
    /// The next chunk, never an empty one.
    ///
    /// # Errors
    /// Where it cannot be written; the answer breaks off then, so that nobody takes it for whole.
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>>;
}

impl Default for Desks {
    /// Half of the processors: the other half is for those who ask for less.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { free: Arc::new(Semaphore::new((processors / 2).max(1))) }
    }
}

impl Desks {
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

    fn write<C: Chunks>(&self, mut chunks: C) -> JoinHandle<(io::Result<Option<Bytes>>, C)> {
        let free = Arc::clone(&self.free);
        tokio::spawn(async move {
            // The semaphore is never closed; without a permit the chunk is written all the same.
            let _desk = free.acquire_owned().await;
            let written = spawn_blocking(move || (chunks.next_chunk(), chunks)).await;
            written.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
        })
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
