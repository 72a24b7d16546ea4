//! [`Draining`]: whether the process is shutting down.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

/// Whether the process is shutting down, and answers only the requests that it has received.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<Shutdown>);

#[derive(Debug, Default)]
struct Shutdown {
    /// Read for each response, so no lock is taken.
    has_begun: AtomicBool,
    begun: Notify,
}

impl Draining {
    /// The shutdown begins.
    pub fn begin(&self) {
        self.0.has_begun.store(true, Ordering::SeqCst);
        self.0.begun.notify_waiters();
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.has_begun.load(Ordering::SeqCst)
    }

    /// Completes when the shutdown begins.
    pub async fn begun(&self) {
        // Receives the notification from here on, also before it is awaited.
        let begun = self.0.begun.notified();
        if !self.has_begun() {
            begun.await;
        }
    }
}
