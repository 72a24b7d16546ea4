//! The encoding of a digest in the file of its day. It omits the people's ids.
//!
//! The rows of a file are sorted by department. The members of a department are therefore a range of rows, and the id
//! column of the file identifies them. Each range is stored with a hash of its ids. Most members equal those of the day
//! before, and then the id column is not read.
//!
//! ```text
//! layout version (1 byte)  definitions version (1 byte)  zstd with a checksum ( postcard ( metadata, sums and member hash of each department, flags of each
//! row ) )
//! ```

use std::{cmp::Ordering, io, ops::Range, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    day_digest::{DayDigest, DepartmentDigest, size_in_memory},
    membership_cache::{CachedMembers, MembershipCache, MembershipHash},
};
use crate::{
    report::{
        DEFINITIONS_VERSION, counted_flags,
        day_figures::{DayFiguresBuilder, RowSums},
        department_members::DepartmentMember,
    },
    table::{
        Counter, DayTable, Department, Dictionary, Flags, PersonIndex,
        day_table::ContentHash,
        parquet::{FileMetadata, ParquetDay, ParquetReadError, PersonColumns, file_order},
    },
};

/// Version of the layout. Every change of the layout increments it. A digest of another version is computed again from
/// the rows; that of an earlier one is replaced in its file.
const LAYOUT_VERSION: u8 = 2;

// The layout contains a sum for each counter.
const _: () = assert!(Counter::COUNT == 15, "the number of counters has changed: increment LAYOUT_VERSION");

/// Level 1 of zstd makes the flags of people a tenth smaller than level 3 and takes less time, because they have hardly any repetitions.
const COMPRESSION_LEVEL: i32 = 1;

/// Limit of the decompressed size in bytes; larger input is corrupt.
const MAX_DECOMPRESSED_BYTES: u64 = 256 << 20;

/// The stored form of a digest. It has hashes in place of people.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoredDigest {
    key: String,
    fetched_at: Timestamp,
    hash: ContentHash,
    /// Compared with the metadata of the file, which has the faults of the fetch.
    doubtful: bool,
    departments: Vec<StoredDepartment>,
    /// [`Flags::bits`] of the [`counted_flags`] of every row, in the order of the file.
    flags: Vec<u16>,
}

/// The members of the departments of a [`StoredDigest`], in its order; `None` for those that must be read from its file.
#[derive(Debug)]
pub struct KnownMembers(Vec<Option<CachedMembers>>);

impl KnownMembers {
    /// Whether members of a department must be read.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.0.iter().any(Option::is_none)
    }
}

/// The members of the departments of a [`StoredDigest`], in its order.
#[derive(Debug)]
pub struct StoredMembers {
    /// The index of each department, and its members.
    by_department: Vec<(u32, CachedMembers)>,
    /// Memory of the members that were not cached, in bytes.
    new_bytes: usize,
}

/// A department. Departments are in the order of the file's rows.
#[derive(Debug, Serialize, Deserialize)]
struct StoredDepartment {
    name: Arc<str>,
    path: Arc<str>,
    sums: RowSums,
    /// Number of rows with a person's id. These rows follow those of the previous department. Rows without an id are at
    /// the end of the file.
    identified: usize,
    members_hash: MembershipHash,
}

