//! Refused settings: each refusal names the variable and the option, and gives an example that is accepted.

use std::{collections::BTreeMap, fs, path::Path};

use rstest::rstest;

use crate::cli::process::{CREDENTIALS, run, settings, text};

/// Variables and their values.
type Variables = [(&'static str, &'static str)];

/// The secret of the refused environments.
const SECRET: &str = "hush-hush";

/// Settings for which no value is refused, with the reason.
const NEVER_REFUSED: [(&str, &str); 2] = [
    ("PULSE_OIDC_CLIENT_ID", "any text is an id; without an issuer, the issuer is refused"),
    ("PULSE_STATE_DIR", "a folder that cannot be written is logged, and `check` reports it"),
];

/// What a fleet needs beside its store.
const FLEET: &[(&str, &str)] = &[("PULSE_ARCHIVE", "s3://lake"), ("PULSE_FLEET_ADDRESS", "10.1.2.3:9091")];

/// A fleet with files of TLS, and a Redis server that does not answer.
const FLEET_TLS: &[(&str, &str)] = &[
    ("PULSE_FLEET", "redis://127.0.0.1:1"),
    ("PULSE_FLEET_LISTEN", "127.0.0.1:0"),
    FLEET[0],
    FLEET[1],
    ("PULSE_FLEET_TLS_KEY", "no-such-key"),
    ("PULSE_FLEET_TLS_CA", "no-such-authority"),
];

