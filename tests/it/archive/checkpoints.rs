//! Long chains of pages are continued after a restart.

use std::{path::PathBuf, sync::Arc, time::Duration};

use feishu_pulse::{
    app,
    model::{DataScope, DayKey, Geo, UserIdType},
    store::{Archive, ArchiveLocation, ArchiveOwner},
};
use feishu_simulator::{FaultKind, InjectedFault, PageTokenStyle, SimulatorConfig};
use reqwest::StatusCode;
use rstest::rstest;
use serde_json::Value;
use tokio::{net::TcpListener, runtime::Runtime, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    archive::{lake::Lake, recorded_store::RecordedStore, truth::file_equals_truth},
    support::{ApiResponse, Upstream, at, day, end_runtime, eventually},
};

const DAY: &str = "2026-11-10";
const REPORT: &str = "/v1/reports/activity?start_date=2026-11-10&end_date=2026-11-10&trailing=held";

/// Number of pages of a day.
const PAGES: usize = 25;

/// Number of pages that are received before upstream stops to answer.
const RECEIVED: usize = 20;

/// A tenant whose upstream does not answer one call, and the archive of its gateways.
struct Tenant {
    upstream: Upstream,
    lake: Lake,
}

/// A gateway with a runtime of its own, which ends like a process.
struct Process {
    runtime: Runtime,
    base: String,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Tenant {
    async fn new() -> Self {
        let page_tokens = PageTokenStyle::Opaque;
        let simulation = SimulatorConfig { users: 1_500, turnover: 0.0, page_tokens, ..SimulatorConfig::default() };
        Self { upstream: Upstream::start(simulation).await, lake: Lake::new() }
    }

    /// A gateway that saves its chains at this interval.
    async fn gateway(&self, checkpoint_interval: Duration) -> Process {
        let mut config = self.upstream.gateway_config();
        config.feishu.checkpoint_interval = checkpoint_interval;
        config.archive = ArchiveLocation::Folder(self.lake.root().to_owned());
        let runtime = Runtime::new().expect("a runtime");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port").into_std().expect("a listener");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let (stop, clock) = (CancellationToken::new(), self.upstream.clock.clone());
        let stopped = stop.clone().cancelled_owned();
        let served = runtime.spawn(async move {
            let gateway = app::build(config, clock).expect("a gateway");
            let listener = TcpListener::from_std(listener).expect("a listener");
            app::serve(gateway, listener, stopped).await.expect("a gateway that serves");
        });
        Process { runtime, base, stop, served }
    }

    /// A gateway that has received [`RECEIVED`] pages of a day for a job, and waits for the next one.
    async fn gateway_in_a_chain(&self, checkpoint_interval: Duration) -> Process {
        let received = u32::try_from(RECEIVED).expect("a small number");
        self.upstream.simulator.faults().push(InjectedFault::new(FaultKind::Hang).after(received));
        let gateway = self.gateway(checkpoint_interval).await;
        let path = format!("/v1/backfills?start_date={DAY}&end_date={DAY}");
        let started = reqwest::Client::new().post(format!("{}{path}", gateway.base)).send().await.expect("an answer");
        assert_eq!(started.status(), StatusCode::ACCEPTED);
        eventually(async || self.upstream.simulator.faults().remaining() == 0).await;
        gateway
    }

    /// A gateway that was killed in the middle of a day, after it had saved the pages so far.
    async fn after_a_kill() -> Self {
        let tenant = Self::new().await;
        let gateway = tenant.gateway_in_a_chain(Duration::from_millis(10)).await;
        eventually(async || tenant.saved_pages() == Some(RECEIVED as u64)).await;
        gateway.kill();
        // The job would be continued.
        std::fs::remove_dir_all(tenant.lake.root().join("backfills")).expect("a job");
        tenant.upstream.simulator.call_log().clear();
        tenant
    }

    fn checkpoint(&self) -> PathBuf {
        self.lake.root().join(format!("checkpoints/cn.open_id.{DAY}.{DAY}.json"))
    }

    /// Number of pages in the checkpoint, if there is one.
    fn saved_pages(&self) -> Option<u64> {
        let record: Value = serde_json::from_slice(&std::fs::read(self.checkpoint()).ok()?).expect("JSON");
        record["pages"].as_u64()
    }

    /// The pages that were requested since the log was cleared.
    fn requested_pages(&self) -> Vec<usize> {
        self.upstream.simulator.call_log().stats_calls().into_iter().filter_map(|call| call.page).collect()
    }

    /// Waits for the day and asserts that it is whole and that no checkpoint is left.
    async fn is_archived(&self, gateway: &Process) {
        gateway.get(REPORT).await.json();
        eventually(async || self.lake.file(DAY).exists() && !self.checkpoint().exists()).await;
        file_equals_truth(&self.lake.file(DAY), self.upstream.simulator.tenant(), day(DAY));
    }
}

impl Process {
    async fn get(&self, path: &str) -> ApiResponse {
        ApiResponse::read(reqwest::get(format!("{}{path}", self.base)).await.expect("an answer")).await
    }

