//! Remedies: what to do about each kind of failed check.

/// Upstream returns no rows.
pub(super) const NO_ROWS: &str = "Set the app's data range so that it covers the people to report on. \
                                  If it does, Feishu may be late with this day: check again in an hour.";

/// The state file cannot be read.
pub(super) const STATE_FILE: &str = "Check that this user can read and write PULSE_STATE_DIR (--state-dir). \
                                     A damaged file can be deleted; the count then starts at zero.";

/// The monthly quota is nearly used up.
pub(super) const MONTHLY_QUOTA: &str = "Raise PULSE_UPSTREAM_MONTHLY_QUOTA (--upstream-monthly-quota). When it is used up, requests for days that are not \
     available yet are rejected.";

/// The archive is unreachable.
pub(super) const ARCHIVE_UNREACHABLE: &str =
    "Check PULSE_ARCHIVE (--archive), that this user can read and write there, and, for a bucket, the AWS_… variables.";

/// The store of the fleet does not answer.
pub(super) const FLEET_STORE: &str = "Check PULSE_FLEET, and that this machine can reach the server. While no store answers, \
                                      days that are not stored cannot be fetched.";

/// Other replicas refuse the certificate.
pub(super) const FLEET_CERTIFICATE: &str = "The certificate must be valid now, be from the authority in PULSE_FLEET_TLS_CA, contain the \
                                            name in PULSE_FLEET_TLS_NAME, and allow both server and client authentication.";

/// A folder is accessible to other users.
pub(super) fn wide_folder(path: &std::path::Path) -> String {
    format!("Other users of this machine may read what employees did. Run: chmod -R go= {}", path.display())
}

/// A key is restricted to a department that no row has.
pub(super) const UNKNOWN_DEPARTMENT: &str = "The key sees no data. Compare the path with /v1/reports/departments, and \
                                             correct `departments` in the keys file.";

/// The archive has a newer format.
pub(super) const ARCHIVE_FORMAT: &str =
    "Run the version of feishu-pulse that wrote it, or set PULSE_ARCHIVE (--archive) to another location.";

/// The archive belongs to another app; `marker` is the path of its ownership marker.
pub(super) fn other_owner(marker: &str) -> String {
    format!(
        "Set PULSE_ARCHIVE (--archive) to a separate location for this app, because user ids differ between apps. If it \
         is the same app at another address of the same Feishu, delete {marker} there."
    )
}
