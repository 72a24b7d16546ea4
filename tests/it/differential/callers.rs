//! The callers of a gateway with access control.

use std::{num::NonZeroU64, path::Path};

use feishu_pulse::{
    access::{AccessKey, KeyLine, Scope},
    app::GatewayConfig,
};

/// Groups of fewer people are withheld from callers without the scope `users:read`.
const MIN_GROUP: NonZeroU64 = NonZeroU64::new(4).unwrap();

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// May see everything.
    Unrestricted,
    /// May see no small groups.
    WithoutSmallGroups,
    /// May see some departments.
    Bound,
    /// Sees pseudonyms instead of ids.
    Pseudonymous,
}

/// The keys of all callers.
pub struct Keys {
    /// By caller.
    secrets: Vec<String>,
    lines: String,
}

impl Caller {
    pub const ALL: [Self; 4] = [Self::Unrestricted, Self::WithoutSmallGroups, Self::Bound, Self::Pseudonymous];
}

impl Keys {
    /// Random keys. [`Caller::Bound`] may see `departments`.
    pub fn new(departments: &[String]) -> Self {
        let (mut secrets, mut lines) = (Vec::new(), Vec::new());
        for caller in Caller::ALL {
            let key = AccessKey::random().expect("a key");
            let scopes = [Scope::ReportsRead, Scope::UsersRead];
            let scopes = if caller == Caller::WithoutSmallGroups { &scopes[..1] } else { &scopes };
            let line = KeyLine {
                name: format!("{caller:?}").to_lowercase(),
                sha256: key.hash().to_string(),
                scopes: scopes.to_vec(),
                departments: (caller == Caller::Bound).then(|| departments.to_vec()),
                pseudonymous: caller == Caller::Pseudonymous,
            };
            secrets.push(key.reveal().to_owned());
            lines.push(line.to_string());
        }
        Self { secrets, lines: lines.join("\n") }
    }

    /// The key of a caller.
    pub fn secret(&self, caller: Caller) -> &str {
        &self.secrets[caller as usize]
    }

    /// Gives the gateway the keys, in a file in `folder`.
    pub fn configure(&self, config: &mut GatewayConfig, folder: &Path) {
        let keys_file = folder.join("keys");
        std::fs::write(&keys_file, &self.lines).expect("a file");
        config.access.keys_file = Some(keys_file);
        config.access.pseudonym_key = Some("0123456789abcdef0123456789abcdef".into());
        config.min_group_size = Some(MIN_GROUP);
    }
}
