//! Bounds what clients that do not read can hold: response bodies are handed over in small frames, and an HTTP/2 stream whose
//! client accepts nothing is reset.
//!
//! A client of HTTP/2 can keep the flow-control window of a stream at zero and still answer pings, so the timeout of the
//! socket does not end it. hyper then holds one frame of the body and waits without limit.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use hyper::{
    body::{Body as HttpBody, Frame, SizeHint},
    rt::Executor,
};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Maximum size of a frame of a response body in bytes. hyper copies a frame into its buffers as soon as the client accepts
/// one byte of it.
const MAX_FRAME_BYTES: usize = 64 << 10;

tokio::task_local! {
    /// The progress of the HTTP/2 stream that the current task serves.
    static PROGRESS: Arc<StreamProgress>;
}

/// Whether the server waits for the client of a stream.
#[derive(Debug, Default)]
struct StreamProgress {
    /// When the client was last offered bytes; `None` while the response or its next frame is computed.
    waiting_since: Mutex<Option<Instant>>,
}

/// Runs each HTTP/2 stream on a task of its own, and ends the task if the client accepts no byte within the limit. hyper
/// then resets the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamExecutor {
    idle_limit: Duration,
}

impl StreamExecutor {
    /// An executor with this limit.
    pub(super) const fn new(idle_limit: Duration) -> Self {
        Self { idle_limit }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        tokio::spawn(run_stream(stream, self.idle_limit));
    }
}

async fn run_stream(stream: impl Future<Output = ()>, idle_limit: Duration) {
    let progress = Arc::<StreamProgress>::default();
    tokio::select! {
        biased;
        () = PROGRESS.scope(Arc::clone(&progress), stream) => {}
        () = progress.wait_until_idle(idle_limit) => {
            tracing::debug!("an HTTP/2 stream was reset, because its client accepts no data");
        }
    }
}

impl StreamProgress {
    /// Completes when the client has accepted nothing for `limit`, at most an eighth of it later.
    async fn wait_until_idle(&self, limit: Duration) {
        loop {
            tokio::time::sleep(limit / 8).await;
            let waiting_since = *self.waiting_since.lock();
            if waiting_since.is_some_and(|since| since.elapsed() >= limit) {
                return;
            }
        }
    }

    fn begin_wait(&self) {
        *self.waiting_since.lock() = Some(Instant::now());
    }

    fn end_wait(&self) {
        *self.waiting_since.lock() = None;
    }
}

/// The response with its body in frames of limited size. On a stream of HTTP/2, its progress is recorded.
pub(super) fn guard_response(response: Response) -> Response {
    let progress = PROGRESS.try_with(Arc::clone).ok();
    let size = response.body().size_hint().exact();
    let fits_into_frame = size.is_some_and(|size| size <= MAX_FRAME_BYTES as u64);
    if response.body().is_end_stream() || (progress.is_none() && fits_into_frame) {
        return response;
    }
    response.map(|inner| Body::new(GuardedBody { inner, pending: Bytes::new(), progress }))
}

/// A response body in frames of limited size.
struct GuardedBody {
    inner: Body,
    /// The rest of a frame of `inner`.
    pending: Bytes,
    /// The progress of the stream, with HTTP/2.
    progress: Option<Arc<StreamProgress>>,
}

impl GuardedBody {
    /// The next part of `pending`. With HTTP/2, the last byte of a frame is a part of its own: hyper sends it only when the
    /// window of the client covers all bytes before it, so at the end of a body no more than one byte waits for the client.
    fn next_part(&mut self) -> Bytes {
        let mut length = self.pending.len().min(MAX_FRAME_BYTES);
        if self.progress.is_some() && length == self.pending.len() && length > 1 {
            length -= 1;
        }
        self.pending.split_to(length)
    }
}

impl HttpBody for GuardedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(progress) = &self.progress {
            progress.end_wait();
        }
        if self.pending.is_empty() {
            let frame = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(data) => self.pending = data,
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
        let part = self.next_part();
        if let Some(progress) = &self.progress {
            progress.begin_wait();
        }
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.pending.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, pending) = (self.inner.size_hint(), self.pending.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + pending);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + pending);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};

    use super::*;

    /// The sizes of the frames of a body, as hyper gets them.
    async fn frame_sizes(response: Response) -> Vec<usize> {
        response.into_body().into_data_stream().map(|frame| frame.map_or(0, |frame| frame.len())).collect().await
    }

    fn chunks(sizes: &'static [usize]) -> Response {
        let chunks = sizes.iter().map(|size| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; *size])));
        Response::new(Body::from_stream(stream::iter(chunks)))
    }

    #[tokio::test]
    async fn a_frame_is_at_most_64_kib_long() {
        let sizes = frame_sizes(guard_response(chunks(&[150_000, 0, 7]))).await;
        assert_eq!(sizes, [65_536, 65_536, 18_928, 0, 7]);
    }

    #[tokio::test]
    async fn on_a_stream_the_last_byte_is_a_frame_of_its_own() {
        let stream = async {
            let sizes = frame_sizes(guard_response(chunks(&[65_537, 1, 3]))).await;
            assert_eq!(sizes, [65_536, 1, 1, 2, 1]);
            let body = guard_response(Response::new("four".into()));
            assert_eq!(body.body().size_hint().exact(), Some(4));
            assert_eq!(frame_sizes(body).await, [3, 1]);
        };
        run_stream(stream, Duration::from_secs(60)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_only_if_its_client_accepts_nothing() {
        let ended = async |pause: Duration| {
            let reading = async {
                let mut body = guard_response(chunks(&[2, 2])).into_body().into_data_stream();
                while body.next().await.is_some() {
                    tokio::time::sleep(pause).await;
                }
            };
            let (sender, mut completed) = tokio::sync::oneshot::channel();
            run_stream(
                async {
                    reading.await;
                    let _ = sender.send(());
                },
                Duration::from_secs(60),
            )
            .await;
            completed.try_recv().is_ok()
        };
        assert!(ended(Duration::from_secs(59)).await);
        assert!(!ended(Duration::from_secs(90)).await);
    }
}
