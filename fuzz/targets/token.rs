//! Tokens of an identity provider: nobody gets in with bytes of their own making.

#![no_main]

use std::sync::LazyLock;

use feishu_pulse::access::{Oidc, OidcConfig};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

static ASYNC: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());

/// A provider that cannot be reached: no key of it is known, so no token can be genuine.
static PROVIDER: LazyLock<Oidc> = LazyLock::new(|| {
    let config = OidcConfig {
        issuer: "http://127.0.0.1:9/".parse().unwrap(),
        audience: "feishu-pulse".into(),
        scopes_claim: "scope".into(),
        departments_claim: Some("departments".into()),
    };
    Oidc::new(config).unwrap()
});

fuzz_target!(|token: &str| {
    assert!(ASYNC.block_on(PROVIDER.holder(token, Timestamp::UNIX_EPOCH)).is_err());
});
