//! A clock of the gateway that is ahead of Feishu's.

use feishu_simulator::{FaultKind, InjectedFault, SimulatorConfig};
use rstest::rstest;
use serde_json::json;

use crate::support::{Setup, captured_log::CapturedLog};

#[rstest]
#[case::correct(None, 1, 0)]
#[case::within_a_minute(Some("Sun, 22 Nov 2026 03:59:00 GMT"), 1, 0)]
#[case::unreadable(Some("soon"), 1, 0)]
#[case::ahead(Some("Sun, 22 Nov 2026 03:58:59 GMT"), 0, 1)]
#[tokio::test]
async fn days_that_are_fetched_with_a_clock_that_is_ahead_are_not_final(
    #[case] date: Option<&str>,
    #[case] final_days: usize,
    #[case] warnings: usize,
) {
    let (log, _guard) = CapturedLog::start("feishu_pulse=warn");
    let setup = Setup::new(SimulatorConfig { users: 100, ..SimulatorConfig::default() }).await;
    if let Some(date) = date {
        setup.simulator.faults().push(InjectedFault::new(FaultKind::DateHeader(date.to_owned())).times(u32::MAX));
    }

    let answer = setup.get("/v1/reports/activity?trailing=held&start_date=2026-11-10&end_date=2026-11-10").await.json();

    assert_eq!(answer["meta"]["days"]["final"], json!(final_days));
    assert_eq!(log.lines("clock of this machine is ahead").len(), warnings);
}
