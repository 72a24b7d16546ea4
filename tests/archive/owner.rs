//! Whose archive it is: the real binary keeps off another app's, and says so.

use std::process::{Command, Output};

use crate::lake::Lake;

/// Runs the binary with its archive in the lake, as an app of a Feishu that does not answer.
fn run(lake: &Lake, app_id: &str, arguments: &[&str]) -> Output {
    let state = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_feishu-pulse"));
    command.env_clear().args(arguments).current_dir(lake.root());
    command.env("PULSE_ARCHIVE", lake.root()).env("PULSE_STATE_DIR", state.path());
    command.env("FEISHU_BASE_URL", "http://127.0.0.1:9").env("PULSE_WARM", "off").env("PULSE_LISTEN", "127.0.0.1:0");
    command.env("FEISHU_APP_ID", app_id).env("FEISHU_APP_SECRET", "a secret");
    command.output().expect("the binary")
}

fn mark(lake: &Lake) {
    let owners = lake.root().join("owners");
    std::fs::create_dir(&owners).expect("a writable folder");
    let text = r#"{"format_version": 1, "app_id": "cli_reporting", "upstream": "https://open.feishu.cn"}"#;
    std::fs::write(owners.join("cli_reporting.json"), text).expect("a writable folder");
}

#[test]
fn neither_service_nor_backfill_starts_on_another_apps_archive() {
    let lake = Lake::new();
    mark(&lake);
    let before = lake.files();

    for arguments in [&["serve"][..], &["backfill", "--from", "2026-11-01", "--to", "2026-11-02"]] {
        let output = run(&lake, "cli_other", arguments);
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        let line = said.lines().find(|line| line.starts_with("error: ")).expect("a line that says why");
        assert_eq!(output.status.code(), Some(2), "{said}");
        for word in ["PULSE_ARCHIVE", "cli_reporting", "https://open.feishu.cn", "owners/cli_reporting.json"] {
            assert!(line.contains(word), "{line}");
        }
    }

    assert_eq!(lake.files(), before);
}

#[test]
fn check_tells_whose_archive_it_is_and_leaves_it_alone() {
    let lake = Lake::new();
    let free = run(&lake, "cli_other", &["check"]);
    mark(&lake);
    let taken = run(&lake, "cli_other", &["check"]);

    let finding = |output: Output| {
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        said.lines().find(|line| line.contains("archive")).expect("a finding").to_owned()
    };
    let (free, taken) = (finding(free), finding(taken));
    assert!(free.starts_with("ok") && free.contains("nobody's yet"), "{free}");
    assert!(taken.starts_with("PROBLEM") && taken.contains("cli_reporting"), "{taken}");
    assert_eq!(lake.files(), ["owners/cli_reporting.json"]);
}

#[tokio::test]
async fn an_archive_without_a_mark_is_adopted() {
    let lake = Lake::new();
    lake.gateway().await.get(&format!("/v1/reports/activity?{}", crate::lake::RANGE)).await.json();
    lake.holds(crate::lake::DAYS).await;
    std::fs::remove_dir_all(lake.root().join("owners")).expect("the mark");

    let later = lake.gateway().await;
    later.get(&format!("/v1/reports/activity?{}", crate::lake::RANGE)).await.json();

    assert_eq!(later.upstream_calls(), 0);
    assert!(lake.files().contains(&"owners/cli_demo.json".to_owned()), "{:?}", lake.files());
}
