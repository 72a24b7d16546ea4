//! Permissions of the archive and the state.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use feishu_pulse::model::{Clock as _, Geo, SystemClock};
use feishu_simulator::{Simulator, SimulatorConfig};
use rstest::rstest;

use crate::cli::process::{CREDENTIALS, RunningProcess, run, text};

/// All files and folders below `folder`, and itself.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            folders.extend(path.is_dir().then(|| path.clone()));
            found.push(path);
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("a file").permissions().mode() & 0o777
}

#[rstest]
#[case::usual("022", 0o700, 0o600)]
#[case::none("000", 0o700, 0o600)]
#[case::stricter("277", 0o500, 0o400)]
#[tokio::test]
async fn only_the_user_can_access_archive_and_state(
    #[case] umask: &str,
    #[case] of_folders: u32,
    #[case] of_files: u32,
) {
    let simulator = Simulator::start(SimulatorConfig { users: 5, ..SimulatorConfig::default() }, || SystemClock.now());
    let simulator = simulator.await.expect("a simulator");
    let (base, folder) = (simulator.base_url(), tempfile::tempdir().expect("a folder"));
    let paths = ["archive", "state"].map(|name| folder.path().join(name).to_str().expect("UTF-8").to_owned());
    let [archive, state] = &paths;
    let settings = [("FEISHU_BASE_URL", base.as_str()), ("PULSE_ARCHIVE", archive), ("PULSE_STATE_DIR", state)];
    let day = Geo::Cn.latest_produced(SystemClock.now()).plus(-2).to_string();
    let arguments = ["backfill", "--from", &day, "--to", &day];

    let preparation = format!("umask {umask}");
    let mut backfill =
        RunningProcess::start_prepared(&preparation, &arguments, &[&CREDENTIALS[..], &settings].concat());
    backfill.exit_status().await;

    let all: Vec<PathBuf> = paths.iter().flat_map(|path| below(Path::new(path))).collect();
    assert!(all.iter().any(|path| path.is_file()) || umask == "277", "{all:?}");
    for path in all {
        let expected = if path.is_dir() { of_folders } else { of_files };
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
}

#[test]
fn a_folder_that_others_can_access_is_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = ["archive", "state"].map(|name| folder.path().join(name));
    let check = |modes: [u32; 2]| {
        for (path, mode) in paths.iter().zip(modes) {
            fs::create_dir_all(path).expect("a folder");
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("an own folder");
        }
        let [archive, state] = paths.each_ref().map(|path| path.to_str().expect("UTF-8"));
        let settings =
            [("FEISHU_BASE_URL", "http://127.0.0.1:1"), ("PULSE_ARCHIVE", archive), ("PULSE_STATE_DIR", state)];
        text(&run(&["check"], &[&CREDENTIALS[..], &settings].concat()).stdout).to_owned()
    };

    let (wide, narrow) = (check([0o755, 0o750]), check([0o700, 0o700]));

    assert_eq!((wide.matches("WARNING").count(), narrow.matches("WARNING").count()), (2, 0), "{wide}{narrow}");
    for mode in ["0755", "0750", "chmod -R go= "] {
        assert!(wide.contains(mode), "{wide}");
    }
}
