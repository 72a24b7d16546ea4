//! The keys file and the command `key new` of the real binary.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use feishu_pulse::{
    access::Scope,
    model::{Clock as _, SystemClock},
};
use feishu_simulator::{Simulator, SimulatorConfig};
use reqwest::StatusCode;

use crate::{access::callers::Key, support::eventually};

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_feishu-pulse"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A child process that is killed on drop.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_new_key_is_printed_once_and_its_line_belongs_in_the_keys_file() {
    let arguments =
        ["key", "new", "--name", "rd", "--scope", "users:read", "--department", "总部/研发", "--pseudonymous"];
    let output = binary().args(arguments).output().unwrap();
    assert!(output.status.success());
    let (line, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let secret = stderr.split_whitespace().find(|word| word.starts_with("fpk_")).expect("the key");

    let keys = feishu_pulse::access::AccessKeys::parse(&line, true).expect("a valid line");

    assert_eq!(line.lines().count(), 1);
    assert!(!line.contains(secret));
    let caller = keys.caller_with_key(secret).expect("the caller");
    assert_eq!(
        (&**caller.name(), caller.has_scope(Scope::UsersRead), caller.has_scope(Scope::Admin)),
        ("rd", true, false)
    );
    assert!(caller.view().is_department_restricted() && caller.view().is_pseudonymous());
}

#[test]
fn a_key_with_invalid_options_is_not_generated() {
    let output =
        binary().args(["key", "new", "--name", "a b", "--scope", "admin", "--department", "x"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("name:") && stderr.contains("cannot be combined") && !stderr.contains("fpk_"), "{stderr}");
}

#[tokio::test]
async fn a_gateway_reloads_its_keys_file_logs_access_and_ignores_a_faulty_file() {
    let simulator =
        Simulator::start(SimulatorConfig { users: 5, days: 5, ..SimulatorConfig::default() }, || SystemClock.now());
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
    let mut serve = KillOnDrop(serve);
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

    // Drained, because a full pipe would block the gateway.
    std::thread::spawn(move || log.for_each(drop));

    std::fs::write(&path, &keys[1].line).unwrap();
    eventually(async || status(&keys[1]).await == StatusCode::OK).await;
    // After that many attempts with a key that was wrong at first, it is 429.
    assert!(matches!(status(&keys[0]).await, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS));

    std::fs::write(&path, "nonsense").unwrap();
    eventually(async || {
        let ready = http.get(format!("{base}/readyz")).send().await.unwrap().text().await.unwrap();
        ready.contains("\"faulty\"")
    })
    .await;
    assert_eq!(status(&keys[1]).await, StatusCode::OK);
}
