//! A client that ends, and a successor that continues under the same limit.

use std::{cell::RefCell, ops::Range, rc::Rc, time::Duration};

use adaptive_throttle::{NextSend, RateController, RateLimitHints, ThrottleConfig};

use super::simulation::{Participant, SimulatedClient, SimulatedServer, SimulationResult, simulate_together};

/// What the successor gets from its predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transferred {
    Nothing,
    Limit,
    LimitAndCalls,
}

/// When a client ends and its successor starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handover {
    /// When the predecessor's calls are counted for the last time.
    pub(crate) counted_at: Duration,
    /// When the predecessor ends.
    pub(crate) end: Duration,
    /// When the successor first reads the count.
    pub(crate) read_at: Duration,
    /// When the successor starts.
    pub(crate) start: Duration,
}

struct Predecessor(Rc<RefCell<RateController>>);

struct Successor {
    predecessor: Rc<RefCell<RateController>>,
    handover: Handover,
    transferred: Transferred,
    /// `None` before its start.
    controller: Option<RateController>,
}

/// The calls of the successor until `until`.
pub(crate) fn simulate_handover(
    handover: Handover,
    transferred: Transferred,
    server: SimulatedServer,
    until: Duration,
    seed: u64,
) -> SimulationResult {
    let controller = Rc::new(RefCell::new(RateController::new(&ThrottleConfig::default())));
    let mut predecessor = Predecessor(Rc::clone(&controller));
    let mut successor = Successor { predecessor: controller, handover, transferred, controller: None };
    let participant = |client, active: Range<Duration>| Participant { client, active };
    let participants = vec![
        participant(&mut predecessor as &mut dyn SimulatedClient, Duration::ZERO..handover.end),
        participant(&mut successor, handover.start..until),
    ];
    simulate_together(participants, server, until, seed).pop().unwrap_or_default()
}

impl Successor {
    fn controller(&mut self, now: Duration) -> &mut RateController {
        let Self { predecessor, handover, transferred, controller } = self;
        controller.get_or_insert_with(|| {
            let predecessor = predecessor.borrow();
            let mut controller = RateController::new(&ThrottleConfig::default());
            if let Some(limit) = predecessor.limit().filter(|_| *transferred != Transferred::Nothing) {
                controller.restore(limit);
            }
            if *transferred == Transferred::LimitAndCalls {
                let age = now.saturating_sub(handover.read_at);
                controller.restore_calls(&predecessor.recent_calls(handover.counted_at), age, now);
            }
            controller
        })
    }
}

impl SimulatedClient for Predecessor {
    fn next_send(&mut self, now: Duration) -> NextSend {
        self.0.borrow().next_send(now)
    }

    fn on_sent(&mut self, now: Duration) {
        self.0.borrow_mut().on_sent(now);
    }

    fn on_accepted(&mut self, sent: Duration, now: Duration) {
        self.0.borrow_mut().on_accepted(sent, now, &RateLimitHints::default());
    }

    fn on_refused(&mut self, sent: Duration, now: Duration, hints: &RateLimitHints) {
        self.0.borrow_mut().on_refused(sent, now, hints);
    }
}

impl SimulatedClient for Successor {
    fn next_send(&mut self, now: Duration) -> NextSend {
        self.controller(now).next_send(now)
    }

    fn on_sent(&mut self, now: Duration) {
        self.controller(now).on_sent(now);
    }

    fn on_accepted(&mut self, sent: Duration, now: Duration) {
        self.controller(now).on_accepted(sent, now, &RateLimitHints::default());
    }

    fn on_refused(&mut self, sent: Duration, now: Duration, hints: &RateLimitHints) {
        self.controller(now).on_refused(sent, now, hints);
    }
}
