//! Rows in, a [`Partition`] out.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{
    column::CounterColumn,
    directory::{Department, Devices, Directory, PersonNo, Profile, ProfileNo, Tables},
    partition::{Columns, ContentHash, NEVER, Partition},
    schema::{Counter, Feature, Flag, Flags},
};
use crate::model::DayKey;

/// One user-day as it is added to a day.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The person's id; `None` where upstream withholds it.
    pub user_id: Option<String>,
    /// The person's name.
    pub user_name: String,
    /// The person's department, that day.
    pub department: Department,
    /// When the account was made.
    pub create_time: Option<Timestamp>,
    /// When the account was activated.
    pub register_time: Option<Timestamp>,
    /// The last activity as of that day.
    pub last_active_time: Option<Timestamp>,
    /// The flags that upstream sends. Those of [`Feature::Email`] and [`Feature::Task`] follow from the counters.
    pub flags: Flags,
    /// The counters, by [`Counter::index`].
    pub counters: [u64; Counter::COUNT],
    /// The devices.
    pub devices: Devices,
}

/// Collects the rows of one day.
///
/// The same person twice counts once: a chain of pages over data that is still being written may show a row twice,
/// and the later reply wins. Rows without an id can't be told apart and all count.
#[derive(Debug)]
pub struct PartitionBuilder {
    key: DayKey,
    directory: Arc<Directory>,
    rows: Vec<Packed>,
    seen: HashMap<PersonNo, usize>,
    doubtful: bool,
}

#[derive(Debug)]
struct Packed {
    profile: ProfileNo,
    flags: Flags,
    last_active: i64,
    devices: u32,
    counters: [u64; Counter::COUNT],
}

/// A row with what its numbers stand for.
struct Spelled {
    packed: Packed,
    profile: Arc<Profile>,
    department: Arc<Department>,
    devices: Arc<Devices>,
}

impl PartitionBuilder {
    /// A day without rows.
    #[must_use]
    pub fn new(key: DayKey, directory: Arc<Directory>) -> Self {
        Self { key, directory, rows: Vec::new(), seen: HashMap::new(), doubtful: false }
    }

    /// How many rows there are by now.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row, or replaces the one of the same person.
    pub fn push(&mut self, row: &Row) {
        let mut tables = self.directory.write();
        let person = row.user_id.as_deref().map(|id| tables.intern_person(id));
        let profile = Profile {
            person: person.as_ref().map(|(number, _)| *number),
            user_id: person.map(|(_, id)| id),
            user_name: row.user_name.as_str().into(),
            department: tables.intern_department(&row.department),
            create_time: row.create_time,
            register_time: row.register_time,
        };
        let packed = Packed {
            profile: tables.intern_profile(&profile),
            flags: derived(row.flags, &row.counters),
            last_active: row.last_active_time.map_or(NEVER, Timestamp::as_second),
            devices: tables.intern_devices(&row.devices),
            counters: row.counters,
        };
        drop(tables);
        let at = profile.person.map_or(self.rows.len(), |person| *self.seen.entry(person).or_insert(self.rows.len()));
        if at < self.rows.len() {
            self.rows[at] = packed;
        } else {
            self.rows.push(packed);
        }
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.seen.clear();
    }

    /// Marks the day as one that may lack rows, though upstream reported no failure.
    #[must_use]
    pub fn doubtful(mut self, doubtful: bool) -> Self {
        self.doubtful = doubtful;
        self
    }

    /// The finished day. Sorting and hashing 100,000 rows takes tens of milliseconds: keep it off the async threads.
    #[must_use]
    pub fn finish(self, fetched_at: Timestamp) -> Partition {
        let Self { key, directory, rows, doubtful, .. } = self;
        let tables = directory.read();
        let mut rows: Vec<Spelled> = rows.into_iter().map(|row| Spelled::new(&tables, row)).collect();
        // Sorting and hashing is the long part; those who add rows need not wait for it.
        drop(tables);
        rows.sort_by(|one, other| one.order().cmp(&other.order()));
        let hash = content_hash(&rows);
        let rows: Vec<Packed> = rows.into_iter().map(|row| row.packed).collect();
        let columns = Columns {
            profiles: rows.iter().map(|row| row.profile).collect(),
            flags: rows.iter().map(|row| row.flags).collect(),
            last_active: rows.iter().map(|row| row.last_active).collect(),
            devices: rows.iter().map(|row| row.devices).collect(),
            counters: std::array::from_fn(|counter| {
                CounterColumn::pack(&rows.iter().map(|row| row.counters[counter]).collect::<Vec<_>>())
            }),
        };
        Partition { key, fetched_at, hash, doubtful, directory, columns }
    }
}