/// Encodes the digest of a day for storage in its file.
#[must_use]
pub fn encode_digest(day: &DayTable) -> Vec<u8> {
    let tables = day.dictionary().read();
    let mut departments: Vec<DepartmentEncoder> = Vec::new();
    let mut flags = Vec::with_capacity(day.row_count());
    for row in file_order(day, &tables) {
        let profile = tables.profile(day.profiles()[row]);
        // Usually the last department: only rows without an id are separated from their department.
        let position = departments.iter().rposition(|encoder| encoder.index == profile.department);
        let position = position.unwrap_or_else(|| {
            let department = tables.department(profile.department);
            departments.push(DepartmentEncoder::new(profile.department, department));
            departments.len() - 1
        });
        let DepartmentEncoder { stored, hash, .. } = &mut departments[position];
        let counted = counted_flags(day.flags()[row]);
        stored.sums.add_row(counted, |counter| day.counter(counter).get(row));
        if let Some(id) = &profile.user_id {
            stored.identified += 1;
            hash_member(hash, id, profile.register_time);
        }
        flags.push(counted.bits());
    }
    drop(tables);
    let stored = StoredDigest {
        key: day.key().to_string(),
        fetched_at: day.fetched_at(),
        hash: *day.hash(),
        doubtful: day.quality().is_doubtful(),
        departments: departments.into_iter().map(DepartmentEncoder::finish).collect(),
        flags,
    };
    stored.write().unwrap_or_default()
}

/// A department to which rows are added.
struct DepartmentEncoder {
    index: u32,
    stored: StoredDepartment,
    hash: Sha256,
}

impl DepartmentEncoder {
    fn new(index: u32, department: &Department) -> Self {
        let stored = StoredDepartment {
            name: Arc::clone(&department.name),
            path: Arc::clone(&department.path),
            sums: RowSums::default(),
            identified: 0,
            members_hash: MembershipHash::default(),
        };
        Self { index, stored, hash: Sha256::new() }
    }

    fn finish(self) -> StoredDepartment {
        StoredDepartment { members_hash: finish_hash(self.hash), ..self.stored }
    }
}

/// Decodes the digest stored in the file of a day. Members that are not cached are read from the file.
///
/// # Errors
/// [`ParquetReadError`] if the file has no digest or an invalid one. The file's rows may still be valid.
pub fn decode_digest(
    file: &ParquetDay,
    dictionary: &Arc<Dictionary>,
    members: &MembershipCache,
) -> Result<DayDigest, ParquetReadError> {
    let stored = StoredDigest::of_file(file)?;
    let known = stored.known_members(dictionary, members);
    let members = stored.members(known, file, dictionary, members)?;
    stored.to_digest(file, dictionary, members)
}

impl StoredDigest {
    /// The digest stored in a file.
    ///
    /// # Errors
    /// [`ParquetReadError`] if the file has no digest, if the digest has other rows than the file, or if it was not read.
    pub fn of_file(file: &ParquetDay) -> Result<Self, ParquetReadError> {
        let stored = file.attachment().ok_or_else(|| ParquetReadError::damaged("the file has no digest"))?;
        let stored = Self::read(&stored)?;
        let metadata = file.file_metadata();
        let is_of_file = stored.matches(metadata)
            && stored.flags.len() == metadata.rows
            && stored.total_rows() == Some(metadata.rows as u64);
        if is_of_file { Ok(stored) } else { Err(ParquetReadError::damaged("the digest is of other rows")) }
    }

    /// The members that are cached.
    #[must_use]
    pub fn known_members(&self, dictionary: &Dictionary, cache: &MembershipCache) -> KnownMembers {
        KnownMembers(cache.get_each(dictionary, self.members_hashes()))
    }

    /// The rows of the departments whose members are not known.
    #[must_use]
    pub fn rows_without(&self, known: &KnownMembers) -> Vec<Range<usize>> {
        let missing = self.identified_rows().zip(&known.0).filter(|(_, members)| members.is_none());
        missing.map(|(rows, _)| rows).filter(|rows| !rows.is_empty()).collect()
    }

    fn members_hashes(&self) -> impl Iterator<Item = &MembershipHash> {
        self.departments.iter().map(|stored| &stored.members_hash)
    }

    /// The rows with ids of each department.
    fn identified_rows(&self) -> impl Iterator<Item = Range<usize>> {
        let mut end = 0;
        self.departments.iter().map(move |stored| {
            let first = end;
            end += stored.identified;
            first..end
        })
    }