/// Refused environments: the variable, the values that are refused, and other variables that the refusal needs. An empty
/// value is an unset variable.
const REFUSED: &[(&str, &[&str], &Variables)] = &[
    ("FEISHU_APP_ID", &[""], &[]),
    ("FEISHU_APP_SECRET", &[""], &[]),
    ("FEISHU_APP_SECRET", &[SECRET], &[("FEISHU_APP_SECRET_FILE", "secret")]),
    ("FEISHU_APP_SECRET_FILE", &["no-such-file", "/dev/null"], &[("FEISHU_APP_SECRET", "")]),
    ("FEISHU_BASE_URL", &["feishu", "ftp://feishu", "https://:hush-hush@feishu"], &[]),
    ("PULSE_LISTEN", &["here", "8080", "localhost:8080", "127.0.0.1", "0.0.0.0:0"], &[]),
    ("PULSE_ADMIN_LISTEN", &["here", "9090"], &[]),
    ("PULSE_ADMIN_HOSTS", &["pulse:9090", "a b"], &[]),
    ("PULSE_PUBLIC_URL", &["pulse", "https://bi.example.com/?a=b"], &[]),
    ("PULSE_API_KEYS_FILE", &["no-such-file", "/dev/null"], &[]),
    ("PULSE_OIDC_ISSUER", &["login"], &[]),
    ("PULSE_OIDC_ISSUER", &[""], &[("PULSE_OIDC_AUDIENCE", "pulse")]),
    ("PULSE_OIDC_ISSUER", &[""], &[("PULSE_OIDC_CLIENT_ID", "page")]),
    ("PULSE_OIDC_AUDIENCE", &[""], &[("PULSE_OIDC_ISSUER", "https://login.example.com")]),
    ("PULSE_OIDC_SCOPES_CLAIM", &["scope, roles"], &[]),
    ("PULSE_OIDC_DEPARTMENTS_CLAIM", &["the departments"], &[]),
    ("PULSE_OIDC_PSEUDONYMOUS_CLAIM", &["is pseudonymous"], &[]),
    ("PULSE_PSEUDONYM_KEY", &[SECRET], &[]),
    (
        "PULSE_PSEUDONYM_KEY",
        &[""],
        &[
            ("PULSE_OIDC_ISSUER", "https://login.example.com"),
            ("PULSE_OIDC_AUDIENCE", "pulse"),
            ("PULSE_OIDC_PSEUDONYMOUS_CLAIM", "pseudonymous"),
        ],
    ),
    ("PULSE_PSEUDONYM_KEY_FILE", &["no-such-file", "/dev/null"], &[]),
    ("PULSE_ALLOW_ANONYMOUS", &["maybe"], &[]),
    (
        "PULSE_ALLOW_ANONYMOUS",
        &["true"],
        &[("PULSE_OIDC_ISSUER", "https://login.example.com"), ("PULSE_OIDC_AUDIENCE", "pulse")],
    ),
    ("PULSE_MIN_GROUP", &["0", "few"], &[]),
    ("PULSE_REQUESTS_PER_MINUTE", &["0", "many"], &[]),
    ("PULSE_CORS_ORIGINS", &["*", "bi.example.com", "https://bi.example.com/"], &[]),
    ("PULSE_FRAME_ANCESTORS", &["*", "portal.example.com"], &[]),
    ("PULSE_DROP_IN_EXTENDED", &["maybe"], &[]),
    ("PULSE_REQUEST_TIMEOUT", &["soon", "0s", "25h"], &[]),
    ("PULSE_MAX_REQUESTS", &["many", "0"], &[]),
    ("PULSE_MAX_EXPORTS", &["many", "0"], &[]),
    ("PULSE_MAX_CONNECTIONS", &["many", "0"], &[]),
    ("PULSE_TLS_CERT", &[""], &[("PULSE_TLS_KEY", "no-such-file")]),
    ("PULSE_TLS_CERT", &["no-such-file"], &[("PULSE_TLS_KEY", "no-such-key")]),
    ("PULSE_TLS_KEY", &[""], &[("PULSE_TLS_CERT", "no-such-file")]),
    ("PULSE_DRAIN_DELAY", &["soon"], &[]),
    ("PULSE_FLEET", &["etcd://:hush-hush@cache", "redis://"], FLEET),
    ("PULSE_FLEET_FILE", &["no-such-file", "/dev/null"], FLEET),
    ("PULSE_FLEET_LISTEN", &["here", "9091"], &[]),
    ("PULSE_FLEET_ADDRESS", &["pulse-0", "http://10.1.2.3:9091"], &[]),
    ("PULSE_FLEET_ADDRESS", &[""], &[("PULSE_FLEET", "archive"), ("PULSE_ARCHIVE", "s3://lake")]),
    ("PULSE_FLEET_LEASE", &["4s", "2min"], &[]),
    ("PULSE_FLEET_TLS_CERT", &[""], &[("PULSE_FLEET_TLS_KEY", "no-such-file")]),
    ("PULSE_FLEET_TLS_CERT", &["no-such-file"], FLEET_TLS),
    ("PULSE_FLEET_TLS_KEY", &[""], &[("PULSE_FLEET_TLS_CERT", "x"), ("PULSE_FLEET_TLS_CA", "y")]),
    ("PULSE_FLEET_TLS_CA", &[""], &[("PULSE_FLEET_TLS_CERT", "x"), ("PULSE_FLEET_TLS_KEY", "y")]),
    ("PULSE_FLEET_TLS_NAME", &["10.1.2.3", "a b"], &[]),
    ("PULSE_ARCHIVE", &["none", "data"], &[("PULSE_FLEET", "archive"), ("PULSE_FLEET_ADDRESS", "10.1.2.3:9091")]),
    ("PULSE_CACHE_BYTES", &["much"], &[]),
    ("PULSE_ARCHIVE", &["ftp://archive", "s3://", "/dev/null/archive"], &[]),
    // A folder with files of other programs.
    ("PULSE_ARCHIVE_CACHE", &["/dev"], &[("PULSE_ARCHIVE", "s3://lake")]),
    ("PULSE_ARCHIVE_CACHE_BYTES", &["much"], &[]),
    ("PULSE_WARM", &["maybe"], &[]),
    ("PULSE_WARM_DAYS", &["all", "4000"], &[]),
    ("PULSE_SETTLING_TIME", &["soon"], &[]),
    ("PULSE_REFRESH_INTERVAL", &["soon"], &[]),
    ("PULSE_LATE_CONFIRMATION", &["soon"], &[]),
    ("PULSE_LATE_OLD_AGE", &["800h"], &[]),
    ("PULSE_LATE_OLD_CONFIRMATION", &["soon"], &[]),
    ("PULSE_RETENTION", &["730", "0d"], &[]),
    ("PULSE_UPSTREAM_RATE", &["0", "fast"], &[]),
    ("PULSE_UPSTREAM_MONTHLY_QUOTA", &["-1", "1e4"], &[]),
    ("PULSE_QUOTA_RESERVE", &["1.5", "20%"], &[]),
    ("PULSE_GEOS", &["mars", "cn,cn", "cn;sg"], &[]),
    ("PULSE_BUSINESS_METRICS", &["maybe"], &[]),
    ("PULSE_LOG", &["a=b=c"], &[]),
    ("PULSE_LOG_FORMAT", &["xml"], &[]),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", &["collector", "ftp://collector", "http://:hush-hush@collector"], &[]),
];

