//! Builds a [`DayTable`] from rows.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{
    counter_column::CounterColumn,
    day_table::{ContentHash, DayColumns, DayTable, NO_INSTANT},
    dictionary::{Dictionary, DictionaryTables},
    fetch_quality::FetchQuality,
    packed_row::{PackedRow, RowValues},
    profile::{Department, Devices, NO_PERSON, PersonIndex, Profile},
    schema::{Counter, Flags},
};
use crate::model::{DataScope, DayKey};

/// The data of one person on one day.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The user id. `None` if Feishu omits it.
    pub user_id: Option<String>,
    /// The person's name.
    pub user_name: String,
    /// The person's department on that day.
    pub department: Department,
    /// When the account was created.
    pub create_time: Option<Timestamp>,
    /// When the account was activated.
    pub register_time: Option<Timestamp>,
    /// When the person was last active, as known on that day.
    pub last_active_time: Option<Timestamp>,
    /// The flags that Feishu sends. Those for e-mail and tasks are derived from the counters.
    pub flags: Flags,
    /// The counters, by [`Counter::index`].
    pub counters: [u64; Counter::COUNT],
    /// The person's devices.
    pub devices: Devices,
}

/// Collects the rows of one day.
///
/// A row replaces an earlier row with the same user id, because paging over data that Feishu is still writing may
/// return a row twice. Rows without a user id can't be compared, so all of them are added.
#[derive(Clone, Debug)]
pub struct DayTableBuilder {
    key: DayKey,
    dictionary: Arc<Dictionary>,
    rows: Vec<PackedRow>,
    row_by_person: HashMap<PersonIndex, usize, RandomState>,
    quality: FetchQuality,
    keeps_order: bool,
}

/// The position of a row in the order of a day: rows with a user id first, then by the beginning of the id or the name.
/// Rows for which these are equal are compared by [`ResolvedRow`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct SortKey {
    lacks_id: bool,
    prefix: u128,
}

/// A row with the dictionary entries that its indices refer to.
struct ResolvedRow<'a> {
    packed: &'a PackedRow,
    profile: &'a Profile,
    department: &'a Department,
    devices: &'a Devices,
}

/// Number of rows that are read from the dictionary under one lock, so that writers do not wait for long.
const ROWS_PER_LOCK: usize = 512;

impl DayTableBuilder {
    /// A builder without rows.
    #[must_use]
    pub fn new(key: DayKey, dictionary: Arc<Dictionary>) -> Self {
        Self {
            key,
            dictionary,
            rows: Vec::new(),
            row_by_person: HashMap::default(),
            quality: FetchQuality::default(),
            keeps_order: false,
        }
    }

    /// A builder with the rows of a day, to which further rows can be added. The day keeps its dictionary.
    #[must_use]
    pub fn from_day(day: &DayTable) -> Self {
        let tables = day.dictionary.read();
        let rows: Vec<PackedRow> = (0..day.row_count()).map(|row| day.packed_row(row, &tables)).collect();
        drop(tables);
        let with_id = rows.iter().enumerate().filter(|(_, row)| row.person != NO_PERSON);
        let row_by_person = with_id.map(|(index, row)| (row.person, index)).collect();
        Self { rows, row_by_person, ..Self::new(day.key.clone(), Arc::clone(&day.dictionary)) }
    }

    /// Makes room for this number of rows, so that they are not moved while the day grows.
    pub fn reserve(&mut self, rows: usize) {
        self.rows.reserve_exact(rows);
        self.row_by_person.reserve(rows);
    }

    /// The number of rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row, or replaces the row with the same user id.
    pub fn push(&mut self, row: &Row) {
        let mut packer = self.dictionary.packer();
        let devices = packer.devices(&row.devices);
        let added = packer.pack(&RowValues {
            user_id: row.user_id.as_deref(),
            user_name: &row.user_name,
            department_name: &row.department.name,
            department_path: &row.department.path,
            create_time: row.create_time,
            register_time: row.register_time,
            last_active_time: row.last_active_time,
            flags: row.flags,
            counters: &row.counters,
            devices,
        });
        drop(packer);
        self.push_packed(added);
    }

    /// Adds a row that was packed with the dictionary of this builder, or replaces the row with the same user id.
    pub fn push_packed(&mut self, row: PackedRow) {
        let next = self.rows.len();
        let position = match row.person {
            NO_PERSON => next,
            person => *self.row_by_person.entry(person).or_insert(next),
        };
        if position < next {
            self.rows[position] = row;
        } else {
            self.rows.push(row);
        }
    }