    /// Writing to memory does not fail.
    fn write(&self) -> io::Result<Vec<u8>> {
        let plain = postcard::to_stdvec(self).map_err(io::Error::other)?;
        let mut encoder = zstd::Encoder::new(vec![LAYOUT_VERSION, DEFINITIONS_VERSION], COMPRESSION_LEVEL)?;
        encoder.include_checksum(true)?;
        io::copy(&mut plain.as_slice(), &mut encoder)?;
        encoder.finish()
    }

    fn read(bytes: &[u8]) -> Result<Self, ParquetReadError> {
        let (version, compressed) =
            bytes.split_first_chunk().ok_or_else(|| ParquetReadError::damaged("the digest is empty"))?;
        match version.cmp(&[LAYOUT_VERSION, DEFINITIONS_VERSION]) {
            Ordering::Less => return Err(ParquetReadError::EarlierDigest),
            Ordering::Greater => return Err(ParquetReadError::TooNew { found: u16::from_be_bytes(*version).into() }),
            Ordering::Equal => {}
        }
        // Growing the buffer would copy it and take new pages of memory each time. A digest of many people shrinks to a third.
        let mut plain = Vec::with_capacity(compressed.len().saturating_mul(4));
        let decoder = zstd::Decoder::with_buffer(compressed).map_err(ParquetReadError::damaged)?;
        io::copy(&mut io::Read::take(decoder, MAX_DECOMPRESSED_BYTES), &mut plain)
            .map_err(ParquetReadError::damaged)?;
        postcard::from_bytes(&plain).map_err(ParquetReadError::damaged)
    }

    /// The digest with these members, which are those of the same file.
    ///
    /// # Errors
    /// [`ParquetReadError`] if a department has a different number of members than the digest says.
    pub fn to_digest(
        &self,
        file: &ParquetDay,
        dictionary: &Arc<Dictionary>,
        members: StoredMembers,
    ) -> Result<DayDigest, ParquetReadError> {
        let metadata = file.file_metadata();
        let mut figures = DayFiguresBuilder::with_capacity(dictionary.read().person_count());
        let mut departments = Vec::with_capacity(self.departments.len());
        let mut end_of_rows = 0;
        let StoredMembers { by_department, new_bytes } = members;
        let stored = self.departments.iter().zip(self.identified_rows());
        for ((stored, rows), (department, members)) in stored.zip(by_department) {
            if members.by_row.len() != stored.identified {
                return Err(ParquetReadError::damaged("the digest has a different number of members than its hash"));
            }
            end_of_rows = rows.end;
            figures.add_each(&members.by_row, &self.flags[rows]);
            departments.push(DepartmentDigest { department, sums: stored.sums, members: members.sorted });
        }
        for flags in &self.flags[end_of_rows..] {
            figures.add(None, Flags::from_bits(*flags));
        }
        let mut figures = figures.finish();
        for department in &departments {
            figures.sums.add(&department.sums);
        }
        departments.sort_unstable_by_key(|digest: &DepartmentDigest| digest.department);
        let departments = departments.into_boxed_slice();
        Ok(DayDigest {
            key: metadata.key.clone(),
            fetched_at: metadata.fetched_at,
            hash: metadata.hash,
            quality: metadata.quality,
            dictionary: Arc::clone(dictionary),
            bytes: size_in_memory(&figures, &departments) + new_bytes,
            figures: Arc::new(figures),
            departments,
        })
    }

