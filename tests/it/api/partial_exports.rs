//! Exports without some days name them in a header.

use feishu_simulator::{FaultKind, FaultTarget, InjectedFault, SimulatorConfig, TenantGeo};
use rstest::rstest;

use crate::support::{ApiResponse, Setup, day};

const RANGE: &str = "start_date=2026-11-16&end_date=2026-11-20&allow_partial=true";

/// A gateway that cannot fetch the 18th, and has the days around it.
async fn without_the_18th(geos: Vec<TenantGeo>) -> Setup {
    let setup = Setup::new(SimulatorConfig { users: 60, days: 40, geos, ..SimulatorConfig::default() }).await;
    for days in ["start_date=2026-11-16&end_date=2026-11-17", "start_date=2026-11-19&end_date=2026-11-20"] {
        for geo in setup.simulator.tenant().geos() {
            setup.get(&format!("/v1/user-days?{days}&geo={}", format!("{geo:?}").to_lowercase())).await.json();
        }
    }
    let fault = InjectedFault::new(FaultKind::error_code(1_051_002)).times(u32::MAX);
    setup.simulator.faults().push(fault.on(FaultTarget::ContainingDay(day("2026-11-18").date())));
    setup
}

fn missing(answer: &ApiResponse) -> Option<&str> {
    assert!(answer.status.is_success(), "{}", answer.text);
    answer.headers.get("pulse-missing-days").map(|days| days.to_str().expect("text"))
}

#[rstest]
#[tokio::test]
async fn a_partial_export_names_the_missing_days(
    #[values("user-days", "users", "reports/activity", "reports/departments", "reports/clients")] endpoint: &str,
    #[values("csv", "ndjson")] format: &str,
) {
    let setup = without_the_18th(vec![TenantGeo::Cn]).await;
    let path = format!("/v1/{endpoint}?{RANGE}");

    for _ in 0..2 {
        assert_eq!(missing(&setup.get(&format!("{path}&format={format}")).await), Some("2026-11-18"));
    }
    assert_eq!(missing(&setup.get(&path).await), None, "JSON has `meta`");
    let whole = path.replace("2026-11-20", "2026-11-17");
    assert_eq!(missing(&setup.get(&format!("{whole}&format={format}")).await), None);
}

#[tokio::test]
async fn for_several_geos_each_day_is_named_with_its_geo() {
    let setup = without_the_18th(vec![TenantGeo::Cn, TenantGeo::Sg]).await;

    let answer = setup.get(&format!("/v1/user-days?{RANGE}&format=csv&geo=cn,sg")).await;

    assert_eq!(missing(&answer), Some("cn:2026-11-18,sg:2026-11-18"));
}