    /// Removes all rows.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.row_by_person.clear();
    }

    /// Sets the faults of the fetch.
    #[must_use]
    pub const fn quality(mut self, quality: FetchQuality) -> Self {
        self.quality = quality;
        self
    }

    /// Keeps the order of rows without a user id whose names are equal. For rows of a file: its content hash was computed
    /// in its order, and earlier versions wrote these rows in the order of Feishu's reply.
    #[must_use]
    pub const fn keep_order(mut self) -> Self {
        self.keeps_order = true;
        self
    }

    /// Builds the day. Takes tens of milliseconds for 100,000 rows, so it must not run on a thread that serves async
    /// tasks.
    #[must_use]
    pub fn finish(self, fetched_at: Timestamp) -> DayTable {
        let Self { key, dictionary, rows, quality, keeps_order, .. } = self;
        let unsorted = rows;
        let rows = sorted(&unsorted, &dictionary, keeps_order);
        drop(unsorted);
        let hash = content_hash(&rows, &dictionary);
        DayTable { key, fetched_at, hash, quality, dictionary, columns: columns(&rows) }
    }
}

/// The rows in the order of a day.
fn sorted(rows: &[PackedRow], dictionary: &Dictionary, keeps_order: bool) -> Vec<PackedRow> {
    let mut order = Vec::with_capacity(rows.len());
    for (part, first) in rows.chunks(ROWS_PER_LOCK).zip((0..).step_by(ROWS_PER_LOCK)) {
        let tables = dictionary.read();
        let keys = part.iter().map(|row| SortKey::new(tables.profile(row.profile)));
        order.extend(keys.zip(first..));
    }
    // Comparing beginnings needs neither the lock nor the texts. The position keeps the order of equal ones.
    order.sort_unstable();
    for equal in order.chunk_by_mut(|(left, _), (right, _)| left == right).filter(|equal| equal.len() > 1) {
        let tables = dictionary.read();
        let resolved = |index: usize| ResolvedRow::new(&tables, &rows[index]);
        equal.sort_by(|(_, left), (_, right)| {
            let (left, right) = (resolved(*left), resolved(*right));
            let by_person = left.sort_key().cmp(&right.sort_key());
            if keeps_order { by_person } else { by_person.then_with(|| left.content().cmp(&right.content())) }
        });
    }
    order.into_iter().map(|(_, index)| rows[index].clone()).collect()
}

impl DayTable {
    /// The same day with only the rows of this person. Its hash is that of these rows, so it equals the hash of a day on
    /// which Feishu was asked for this person alone.
    #[must_use]
    pub fn of_person(&self, user_id: &str) -> Self {
        if matches!(self.key.scope, DataScope::User(_)) {
            return self.clone();
        }
        let tables = self.dictionary.read();
        let id = |row: usize| tables.profile(self.profiles()[row]).user_id.as_deref();
        // Rows are sorted by user id, and rows without one are last.
        let indices: Vec<usize> = (0..self.row_count()).collect();
        let first = indices.partition_point(|row| id(*row).is_some_and(|id| id < user_id));
        let rows = indices[first..].iter().take_while(|row| id(**row) == Some(user_id));
        let rows: Vec<PackedRow> = rows.map(|row| self.packed_row(*row, &tables)).collect();
        drop(tables);
        Self {
            key: self.key.clone(),
            hash: content_hash(&rows, &self.dictionary),
            dictionary: Arc::clone(&self.dictionary),
            columns: columns(&rows),
            ..*self
        }
    }

    fn packed_row(&self, row: usize, tables: &DictionaryTables) -> PackedRow {
        let columns = &self.columns;
        let profile = columns.profiles[row];
        PackedRow {
            profile,
            person: tables.profile_persons()[profile as usize],
            flags: columns.flags[row],
            last_active: columns.last_active[row],
            devices: columns.devices[row],
            counters: columns.counters.each_ref().map(|counter| counter.get(row)),
        }
    }
}