    fn kill(self) {
        end_runtime(self.runtime);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_the_next_gateway_continues_after_the_saved_pages() {
    let tenant = Tenant::after_a_kill().await;

    let next = tenant.gateway(Duration::from_millis(10)).await;

    tenant.is_archived(&next).await;
    assert_eq!(tenant.requested_pages(), (RECEIVED + 1..=PAGES).collect::<Vec<_>>());
    next.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_told_to_stop_saves_its_chains() {
    let tenant = Tenant::new().await;
    let gateway = tenant.gateway_in_a_chain(Duration::from_secs(3_600)).await;
    assert_eq!(tenant.saved_pages(), None);

    let Process { runtime, stop, served, .. } = gateway;
    stop.cancel();
    served.await.expect("an orderly end");
    end_runtime(runtime);

    assert_eq!(tenant.saved_pages(), Some(RECEIVED as u64));
    let next = tenant.gateway(Duration::from_secs(3_600)).await;
    tenant.is_archived(&next).await;
    assert_eq!(tenant.requested_pages().len(), PAGES + 1);
    next.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_chain_whose_token_is_rejected_starts_from_the_first_page() {
    let tenant = Tenant::after_a_kill().await;
    tenant.upstream.simulator.faults().push(InjectedFault::new(FaultKind::RejectPageToken));

    let next = tenant.gateway(Duration::from_millis(10)).await;

    tenant.is_archived(&next).await;
    assert_eq!(tenant.requested_pages()[1..], (1..=PAGES).collect::<Vec<_>>());
    next.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_day_is_not_continued() {
    let tenant = Tenant::after_a_kill().await;
    let next = tenant.gateway(Duration::from_millis(10)).await;

    let url = format!("{}/v1/days/{DAY}", next.base);
    let deleted = reqwest::Client::new().delete(url).send().await.expect("an answer");

    assert_eq!((deleted.status(), tenant.checkpoint().exists()), (StatusCode::NO_CONTENT, false));
    tenant.is_archived(&next).await;
    assert_eq!(tenant.requested_pages(), (1..=PAGES).collect::<Vec<_>>());
    next.kill();
}

#[tokio::test]
async fn days_are_deleted_with_one_listing_of_the_checkpoints() {
    let store = Arc::new(RecordedStore::new());
    let owner = ArchiveOwner { app_id: "cli_a".to_owned(), upstream: "https://feishu.test".to_owned() };
    let archive = Archive::new(Arc::clone(&store) as _, Arc::default(), owner);
    for dates in ["2026-11-10.2026-11-12", "2026-11-13.2026-11-15", "2026-11-16.2026-11-18"] {
        let name = format!("cn.open_id.{dates}");
        archive.put_control_record("checkpoints", &name, dates.into()).await.expect("a stored record");
    }
    let key =
        |date| DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day: day(date) };
    store.take_listed();

    archive.remove(&["2026-11-09", "2026-11-12", "2026-11-17"].map(key)).await.expect("deleted days");

    assert_eq!(store.take_listed(), ["checkpoints"]);
    assert_eq!(archive.control_records("checkpoints").await.expect("records"), ["2026-11-13.2026-11-15"]);
}

#[rstest]
#[case::damaged("2026-11-22T04:01:00Z", "\"days\":[\"UEFSMQ")]
#[case::of_another_version("2026-11-22T04:01:00Z", "\"version\":2,\"was\":1")]
#[case::of_another_series("2026-11-22T04:01:00Z", "\"geo\":\"sg\"")]
#[case::outdated("2026-11-22T04:31:00Z", "\"geo\":\"cn\"")]
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_cannot_be_used_is_ignored_and_removed(#[case] now: &str, #[case] change: &str) {
    let tenant = Tenant::after_a_kill().await;
    tenant.upstream.clock.set(at(now));
    let record = std::fs::read_to_string(tenant.checkpoint()).expect("a checkpoint");
    let name = change.split_once(':').expect("a member").0;
    let (before, after) = record.split_once(&format!("{name}:")).expect("a member");
    let value_end = if name == "\"days\"" { after.len() / 2 } else { after.find(',').expect("an end") };
    std::fs::write(tenant.checkpoint(), format!("{before}{change}{}", &after[value_end..])).expect("a changed file");

    let next = tenant.gateway(Duration::from_secs(3_600)).await;

    tenant.is_archived(&next).await;
    assert_eq!(tenant.requested_pages(), (1..=PAGES).collect::<Vec<_>>());
    next.kill();
}