    /// The members of each department. Those that are not known are read from the file and cached.
    ///
    /// # Errors
    /// [`ParquetReadError`] if the file has other people, or if the people of [`Self::rows_without`] were not read.
    pub fn members(
        &self,
        known: KnownMembers,
        file: &ParquetDay,
        dictionary: &Dictionary,
        cache: &MembershipCache,
    ) -> Result<StoredMembers, ParquetReadError> {
        let name =
            |stored: &StoredDepartment| Department { name: Arc::clone(&stored.name), path: Arc::clone(&stored.path) };
        let names: Vec<Department> = self.departments.iter().map(name).collect();
        let columns = file.person_columns(&self.rows_without(&known))?;
        // The position of the next person in `columns`.
        let mut next = 0;
        let mut new_bytes = 0;
        let mut read = |department: u32, stored: &StoredDepartment| {
            let positions = next..next + stored.identified;
            next = positions.end;
            let latest = cache.latest(dictionary, department);
            let members = read_members(&columns, positions, &stored.members_hash, dictionary, &latest)?;
            let members = cache.insert(dictionary, department, stored.members_hash, members);
            // Digests that find the members in the cache share them, so they are counted once.
            new_bytes += members.sorted.heap_bytes();
            Ok::<_, ParquetReadError>(members)
        };
        let departments = dictionary.intern_departments(&names).into_iter().zip(&self.departments).zip(known.0);
        let by_department = departments.map(|((department, stored), known)| {
            let members = known.map_or_else(|| read(department, stored), Ok);
            Ok::<_, ParquetReadError>((department, members?))
        });
        let by_department = by_department.collect::<Result<_, _>>()?;
        Ok(StoredMembers { by_department, new_bytes })
    }

    /// The total number of rows of all departments. `None` if a count exceeds the number of rows.
    fn total_rows(&self) -> Option<u64> {
        self.departments.iter().try_fold(0_u64, |rows, StoredDepartment { sums, identified, .. }| {
            let counts = sums.flags.into_iter().chain([*identified as u64]);
            rows.checked_add(sums.users).filter(|_| counts.max() <= Some(sums.users))
        })
    }

    fn matches(&self, metadata: &FileMetadata) -> bool {
        self.key == metadata.key.to_string()
            && self.fetched_at == metadata.fetched_at
            && self.hash == metadata.hash
            && self.doubtful == metadata.quality.is_doubtful()
    }
}

/// The people at these positions of `columns`, verified against their hash. `likely` as in [`Dictionary::intern_people`].
fn read_members(
    columns: &PersonColumns,
    positions: Range<usize>,
    expected: &MembershipHash,
    dictionary: &Dictionary,
    likely: &[PersonIndex],
) -> Result<Vec<DepartmentMember>, ParquetReadError> {
    let mismatch = || ParquetReadError::damaged("the digest has other members than the rows");
    let people: Option<Vec<_>> = positions.map(|position| columns.get(position)).collect();
    let people = people.ok_or_else(mismatch)?;
    let mut hash = Sha256::new();
    for person in &people {
        hash_member(&mut hash, person.user_id, person.register_time);
    }
    if finish_hash(hash) != *expected {
        return Err(mismatch());
    }
    let indices = dictionary.intern_people(people.iter().map(|person| person.user_id), likely);
    let register_times = people.into_iter().map(|person| person.register_time);
    Ok(indices
        .into_iter()
        .zip(register_times)
        .map(|(person, register_time)| DepartmentMember { person, register_time })
        .collect())
}

fn hash_member(hash: &mut Sha256, id: &str, register_time: Option<Timestamp>) {
    hash.update((id.len() as u64).to_le_bytes());
    hash.update(id);
    hash.update(register_time.map_or(i64::MIN, Timestamp::as_second).to_le_bytes());
}

