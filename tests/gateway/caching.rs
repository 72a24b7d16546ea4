//! What callers and caches between may keep, and how they ask whether it still holds.

use feishu_pulse::sim::{Calls, Fault, Mishap, SimConfig};
use reqwest::{Method, StatusCode, header};

use crate::support::{Answer, Setup, eventually};

/// A week that is final at the time of the tests.
const WEEK: &str = "/v1/reports/activity?start_date=2026-10-05&end_date=2026-10-11";

/// The latest day: provisional until it was fetched 6 h after it was produced.
const LATEST: &str = "/v1/user-days?start_date=2026-11-21&end_date=2026-11-21";

async fn small() -> Setup {
    Setup::new(SimConfig { users: 30, ..SimConfig::default() }).await
}

async fn ask(setup: &Setup, path: &str, fields: &[(&str, &str)]) -> Answer {
    send(setup, Method::GET, path, fields).await
}

async fn send(setup: &Setup, method: Method, path: &str, fields: &[(&str, &str)]) -> Answer {
    // A client that undoes no encoding: what is seen is what was sent.
    let client = reqwest::Client::builder().no_gzip().build().expect("a client");
    let request =
        fields.iter().fold(client.request(method, format!("{}{path}", setup.base)), |request, (name, value)| {
            request.header(*name, *value)
        });
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.expect("a whole body");
    Answer { status, headers, text: String::from_utf8_lossy(&body).into_owned() }
}

fn field<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().expect("text"))
}

#[tokio::test]
async fn a_caller_who_has_the_answer_is_told_so() {
    let setup = small().await;
    let first = ask(&setup, LATEST, &[]).await;
    let (tag, modified) = (field(&first, "etag").to_owned(), field(&first, "last-modified").to_owned());
    assert!(tag.starts_with('"'), "a strong tag: {tag}");
    assert_eq!(field(&first, "cache-status"), "feishu-pulse; fwd=miss");

    for condition in [("if-none-match", &*tag), ("if-modified-since", &*modified)] {
        // Before the front and behind it, which a preference is heeded by.
        for prefer in [("x", "y"), ("prefer", "wait=9")] {
            let again = ask(&setup, LATEST, &[condition, prefer]).await;
            assert_eq!((again.status, &*again.text), (StatusCode::NOT_MODIFIED, ""), "{condition:?} {prefer:?}");
            assert_eq!(field(&again, "etag"), tag);
            for name in ["cache-control", "vary", "last-modified"] {
                assert_eq!(field(&again, name), field(&first, name), "{name}");
            }
            assert!(field(&again, "cache-status").starts_with("feishu-pulse; hit"), "{again:?}");
        }
    }
    let other = ask(&setup, LATEST, &[("if-none-match", "\"other\"")]).await;
    assert_eq!((other.status, &other.text), (StatusCode::OK, &first.text));
}

#[tokio::test]
async fn what_can_never_change_may_be_kept_for_ever() {
    let setup = small().await;
    let days = "/v1/user-days?start_date=2026-10-05&end_date=2026-10-11";

    let answer = ask(&setup, days, &[]).await;

    assert_eq!(field(&answer, "cache-control"), "private, max-age=31536000, immutable");
    assert_eq!(field(&answer, "vary"), "accept, accept-encoding, authorization");
}

#[tokio::test]
async fn figures_that_look_back_are_asked_about_until_all_they_look_back_over_is_held() {
    let setup = small().await;
    assert_eq!(field(&ask(&setup, WEEK, &[]).await, "cache-control"), "private, no-cache");

    setup.get("/v1/reports/activity?start_date=2026-09-01&end_date=2026-10-11").await.json();
    let answer = ask(&setup, WEEK, &[]).await;

    assert_eq!(field(&answer, "cache-control"), "private, max-age=31536000, immutable");
    assert!(answer.json()["data"][0]["mau"].is_number());
}

#[tokio::test]
async fn what_may_change_is_kept_until_it_may() {
    let setup = small().await;
    // Noon in China: the latest day is due to be fetched anew in half an hour.
    // The first brings the day, the second is what is kept.
    for _ in 0..2 {
        assert_eq!(field(&ask(&setup, LATEST, &[]).await, "cache-control"), "private, max-age=1800");
    }
    setup.set_time("2026-11-22T04:10:00Z");

    let later = ask(&setup, LATEST, &[]).await;

    // From the front: as long as it was then, of which ten minutes are over.
    assert_eq!((field(&later, "cache-control"), field(&later, "age")), ("private, max-age=1800", "600"));
    let period = ask(&setup, "/v1/user-days?period=2026-10", &[]).await;
    assert_eq!(field(&period, "cache-control"), "private, max-age=42600", "until midnight in China");
}

