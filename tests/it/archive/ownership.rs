//! Ownership of an archive: the binary refuses the archive of another app and names its owner.

use std::process::{Command, Output};

use crate::archive::lake::Lake;

/// Runs the binary with its archive in the lake. Its upstream does not respond.
fn run(lake: &Lake, app_id: &str, arguments: &[&str]) -> Output {
    let state = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_feishu-pulse"));
    command.env_clear().args(arguments).current_dir(lake.root());
    command.env("PULSE_ARCHIVE", lake.root()).env("PULSE_STATE_DIR", state.path());
    command.env("FEISHU_BASE_URL", "http://127.0.0.1:9").env("PULSE_WARM", "off").env("PULSE_LISTEN", "127.0.0.1:0");
    command.env("FEISHU_APP_ID", app_id).env("FEISHU_APP_SECRET", "a secret");
    command.output().expect("the binary")
}

/// Writes the owner record of another app.
fn write_owner(lake: &Lake) {
    let owners = lake.root().join("owners");
    std::fs::create_dir(&owners).expect("a writable folder");
    let text = r#"{"format_version": 1, "app_id": "cli_reporting", "upstream": "https://open.feishu.cn"}"#;
    std::fs::write(owners.join("cli_reporting.json"), text).expect("a writable folder");
}

#[test]
fn neither_serve_nor_backfill_starts_on_the_archive_of_another_app() {
    let lake = Lake::new();
    write_owner(&lake);
    let before = lake.files();

    for arguments in [&["serve"][..], &["backfill", "--from", "2026-11-01", "--to", "2026-11-02"]] {
        let output = run(&lake, "cli_other", arguments);
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        let line = stderr.lines().find(|line| line.starts_with("error: ")).expect("an error line");
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        for word in ["PULSE_ARCHIVE", "cli_reporting", "https://open.feishu.cn", "owners/cli_reporting.json"] {
            assert!(line.contains(word), "{line}");
        }
    }

    assert_eq!(lake.files(), before);
}

#[test]
fn check_reports_the_owner_of_the_archive_without_changing_it() {
    let lake = Lake::new();
    let unowned = run(&lake, "cli_other", &["check"]);
    write_owner(&lake);
    let owned = run(&lake, "cli_other", &["check"]);

    let finding = |output: Output| {
        let stdout = String::from_utf8(output.stdout).expect("UTF-8");
        stdout.lines().find(|line| line.contains("archive")).expect("a finding").to_owned()
    };
    let (unowned, owned) = (finding(unowned), finding(owned));
    assert!(unowned.starts_with("ok") && unowned.contains("no owner yet"), "{unowned}");
    assert!(owned.starts_with("PROBLEM") && owned.contains("cli_reporting"), "{owned}");
    assert_eq!(lake.files(), ["owners/cli_reporting.json"]);
}

#[tokio::test]
async fn an_archive_without_an_owner_record_is_claimed() {
    let lake = Lake::new();
    lake.gateway()
        .await
        .get(&format!("/v1/reports/activity?trailing=held&{}", crate::archive::lake::RANGE))
        .await
        .json();
    lake.holds(crate::archive::lake::DAYS).await;
    std::fs::remove_dir_all(lake.root().join("owners")).expect("the owner record");

    let later = lake.gateway().await;
    later.get(&format!("/v1/reports/activity?trailing=held&{}", crate::archive::lake::RANGE)).await.json();

    assert_eq!(later.upstream_calls(), 0);
    assert!(lake.files().contains(&"owners/cli_demo.json".to_owned()), "{:?}", lake.files());
}