/// The first 16 bytes of the hash.
fn finish_hash(hash: Sha256) -> MembershipHash {
    let hash = hash.finalize();
    std::array::from_fn(|byte| hash[byte])
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use rstest::rstest;

    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        model::{DataScope, Day, DayKey, Geo, UserIdType},
        report::PersonSet,
        table::{Counter, DayMetadata as _, DayTableBuilder, FetchQuality, Flag, PersonIndex, Row, parquet},
    };

    fn key() -> DayKey {
        let day = Day::new(2026, 11, 1).unwrap();
        DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day }
    }

    prop_compose! {
        fn row()(
            user_id in proptest::option::weighted(0.9, "[a-z]{1,2}"),
            department in 0_u8..4,
            registered in proptest::option::of(0_i64..2_000_000_000),
            bits in 0_u16..128,
            messages in 0_u64..300,
        ) -> Row {
            let name: Arc<str> = format!("组{department}").into();
            let department = Department { path: format!("总部/{name}").into(), name };
            let register_time = registered.map(|second| Timestamp::from_second(second).unwrap());
            let mut row = Row { user_id, department, register_time, flags: Flags::from_bits(bits), ..Row::default() };
            row.counters[Counter::SendMessengerNum.index()] = messages;
            row.counters[Counter::EmailSendCount.index()] = messages / 200;
            row
        }
    }

    /// Rows with distinct people. If a row replaces an earlier one, the dictionary also keeps the earlier profile.
    fn rows() -> impl Strategy<Value = Vec<Row>> {
        proptest::collection::vec(row(), 0..30).prop_map(|mut rows| {
            let mut seen = std::collections::HashSet::new();
            rows.retain(|row| row.user_id.is_none() || seen.insert(row.user_id.clone()));
            rows
        })
    }

    fn build(dictionary: &Arc<Dictionary>, rows: &[Row]) -> DayTable {
        let quality = FetchQuality { unreadable_rows: 2, unreadable_values: 1, ..FetchQuality::default() };
        let mut builder = DayTableBuilder::new(key(), Arc::clone(dictionary)).quality(quality);
        for row in rows {
            builder.push(row);
        }
        builder.finish("2026-11-02T10:00:00Z".parse().unwrap())
    }

    fn file(day: &DayTable) -> Vec<u8> {
        parquet::encode(day, &encode_digest(day)).unwrap()
    }

    fn read(
        file: Vec<u8>,
        dictionary: &Arc<Dictionary>,
        members: &MembershipCache,
    ) -> Result<DayDigest, ParquetReadError> {
        decode_digest(&ParquetDay::new(Bytes::from(file), &key())?, dictionary, members)
    }

    /// The sorted ids of a set, and the number of people without an id.
    fn ids(people: &PersonSet, dictionary: &Dictionary) -> (Vec<String>, u64) {
        let tables = dictionary.read();
        let id = |person: usize| tables.user_id(PersonIndex::try_from(person).unwrap()).to_string();
        let mut ids: Vec<String> = people.identified.ones().map(id).collect();
        ids.sort_unstable();
        (ids, people.unidentified)
    }

    /// All content of a digest, with ids and paths in place of indices.
    fn content(digest: &DayDigest) -> impl PartialEq + std::fmt::Debug + use<> {
        let dictionary = digest.dictionary();
        let sets = Flag::ALL.map(|flag| ids(digest.figures().people_with(flag), dictionary));
        let tables = dictionary.read();
        let mut departments: Vec<_> = digest
            .departments()
            .iter()
            .map(|department| {
                let id = |person: PersonIndex| tables.user_id(person).to_string();
                let mut members: Vec<_> = department.members.people().iter().map(|person| id(*person)).collect();
                members.sort_unstable();
                let activated: BTreeMap<_, _> = department
                    .members
                    .activations(0..department.members.len())
                    .map(|(person, seconds)| (id(person), seconds))
                    .collect();
                (tables.department(department.department).path.to_string(), department.sums, members, activated)
            })
            .collect();
        departments.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let metadata =
            (digest.key().clone(), digest.fetched_at(), digest.row_count(), *digest.hash(), digest.quality());
        (metadata, digest.figures().sums, ids(&digest.figures().present, dictionary), sets, departments)
    }

    proptest! {
        #[test]
        fn a_decoded_digest_equals_the_digest_of_the_rows(
            first in rows(), second in rows(),
        ) {
            let (fetched, restarted, members) = (Arc::<Dictionary>::default(), Arc::<Dictionary>::default(), MembershipCache::default());
            // The second day shares people, and possibly members, with the first.
            for rows in [&first, &second, &first] {
                let day = build(&fetched, rows);
                let restored = read(file(&day), &restarted, &members).unwrap();
                prop_assert_eq!(content(&restored), content(&DayDigest::from_day(&day, None)));
            }
        }
    }

    fn some_rows() -> Vec<Row> {
        let row = |number: u32| Row { user_id: Some(format!("ou_{number:032x}")), ..Row::default() };
        (0..200).map(row).collect()
    }

    #[test]
    fn a_flipped_byte_never_gives_a_different_digest() {
        let dictionary = Arc::<Dictionary>::default();
        let day = build(&dictionary, &some_rows());
        let (intact, expected) = (file(&day), content(&DayDigest::from_day(&day, None)));
        let mut rejected = 0;
        for at in (0..intact.len()).step_by(7) {
            let mut flipped = intact.clone();
            flipped[at] ^= 0x40;
            // The Parquet reader may panic on corrupt input; the archive catches panics of its reading tasks.
            let result = std::panic::catch_unwind(|| read(flipped, &Arc::default(), &MembershipCache::default()));
            match result {
                Ok(Ok(digest)) => assert_eq!(content(&digest), expected, "flipped at {at}"),
                _ => rejected += 1,
            }
        }
        assert!(rejected > 0);
    }

    #[test]
    fn the_digest_of_another_file_is_rejected() {
        let (day, other) = (build(&Arc::default(), &some_rows()), build(&Arc::default(), &some_rows()[1..]));
        let mixed = parquet::encode(&day, &encode_digest(&other)).unwrap();
        assert!(read(mixed, &Arc::default(), &MembershipCache::default()).is_err());
    }

    #[rstest]
    #[case::more_people_than_rows(|stored: &mut StoredDepartment| stored.identified = usize::MAX)]
    #[case::more_rows_than_can_be(|stored: &mut StoredDepartment| stored.sums.users = u64::MAX)]
    #[case::a_flag_on_more_rows_than_there_are(|stored: &mut StoredDepartment| stored.sums.flags = [u64::MAX; Flag::COUNT])]
    fn a_digest_with_impossible_counts_is_rejected(#[case] change: fn(&mut StoredDepartment)) {
        let day = build(&Arc::default(), &some_rows());
        let mut stored = StoredDigest::read(&encode_digest(&day)).unwrap();
        let (name, path) = (Arc::from("x"), Arc::from("x"));
        let mut department = StoredDepartment {
            name,
            path,
            sums: RowSums::default(),
            identified: 0,
            members_hash: MembershipHash::default(),
        };
        change(&mut department);
        stored.departments.push(department);
        let file = parquet::encode(&day, &stored.write().unwrap()).unwrap();
        let error = read(file, &Arc::default(), &MembershipCache::default()).unwrap_err();
        assert!(error.to_string().contains("of other rows"), "{error}");
    }

    #[rstest]
    #[case::layout(0)]
    #[case::definitions(1)]
    fn a_digest_of_an_earlier_version_is_invalid(#[case] at: usize) {
        let day = build(&Arc::default(), &some_rows());
        let mut stored = encode_digest(&day);
        stored[at] -= 1;
        let file = parquet::encode(&day, &stored).unwrap();
        let error = read(file, &Arc::default(), &MembershipCache::default()).unwrap_err();
        assert_eq!(error, ParquetReadError::EarlierDigest);
    }

    #[test]
    fn a_digest_of_a_newer_version_is_reported_as_too_new() {
        let day = build(&Arc::default(), &some_rows());
        let mut stored = encode_digest(&day);
        stored[0] = LAYOUT_VERSION + 1;
        let later = parquet::encode(&day, &stored).unwrap();
        assert!(matches!(
            read(later, &Arc::default(), &MembershipCache::default()),
            Err(ParquetReadError::TooNew { .. })
        ));
    }
}