#[tokio::test]
async fn a_day_that_changes_has_another_tag() {
    let setup = small().await;
    let first = ask(&setup, LATEST, &[]).await;
    let day = "2026-11-21".parse().expect("a day");
    setup.simulator.tenant().production().revise(setup.home(), day);
    setup.set_time("2026-11-22T05:00:00Z");

    let stale = ask(&setup, LATEST, &[]).await;
    assert_eq!(field(&stale, "cache-status"), "feishu-pulse; hit; ttl=-1", "served as it was, fetched anew behind it");
    assert_eq!(stale.json()["meta"]["days"]["stale"], 1);
    eventually(async || ask(&setup, LATEST, &[]).await.json()["meta"]["days"]["stale"] == 0).await;

    let fresh = ask(&setup, LATEST, &[("if-none-match", field(&first, "etag"))]).await;
    assert_eq!(fresh.status, StatusCode::OK);
    assert_ne!(field(&fresh, "etag"), field(&first, "etag"));
}

#[tokio::test]
async fn what_is_held_is_served_while_feishu_fails() {
    let setup = small().await;
    let first = ask(&setup, LATEST, &[]).await;
    setup.simulator.faults().push(Fault::new(Mishap::code_with_status(2200, 500)).on(Calls::Stats).times(u32::MAX));
    setup.set_time("2026-11-22T05:00:00Z");

    ask(&setup, LATEST, &[]).await.json();
    eventually(async || {
        let answer = ask(&setup, LATEST, &[]).await;
        field(&answer, "cache-status") == "feishu-pulse; hit; ttl=-1; detail=refresh-failed"
    })
    .await;

    let answer = ask(&setup, LATEST, &[]).await.json();
    assert_eq!(answer["data"], first.json()["data"]);
    assert!(answer["meta"]["notes"][0].as_str().is_some_and(|note| note.contains("could not be fetched anew")));
}

#[tokio::test]
async fn each_encoding_is_a_representation_of_its_own() {
    let setup = small().await;
    let plain = ask(&setup, WEEK, &[]).await;
    let mut tags = vec![field(&plain, "etag").to_owned()];
    for encoding in ["gzip", "br", "zstd"] {
        // Once as it is made, once as it was kept.
        for _ in 0..2 {
            let answer = ask(&setup, WEEK, &[("accept-encoding", encoding)]).await;
            assert_eq!(field(&answer, "content-encoding"), encoding);
            let (sent, whole): (usize, usize) =
                (field(&answer, "content-length").parse().expect("a length"), plain.text.len());
            assert!(sent < whole / 2, "{sent} of {whole}");
            tags.push(field(&answer, "etag").to_owned());
        }
    }
    tags.dedup();
    assert_eq!(tags.len(), 4);
}

#[tokio::test]
async fn an_export_is_encoded_while_it_is_written() {
    let setup = small().await;
    let export = "/v1/user-days?start_date=2026-10-05&end_date=2026-10-11&format=csv";

    let client = reqwest::Client::builder().no_gzip().build().expect("a client");
    let answer = client.get(format!("{}{export}", setup.base)).header("accept-encoding", "gzip").send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
    assert!(answer.headers().contains_key(header::ETAG));
    let bytes = answer.bytes().await.expect("a whole body");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut text).expect("gzip");

    assert_eq!(text, ask(&setup, export, &[]).await.text);
}

#[tokio::test]
async fn head_tells_the_same_without_a_body() {
    let setup = small().await;
    // Not held, held, and kept by the front.
    for _ in 0..3 {
        let head = send(&setup, Method::HEAD, LATEST, &[]).await;
        let get = ask(&setup, LATEST, &[]).await;
        assert_eq!((head.status, &*head.text), (StatusCode::OK, ""));
        for name in ["content-type", "content-length", "etag", "cache-control", "vary", "last-modified"] {
            assert_eq!(field(&head, name), field(&get, name), "{name}");
        }
    }
}

#[tokio::test]
async fn a_forgotten_day_is_not_answered_from_what_was_kept() {
    let setup = small().await;
    let day = "/v1/user-days?start_date=2026-10-05&end_date=2026-10-05";
    ask(&setup, day, &[]).await.json();
    let kept = ask(&setup, day, &[]).await;
    assert_eq!(field(&kept, "cache-status"), "feishu-pulse; hit");
    let calls = setup.upstream_calls();

    send(&setup, Method::DELETE, "/v1/days/2026-10-05", &[]).await;
    let anew = ask(&setup, day, &[]).await;

    assert_eq!(field(&anew, "cache-status"), "feishu-pulse; fwd=miss");
    assert!(setup.upstream_calls() > calls);
}

