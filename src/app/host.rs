//! Connections: how many there may be, how long they may say nothing, and what they are answered with.

use std::{
    convert::Infallible,
    num::NonZero,
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
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::tls::Tls;
use crate::api::Front;

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

/// What answers, and the connections that it answers on.
pub(super) struct Host {
    services: Services,
    server: Arc<auto::Builder<TokioExecutor>>,
    tls: Option<Tls>,
    room: Arc<Semaphore>,
    graceful: GracefulShutdown,
    draining: CancellationToken,
}

/// What answers a request.
#[derive(Clone)]
struct Services {
    router: Router,
    front: Option<Arc<Front>>,
    /// Whether clients are to go elsewhere with their next request.
    leaving: Arc<AtomicBool>,
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
        Self {
            services: Services { router, front, leaving },
            server: Arc::new(server),
            tls,
            room: Arc::new(Semaphore::new(connections.get().min(Semaphore::MAX_PERMITS))),
            graceful: GracefulShutdown::new(),
            draining: CancellationToken::new(),
        }
    }

    /// Accepts the next connection and serves it on a task of its own. Where there are as many as there may be, the next
    /// waits outside, in the queue of the operating system.
    pub(super) async fn attend_next(&self, listener: &TcpListener) {
        let Ok(place) = Arc::clone(&self.room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => self.attend(stream, place),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn attend(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        // Answers are written whole; waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        let connection = Connection {
            services: self.services.clone(),
            server: Arc::clone(&self.server),
            watcher: self.graceful.watcher(),
            draining: self.draining.clone(),
        };
        let tls = self.tls.clone();
        tokio::spawn(async move {
            let _place = place;
            let Some(tls) = tls else { return connection.serve(stream).await };
            match tokio::time::timeout(FIRST_REQUEST, tls.accept(stream)).await {
                Ok(Ok(stream)) => connection.serve(stream).await,
                Ok(Err(error)) => tracing::debug!(%error, "a client and this service do not agree on TLS"),
                Err(_) => tracing::debug!("a client did not finish the TLS handshake in time"),
            }
        });
    }

    /// Lets requests under way end; connections that say nothing end at once.
    pub(super) async fn drain(self) {
        self.draining.cancel();
        self.graceful.shutdown().await;
    }
}

/// One connection.
struct Connection {
    services: Services,
    server: Arc<auto::Builder<TokioExecutor>>,
    watcher: hyper_util::server::graceful::Watcher,
    draining: CancellationToken,
}

impl Connection {
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
        let mut connection = std::pin::pin!(self.watcher.watch(connection));
        // hyper's own timeout for headers begins only once it knows whether they are of HTTP/1 or HTTP/2.
        let ended = tokio::select! {
            biased;
            ended = &mut connection => Some(ended),
            () = heard.first.notified() => None,
            () = tokio::time::sleep(FIRST_REQUEST) => return,
            // Nothing is under way here that could end first.
            () = self.draining.cancelled() => return,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => connection.await,
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
    async fn answer(self, request: Request<Incoming>) -> Result<Response, Infallible> {
        let version = request.version();
        let known = self.front.as_ref().and_then(|front| front.answer(&request));
        let mut response = match known {
            Some(known) => known,
            None => self.router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {}),
        };
        if version <= Version::HTTP_11 && self.leaving.load(Ordering::Relaxed) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}