fn columns(rows: &[PackedRow]) -> DayColumns {
    let mut counts = Vec::with_capacity(rows.len());
    DayColumns {
        profiles: rows.iter().map(|row| row.profile).collect(),
        flags: rows.iter().map(|row| row.flags).collect(),
        last_active: rows.iter().map(|row| row.last_active).collect(),
        devices: rows.iter().map(|row| row.devices).collect(),
        counters: std::array::from_fn(|counter| {
            counts.clear();
            counts.extend(rows.iter().map(|row| row.counters[counter]));
            CounterColumn::pack(&counts)
        }),
    }
}

impl SortKey {
    fn new(profile: &Profile) -> Self {
        let text = profile.user_id.as_ref().unwrap_or(&profile.user_name).as_bytes();
        let mut prefix = [0; size_of::<u128>()];
        let length = text.len().min(prefix.len());
        prefix[..length].copy_from_slice(&text[..length]);
        Self { lacks_id: profile.user_id.is_none(), prefix: u128::from_be_bytes(prefix) }
    }
}

impl<'a> ResolvedRow<'a> {
    fn new(tables: &'a DictionaryTables, packed: &'a PackedRow) -> Self {
        let profile = tables.profile(packed.profile);
        let department = tables.department(profile.department);
        Self { profile, department, devices: tables.devices(packed.devices), packed }
    }

    /// Rows are sorted by user id. Rows without a user id are last, sorted by name.
    fn sort_key(&self) -> (bool, &str, &str) {
        let id = self.profile.user_id.as_deref();
        (id.is_none(), id.unwrap_or_default(), &self.profile.user_name)
    }

    /// All that [`Self::sort_key`] lacks. Rows without a user id may have the same name: sorted by their whole content,
    /// their order and the hash of the day do not depend on the order of Feishu's reply.
    fn content(&self) -> impl Ord + '_ {
        let (profile, row) = (self.profile, self.packed);
        let times = (profile.create_time, profile.register_time, row.last_active);
        (self.department, times, row.hashed_flags().bits(), &row.counters, self.devices)
    }
}

/// Hashes the values of the rows, not their indices, which differ between processes.
fn content_hash(rows: &[PackedRow], dictionary: &Dictionary) -> ContentHash {
    let (mut hash, mut bytes) = (Sha256::new(), Vec::new());
    for part in rows.chunks(ROWS_PER_LOCK) {
        bytes.clear();
        let tables = dictionary.read();
        for row in part {
            push_row(&mut bytes, &ResolvedRow::new(&tables, row));
        }
        // Hashing takes most of the time and does not need the lock.
        drop(tables);
        hash.update(&bytes);
    }
    let digest = hash.finalize();
    std::array::from_fn(|byte| digest[byte])
}

fn push_row(bytes: &mut Vec<u8>, row: &ResolvedRow<'_>) {
    let ResolvedRow { packed: row, profile, department, devices } = row;
    push_text(bytes, profile.user_id.as_deref());
    push_text(bytes, Some(&profile.user_name));
    push_text(bytes, Some(&department.name));
    push_text(bytes, Some(&department.path));
    for time in [profile.create_time, profile.register_time] {
        bytes.extend_from_slice(&time.map_or(NO_INSTANT, Timestamp::as_second).to_le_bytes());
    }
    bytes.extend_from_slice(&row.last_active.to_le_bytes());
    bytes.extend_from_slice(&row.hashed_flags().bits().to_le_bytes());
    for counter in row.counters {
        bytes.extend_from_slice(&counter.to_le_bytes());
    }
    push_devices(bytes, devices);
}

fn push_devices(bytes: &mut Vec<u8>, devices: &Devices) {
    push_length(bytes, devices.clients.len());
    for client in &devices.clients {
        push_text(bytes, client.os.as_deref());
        push_text(bytes, client.client.as_deref());
    }
    for names in [&devices.app_packages, &devices.os_names] {
        push_length(bytes, names.len());
        for name in names {
            push_text(bytes, Some(name));
        }
    }
}

