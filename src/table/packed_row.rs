//! [`PackedRow`]: a row whose strings are indices into a dictionary.

use jiff::Timestamp;

use super::{
    day_table::NO_INSTANT,
    dictionary::{Dictionary, DictionaryWriter},
    profile::{DepartmentKey, Devices, NO_PERSON, PersonIndex, ProfileIndex, ProfileKey},
    schema::{Counter, Feature, Flag, Flags},
};

/// A row of a day that is being built. Its indices are those of one dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedRow {
    pub(super) profile: ProfileIndex,
    /// The person of the profile.
    pub(super) person: PersonIndex,
    pub(super) devices: u32,
    pub(super) flags: Flags,
    pub(super) last_active: i64,
    pub(super) counters: [u64; Counter::COUNT],
}

/// The values of a row, with the index of its devices.
#[derive(Clone, Copy, Debug)]
pub struct RowValues<'a> {
    /// The user id. `None` if Feishu omits it.
    pub user_id: Option<&'a str>,
    /// The person's name.
    pub user_name: &'a str,
    /// The name of the person's department.
    pub department_name: &'a str,
    /// The path of the person's department.
    pub department_path: &'a str,
    /// When the account was created.
    pub create_time: Option<Timestamp>,
    /// When the account was activated.
    pub register_time: Option<Timestamp>,
    /// When the person was last active, as known on that day.
    pub last_active_time: Option<Timestamp>,
    /// The flags that Feishu sends.
    pub flags: Flags,
    /// The counters, by [`Counter::index`].
    pub counters: &'a [u64; Counter::COUNT],
    /// The result of [`RowPacker::devices`].
    pub devices: u32,
}

/// Packs rows, and adds their strings to a dictionary. Nothing else can read the dictionary meanwhile, so keep it only briefly.
pub struct RowPacker<'a> {
    tables: DictionaryWriter<'a>,
}

impl Dictionary {
    /// Packs rows.
    pub fn packer(&self) -> RowPacker<'_> {
        RowPacker { tables: self.write() }
    }
}

impl RowPacker<'_> {
    /// The index of devices.
    pub fn devices(&mut self, devices: &Devices) -> u32 {
        self.tables.intern_devices(devices)
    }

    /// Packs a row. No memory is allocated for values that the dictionary has.
    pub fn pack(&mut self, row: &RowValues<'_>) -> PackedRow {
        let person = row.user_id.map_or(NO_PERSON, |id| self.tables.intern_person(id));
        let department = DepartmentKey { name: row.department_name, path: row.department_path };
        let profile = ProfileKey {
            person: row.user_id.map(|_| person),
            user_id: row.user_id,
            user_name: row.user_name,
            department: self.tables.intern_department_key(department),
            create_time: row.create_time,
            register_time: row.register_time,
        };
        PackedRow {
            profile: self.tables.intern_profile_key(&profile),
            person,
            devices: row.devices,
            flags: with_derived_flags(row.flags, row.counters),
            last_active: row.last_active_time.map_or(NO_INSTANT, Timestamp::as_second),
            counters: *row.counters,
        }
    }
}

impl PackedRow {
    /// The flags that a content hash is computed from. Here, received e-mails set the flag for e-mail too, as they did when
    /// the first days were archived: the hashes in their files must stay valid. The counters are part of the hash, so no
    /// difference is lost.
    pub(super) fn hashed_flags(&self) -> Flags {
        derive_flags(self.flags, &self.counters, |_| true)
    }
}

/// The flags with those for e-mail and tasks, which Feishu does not send. They are set if the person sent or created
/// something.
fn with_derived_flags(flags: Flags, counters: &[u64; Counter::COUNT]) -> Flags {
    derive_flags(flags, counters, Counter::shows_use)
}

/// The flags with those for e-mail and tasks: each is set if one of its counters that `matters` is above 0.
fn derive_flags(flags: Flags, counters: &[u64; Counter::COUNT], matters: impl Fn(Counter) -> bool) -> Flags {
    let is_used = |feature| {
        let mut of_feature =
            Counter::ALL.into_iter().filter(|counter| counter.feature() == feature && matters(*counter));
        of_feature.any(|counter| counters[counter.index()] > 0)
    };
    [Feature::Email, Feature::Task]
        .into_iter()
        .fold(flags, |flags, feature| flags.with(Flag::Feature(feature), is_used(feature)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn email_and_tasks_are_used_if_their_counters_are_above_zero() {
        let mut counters = [0; Counter::COUNT];
        counters[Counter::EmailReceiveInCount.index()] = 1;
        assert_eq!(with_derived_flags(Flags::default(), &counters), Flags::default(), "a received e-mail is not use");
        counters[Counter::EmailSendExtCount.index()] = 1;
        let flags = with_derived_flags(Flags::default(), &counters);
        assert!(flags.contains(Flag::Feature(Feature::Email)));
        assert!(!flags.contains(Flag::Feature(Feature::Task)));
    }
}
