//! What the flags of a row count as in figures, and the version of all definitions.
//!
//! Other definitions: use by counters `Counter::shows_use`, regular use `range_figures`, accounts `account_status`, client
//! versions `client_versions`, groups that are too small `suppression` and `withhold_small_cells`.

use crate::table::{Feature, Flag, Flags};

/// Version of the definitions of all figures. It is part of stored digests and of ETags: a change of a definition
/// increments it, then digests are computed again from the rows, and clients fetch responses again.
///
/// Version 2: e-mail and tasks count as used if something was sent or created, a feature's users are counted among the
/// active people, and activity counts as an activated account.
pub const DEFINITIONS_VERSION: u8 = 2;

/// The flags that a row counts with in figures:
///
/// - a feature counts as used only if the person was active on that day, so that the users of a feature are a part of
///   the active people;
/// - the account of a person who was active counts as activated, so that active people are a part of the activated.
///
/// In Feishu's data both hold for nearly all rows. Rows for which they do not are listed as Feishu sent them.
#[must_use]
pub fn counted_flags(flags: Flags) -> Flags {
    if flags.contains(Flag::Active) {
        flags.with(Flag::Activated, true)
    } else {
        Feature::ALL.into_iter().fold(flags, |flags, feature| flags.with(Flag::Feature(feature), false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_features_are_active_and_active_people_are_activated() {
        for bits in 0..1 << Flag::COUNT {
            let sent = Flags::from_bits(bits);
            let counted = counted_flags(sent);
            assert_eq!(counted.contains(Flag::Active), sent.contains(Flag::Active));
            assert!(!counted.contains(Flag::Active) || counted.contains(Flag::Activated));
            for flag in Feature::ALL.map(Flag::Feature) {
                assert_eq!(counted.contains(flag), sent.contains(flag) && sent.contains(Flag::Active));
            }
        }
    }
}