/// Adds a text with its length, so that different rows never give the same bytes.
fn push_text(bytes: &mut Vec<u8>, text: Option<&str>) {
    match text {
        None => bytes.extend_from_slice(&u64::MAX.to_le_bytes()),
        Some(text) => {
            push_length(bytes, text.len());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
}

fn push_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend_from_slice(&(length as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::{Day, Geo, UserIdType},
        table::Flag,
    };

    fn key() -> DayKey {
        let day = Day::new(2026, 11, 1).unwrap();
        DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day }
    }

    fn build(dictionary: &Arc<Dictionary>, rows: &[(Option<&str>, u64)]) -> DayTable {
        let mut builder = DayTableBuilder::new(key(), dictionary.clone());
        add_rows(&mut builder, rows);
        builder.finish(Timestamp::UNIX_EPOCH)
    }

    fn add_rows(builder: &mut DayTableBuilder, rows: &[(Option<&str>, u64)]) {
        for (user_id, messages) in rows {
            let mut row = Row { user_id: user_id.map(Into::into), user_name: "张三".into(), ..Row::default() };
            row.counters[Counter::SendMessengerNum.index()] = *messages;
            builder.push(&row);
        }
    }

    #[test]
    fn a_row_replaces_an_earlier_row_with_the_same_user_id() {
        let day = build(&Arc::default(), &[(Some("a"), 1), (Some("b"), 5), (Some("a"), 2)]);
        assert_eq!(day.row_count(), 2);
        assert_eq!(day.counter(Counter::SendMessengerNum).sum(), 7);
    }

    #[test]
    fn all_rows_without_a_user_id_are_added() {
        assert_eq!(build(&Arc::default(), &[(None, 1), (None, 1)]).row_count(), 2);
    }

    /// A row without a user id. All have the same name.
    fn row_without_id(path: &str, messages: u64, os: &str, is_active: bool, registered: Option<i64>) -> Row {
        let mut row = Row { user_name: "张三".into(), ..Row::default() };
        row.department = Department { name: "x".into(), path: path.into() };
        row.counters[Counter::SendMessengerNum.index()] = messages;
        row.devices.os_names = vec![os.into()];
        row.flags = row.flags.with(Flag::Active, is_active);
        row.register_time = registered.and_then(|seconds| Timestamp::from_second(seconds).ok());
        row
    }

    fn build_rows(rows: &[Row]) -> DayTable {
        let mut builder = DayTableBuilder::new(key(), Arc::default());
        for row in rows {
            builder.push(row);
        }
        builder.finish(Timestamp::UNIX_EPOCH)
    }

    proptest! {
        #[test]
        fn rows_can_be_added_to_the_rows_of_a_day(
            rows in proptest::collection::vec((proptest::option::of("[a-d]"), 0_u64..3), 0..12), split in 0_usize..12,
        ) {
            let dictionary = Arc::default();
            let rows: Vec<_> = rows.iter().map(|(user_id, messages)| (user_id.as_deref(), *messages)).collect();
            let (first, rest) = rows.split_at(split.min(rows.len()));
            let mut builder = DayTableBuilder::from_day(&build(&dictionary, first));
            add_rows(&mut builder, rest);
            let continued = builder.finish(Timestamp::UNIX_EPOCH);
            let whole = build(&dictionary, &rows);
            prop_assert_eq!((continued.hash(), continued.row_count()), (whole.hash(), whole.row_count()));
        }

        #[test]
        fn the_hash_does_not_depend_on_the_order_of_rows_without_a_user_id(
            rows in proptest::collection::vec(("[ab]", 0_u64..3, "[ab]", any::<bool>(), proptest::option::of(0_i64..3)), 2..9),
            seed: u64,
        ) {
            let rows: Vec<Row> = rows.iter().map(|(path, messages, os, is_active, registered)| row_without_id(path, *messages, os, *is_active, *registered)).collect();
            let mut shuffled = rows.clone();
            fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
            let (ordered, reordered) = (build_rows(&rows), build_rows(&shuffled));
            prop_assert_eq!(ordered.hash(), reordered.hash());

            let mut changed = rows;
            changed[0].counters[Counter::VcNum.index()] += 1;
            let changed = build_rows(&changed);
            prop_assert_ne!(ordered.hash(), changed.hash());
        }

        #[test]
        fn the_hash_depends_on_the_content_and_not_on_the_order_of_insertion(
            people in proptest::collection::btree_map("[a-z]{1,4}", 0_u64..9, 1..20), seed: u64,
        ) {
            let rows: Vec<_> = people.iter().map(|(id, count)| (Some(id.as_str()), *count)).collect();
            let mut shuffled = rows.clone();
            fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
            let (ordered, reordered) = (build(&Arc::default(), &rows), build(&Arc::default(), &shuffled));
            prop_assert_eq!(ordered.hash(), reordered.hash());

            let mut changed = rows.clone();
            changed[0].1 += 1;
            let changed = build(&Arc::default(), &changed);
            prop_assert_ne!(ordered.hash(), changed.hash());
        }
    }
}
