//! [`ForwardToLeader`]: loads days itself while this replica leads, and asks the leader otherwise.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{sync::watch, time::Instant};

use super::{
    leader_client::{ForwardError, LeaderClient},
    leadership::{FleetStatus, Leadership},
    member::{FleetMember, MemberHandle},
    record::LeaderAddress,
};
use crate::{
    model::DayKey,
    source::{DaySource, Depth, Forecast, LoadContext, LoadError, LoadedDay},
    table::{DayTable, Dictionaries, parquet},
};

/// Time between two attempts to reach a leader. A change of the leader ends it.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// Loads days from `inner` while this replica leads, and from the leader otherwise.
///
/// A load goes on when the leader changes: it waits for the next one, up to one and a half leases.
#[derive(Debug)]
pub struct ForwardToLeader<S> {
    inner: S,
    link: FleetLink,
}

/// What a replica needs to reach the leader.
#[derive(Clone, Debug)]
pub struct FleetLink {
    /// The right of this replica to call upstream.
    pub leadership: Leadership,
    /// What this replica knows about the fleet.
    pub status: watch::Receiver<FleetStatus>,
    /// Tells the member when the leader cannot be reached.
    pub member: MemberHandle,
    /// Sends requests to the leader.
    pub client: LeaderClient,
    /// The dictionaries of the days.
    pub dictionaries: Arc<Dictionaries>,
    /// How long a load waits for a leader.
    pub patience: Duration,
}

impl<S: DaySource> ForwardToLeader<S> {
    /// Loads from `inner` while this replica leads.
    pub const fn new(inner: S, link: FleetLink) -> Self {
        Self { inner, link }
    }
}

impl FleetLink {
    /// The link of `member`. Days get their dictionaries from `dictionaries`. A load waits up to `patience` for a leader.
    #[must_use]
    pub fn new(
        member: &FleetMember,
        client: LeaderClient,
        dictionaries: Arc<Dictionaries>,
        patience: Duration,
    ) -> Self {
        Self {
            leadership: member.leadership(),
            status: member.status(),
            member: member.handle(),
            client,
            dictionaries,
            patience,
        }
    }

    /// Tells the member that the leader of this term did not answer.
    pub fn report(&self, error: &ForwardError, term: u64) {
        match error {
            ForwardError::Refused => self.member.report_refused_connection(term),
            ForwardError::NotLeader | ForwardError::Load(_) => self.member.read_soon(),
            ForwardError::Failed(reason) => {
                tracing::debug!(%reason, "the leader did not answer");
                self.member.read_soon();
            }
        }
    }

    /// Waits until the leader should be tried again. Without a leader, the record is read more often. False at `give_up`.
    pub async fn wait_for_change(&self, changes: &mut watch::Receiver<FleetStatus>, give_up: Instant) -> bool {
        if self.status.borrow().leader.is_none() {
            self.member.read_soon();
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(give_up) => false,
            Ok(()) = changes.changed() => true,
            () = tokio::time::sleep(RETRY_INTERVAL) => true,
        }
    }

    /// Requests a day from the leader of this term, unless the leader changes before it answers.
    ///
    /// # Errors
    /// [`ForwardError`] if the leader does not answer, or cannot load the day.
    pub async fn request_day(
        &self,
        leader: &LeaderAddress,
        term: u64,
        key: &DayKey,
        context: LoadContext,
    ) -> Result<Arc<DayTable>, ForwardError> {
        let mut status = self.status.clone();
        let has_changed = |status: &FleetStatus| {
            status.term != term || status.leader.as_ref().map(|leader| &leader.id) != Some(&leader.id)
        };
        let file = tokio::select! {
            file = self.client.day(leader, key, context) => file?,
            _ = status.wait_for(has_changed) => return Err(ForwardError::NotLeader),
        };
        let dictionary = self.dictionaries.for_id_type(key.user_id_type);
        let key = key.clone();
        // A large day takes tens of milliseconds. The reader can panic if the file is damaged.
        let decoded = tokio::task::spawn_blocking(move || parquet::decode(file, &key, &dictionary)).await;
        match decoded {
            Ok(Ok(day)) => Ok(Arc::new(day)),
            Ok(Err(error)) => Err(ForwardError::Failed(error.to_string().into())),
            Err(_) => Err(ForwardError::Failed("the day cannot be decoded".into())),
        }
    }
}

#[async_trait]
impl<S: DaySource> DaySource for ForwardToLeader<S> {
    async fn load(&self, key: &DayKey, depth: Depth, context: LoadContext) -> Result<LoadedDay, LoadError> {
        let link = &self.link;
        let mut changes = link.status.clone();
        let mut give_up = Instant::now() + link.patience;
        loop {
            let began = Instant::now();
            let status = changes.borrow_and_update().clone();
            if link.leadership.may_call() {
                tokio::select! {
                    biased;
                    loaded = self.inner.load(key, depth, context) => match loaded {
                        Err(LoadError::NotLeader) => {}
                        loaded => return loaded,
                    },
                    () = link.leadership.lost() => {}
                }
            } else if let Some(leader) = status.other_leader() {
                match link.request_day(leader, status.term, key, context).await {
                    Ok(day) => return Ok(LoadedDay::Rows(day)),
                    // A leader that may not make these calls now has waited for the right to.
                    Err(ForwardError::Load(error)) => return Err(error),
                    Err(error) => link.report(&error, status.term),
                }
            }
            // A leader that has worked on the day for some time was reachable: the wait for the next one begins now.
            if began.elapsed() > link.patience {
                give_up = Instant::now() + link.patience;
            }
            if !link.wait_for_change(&mut changes, give_up).await {
                return Err(LoadError::NotLeader);
            }
        }
    }

    async fn stored(&self, keys: &[DayKey], depth: Depth) -> Vec<Option<LoadedDay>> {
        self.inner.stored(keys, depth).await
    }

    async fn forecast(&self, keys: &[DayKey], depth: Depth) -> Forecast {
        let status = self.link.status.borrow().clone();
        match status.other_leader() {
            Some(leader) if !self.link.leadership.may_call() => {
                self.link.client.forecast(leader, keys).await.unwrap_or_default()
            }
            _ => self.inner.forecast(keys, depth).await,
        }
    }
}
