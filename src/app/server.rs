//! The connection server: accepts connections, limits their number, and applies timeouts.

use std::{
    convert::Infallible,
    net::SocketAddr,
    num::NonZero,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::ConnectInfo,
    http::{HeaderValue, Request, Version, header},
    response::Response,
};
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use super::{
    stream_guard::{StreamExecutor, guard_response},
    tls::ReloadingTlsAcceptor,
};
use crate::api::{Draining, HttpService};

/// Time limit for the header of the first request on a connection.
const FIRST_HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit for the header of each later request. It is longer than the keep-alive timeout of common load balancers,
/// so that they close idle connections first.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(75);

/// Limit of a request header in bytes.
const MAX_HEADER_BYTES: u16 = 32 << 10;

/// Limit of concurrent requests on one HTTP/2 connection.
const MAX_CONCURRENT_STREAMS: u32 = 128;

/// Interval of HTTP/2 keep-alive pings, and the time limit for their replies.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Pause after a failed accept, for example because file descriptors ran out.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// How long a new connection may still send its first request when the server drains. The request may already be in
/// transit.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// HTTP/2 flow-control windows in bytes, for one stream and for one connection. A request body is at most as long as
/// the stream window. The defaults of HTTP libraries would allow about 1 MB for every connection.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;

/// Serves requests on the connections that it accepts.
pub(super) struct Server<S> {
    responder: Responder<S>,
    builder: Arc<auto::Builder<StreamExecutor>>,
    tls: Option<ReloadingTlsAcceptor>,
    slots: Arc<Semaphore>,
    unread_limit: Duration,
    tasks: TaskTracker,
    drain_signal: CancellationToken,
}

/// Answers requests.
#[derive(Clone)]
struct Responder<S> {
    service: S,
    /// Whether responses ask clients to close the connection.
    draining: Draining,
}

impl<S: HttpService<Incoming>> Server<S> {
    /// A server with at most `connections` concurrent connections. A connection or stream whose client accepts no byte for
    /// `unread_limit` is closed. After `draining` has begun, responses ask clients to close the connection.
    pub(super) fn new(
        service: S,
        tls: Option<ReloadingTlsAcceptor>,
        connections: NonZero<usize>,
        unread_limit: Duration,
        draining: Draining,
    ) -> Self {
        let mut builder = auto::Builder::new(StreamExecutor::new(unread_limit));
        // Header names are sent in the form `X-Tt-Logid`, because the Python SDK compares that name case-sensitively.
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIMEOUT).title_case_headers(true);
        // The limit of 100 header fields stays at hyper's default, which needs no allocation.
        builder.http1().max_buf_size(MAX_HEADER_BYTES.into());
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_INTERVAL);
        builder.http2().max_header_list_size(MAX_HEADER_BYTES.into()).max_concurrent_streams(MAX_CONCURRENT_STREAMS);
        builder
            .http2()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        Self {
            responder: Responder { service, draining },
            builder: Arc::new(builder),
            tls,
            slots: Arc::new(Semaphore::new(connections.get().min(Semaphore::MAX_PERMITS))),
            unread_limit,
            tasks: TaskTracker::new(),
            drain_signal: CancellationToken::new(),
        }
    }

    /// Sets the limit of concurrent requests on one HTTP/2 connection.
    pub(super) fn with_max_streams(mut self, streams: u32) -> Self {
        if let Some(builder) = Arc::get_mut(&mut self.builder) {
            builder.http2().max_concurrent_streams(streams);
        }
        self
    }

    /// Accepts the next connection and serves it on its own task. At the connection limit, it is closed at once: its client
    /// learns so immediately and can connect to another replica, instead of waiting in the queue of the operating system.
    pub(super) async fn accept_next(&self, listener: &TcpListener) {
        match listener.accept().await {
            Ok((stream, peer)) => self.spawn_connection(stream, peer),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }

    fn spawn_connection(&self, stream: TcpStream, peer: SocketAddr) {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else { return };
        set_socket_options(&stream, self.unread_limit);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.unread_limit));
        let connection = Connection {
            responder: self.responder.clone(),
            peer,
            builder: Arc::clone(&self.builder),
            drain_signal: self.drain_signal.clone(),
        };
        let tls = self.tls.clone();
        self.tasks.spawn(async move {
            let _slot = slot;
            connection.handshake_and_serve(Box::pin(stream), tls).await;
        });
    }

    /// Accepts pending connections, lets requests in progress finish, and closes idle connections.
    pub(super) async fn drain(self, listener: TcpListener) {
        // Pending connections may already contain requests. They would be lost with the listen queue of the operating
        // system.
        while self.accept_next(&listener).now_or_never().is_some() {}
        drop(listener);
        self.drain_signal.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Sets socket options. Failures are ignored: the options are not required.
fn set_socket_options(stream: &TcpStream, unread_limit: Duration) {
    // Responses are written in one piece, so delaying small packets (Nagle) only adds latency.
    let _ = stream.set_nodelay(true);
    // After a response was written into the buffer of the socket, only the operating system waits for the client.
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(unread_limit));
    #[cfg(not(target_os = "linux"))]
    let _ = unread_limit;
}