/// The output of a command on standard error, with valid settings apart from these.
fn refusal(command: &str, settings: &[(&str, &str)]) -> (Option<i32>, String) {
    let usual = [CREDENTIALS[0], ("FEISHU_APP_SECRET", SECRET), ("PULSE_LISTEN", "127.0.0.1:0"), ("PULSE_LOG", "off")];
    let output = run(&[command], &[&usual, settings].concat());
    (output.status.code(), text(&output.stderr).to_owned())
}

/// The example at the end of a refusal: a variable and its value.
fn example(refusal: &str) -> Option<(&str, &str)> {
    refusal.trim_end().rsplit_once("; for example ")?.1.split_once('=')
}

#[test]
fn each_setting_is_refused_with_both_names_and_an_example_that_is_accepted() {
    let declared: BTreeMap<String, String> = settings()
        .iter()
        .map(|setting| [&setting["variable"], &setting["option"]].map(|name| name.as_str().expect("a name").to_owned()))
        .map(|[variable, option]| (variable, option))
        .collect();
    for variable in declared.keys() {
        let is_known = REFUSED.iter().any(|(refused, ..)| refused == variable)
            || NEVER_REFUSED.iter().any(|(accepted, _)| accepted == variable);
        assert!(is_known, "add a value of {variable} that is refused");
    }

    for (variable, values, others) in REFUSED {
        let name = format!("error: {variable} (--{}) ", declared[*variable]);
        for value in *values {
            let environment = [&[(*variable, *value)], *others].concat();

            let (code, refusal_text) = refusal("serve", &environment);

            let context = format!("{environment:?}: {refusal_text}");
            assert_eq!((code, refusal_text.lines().count()), (Some(2), 1), "{context}");
            assert!(refusal_text.starts_with(&name) && !refusal_text.contains(SECRET), "{context}");
            for named in declared.keys().filter(|named| refusal_text.contains(&format!("{named} "))) {
                assert!(refusal_text.contains(&format!("{named} (--{})", declared[named])), "{named} in {context}");
            }
            let (example, example_value) = example(&refusal_text).expect(&context);
            // An example of a secret would be used as one, so its file is the example.
            let is_secret =
                variable.ends_with("_SECRET") || variable.ends_with("_KEY") && !variable.ends_with("TLS_KEY");
            let expected = if is_secret { format!("{variable}_FILE") } else { (*variable).to_owned() };
            assert_eq!(example, expected, "{context}");

            // Two other settings are refused, so that `check` ends with the refusals and makes no call.
            let refused = [("FEISHU_APP_ID", ""), ("PULSE_GEOS", "sg,sg")];
            let accepted = [&refused, *others, &[(*variable, ""), (example, example_value)]];
            let (_, refusals) = refusal("check", &accepted.concat());
            // The file of the example does not exist.
            let is_refused = |line: &str| {
                line.starts_with(&name) && !(line.contains(example_value) && example_value.starts_with("/run/"))
            };
            assert!(!refusals.lines().any(is_refused), "{context}: {example_value}: {refusals}");
            assert!(!refusals.is_empty() && !refusals.contains(SECRET), "{refusals}");
        }
    }
}

