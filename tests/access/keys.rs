//! The keys file of the real binary: keys are made, taken up when the file changes, and kept when it is faulty.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use feishu_pulse::{
    access::Scope,
    model::SystemClock,
    sim::{SimConfig, Simulator},
};
use reqwest::StatusCode;

use crate::{callers::Key, support::eventually};

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_feishu-pulse"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Ended with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_new_key_is_shown_once_and_its_line_can_be_appended_to_the_file() {
    let arguments =
        ["key", "new", "--name", "rd", "--scope", "users:read", "--department", "总部/研发", "--pseudonymous"];
    let output = binary().args(arguments).output().unwrap();
    assert!(output.status.success());
    let (line, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let secret = told.split_whitespace().find(|word| word.starts_with("fpk_")).expect("the key");

    let keys = feishu_pulse::access::Keys::parse(&line, true).expect("a sound line");

    assert_eq!(line.lines().count(), 1);
    assert!(!line.contains(secret));
    let caller = keys.holder(secret).expect("the holder");
    assert_eq!((&**caller.name(), caller.may(Scope::UsersRead), caller.may(Scope::Admin)), ("rd", true, false));
    assert!(caller.view().is_bound() && caller.view().is_pseudonymous());
}

#[test]
fn a_key_that_would_be_faulty_is_not_made() {
    let output =
        binary().args(["key", "new", "--name", "a b", "--scope", "admin", "--department", "x"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("name:") && told.contains("cannot be bound") && !told.contains("fpk_"), "{told}");
}

#[tokio::test]
async fn a_gateway_takes_up_new_keys_audits_them_and_survives_a_faulty_file() {
    let simulator = Simulator::start(SimConfig { users: 5, days: 5, ..SimConfig::default() }, Arc::new(SystemClock));
    let simulator = simulator.await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let keys = ["one", "two"].map(|name| Key::new(name, &[Scope::UsersRead]));
    std::fs::write(&path, &keys[0].line).unwrap();
    let serve = binary()
        .arg("serve")
        .envs([
            ("FEISHU_APP_ID", simulator.config().app_id.as_str()),
            ("FEISHU_APP_SECRET", &simulator.config().app_secret),
        ])
        .envs([("FEISHU_BASE_URL", simulator.base_url().as_str()), ("PULSE_LISTEN", "0.0.0.0:0")])
        .envs([("PULSE_ARCHIVE", "none"), ("PULSE_WARM", "off"), ("PULSE_LOG_FORMAT", "json")])
        .env("PULSE_STATE_DIR", folder.path())
        .env("PULSE_API_KEYS_FILE", &path)
        .spawn()
        .unwrap();
    let mut serve = Running(serve);
    let mut log = BufReader::new(serve.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let address = log.find_map(|line| Some(line.split_once("\"address\":\"")?.1.split('"').next()?.to_owned()));
    let address = address.expect("an address");
    let base = format!("http://{}", address.replace("0.0.0.0", "127.0.0.1"));
    let http = reqwest::Client::new();
    let status = async |key: &Key| {
        http.get(format!("{base}/v1/users?period=2d")).bearer_auth(&key.secret).send().await.unwrap().status()
    };
    assert_eq!((status(&keys[0]).await, status(&keys[1]).await), (StatusCode::OK, StatusCode::UNAUTHORIZED));
    let audit = log.find(|line| line.contains("\"target\":\"audit\"")).expect("a line of the audit log");
    assert!(audit.contains("\"caller\":\"one\""), "{audit}");
    assert!(audit.contains("/v1/users") && audit.contains("\"rows\":5"), "{audit}");

    // A log that nobody reads would hold up who writes it.
    std::thread::spawn(move || log.for_each(drop));

    std::fs::write(&path, &keys[1].line).unwrap();
    eventually(async || status(&keys[1]).await == StatusCode::OK).await;
    assert_eq!(status(&keys[0]).await, StatusCode::UNAUTHORIZED);

    std::fs::write(&path, "nonsense").unwrap();
    eventually(async || {
        let ready = http.get(format!("{base}/readyz")).send().await.unwrap().text().await.unwrap();
        ready.contains("\"faulty\"")
    })
    .await;
    assert_eq!(status(&keys[1]).await, StatusCode::OK);
}
