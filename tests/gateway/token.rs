//! The access token: one for all, whatever its life, and no hammering where the credentials are wrong.

use std::time::Duration;

use feishu_pulse::{
    feishu::{
        http::Http,
        token::{Credentials, Tokens},
    },
    model::UserIdType,
    sim::{Calls, Fault, Mishap, SimConfig, TokenStyle},
};
use futures_util::future::join_all;
use reqwest::StatusCode;
use rstest::rstest;

use crate::{
    support::Setup,
    truth::{lines, rows},
};

const DAY: &str = "start_date=2026-11-10&end_date=2026-11-10";

/// Five pages a day.
fn simulation() -> SimConfig {
    SimConfig { users: 300, days: 60, turnover: 0.0, ..SimConfig::default() }
}

fn truth(setup: &Setup) -> Vec<serde_json::Value> {
    rows(setup, setup.home(), "2026-11-10", "2026-11-10", UserIdType::OpenId)
}

fn token_calls(setup: &Setup) -> usize {
    setup.simulator.ledger().token_calls().len()
}

/// The numbers of the pages that were asked for, in order.
fn pages(setup: &Setup) -> Vec<usize> {
    setup.simulator.ledger().stats_calls().iter().filter_map(|call| call.page).collect()
}

#[rstest]
#[tokio::test]
async fn one_token_serves_everyone_whatever_it_looks_like_and_however_long_it_lives(
    #[values(7200, 7140, 1801, 60)] life: u64,
    #[values(TokenStyle::Short, TokenStyle::Jwt)] token_style: TokenStyle,
) {
    let (token_ttl, latency) = (Duration::from_secs(life), Duration::from_millis(5));
    let setup = Setup::new(SimConfig { token_ttl, token_style, latency, ..simulation() }).await;
    let path = |day: usize| format!("/v1/user-days?start_date=2026-11-{day}&end_date=2026-11-{day}");

    let answers = join_all((10..20).map(async |day| setup.get(&path(day)).await.status)).await;

    assert_eq!(answers, [StatusCode::OK; 10]);
    assert_eq!(token_calls(&setup), 1);
}

#[tokio::test]
async fn a_token_that_ends_before_its_chain_is_replaced_on_the_way() {
    // Ten days of five pages at 40 ms are two seconds of calls; a token lives one.
    let (token_ttl, latency) = (Duration::from_secs(1), Duration::from_millis(40));
    let setup = Setup::new(SimConfig { token_ttl, latency, ..simulation() }).await;

    let told = lines(&setup, "start_date=2026-11-01&end_date=2026-11-10").await;

    assert_eq!(told, rows(&setup, setup.home(), "2026-11-01", "2026-11-10", UserIdType::OpenId));
    assert!(token_calls(&setup) >= 2);
}

#[tokio::test]
async fn a_token_revoked_in_the_middle_of_a_chain_costs_one_new_token_and_one_call() {
    let setup = Setup::new(simulation()).await;
    setup.simulator.faults().push(Fault::new(Mishap::RejectAccessToken).on(Calls::LaterPages).after(1));

    let told = lines(&setup, DAY).await;

    assert_eq!(told, truth(&setup));
    assert_eq!(pages(&setup), [1, 2, 3, 3, 4, 5]);
    assert_eq!(token_calls(&setup), 2);
}

#[tokio::test]
async fn many_chains_that_meet_the_same_revoked_token_get_one_new_token() {
    let setup = Setup::new(SimConfig { users: 600, latency: Duration::from_millis(5), ..simulation() }).await;
    setup.get(&format!("/v1/user-days?{DAY}")).await.json();
    setup.simulator.revoke_access_tokens();

    let answer = setup.get("/v1/reports/activity?start_date=2026-10-11&end_date=2026-11-09").await;

    let first_pages = pages(&setup).iter().filter(|page| **page == 1).count();
    assert_eq!(answer.status, StatusCode::OK);
    assert!(first_pages > 5, "{first_pages} chains are no crowd");
    assert_eq!(token_calls(&setup), 2);
}

#[rstest]
#[case(10_003)]
#[case(10_014)]
#[case(10_015)]
#[tokio::test]
async fn rejected_credentials_are_a_clear_problem_and_tried_once(#[case] code: i64) {
    let setup = Setup::new(simulation()).await;
    setup.simulator.faults().push(Fault::new(Mishap::code(code)).on(Calls::Token).times(u32::MAX));
    let path = format!("/v1/user-days?{DAY}");

    let crowd = join_all((0..10).map(|_| setup.get(&path))).await;
    let mut answers = crowd;
    for _ in 0..10 {
        answers.push(setup.get(&path).await);
    }

    for answer in &answers {
        let problem = answer.problem();
        assert_eq!((answer.status, problem["code"].as_str()), (StatusCode::BAD_GATEWAY, Some("upstream_unauthorized")));
        assert_eq!(problem["upstream_code"], code);
        assert!(problem["upstream_log_id"].is_string());
        assert!(problem["retry_after"].as_u64().is_some_and(|seconds| (1..=30).contains(&seconds)), "{problem}");
    }
    assert_eq!((token_calls(&setup), setup.upstream_calls()), (1, 0));
}

#[tokio::test]
async fn a_wrong_secret_is_told_without_the_secret() {
    let setup = Setup::with(simulation(), |config| config.feishu.credentials.app_secret = "hush-hush".into()).await;

    let answer = setup.get(&format!("/v1/user-days?{DAY}")).await;

    assert_eq!(answer.problem()["upstream_code"], 10_014);
    assert!(!answer.text.contains("hush-hush") && !answer.text.contains("cli_demo"), "{}", answer.text);
}

#[tokio::test]
async fn a_token_that_upstream_never_accepts_is_given_up() {
    let setup = Setup::new(simulation()).await;
    setup.simulator.faults().push(Fault::new(Mishap::RejectAccessToken).times(u32::MAX));

    let answer = setup.get(&format!("/v1/user-days?{DAY}")).await;

    assert_eq!(answer.problem()["code"], "upstream_unauthorized");
    assert_eq!((token_calls(&setup), setup.upstream_calls()), (2, 2));
}

#[tokio::test]
async fn a_token_call_that_fails_in_passing_is_made_again() {
    let setup = Setup::new(simulation()).await;
    setup.simulator.faults().push(Fault::new(Mishap::Html { status: 502 }).on(Calls::Token));
    setup.simulator.faults().push(Fault::new(Mishap::Reset).on(Calls::Token));

    let answer = setup.get(&format!("/v1/user-days?{DAY}")).await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(token_calls(&setup), 3);
}

#[tokio::test]
async fn a_token_is_dropped_only_when_it_is_the_one_that_was_rejected() {
    let setup = Setup::new(simulation()).await;
    let http = Http::new(setup.simulator.base_url().parse().unwrap(), Duration::from_secs(5)).unwrap();
    let SimConfig { app_id, app_secret, .. } = setup.simulator.config().clone();
    let tokens = Tokens::new(http, Credentials { app_id, app_secret: app_secret.into() });
    let old = tokens.current().await.unwrap();
    setup.simulator.revoke_access_tokens();
    tokens.reject(&old);
    let new = tokens.current().await.unwrap();

    // The rejection of a call that was under way with the old one arrives late.
    tokens.reject(&old);
    let after = tokens.current().await.unwrap();

    assert_ne!(old.expose(), new.expose());
    assert_eq!(after.expose(), new.expose());
    assert_eq!(token_calls(&setup), 2);
}