/// What the line says beyond the names and the example.
#[rstest]
#[case::only_a_port(&[("PULSE_LISTEN", "8081")], "write 127.0.0.1:8081")]
#[case::a_name(&[("PULSE_LISTEN", "localhost:8081")], "write 127.0.0.1:8081")]
#[case::open_to_others(&[("PULSE_LISTEN", "0.0.0.0:0")], "PULSE_ALLOW_ANONYMOUS (--allow-anonymous)")]
#[case::two_secrets(&[("FEISHU_APP_SECRET_FILE", "x")], "both set: remove one")]
#[case::an_asterisk(&[("PULSE_FRAME_ANCESTORS", "*")], "own origin is self")]
#[case::a_choice(&[("PULSE_WARM", "maybe")], "expected one of on, off;")]
#[case::the_key_of_the_certificate(&[("PULSE_TLS_CERT", "x")], "PULSE_TLS_CERT (--tls-cert) is: set both or neither")]
#[case::a_client_without_a_provider(&[("PULSE_OIDC_CLIENT_ID", "x")], "PULSE_OIDC_AUDIENCE (--oidc-audience)")]
#[case::a_cache_of_a_folder(&[("PULSE_ARCHIVE_CACHE", "x")], "PULSE_ARCHIVE (--archive) is none: only an archive in a bucket")]
#[case::a_cache_among_other_files(&[("PULSE_ARCHIVE_CACHE", "/dev"), ("PULSE_ARCHIVE", "s3://lake")], "name an empty folder")]
#[case::a_proxy(&[("HTTPS_PROXY", "socks5://proxy:1080")], "such as http://proxy.example.com:3128")]
fn a_refusal_says_what_to_do(#[case] environment: &[(&str, &str)], #[case] remedy: &str) {
    let (code, refusal) = refusal("serve", environment);

    assert_eq!(code, Some(2), "{refusal}");
    assert!(refusal.contains(remedy), "{refusal}");
}

/// A file whose key does not fit its certificate.
#[test]
fn a_faulty_private_key_is_refused_under_its_own_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, content: &str| fs::write(path(name), content).expect("a file");
    write("certificate", &certified.cert.pem());
    write("key", "no key");
    let [certificate, key] = ["certificate", "key"].map(path);
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (certificate, key) = (text(&certificate), text(&key));

    let (code, refusal) = refusal("serve", &[("PULSE_TLS_CERT", &certificate), ("PULSE_TLS_KEY", &key)]);

    assert_eq!(code, Some(2), "{refusal}");
    assert!(refusal.starts_with("error: PULSE_TLS_KEY (--tls-key) is wrong: "), "{refusal}");
    assert_eq!(example(&refusal).map(|(variable, _)| variable), Some("PULSE_TLS_KEY"));
}

/// The option of a command that has no variable.
#[test]
fn an_option_without_a_variable_is_refused_with_an_example() {
    let output = run(&["check", "--live", "--url", "here"], &[]);

    let refusal = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{refusal}");
    assert!(refusal.starts_with("error: --url is \"here\": expected "), "{refusal}");
    let example = example(refusal).expect("an example");
    let accepted = run(&["check", "--live", "--url", example.1], &[]);
    assert_eq!((example.0, accepted.status.code()), ("--url", Some(1)), "no gateway is there");
}

/// Values are not printed without a need.
#[test]
fn a_setting_that_is_not_text_is_refused_by_name() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_feishu-pulse"));
    command.arg("serve").env_clear().env("FEISHU_APP_SECRET", OsStr::from_bytes(b"hush-\xff-hush"));
    let output = command.output().expect("the binary");

    let refusal = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{refusal}");
    assert!(refusal.starts_with("error: FEISHU_APP_SECRET (--app-secret) is not UTF-8"), "{refusal}");
    assert!(!refusal.contains("hush"), "{refusal}");
}
