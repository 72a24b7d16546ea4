//! Access tokens: issuing, expiry, revocation and validation.

use std::time::Duration;

use feishu_simulator::{AccessTokenStyle, SimulatorConfig};
use rstest::rstest;

use crate::caller::{Caller, Reply};

const DAY: &str = "start_date=2026-11-20&end_date=2026-11-20";

#[tokio::test]
async fn a_second_request_returns_the_same_token() {
    let caller = Caller::start(SimulatorConfig::default()).await;

    let reply = caller.request_token("cli_demo", "demo-secret").await;

    assert_eq!(reply.status_and_code(), (200, 0));
    assert_eq!(reply.body["msg"], "ok");
    assert_eq!(reply.body["tenant_access_token"], caller.token);
    assert!((7100..=7200).contains(&reply.body["expire"].as_u64().expect("seconds")));
    assert!(reply.body.get("data").is_none());
}

#[tokio::test]
async fn a_token_with_less_than_half_an_hour_is_replaced_and_stays_valid() {
    let config = SimulatorConfig { token_ttl: Duration::from_secs(1700), ..SimulatorConfig::default() };
    let mut caller = Caller::start(config).await;
    let first = caller.token.clone();

    caller.log_in().await;
    let with_second = caller.get_page(DAY).await;
    let second = std::mem::replace(&mut caller.token, first.clone());
    let with_first = caller.get_page(DAY).await;

    assert_ne!(first, second);
    assert_eq!((with_first.code(), with_second.code()), (0, 0));
}

#[rstest]
#[case("cli_other", "demo-secret", 10003)]
#[case("cli_demo", "wrong", 10014)]
#[tokio::test]
async fn wrong_credentials_receive_no_token(#[case] app: &str, #[case] secret: &str, #[case] code: i64) {
    let caller = Caller::start(SimulatorConfig::default()).await;

    let reply = caller.request_token(app, secret).await;

    assert_eq!(reply.status_and_code(), (200, code));
    assert!(reply.body.get("tenant_access_token").is_none());
}

#[tokio::test]
async fn a_body_that_is_not_json_is_rejected() {
    let caller = Caller::start(SimulatorConfig::default()).await;

    let reply = Reply::of(caller.post_token("app_id=cli_demo".to_owned()).await.expect("a reply")).await;

    assert_eq!(reply.status_and_code(), (400, 10003));
}

#[rstest]
#[case("", 99_991_661)]
#[case("t-none-of-ours", 99_991_663)]
#[tokio::test]
async fn without_a_valid_token_there_are_no_rows(#[case] token: &str, #[case] code: i64) {
    let mut caller = Caller::start(SimulatorConfig::default()).await;
    caller.token = token.to_owned();

    let reply = caller.get_page(DAY).await;

    assert_eq!(reply.status_and_code(), (400, code));
    assert_eq!(reply.body["error"]["log_id"].as_str(), reply.header("x-tt-logid"));
    assert!(reply.body["error"]["troubleshooter"].is_string());
}

#[tokio::test]
async fn revoked_tokens_are_rejected_and_the_next_token_is_valid() {
    let mut caller =
        Caller::start(SimulatorConfig { access_token_style: AccessTokenStyle::Jwt, ..SimulatorConfig::default() })
            .await;

    caller.simulator.revoke_access_tokens();
    let rejected = caller.get_page(DAY).await;
    caller.log_in().await;
    let admitted = caller.get_page(DAY).await;

    assert_eq!((rejected.code(), admitted.code()), (99_991_663, 0));
}