#[tokio::test]
async fn answers_from_the_front_carry_an_id_and_are_counted() {
    let setup = small().await;
    ask(&setup, WEEK, &[]).await;
    ask(&setup, WEEK, &[]).await;

    let answer = ask(&setup, WEEK, &[("x-request-id", "mine")]).await;

    assert_eq!(field(&answer, "x-request-id"), "mine");
    let metrics = setup.get("/metrics").await.text;
    for counted in [r#"cache="miss"} 1"#, r#"cache="hit"} 2"#] {
        let activity =
            r#"feishu_pulse_http_request_seconds_count{route="/v1/reports/activity",method="GET",status="2xx""#;
        assert!(metrics.contains(&format!("{activity},{counted}")), "{metrics}");
    }
    assert!(metrics.contains("feishu_pulse_answer_hits_total 1"), "{metrics}");
}

#[tokio::test]
async fn a_caller_who_only_asks_whether_an_answer_still_holds_is_answered_at_the_front() {
    let setup = small().await;
    let tag = field(&ask(&setup, LATEST, &[]).await, "etag").to_owned();

    // In other words than whoever fetched the answer: the first request goes behind the front, the others need not.
    for _ in 0..3 {
        let held = ask(&setup, LATEST, &[("accept", "application/json"), ("if-none-match", &tag)]).await;
        assert_eq!(held.status, StatusCode::NOT_MODIFIED);
    }

    let metrics = setup.get("/metrics").await.text;
    assert!(metrics.contains("feishu_pulse_answer_hits_total 2"), "{metrics}");
}

#[tokio::test]
async fn a_condition_says_nothing_of_an_answer_that_is_a_problem() {
    let setup = small().await;
    let ghost = "/v1/users/ou_nobody?start_date=2026-11-20&end_date=2026-11-20";
    let someone = setup.get("/v1/users?start_date=2026-11-20&end_date=2026-11-20&limit=1").await.json();
    let someone = someone["data"][0]["user_id"].as_str().expect("an id").to_owned();
    for condition in [("if-none-match", "*"), ("if-modified-since", "Mon, 23 Nov 2026 04:00:00 GMT")] {
        assert_eq!(ask(&setup, ghost, &[condition]).await.status, StatusCode::NOT_FOUND, "{condition:?}");
        let known = format!("/v1/users/{someone}?start_date=2026-11-20&end_date=2026-11-20");
        for _ in 0..3 {
            let answer = ask(&setup, &known, &[condition]).await;
            assert_eq!((answer.status, &*answer.text), (StatusCode::NOT_MODIFIED, ""), "{condition:?}");
        }
        let export = "/v1/user-days?start_date=2026-11-20&end_date=2026-11-20&format=csv";
        assert_eq!(ask(&setup, export, &[condition]).await.status, StatusCode::NOT_MODIFIED, "{condition:?}");
    }
}

#[tokio::test]
async fn what_lacks_days_has_no_time_to_ask_by() {
    let setup = small().await;
    // The days before it are not held, so some figures are left out.
    let first = ask(&setup, WEEK, &[]).await;
    assert_eq!(field(&first, "last-modified"), "");
    let again = ask(&setup, WEEK, &[("if-modified-since", "Mon, 23 Nov 2026 04:00:00 GMT")]).await;
    assert_eq!(again.status, StatusCode::OK);
}

#[tokio::test]
async fn a_short_body_is_encoded_for_who_can_read_no_other() {
    let setup = small().await;
    let short = "/v1/user-days?start_date=2026-11-20&end_date=2026-11-20&limit=1&fields=date";
    let choosy = ask(&setup, short, &[("accept-encoding", "gzip, identity;q=0")]).await;
    let others = ask(&setup, short, &[("accept-encoding", "gzip")]).await;
    assert_eq!((field(&choosy, "content-encoding"), field(&others, "content-encoding")), ("gzip", ""));
}

#[tokio::test]
async fn every_line_of_a_field_counts_also_for_what_is_kept() {
    let setup = small().await;
    let week = "/v1/user-days?start_date=2026-11-20&end_date=2026-11-20";
    let several = [("accept-encoding", "identity;q=0.1"), ("accept-encoding", "br")];
    // Fetched, then kept, then known to the front.
    for _ in 0..3 {
        assert_eq!(field(&ask(&setup, week, &several).await, "content-encoding"), "br");
    }
    for _ in 0..3 {
        assert_eq!(field(&ask(&setup, week, &several[..1]).await, "content-encoding"), "");
        assert_eq!(field(&ask(&setup, week, &several).await, "content-encoding"), "br");
    }
}

#[tokio::test]
async fn nobody_fills_the_memory_with_the_names_of_requests() {
    let setup = small().await;
    let day = "/v1/user-days?start_date=2026-11-20&end_date=2026-11-20";
    for (accept, is_remembered) in [("*/*".to_owned(), true), (format!("*/*;x={}", "x".repeat(8_000)), false)] {
        for _ in 0..2 {
            ask(&setup, day, &[("accept", &accept)]).await;
        }
        let answer = ask(&setup, day, &[("accept", &accept)]).await;
        // Only the front tells an age.
        assert_eq!((answer.status, answer.headers.contains_key("age")), (StatusCode::OK, is_remembered));
    }
}
