//! Jobs of callers who may do little else: there cannot be any number of them, and they take nobody's turn.

use std::time::Duration;

use feishu_pulse::{
    access::Scope,
    feishu::throttle::ThrottleConfig,
    model::Day,
    sim::{PageTokenStyle, SimConfig},
};
use reqwest::{Method, StatusCode};

use crate::{
    callers::{Guarded, Key, sent},
    support::{Answer, eventually},
};

async fn order(guarded: &Guarded, key: &Key, first: &str, last: &str) -> Answer {
    let path = format!("/v1/reports/summary?start_date={first}&end_date={last}");
    sent(guarded.request(Method::GET, &path).bearer_auth(&key.secret).header("prefer", "respond-async")).await
}

#[tokio::test]
async fn a_caller_may_have_so_many_jobs_at_a_time() {
    let keys = ["eager", "other"].map(|name| Key::new(name, &[Scope::ReportsRead]));
    let simulation = SimConfig { users: 5, latency: Duration::from_secs(60), ..SimConfig::default() };
    let guarded = Guarded::new(simulation, &keys).await;
    let last = |at: usize| format!("2026-{:02}-{:02}", 9 + at / 28, 1 + at % 28);
    // All are ordered at once, since each waits a moment for the days.
    let orders = (0..64).map(|at| {
        let (guarded, key, last) = (&guarded, &keys[0], last(at));
        async move { order(guarded, key, "2026-09-01", &last).await.status }
    });
    for status in futures_util::future::join_all(orders).await {
        assert_eq!(status, StatusCode::ACCEPTED);
    }

    let refused = order(&guarded, &keys[0], "2026-08-31", "2026-10-01").await;
    let again = order(&guarded, &keys[0], "2026-09-01", "2026-09-01").await;
    let others = order(&guarded, &keys[1], "2026-08-31", "2026-10-01").await;

    assert_eq!(
        (refused.status, &refused.problem()["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &"too_many_requests".into())
    );
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!((again.status, others.status), (StatusCode::ACCEPTED, StatusCode::ACCEPTED));
}

/// Orders a backfill of ten pages a day.
async fn fill(guarded: &Guarded, key: &Key, first: &str, days: i32) -> String {
    let last = first.parse::<Day>().expect("a day").plus(days - 1);
    let path = format!("/v1/backfills?start_date={first}&end_date={last}");
    let ordered = sent(guarded.request(Method::POST, &path).bearer_auth(&key.secret)).await;
    assert_eq!(ordered.status, StatusCode::ACCEPTED, "{}", ordered.text);
    ordered.headers["location"].to_str().expect("text").to_owned()
}

#[tokio::test]
async fn many_jobs_of_one_caller_leave_another_every_second_turn() {
    let keys = ["eager", "modest"].map(|name| Key::new(name, &[Scope::Admin]));
    let page_tokens = PageTokenStyle::Opaque;
    let simulation = SimConfig { users: 600, days: 60, turnover: 0.0, page_tokens, ..SimConfig::default() };
    let throttle = ThrottleConfig { ceiling: Some(20.0), start_rate: 20.0, ..ThrottleConfig::default() };
    let guarded = Guarded::with(simulation, &keys, |config| config.feishu.throttle = throttle).await;
    let calls = || guarded.setup.upstream_calls();
    for first in ["2026-10-01", "2026-10-05", "2026-10-09", "2026-10-13", "2026-10-17", "2026-10-21"] {
        fill(&guarded, &keys[0], first, 4).await;
    }
    eventually(async || calls() > 20).await;

    let before = calls();
    let job = fill(&guarded, &keys[1], "2026-11-10", 1).await;
    eventually(async || guarded.get(&job, &keys[1]).await.json()["state"] == "done").await;
    let between = calls() - before;

    // Ten pages of one, ten of the other, and those that were on their way. With a turn for each job it would be seventy.
    assert!(between <= 35, "{between} calls until ten pages were there");
}
