//! Credentials in the URLs of settings: they are refused without being shown, and faults of the storage do not show them.

use std::io::{BufRead as _, BufReader, Read as _};

use rstest::rstest;
use serde_json::Value;

use crate::{
    cli::process::{CREDENTIALS, RunningProcess, run, text},
    support::eventually,
};

#[rstest]
#[case::of_feishu("FEISHU_BASE_URL", "https://me:hush@feishu.example.com")]
#[case::of_feishu_with_a_slash("FEISHU_BASE_URL", "https://me:hu/hush@feishu.example.com")]
#[case::of_feishu_without_a_scheme("FEISHU_BASE_URL", "me:hush@feishu.example.com")]
#[case::of_feishu_as_a_parameter("FEISHU_BASE_URL", "https://feishu.example.com?password=hush")]
#[case::of_the_identity_provider("PULSE_OIDC_ISSUER", "https://me:hush@login.example.com")]
#[case::of_the_collector("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:hush@collector:4318")]
#[case::of_a_page("PULSE_CORS_ORIGINS", "https://me:hush@bi.example.com")]
#[case::of_the_archive("PULSE_ARCHIVE", "https://me:hush@archive.example.com")]
#[case::of_a_bucket("PULSE_ARCHIVE", "s3://me:hush@bucket")]
#[case::of_the_storage("AWS_ENDPOINT_URL", "http://me:hush@127.0.0.1:1")]
#[case::of_the_storage_and_malformed("AWS_ENDPOINT_URL_S3", "http://me:hu sh@storage:x")]
#[case::of_a_proxy("HTTPS_PROXY", "socks5://me:hush@proxy:1080")]
#[tokio::test]
async fn a_refused_setting_does_not_show_a_password(#[case] variable: &str, #[case] value: &str) {
    let archive = if variable.starts_with("AWS_") { "s3://lake" } else { "none" };
    let settings = [&CREDENTIALS[..], &[("PULSE_ARCHIVE", archive), (variable, value)]].concat();

    let mut serve = RunningProcess::start(&["serve"], &settings);
    let (status, mut stdout, mut stderr) = (serve.exit_status().await, String::new(), String::new());
    serve.0.stdout.take().expect("an output").read_to_string(&mut stdout).expect("text");
    serve.0.stderr.take().expect("an output").read_to_string(&mut stderr).expect("text");
    let checked = run(&["check"], &settings);
    let help = run(&["serve", "--help"], &settings);

    assert_eq!((status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    let shown = [checked, help].map(|output| [text(&output.stdout), text(&output.stderr)].concat());
    for shown in shown.into_iter().chain([stdout, stderr]) {
        assert!(!shown.contains("hush") && !shown.contains("hu sh"), "{shown}");
    }
}

#[tokio::test]
async fn readiness_shows_the_kind_of_a_fault_and_the_log_its_details() {
    let settings = [
        CREDENTIALS[0],
        CREDENTIALS[1],
        ("FEISHU_BASE_URL", "http://127.0.0.1:1"),
        ("PULSE_LISTEN", "127.0.0.1:0"),
        ("PULSE_LOG_FORMAT", "json"),
        ("PULSE_ARCHIVE", "s3://private-bucket/private-prefix"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ACCESS_KEY_ID", "private-id"),
        ("AWS_SECRET_ACCESS_KEY", "private-secret"),
    ];
    let mut gateway = RunningProcess::start(&["serve"], &settings);
    let mut log = BufReader::new(gateway.0.stderr.take().expect("a log"));
    let mut lines = Vec::new();
    let serving: Value = loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).expect("a line") > 0, "{lines:?}");
        lines.push(line.clone());
        if line.contains("\"serving\"") {
            break serde_json::from_str(&line).expect("JSON");
        }
    };
    let base = format!("http://{}", serving["address"].as_str().expect("an address"));
    let get = async |path: &str| reqwest::get(format!("{base}{path}")).await.expect("a response").text().await.unwrap();

    // Reads the archive.
    get("/v1/coverage").await;
    eventually(async || get("/readyz").await.contains("failing")).await;
    let readiness: Value = serde_json::from_str(&get("/readyz").await).expect("JSON");
    gateway.signal("TERM");
    let mut rest = String::new();
    log.read_to_string(&mut rest).expect("the log");
    let log = lines.concat() + &rest;

    assert_eq!(readiness["archive"]["fault"], "unreachable", "{readiness}");
    for private in ["127.0.0.1", "private", "http"] {
        assert!(!readiness.to_string().contains(private), "{readiness}");
    }
    assert!(log.contains("private-bucket") && !log.contains("private-secret") && !log.contains("private-id"), "{log}");
}
