//! Connections: how many there may be, how long they may say nothing, and what they are answered with.

use std::{
    convert::Infallible,
    num::NonZero,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, Version, header},
    response::Response,
};
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use super::tls::Tls;
use crate::api::{Crowded, Front};

/// A client that has not sent the header of its first request by then is cut off.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// The same for each later one: longer than load balancers keep a connection that says nothing, so that it is they who
/// close it.
const NEXT_REQUEST: Duration = Duration::from_secs(75);

/// Bytes of a header that are read.
const HEADER_BYTES: u16 = 32 << 10;

/// Requests that one HTTP/2 connection may have under way.
const STREAMS: u32 = 128;

/// How often an HTTP/2 client that says nothing is asked whether it is there, and how long it has to say so.
const PING: Duration = Duration::from_secs(20);

/// How long to wait after an accept failed, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections beyond the bound that are told so at the same time. More are closed unheard: that costs next to nothing.
const DOORSTEP: usize = 64;

/// How long each of them may take.
const TURNING_AWAY: Duration = Duration::from_secs(5);

/// How long a client that has connected and not asked yet still has for it when the service drains: its request may be on
/// the way.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A client that takes nothing of an answer for so long, or has vanished, is cut off.
#[cfg(target_os = "linux")]
const UNREAD: Duration = Duration::from_secs(60);

/// Bytes of requests that an HTTP/2 client may send before they are read, on one stream and on all. The longest body is
/// as long as the first; what HTTP libraries allow by default would be a megabyte of memory for every connection.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;

/// What answers, and the connections that it answers on.
pub(super) struct Host {
    services: Services,
    server: Arc<auto::Builder<TokioExecutor>>,
    tls: Option<Tls>,
    room: Arc<Semaphore>,
    doorstep: Arc<Semaphore>,
    open: TaskTracker,
    draining: CancellationToken,
}

/// What answers a request.
#[derive(Clone)]
struct Services {
    router: Router,
    front: Option<Arc<Front>>,
    /// Whether clients are to go elsewhere with their next request.
    leaving: Arc<AtomicBool>,
    /// Whether the connection is one too many.
    is_crowded: bool,
}

impl Host {
    /// A host of at most so many connections. `leaving` tells clients to send their next request elsewhere.
    pub(super) fn new(
        router: Router,
        front: Option<Arc<Front>>,
        tls: Option<Tls>,
        connections: NonZero<usize>,
        leaving: Arc<AtomicBool>,
    ) -> Self {
        let mut server = auto::Builder::new(TokioExecutor::new());
        // Names of headers as `X-Tt-Logid`: the Python SDK looks for that one letter by letter.
        server.http1().timer(TokioTimer::new()).header_read_timeout(NEXT_REQUEST).title_case_headers(true);
        // As many fields as hyper allows by itself (100), for which it needs no memory of its own.
        server.http1().max_buf_size(HEADER_BYTES.into());
        server.http2().timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PING);
        server.http2().max_header_list_size(HEADER_BYTES.into()).max_concurrent_streams(STREAMS);
        server.http2().initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        Self {
            services: Services { router, front, leaving, is_crowded: false },
            server: Arc::new(server),
            tls,
            room: Arc::new(Semaphore::new(connections.get().min(Semaphore::MAX_PERMITS))),
            doorstep: Arc::new(Semaphore::new(DOORSTEP)),
            open: TaskTracker::new(),
            draining: CancellationToken::new(),
        }
    }

    /// Accepts the next connection and serves it on a task of its own. Where there are as many as there may be, whoever
    /// comes next is told so, but for probes: these are answered.
    pub(super) async fn attend_next(&self, listener: &TcpListener) {
        match listener.accept().await {
            Ok((stream, _)) => self.attend(stream),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn attend(&self, stream: TcpStream) {
        let place = Arc::clone(&self.room).try_acquire_owned();
        let is_crowded = place.is_err();
        // Where the doorstep is full as well, the stream is closed as it is.
        let Ok(place) = place.or_else(|_| Arc::clone(&self.doorstep).try_acquire_owned()) else { return };
        prepare(&stream);
        let connection = Connection {
            services: Services { is_crowded, ..self.services.clone() },
            server: Arc::clone(&self.server),
            draining: self.draining.clone(),
        };
        let tls = self.tls.clone();
        self.open.spawn(async move {
            let _place = place;
            if !is_crowded {
                connection.secured(stream, tls).await;
            } else if tokio::time::timeout(TURNING_AWAY, connection.secured(stream, tls)).await.is_err() {
                tracing::debug!("a client beyond the bound on connections did not leave by itself");
            }
        });
    }

    /// Takes in those who have connected, lets requests under way end, and ends connections that say nothing.
    pub(super) async fn drain(self, listener: TcpListener) {
        // Their requests may have arrived already, and would be lost with the queue of the operating system.
        while self.attend_next(&listener).now_or_never().is_some() {}
        drop(listener);
        self.draining.cancel();
        self.open.close();
        self.open.wait().await;
    }
}

/// Sets what the operating system does for a connection. Where it knows no such thing, the connection goes without.
fn prepare(stream: &TcpStream) {
    // Answers are written whole; waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    // hyper waits as long as it takes for an answer to be read, and so would a client keep its connection that never does.
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(UNREAD));
}

