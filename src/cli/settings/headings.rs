//! The headings of settings in `--help`.

/// The app, and the calls to Feishu.
pub(crate) const FEISHU: &str = "Feishu";
/// Listeners, TLS and limits of requests.
pub(crate) const SERVER: &str = "Server";
/// Authentication, and what callers may see.
pub(crate) const ACCESS: &str = "Access control";
/// Memory, archive and state.
pub(crate) const STORAGE: &str = "Storage";
/// When days are fetched and when they expire.
pub(crate) const DAYS: &str = "Days";
/// Several replicas.
pub(crate) const FLEET: &str = "Several replicas";
/// Logs, metrics and traces.
pub(crate) const OBSERVATION: &str = "Logs, metrics and traces";
