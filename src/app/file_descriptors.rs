//! File descriptors: raises the limit of the process, and limits connections so that other parts get descriptors.

use std::num::NonZero;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything except the connections of the main listener: the operations listener, calls to Feishu and
/// the identity provider, the archive, keys and certificates, and the runtime.
const RESERVED: u64 = 256;

/// Raises the soft limit of open files to the hard limit, and returns the number of connections for which descriptors are
/// left, at most `wanted`. Logs the result.
///
/// Without descriptors, a server accepts no connection at all, neither those of probes nor those to Feishu.
pub(super) fn fit_connections(wanted: NonZero<usize>) -> NonZero<usize> {
    let limit = raise_limit();
    let connections = limit.map_or(wanted, |limit| wanted.min(connections_within(limit)));
    if connections < wanted {
        tracing::warn!(
            open_files = limit,
            connections,
            wanted,
            "the limit of open files allows fewer connections than PULSE_MAX_CONNECTIONS; raise the hard limit (ulimit -Hn)"
        );
    } else {
        tracing::info!(open_files = limit, connections, "the limits of open files and connections are set");
    }
    connections
}

/// Raises the soft limit to the hard limit, and returns it; `None` if there is no limit.
fn raise_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        // macOS allows fewer open files than its hard limit says.
        Err(_) => current,
    }
}

/// The connections within a limit of open files. A small limit is divided in halves.
fn connections_within(limit: u64) -> NonZero<usize> {
    let connections = limit.saturating_sub(RESERVED).max(limit / 2);
    NonZero::new(usize::try_from(connections).unwrap_or(usize::MAX)).unwrap_or(NonZero::<usize>::MIN)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(1024, 768)]
    #[case(524_288, 524_032)]
    #[case(256, 128)]
    #[case(1, 1)]
    #[case(0, 1)]
    fn descriptors_are_left_for_other_parts(#[case] limit: u64, #[case] connections: usize) {
        assert_eq!(connections_within(limit).get(), connections);
    }
}
