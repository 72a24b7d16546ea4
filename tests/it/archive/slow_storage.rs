//! The archive on a slow object store, in paused time.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use feishu_pulse::{
    model::{DataScope, DayKey, Geo, ManualClock, UserIdType},
    source::{CallerId, DaySource, Depth, Forecast, LoadContext, LoadError, LoadedDay, Priority},
    store::{Archive, ArchiveOwner, ArchiveTier, DayCatalog, FreshnessPolicy, archive::StorageFault},
    table::{DayTableBuilder, Row},
};
use object_store::{
    ObjectStore,
    memory::InMemory,
    throttle::{ThrottleConfig, ThrottledStore},
};
use tokio::time::Instant;

use crate::support::{NOON, at, captured_log::CapturedLog, day};

const CONTEXT: LoadContext = LoadContext { priority: Priority::Interactive, caller: CallerId(1) };
const HOUR: Duration = Duration::from_secs(3600);

/// A source that returns every day at once.
struct InstantSource;

#[async_trait]
impl DaySource for InstantSource {
    async fn load(&self, key: &DayKey, _: Depth, _: LoadContext) -> Result<LoadedDay, LoadError> {
        let mut builder = DayTableBuilder::new(key.clone(), Arc::default());
        builder.push(&Row { user_id: Some("ou_1".to_owned()), ..Row::default() });
        Ok(LoadedDay::Rows(Arc::new(builder.finish(at(NOON)))))
    }

    async fn stored(&self, keys: &[DayKey], _: Depth) -> Vec<Option<LoadedDay>> {
        vec![None; keys.len()]
    }

    async fn forecast(&self, _: &[DayKey], _: Depth) -> Forecast {
        Forecast::NOTHING
    }
}

/// An archive on a slow store, and the archive tier above it.
struct SlowArchive {
    store: Arc<ThrottledStore<InMemory>>,
    archive: Arc<Archive>,
    source: ArchiveTier<InstantSource>,
}

fn slow_archive(config: ThrottleConfig) -> SlowArchive {
    let store = Arc::new(ThrottledStore::new(InMemory::new(), config));
    let owner = ArchiveOwner { app_id: "cli_a".to_owned(), upstream: "https://feishu.test".to_owned() };
    let shared: Arc<dyn ObjectStore> = Arc::clone(&store) as _;
    let archive = Arc::new(Archive::new(shared, Arc::default(), owner));
    let catalog = DayCatalog::new(FreshnessPolicy::default(), Arc::new(ManualClock::at(at(NOON))));
    let source = ArchiveTier::new(Arc::clone(&archive), catalog, InstantSource);
    SlowArchive { store, archive, source }
}

fn key(of_month: u8) -> DayKey {
    let day = day(&format!("2026-11-{of_month:02}"));
    DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day }
}

#[tokio::test(start_paused = true)]
async fn a_slow_archive_delays_only_the_first_request() {
    let slow = slow_archive(ThrottleConfig {
        wait_get_per_call: HOUR,
        wait_list_per_call: HOUR,
        wait_put_per_call: HOUR,
        ..ThrottleConfig::default()
    });

    let started = Instant::now();
    let first = slow.source.load(&key(10), Depth::Rows, CONTEXT).await;
    let waited = started.elapsed();
    let second = slow.source.load(&key(11), Depth::Rows, CONTEXT).await;

    assert!(first.is_ok() && second.is_ok());
    assert!(waited <= Duration::from_secs(15), "{waited:?}");
    assert_eq!(started.elapsed(), waited, "the second request does not wait");
    assert_eq!(slow.archive.health().fault, Some(StorageFault::Timeout));
    assert_eq!(slow.archive.health().unwritten, 2);

    slow.store.config_mut(|config| *config = ThrottleConfig::default());
    slow.archive.wait_until_written(&key(10)).await;
    slow.archive.wait_until_written(&key(11)).await;
    assert_eq!(slow.archive.health().fault, None);
    assert_eq!(slow.archive.health().unwritten, 0);
}

#[tokio::test(start_paused = true)]
async fn flush_writes_the_backlog() {
    let slow = slow_archive(ThrottleConfig { wait_put_per_call: Duration::from_secs(2), ..ThrottleConfig::default() });
    for of_month in 1..=20 {
        slow.source.load(&key(of_month), Depth::Rows, CONTEXT).await.expect("a day");
    }
    assert!(slow.archive.health().unwritten > 0);

    slow.archive.flush(Duration::from_secs(25)).await;

    assert_eq!(slow.archive.health().unwritten, 0);
}

#[tokio::test(start_paused = true)]
async fn flush_logs_the_days_that_it_could_not_write_in_time() {
    let (log, _guard) = CapturedLog::start("info");
    let slow = slow_archive(ThrottleConfig { wait_put_per_call: HOUR, ..ThrottleConfig::default() });
    for of_month in [1, 2] {
        slow.source.load(&key(of_month), Depth::Rows, CONTEXT).await.expect("a day");
    }

    let started = Instant::now();
    slow.archive.flush(Duration::from_secs(25)).await;

    assert_eq!(started.elapsed(), Duration::from_secs(25));
    let lines = log.lines("could not be archived before the process ended");
    assert!(lines.len() == 1 && lines[0].contains("2026-11-01") && lines[0].contains("2026-11-02"), "{lines:?}");
}
