//! One version of a day per answer: while a day changes, a URL with one ETag has one body.

use std::{collections::HashMap, time::Duration};

use feishu_simulator::SimulatorConfig;
use futures_util::future::join_all;
use jiff::SignedDuration;
use reqwest::StatusCode;

use crate::support::{Setup, at, day};

/// Changes of the day during the test.
const CHANGES: i64 = 25;

const FORMATS: [&str; 4] = ["json", "csv", "ndjson", "parquet"];

#[tokio::test(flavor = "multi_thread")]
async fn a_url_with_one_etag_has_one_body_while_a_day_changes() {
    let simulation = SimulatorConfig { users: 60, days: 30, turnover: 0.0, ..SimulatorConfig::default() };
    let setup = Setup::with(simulation, |config| {
        config.freshness.refresh_interval = Duration::from_secs(1);
        config.freshness.early_refresh_calls = usize::MAX;
    })
    .await;
    let range = "start_date=2026-11-14&end_date=2026-11-21";
    let urls: Vec<String> = FORMATS
        .iter()
        .flat_map(|format| {
            [format!("/v1/users?{range}&format={format}"), format!("/v1/user-days?{range}&format={format}")]
        })
        .collect();
    let mut bodies: HashMap<(String, String), Vec<u8>> = HashMap::new();
    let mut versions = 0;

    for change in 0..CHANGES {
        setup.simulator.production().revise(setup.home(), day("2026-11-21").date());
        setup.clock.set(at("2026-11-22T04:00:00Z") + SignedDuration::from_secs(2 * change));
        let requests = urls.iter().cycle().take(3 * urls.len()).map(async |url| {
            let response = setup.http.get(format!("{}{url}", setup.base)).send().await.expect("an answer");
            assert_eq!(response.status(), StatusCode::OK, "{url}");
            let etag = response.headers()["etag"].to_str().expect("text").to_owned();
            (url.clone(), etag, response.bytes().await.expect("a body").to_vec())
        });
        for (url, etag, body) in join_all(requests).await {
            let key = (url, etag);
            if let Some(before) = bodies.get(&key) {
                assert!(*before == body, "{key:?} has two bodies");
            } else {
                versions += 1;
                bodies.insert(key, body);
            }
        }
    }

    assert!(versions > urls.len(), "the day has not changed");
}
