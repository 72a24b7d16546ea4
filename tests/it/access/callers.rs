//! Test support: a gateway with access keys, and its callers.

use std::fmt::Write as _;

use feishu_pulse::{
    access::{AccessKey, KeyLine, Scope},
    app::GatewayConfig,
};
use feishu_simulator::SimulatorConfig;
use reqwest::{Method, RequestBuilder};
use tempfile::TempDir;

use crate::support::{ApiResponse, Setup};

/// The access key of a caller.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) secret: String,
    pub(crate) line: String,
}

/// A gateway that requires an access key.
pub(crate) struct GuardedGateway {
    pub(crate) setup: Setup,
    /// Contains the keys file.
    _folder: TempDir,
}

impl Key {
    pub(crate) fn new(name: &str, scopes: &[Scope]) -> Self {
        Self::generate(name, scopes, &[], false)
    }

    pub(crate) fn bound(name: &str, scopes: &[Scope], departments: &[&str]) -> Self {
        Self::generate(name, scopes, departments, false)
    }

    pub(crate) fn pseudonymous(name: &str, scopes: &[Scope], departments: &[&str]) -> Self {
        Self::generate(name, scopes, departments, true)
    }

    fn generate(name: &str, scopes: &[Scope], departments: &[&str], pseudonymous: bool) -> Self {
        let key = AccessKey::random().expect("a key");
        let line = KeyLine {
            name: name.to_owned(),
            sha256: key.hash().to_string(),
            scopes: scopes.to_vec(),
            departments: (!departments.is_empty()).then(|| departments.iter().map(|path| (*path).to_owned()).collect()),
            pseudonymous,
        };
        Self { name: name.to_owned(), secret: key.reveal().to_owned(), line: line.to_string() }
    }
}

impl GuardedGateway {
    pub(crate) async fn new(simulation: SimulatorConfig, keys: &[Key]) -> Self {
        Self::with(simulation, keys, |_| {}).await
    }

    pub(crate) async fn with(
        simulation: SimulatorConfig,
        keys: &[Key],
        change: impl FnOnce(&mut GatewayConfig),
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        let text = keys.iter().fold(String::new(), |mut text, key| {
            writeln!(text, "{}", key.line).expect("memory");
            text
        });
        std::fs::write(&path, text).expect("a file");
        let setup = Setup::with(simulation, |config| {
            config.access.keys_file = Some(path);
            config.access.pseudonym_key = Some("0123456789abcdef0123456789abcdef".into());
            change(config);
        });
        Self { setup: setup.await, _folder: folder }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.setup.http.request(method, format!("{}{path}", self.setup.base))
    }

    pub(crate) async fn get(&self, path: &str, key: &Key) -> ApiResponse {
        send(self.request(Method::GET, path).bearer_auth(&key.secret)).await
    }
}

/// Percent-encodes a text.
pub(crate) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

pub(crate) async fn send(request: RequestBuilder) -> ApiResponse {
    ApiResponse::read(request.send().await.expect("a response")).await
}