/// A socket whose writes time out.
pub(super) type Socket = Pin<Box<TimeoutStream<TcpStream>>>;

/// One connection.
struct Connection<S> {
    responder: Responder<S>,
    /// The address of the client or of a proxy.
    peer: SocketAddr,
    builder: Arc<auto::Builder<StreamExecutor>>,
    drain_signal: CancellationToken,
}

impl<S: HttpService<Incoming>> Connection<S> {
    async fn handshake_and_serve(self, stream: Socket, tls: Option<ReloadingTlsAcceptor>) {
        let Some(tls) = tls else { return self.serve(stream).await };
        match tokio::time::timeout(FIRST_HEADER_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "the TLS handshake with a client failed"),
            Err(_) => tracing::debug!("the TLS handshake with a client timed out"),
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let first_request = Arc::new(FirstRequest::default());
        let service = hyper::service::service_fn({
            let first_request = Arc::clone(&first_request);
            let (responder, peer) = (self.responder, self.peer);
            move |mut request: Request<Incoming>| {
                first_request.signal();
                request.extensions_mut().insert(ConnectInfo(peer));
                responder.clone().respond(request)
            }
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let mut connection = std::pin::pin!(connection);
        // hyper's header timeout starts only after the protocol version is known.
        let grace_period = async {
            self.drain_signal.cancelled().await;
            tokio::time::sleep(DRAIN_GRACE).await;
        };
        let ended = tokio::select! {
            // Data that has arrived is processed before the connection is closed.
            biased;
            ended = &mut connection => Some(ended),
            () = first_request.notify.notified() => None,
            () = tokio::time::sleep(FIRST_HEADER_TIMEOUT) => return,
            () = grace_period => return,
        };
        let ended = if let Some(ended) = ended {
            ended
        } else {
            tokio::select! {
                biased;
                ended = &mut connection => ended,
                () = self.drain_signal.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended with an error");
        }
    }
}

/// Signals that a connection has received its first request.
#[derive(Default)]
struct FirstRequest {
    received: AtomicBool,
    notify: Notify,
}

impl FirstRequest {
    fn signal(&self) {
        if !self.received.swap(true, Ordering::Relaxed) {
            self.notify.notify_one();
        }
    }
}

impl<S: HttpService<Incoming>> Responder<S> {
    async fn respond(self, request: Request<Incoming>) -> Result<Response, Infallible> {
        let version = request.version();
        let Ok(mut response) = self.service.oneshot(request).await;
        if version <= Version::HTTP_11 && self.draining.has_begun() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(guard_response(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn sockets_time_out_if_a_client_does_not_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (stream, _) = accepted.unwrap();

        let limit = Duration::from_secs(60);
        set_socket_options(&stream, limit);

        assert_eq!(SockRef::from(&stream).tcp_user_timeout().unwrap(), Some(limit));
    }
}