/// Upstream has no flag for e-mail and tasks: they are used where a counter says so.
fn derived(flags: Flags, counters: &[u64; Counter::COUNT]) -> Flags {
    let email = Counter::ALL.into_iter().any(|counter| counter.is_email() && counters[counter.index()] > 0);
    let task = counters[Counter::CreateTaskNum.index()] > 0;
    flags.with(Flag::Feature(Feature::Email), email).with(Flag::Feature(Feature::Task), task)
}

impl Spelled {
    fn new(tables: &Tables, packed: Packed) -> Self {
        let profile = Arc::clone(tables.profile(packed.profile));
        let department = Arc::clone(tables.department(profile.department));
        Self { profile, department, devices: Arc::clone(tables.devices(packed.devices)), packed }
    }

    /// Rows stand by user id, those without one last and by name: an order that no refetch changes.
    fn order(&self) -> (bool, &str, &str) {
        let id = self.profile.user_id.as_deref();
        (id.is_none(), id.unwrap_or_default(), &self.profile.user_name)
    }
}

/// Hashes what the rows say, not the numbers they are held by, which differ from process to process.
fn content_hash(rows: &[Spelled]) -> ContentHash {
    let mut hash = Sha256::new();
    for Spelled { packed: row, profile, department, devices } in rows {
        text(&mut hash, profile.user_id.as_deref());
        text(&mut hash, Some(&profile.user_name));
        text(&mut hash, Some(&department.name));
        text(&mut hash, Some(&department.path));
        for time in [profile.create_time, profile.register_time] {
            hash.update(time.map_or(NEVER, Timestamp::as_second).to_le_bytes());
        }
        hash.update(row.last_active.to_le_bytes());
        hash.update(row.flags.bits().to_le_bytes());
        for counter in row.counters {
            hash.update(counter.to_le_bytes());
        }
        hash_devices(&mut hash, devices);
    }
    let digest = hash.finalize();
    std::array::from_fn(|byte| digest[byte])
}

fn hash_devices(hash: &mut Sha256, devices: &Devices) {
    length(hash, devices.clients.len());
    for client in &devices.clients {
        text(hash, client.os.as_deref());
        text(hash, client.client.as_deref());
    }
    for names in [&devices.app_packages, &devices.os_names] {
        length(hash, names.len());
        for name in names {
            text(hash, Some(name));
        }
    }
}

/// A text goes in with its length, so that no two different rows hash the same bytes.
fn text(hash: &mut Sha256, text: Option<&str>) {
    match text {
        None => hash.update(u64::MAX.to_le_bytes()),
        Some(text) => {
            length(hash, text.len());
            hash.update(text);
        }
    }
}

fn length(hash: &mut Sha256, length: usize) {
    hash.update((length as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Day, Geo, Scope, UserIdType};

    fn key() -> DayKey {
        let day = Day::new(2026, 11, 1).unwrap();
        DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: Scope::Everyone, day }
    }

    fn build(directory: &Arc<Directory>, rows: &[(Option<&str>, u64)]) -> Partition {
        let mut builder = PartitionBuilder::new(key(), directory.clone());
        for (user_id, messages) in rows {
            let mut row = Row { user_id: user_id.map(Into::into), user_name: "张三".into(), ..Row::default() };
            row.counters[Counter::SendMessengerNum.index()] = *messages;
            builder.push(&row);
        }
        builder.finish(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_same_person_twice_counts_once_and_the_later_row_wins() {
        let day = build(&Arc::default(), &[(Some("a"), 1), (Some("b"), 5), (Some("a"), 2)]);
        assert_eq!(day.rows(), 2);
        assert_eq!(day.counter(Counter::SendMessengerNum).sum(), 7);
    }

    #[test]
    fn people_whose_id_is_withheld_all_count() {
        assert_eq!(build(&Arc::default(), &[(None, 1), (None, 1)]).rows(), 2);
    }

    #[test]
    fn email_and_tasks_are_used_when_a_counter_says_so() {
        let mut counters = [0; Counter::COUNT];
        counters[Counter::EmailReceiveInCount.index()] = 1;
        let flags = derived(Flags::default(), &counters);
        assert!(flags.has(Flag::Feature(Feature::Email)));
        assert!(!flags.has(Flag::Feature(Feature::Task)));
    }

    proptest! {
        #[test]
        fn the_hash_follows_the_content_and_not_the_order_of_arrival(
            people in proptest::collection::btree_map("[a-z]{1,4}", 0_u64..9, 1..20), seed: u64,
        ) {
            let rows: Vec<_> = people.iter().map(|(id, count)| (Some(id.as_str()), *count)).collect();
            let mut shuffled = rows.clone();
            fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
            let (one, other) = (build(&Arc::default(), &rows), build(&Arc::default(), &shuffled));
            prop_assert_eq!(one.hash(), other.hash());

            let mut changed = rows.clone();
            changed[0].1 += 1;
            let changed = build(&Arc::default(), &changed);
            prop_assert_ne!(one.hash(), changed.hash());
        }
    }
}
