//! The simulator's socket: listens, answers, and closes connections without a reply when told to.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{
    Faults, Ledger, Production, SimConfig, Tenant,
    api::{LostResponse, World, router},
};
use crate::model::Clock;

/// A simulated Feishu that listens. Dropping it closes all its connections.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    world: Arc<World>,
    stop: CancellationToken,
    accepting: JoinHandle<()>,
}

/// The connection is closed because a fault wants it so.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("closed without a reply on purpose")]
struct Closed;

impl Simulator {
    /// Starts to listen where the configuration says; `clock` decides which days are produced.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(config: SimConfig, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let world = Arc::new(World::new(config, clock));
        let stop = CancellationToken::new();
        let accepting = tokio::spawn(accept(listener, router(Arc::clone(&world)), stop.clone()));
        Ok(Self { address, world, stop, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What stands in for `https://open.feishu.cn`: no path, no trailing slash.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was started with.
    #[must_use]
    pub fn config(&self) -> &SimConfig {
        &self.world.config
    }

    /// Who asked what, when.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.world.ledger
    }

    /// What shall go wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.world.faults
    }

    /// The truth about the tenant.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.world.tenant
    }

    /// Which days are late, in parts, or revised.
    #[must_use]
    pub fn production(&self) -> &Production {
        self.world.tenant.production()
    }

    /// All access tokens issued so far become invalid, as if somebody had reset the app's secret.
    pub fn revoke_access_tokens(&self) {
        self.world.access.revoke_all();
    }

    /// Serves until `stop` is ready, then shuts down.
    pub async fn serve_until(self, stop: impl Future<Output = ()>) {
        stop.await;
        self.shutdown().await;
    }

    /// Closes the listener and all connections, and waits until they are closed.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        // It ends when it is told to; it panics only if the machine is out of memory.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Accepts connections until told to stop; those that are open then are dropped.
async fn accept(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(stream, router.clone()))),
                // Most likely too many open files: better to wait than to spin.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection to its end. How it ends is the caller's business: on purpose or not, it has seen it.
async fn serve(stream: TcpStream, router: Router) {
    // Only a matter of speed.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let answer = router.clone().oneshot(request.map(Body::new));
        async move {
            let Ok(response) = answer.await;
            if response.extensions().get::<LostResponse>().is_some() { Err(Closed) } else { Ok(response) }
        }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
