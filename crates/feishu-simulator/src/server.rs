//! The simulator's HTTP server. A fault can make it close a connection without a reply.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{
    CallLog, FaultInjector, ProductionStates, SimulatorConfig, Tenant,
    api::{CloseConnection, SimulatorState, router},
    clock::WallClock,
};

/// A running simulated Feishu. Dropping it closes the listener and all connections.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    state: Arc<SimulatorState>,
    stop: CancellationToken,
    accept_task: JoinHandle<()>,
}

/// The error that makes hyper close a connection without a reply.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("closed without a reply by an injected fault")]
struct ConnectionClosed;

impl Simulator {
    /// Starts to listen on the configured address. `now` returns the current time, which decides which days are
    /// produced.
    ///
    /// # Errors
    /// Listening on the address failed.
    pub async fn start(
        config: SimulatorConfig,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(SimulatorState::new(config, WallClock::new(now)));
        let stop = CancellationToken::new();
        let accept_task = tokio::spawn(accept(listener, router(Arc::clone(&state)), stop.clone()));
        Ok(Self { address, state, stop, accept_task })
    }

    /// The address that it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL that replaces `https://open.feishu.cn`, without a path and without a trailing slash.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The configuration that it was started with.
    #[must_use]
    pub fn config(&self) -> &SimulatorConfig {
        &self.state.config
    }

    /// The calls received so far.
    #[must_use]
    pub fn call_log(&self) -> &CallLog {
        &self.state.call_log
    }

    /// The faults to inject.
    #[must_use]
    pub fn faults(&self) -> &FaultInjector {
        &self.state.faults
    }

    /// The simulated tenant, with the expected rows of each day.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.state.tenant
    }

    /// The production states of days: delayed, partial or revised.
    #[must_use]
    pub fn production(&self) -> &ProductionStates {
        self.state.tenant.production()
    }

    /// Revokes all access tokens issued so far, as a reset of the app secret does.
    pub fn revoke_access_tokens(&self) {
        self.state.access_tokens.revoke_all();
    }

    /// Serves until `stop` completes, then shuts down.
    pub async fn serve_until(self, stop: impl Future<Output = ()>) {
        stop.await;
        self.shutdown().await;
    }

    /// Closes the listener and all connections, and waits until they are closed.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        let _ = (&mut self.accept_task).await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Accepts connections until `stop` is cancelled, then closes all open connections.
async fn accept(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(stream, router.clone()))),
                // Most likely too many open files; without the pause the loop would use a whole CPU.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection until it is closed. Errors are ignored: the client sees them too.
async fn serve(stream: TcpStream, router: Router) {
    // Without TCP_NODELAY only the latency is higher.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let response = router.clone().oneshot(request.map(Body::new));
        async move {
            let Ok(response) = response.await;
            if response.extensions().get::<CloseConnection>().is_some() { Err(ConnectionClosed) } else { Ok(response) }
        }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
