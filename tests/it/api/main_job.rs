//! The main use case over real sockets: one request for a report makes the gateway fetch, merge and cache the days.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::Setup;
use feishu_pulse::model::Day;
use feishu_simulator::{GroundTruthRow, SimulatorConfig, UsageCounters};
use serde_json::Value;

/// 500 people over the 45 days that end with the latest final day.
async fn setup_with_500_people() -> (Setup, BTreeMap<Day, Vec<GroundTruthRow>>) {
    let setup = Setup::new(SimulatorConfig { users: 500, days: 60, ..SimulatorConfig::default() }).await;
    let last: Day = "2026-11-20".parse().expect("a day");
    let days = (0..45).map(|back| last.plus(-back));
    let truth = days.map(|day| (day, setup.simulator.tenant().rows_of(setup.home(), day.date()))).collect();
    (setup, truth)
}

const RANGE: &str = "start_date=2026-10-07&end_date=2026-11-20";

type HasFlag = fn(&GroundTruthRow) -> bool;

const FEATURES: [(&str, HasFlag); 5] = [
    ("im", |row| row.im_active),
    ("docs", |row| row.docs_active),
    ("cal", |row| row.cal_active),
    ("vc", |row| row.vc_active),
    ("search", |row| row.search_active),
];

fn distinct<'a>(rows: impl Iterator<Item = &'a GroundTruthRow>, flag: HasFlag) -> u64 {
    rows.filter(|row| flag(row)).map(|row| row.person).collect::<BTreeSet<_>>().len() as u64
}

#[tokio::test]
async fn one_request_reports_45_days_exactly() {
    let (setup, truth) = setup_with_500_people().await;

    let answer = setup.get(&format!("/v1/reports/activity?{RANGE}&trailing=held")).await.json();

    let items = answer["data"].as_array().unwrap();
    assert_eq!(items.len(), 45);
    for (item, (day, rows)) in items.iter().zip(&truth) {
        assert_eq!(item["start_date"], day.to_string());
        assert_eq!(item["users"], rows.len());
        assert_eq!(item["activated"], distinct(rows.iter(), |row| row.user_active));
        assert_eq!(item["active"], distinct(rows.iter(), |row| row.suite_active));
        for (name, flag) in FEATURES {
            assert_eq!(item["features"][name]["active"], distinct(rows.iter(), flag), "{name} on {day}");
        }
        for (index, (name, _)) in UsageCounters::default().named().into_iter().enumerate() {
            let sum: u64 = rows.iter().map(|row| u64::from(row.counters.named()[index].1)).sum();
            assert_eq!(item["counters"][name], sum, "{name} on {day}");
        }
        let trailing = |length: i32| {
            let from = day.plus(1 - length);
            let whole = truth.contains_key(&from);
            whole.then(|| distinct(truth.range(from..=*day).flat_map(|(_, rows)| rows), |row| row.suite_active))
        };
        assert_eq!(item["wau"], Value::from(trailing(7)), "wau on {day}");
        assert_eq!(item["mau"], Value::from(trailing(30)), "mau on {day}");
    }
}

#[tokio::test]
async fn a_repeated_request_makes_no_call_to_feishu() {
    let (setup, _) = setup_with_500_people().await;
    let path = format!("/v1/reports/activity?{RANGE}&interval=month&trailing=held");

    let first = setup.get(&path).await.json();
    let spent = setup.upstream_calls();
    let second = setup.get(&path).await.json();

    assert_eq!(first, second);
    assert_eq!(setup.upstream_calls(), spent);
    assert_eq!(setup.simulator.call_log().token_calls().len(), 1);
}
