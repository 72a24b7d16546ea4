//! A gateway with access keys, and its callers.

use std::fmt::Write as _;

use feishu_pulse::{
    access::{AccessKey, KeyLine, Scope},
    app::GatewayConfig,
    sim::SimConfig,
};
use reqwest::{Method, RequestBuilder};
use tempfile::TempDir;

use crate::support::{Answer, Setup};

/// A caller's key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) secret: String,
    pub(crate) line: String,
}

/// A gateway that lets in only who has a key.
pub(crate) struct Guarded {
    pub(crate) setup: Setup,
    /// Goes with it.
    _folder: TempDir,
}

impl Key {
    pub(crate) fn new(name: &str, scopes: &[Scope]) -> Self {
        Self::made(name, scopes, &[], false)
    }

    pub(crate) fn bound(name: &str, scopes: &[Scope], departments: &[&str]) -> Self {
        Self::made(name, scopes, departments, false)
    }

    pub(crate) fn pseudonymous(name: &str, scopes: &[Scope], departments: &[&str]) -> Self {
        Self::made(name, scopes, departments, true)
    }

    fn made(name: &str, scopes: &[Scope], departments: &[&str], pseudonymous: bool) -> Self {
        let key = AccessKey::random().expect("a key");
        let line = KeyLine {
            name: name.to_owned(),
            sha256: key.fingerprint().to_string(),
            scopes: scopes.to_vec(),
            departments: (!departments.is_empty()).then(|| departments.iter().map(|path| (*path).to_owned()).collect()),
            pseudonymous,
        };
        Self { name: name.to_owned(), secret: key.reveal().to_owned(), line: line.to_string() }
    }
}

impl Guarded {
    pub(crate) async fn new(simulation: SimConfig, keys: &[Key]) -> Self {
        Self::with(simulation, keys, |_| {}).await
    }

    pub(crate) async fn with(simulation: SimConfig, keys: &[Key], change: impl FnOnce(&mut GatewayConfig)) -> Self {
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

    pub(crate) async fn get(&self, path: &str, key: &Key) -> Answer {
        sent(self.request(Method::GET, path).bearer_auth(&key.secret)).await
    }
}

/// A text as part of an address.
pub(crate) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

pub(crate) async fn sent(request: RequestBuilder) -> Answer {
    Answer::read(request.send().await.expect("an answer")).await
}