/// One connection.
struct Connection {
    services: Services,
    server: Arc<auto::Builder<TokioExecutor>>,
    draining: CancellationToken,
}

impl Connection {
    async fn secured(self, stream: TcpStream, tls: Option<Tls>) {
        let Some(tls) = tls else { return self.serve(stream).await };
        match tokio::time::timeout(FIRST_REQUEST, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a client and this service do not agree on TLS"),
            Err(_) => tracing::debug!("a client did not finish the TLS handshake in time"),
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let heard = Arc::new(Heard::default());
        let service = hyper::service::service_fn({
            let heard = Arc::clone(&heard);
            let services = self.services;
            move |request: Request<Incoming>| {
                heard.note();
                services.clone().answer(request)
            }
        });
        let connection = self.server.serve_connection(TokioIo::new(stream), service).into_owned();
        let mut connection = std::pin::pin!(connection);
        // hyper's own timeout for headers begins only once it knows whether they are of HTTP/1 or HTTP/2.
        let last_word = async {
            self.draining.cancelled().await;
            tokio::time::sleep(LAST_WORD).await;
        };
        let ended = tokio::select! {
            // What has arrived is heard before the connection is given up.
            biased;
            ended = &mut connection => Some(ended),
            () = heard.first.notified() => None,
            () = tokio::time::sleep(FIRST_REQUEST) => return,
            () = last_word => return,
        };
        let ended = if let Some(ended) = ended {
            ended
        } else {
            tokio::select! {
                biased;
                ended = &mut connection => ended,
                () = self.draining.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended badly");
        }
    }
}

/// Whether a connection has brought a request.
#[derive(Default)]
struct Heard {
    any: AtomicBool,
    first: Notify,
}

impl Heard {
    fn note(&self) {
        if !self.any.swap(true, Ordering::Relaxed) {
            self.first.notify_one();
        }
    }
}

impl Services {
    async fn answer(self, mut request: Request<Incoming>) -> Result<Response, Infallible> {
        let version = request.version();
        let mut known = None;
        if self.is_crowded {
            request.extensions_mut().insert(Crowded);
        } else {
            known = self.front.as_ref().and_then(|front| unbroken(|| front.answer(&request)));
        }
        let mut response = match known {
            Some(known) => known,
            None => self.router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {}),
        };
        if version <= Version::HTTP_11 && (self.is_crowded || self.leaving.load(Ordering::Relaxed)) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

/// What the front says; nothing where it panics: then the request goes its way, and the others on its connection live on.
fn unbroken<T>(answer: impl FnOnce() -> Option<T>) -> Option<T> {
    // What a panic could leave half done in there is behind locks that are taken up again as they are.
    std::panic::catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
        tracing::error!("looking for an answer that is kept ran into a defect of this service");
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_client_that_reads_nothing_is_given_up_by_the_operating_system() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (stream, _) = accepted.unwrap();

        prepare(&stream);

        assert_eq!(SockRef::from(&stream).tcp_user_timeout().unwrap(), Some(UNREAD));
    }

    #[test]
    fn a_front_that_breaks_leaves_the_request_to_those_behind_it() {
        assert_eq!(unbroken(|| Some(1)), Some(1));
        assert_eq!(unbroken::<u8>(|| panic!("on purpose")), None);
    }
}
