//! A digest as it is stored beside the rows of its day: everything but who the people are.
//!
//! Rows of a file stand by department, so a department's people are a run of rows, and the file's own column of ids says
//! who they are. A run is known by a hash of its ids: most days it is the day before's, and then nobody looks.
//!
//! ```text
//! version (1 byte)  zstd with a checksum ( postcard ( origin, a department each: its sums and its run, flags by row ) )
//! ```

use std::{io, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Digest, Part, bytes, crews::Crews};
use crate::{
    report::{
        crew::Member,
        figures::{Figures, Sums},
    },
    table::{
        Department, Directory, Flags, Partition,
        parquet::{Label, Opened, People, Unreadable, file_order},
        partition::ContentHash,
    },
};

/// The version of the layout. It rises with every change of it: a digest of another version is made anew from the rows.
const VERSION: u8 = 1;

/// No digest is nearly as large; what claims to be is nonsense.
const LARGEST: u64 = 256 << 20;

/// A digest as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    key: String,
    fetched_at: Timestamp,
    hash: ContentHash,
    doubtful: bool,
    departments: Vec<StoredPart>,
    /// Of every row, in the order of the file: [`Flags::bits`].
    flags: Vec<u16>,
}

/// A department. Those of the rows come in the order of the file.
#[derive(Debug, Serialize, Deserialize)]
struct StoredPart {
    name: Arc<str>,
    path: Arc<str>,
    sums: Sums,
    /// How many rows say whose they are. They follow on those of the department before; rows that do not say stand last.
    known: usize,
    run: RunHash,
}

/// The hash of the ids in a run of rows, and of when each account was activated.
pub(super) type RunHash = [u8; 16];

/// The digest of a day, as it is stored in its file.
#[must_use]
pub fn store(day: &Partition) -> Vec<u8> {
    let tables = day.directory().read();
    let mut departments: Vec<(u32, StoredPart, Sha256)> = Vec::new();
    let mut flags = Vec::with_capacity(day.rows());
    for row in file_order(day, &tables) {
        let profile = tables.profile(day.profiles()[row]);
        // Nearly always the last: only rows without an id stand apart from their department.
        let place = departments.iter().rposition(|(number, ..)| *number == profile.department);
        let place = place.unwrap_or_else(|| {
            let Department { name, path } = Department::clone(tables.department(profile.department));
            let part = StoredPart { name, path, sums: Sums::default(), known: 0, run: RunHash::default() };
            departments.push((profile.department, part, Sha256::new()));
            departments.len() - 1
        });
        let (_, part, run) = &mut departments[place];
        part.sums.add_row(day.flags()[row], |counter| day.counter(counter).get(row));
        if let Some(id) = &profile.user_id {
            part.known += 1;
            add_to_run(run, id, profile.register_time);
        }
        flags.push(day.flags()[row].bits());
    }
    drop(tables);
    let departments = departments.into_iter().map(|(_, part, run)| StoredPart { run: finish_run(run), ..part });
    let stored = Stored {
        key: day.key().to_string(),
        fetched_at: day.fetched_at(),
        hash: *day.hash(),
        doubtful: day.is_doubtful(),
        departments: departments.collect(),
        flags,
    };
    stored.write().unwrap_or_default()
}

/// The digest that is stored in the file of a day. Crews that are not among those known are read from the file.
///
/// # Errors
/// [`Unreadable`] where the file has none, or one that does not hold. Its rows may be sound all the same.
pub fn restore(file: &Opened, directory: &Arc<Directory>, crews: &Crews) -> Result<Digest, Unreadable> {
    let stored = file.attachment().ok_or_else(|| Unreadable::damaged("it has no digest"))?;
    Stored::read(stored)?.digest(file, directory, crews)
}

impl Stored {
    /// Nothing is known to make this fail: it is written to memory.
    fn write(&self) -> io::Result<Vec<u8>> {
        let plain = postcard::to_stdvec(self).map_err(io::Error::other)?;
        let mut encoder = zstd::Encoder::new(vec![VERSION], zstd::DEFAULT_COMPRESSION_LEVEL)?;
        encoder.include_checksum(true)?;
        io::copy(&mut plain.as_slice(), &mut encoder)?;
        encoder.finish()
    }

    fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (version, packed) = bytes.split_first().ok_or_else(|| Unreadable::damaged("its digest is empty"))?;
        if *version != VERSION {
            return Err(Unreadable::TooNew { found: u32::from(*version) });
        }
        let mut plain = Vec::new();
        let decoder = zstd::Decoder::with_buffer(packed).map_err(Unreadable::damaged)?;
        io::copy(&mut io::Read::take(decoder, LARGEST), &mut plain).map_err(Unreadable::damaged)?;
        postcard::from_bytes(&plain).map_err(Unreadable::damaged)
    }

    fn digest(self, file: &Opened, directory: &Arc<Directory>, crews: &Crews) -> Result<Digest, Unreadable> {
        let label = file.label();
        if !self.is_of(label) || self.flags.len() != label.rows || self.rows() != Some(label.rows as u64) {
            return Err(Unreadable::damaged("its digest is of other rows"));
        }
        let mut whole = Figures::with_room_for(directory.read().people());
        let mut people: Option<People> = None;
        let mut departments = Vec::with_capacity(self.departments.len());
        let mut first = 0;
        for part in &self.departments {
            let rows = first..first + part.known;
            let met = crews.find(label.key.user_id_type, &part.run);
            let crew = if let Some(crew) = met {
                crew
            } else {
                if people.is_none() {
                    people = Some(file.people()?);
                }
                let numbers = numbers(people.as_ref(), rows.clone(), &part.run, directory)?;
                crews.add(label.key.user_id_type, part.run, numbers)
            };
            if crew.by_row.len() != part.known {
                return Err(Unreadable::damaged("its digest counts other people than it names"));
            }
            for (person, flags) in crew.by_row.iter().zip(&self.flags[rows.clone()]) {
                whole.add_person(Some(*person), Flags::from_bits(*flags));
            }
            whole.sums.add(&part.sums);
            let department = Department { name: Arc::clone(&part.name), path: Arc::clone(&part.path) };
            let department = directory.number_department(&department);
            departments.push(Part { department, sums: part.sums, crew: Arc::clone(&crew.sorted) });
            first = rows.end;
        }
        for flags in &self.flags[first..] {
            whole.add_person(None, Flags::from_bits(*flags));
        }
        departments.sort_unstable_by_key(|part| part.department);
        let departments = departments.into_boxed_slice();
        Ok(Digest {
            key: label.key.clone(),
            fetched_at: label.fetched_at,
            hash: label.hash,
            doubtful: label.doubtful,
            directory: Arc::clone(directory),
            bytes: bytes(&whole, &departments),
            whole: Arc::new(whole),
            departments,
        })
    }

    /// How many rows its departments count; `None` where one counts more of some than it has.
    fn rows(&self) -> Option<u64> {
        self.departments.iter().try_fold(0_u64, |rows, StoredPart { sums, known, .. }| {
            let counts = sums.flags.into_iter().chain([*known as u64]);
            rows.checked_add(sums.users).filter(|_| counts.max() <= Some(sums.users))
        })
    }

    fn is_of(&self, label: &Label) -> bool {
        self.key == label.key.to_string()
            && self.fetched_at == label.fetched_at
            && self.hash == label.hash
            && self.doubtful == label.doubtful
    }
}

/// The people in a run of rows, which are held against its hash.
fn numbers(
    people: Option<&People>,
    rows: std::ops::Range<usize>,
    run: &RunHash,
    directory: &Directory,
) -> Result<Vec<Member>, Unreadable> {
    let missing = || Unreadable::damaged("its digest names people whom its rows do not");
    let people: Option<Vec<_>> = rows.map(|row| people?.of(row)).collect();
    let people = people.ok_or_else(missing)?;
    let mut hash = Sha256::new();
    for (id, registered) in &people {
        add_to_run(&mut hash, id, *registered);
    }
    if finish_run(hash) != *run {
        return Err(missing());
    }
    let numbers = directory.number_people(people.iter().map(|(id, _)| *id));
    Ok(numbers.into_iter().zip(people.into_iter().map(|(_, registered)| registered)).collect())
}

fn add_to_run(run: &mut Sha256, id: &str, registered: Option<Timestamp>) {
    run.update((id.len() as u64).to_le_bytes());
    run.update(id);
    run.update(registered.map_or(i64::MIN, Timestamp::as_second).to_le_bytes());
}

fn finish_run(run: Sha256) -> RunHash {
    let hash = run.finalize();
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
        model::{Day, DayKey, Geo, Scope, UserIdType},
        report::People as Set,
        table::{Counter, Flag, Origin as _, PartitionBuilder, PersonNo, Row, parquet},
    };

    fn key() -> DayKey {
        let day = Day::new(2026, 11, 1).unwrap();
        DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: Scope::Everyone, day }
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

    /// Rows of which no two are about the same person: of a row that is replaced, a directory remembers more than the day.
    fn rows() -> impl Strategy<Value = Vec<Row>> {
        proptest::collection::vec(row(), 0..30).prop_map(|mut rows| {
            let mut seen = std::collections::HashSet::new();
            rows.retain(|row| row.user_id.is_none() || seen.insert(row.user_id.clone()));
            rows
        })
    }

    fn build(directory: &Arc<Directory>, rows: &[Row]) -> Partition {
        let mut builder = PartitionBuilder::new(key(), Arc::clone(directory));
        for row in rows {
            builder.push(row);
        }
        builder.finish("2026-11-02T10:00:00Z".parse().unwrap())
    }

    fn file(day: &Partition) -> Vec<u8> {
        parquet::encode(day, &store(day)).unwrap()
    }

    fn read(file: Vec<u8>, directory: &Arc<Directory>, crews: &Crews) -> Result<Digest, Unreadable> {
        restore(&Opened::new(Bytes::from(file), &key())?, directory, crews)
    }

    /// The ids of a set, and how many have none.
    fn ids(people: &Set, directory: &Directory) -> (Vec<String>, u64) {
        let tables = directory.read();
        let id = |person: usize| tables.user_id(PersonNo::try_from(person).unwrap()).to_string();
        let mut ids: Vec<String> = people.known.ones().map(id).collect();
        ids.sort_unstable();
        (ids, people.unknown)
    }

    /// All that a digest says, in words instead of numbers.
    fn told(digest: &Digest) -> impl PartialEq + std::fmt::Debug + use<> {
        let directory = digest.directory();
        let sets = Flag::ALL.map(|flag| ids(digest.whole().people(flag), directory));
        let tables = directory.read();
        let mut departments: Vec<_> = digest
            .departments()
            .iter()
            .map(|part| {
                let id = |person: PersonNo| tables.user_id(person).to_string();
                let mut crew: Vec<_> = part.crew.people().iter().map(|person| id(*person)).collect();
                crew.sort_unstable();
                let activated: BTreeMap<_, _> =
                    part.crew.activations().map(|(person, time)| (id(person), time)).collect();
                (tables.department(part.department).path.to_string(), part.sums, crew, activated)
            })
            .collect();
        departments.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let origin = (digest.key().clone(), digest.fetched_at(), digest.rows(), *digest.hash(), digest.is_doubtful());
        (origin, digest.whole().sums, ids(&digest.whole().present, directory), sets, departments)
    }

    proptest! {
        #[test]
        fn what_is_restored_says_what_the_rows_say(
            first in rows(), second in rows(),
        ) {
            let (fetched, restarted, crews) = (Arc::<Directory>::default(), Arc::<Directory>::default(), Crews::default());
            // The second day meets some of the first day's people, and maybe their crews.
            for rows in [&first, &second, &first] {
                let day = build(&fetched, rows);
                let restored = read(file(&day), &restarted, &crews).unwrap();
                prop_assert_eq!(told(&restored), told(&Digest::of(&day, None)));
            }
        }
    }

    fn some_rows() -> Vec<Row> {
        let row = |number: u32| Row { user_id: Some(format!("ou_{number:032x}")), ..Row::default() };
        (0..200).map(row).collect()
    }

    #[test]
    fn a_flipped_byte_never_gives_a_different_digest() {
        let directory = Arc::<Directory>::default();
        let day = build(&directory, &some_rows());
        let (sound, truth) = (file(&day), told(&Digest::of(&day, None)));
        let mut refused = 0;
        for at in (0..sound.len()).step_by(7) {
            let mut flipped = sound.clone();
            flipped[at] ^= 0x40;
            // The reader may panic on nonsense; the archive reads behind a task boundary.
            let back = std::panic::catch_unwind(|| read(flipped, &Arc::default(), &Crews::default()));
            match back {
                Ok(Ok(digest)) => assert_eq!(told(&digest), truth, "flipped at {at}"),
                _ => refused += 1,
            }
        }
        assert!(refused > 0);
    }

    #[test]
    fn the_digest_of_another_file_is_refused() {
        let (day, other) = (build(&Arc::default(), &some_rows()), build(&Arc::default(), &some_rows()[1..]));
        let mixed = parquet::encode(&day, &store(&other)).unwrap();
        assert!(read(mixed, &Arc::default(), &Crews::default()).is_err());
    }

    #[rstest]
    #[case::more_people_than_rows(|part: &mut StoredPart| part.known = usize::MAX)]
    #[case::more_rows_than_can_be(|part: &mut StoredPart| part.sums.users = u64::MAX)]
    #[case::a_flag_on_more_rows_than_there_are(|part: &mut StoredPart| part.sums.flags = [u64::MAX; Flag::COUNT])]
    fn a_digest_that_counts_more_than_it_has_is_refused(#[case] change: fn(&mut StoredPart)) {
        let day = build(&Arc::default(), &some_rows());
        let mut stored = Stored::read(&store(&day)).unwrap();
        let (name, path) = (Arc::from("x"), Arc::from("x"));
        let mut part = StoredPart { name, path, sums: Sums::default(), known: 0, run: RunHash::default() };
        change(&mut part);
        stored.departments.push(part);
        let file = parquet::encode(&day, &stored.write().unwrap()).unwrap();
        let refused = read(file, &Arc::default(), &Crews::default()).unwrap_err();
        assert!(refused.to_string().contains("of other rows"), "{refused}");
    }

    #[test]
    fn a_digest_of_another_version_is_told_from_a_damaged_one() {
        let day = build(&Arc::default(), &some_rows());
        let mut stored = store(&day);
        stored[0] = VERSION + 1;
        let later = parquet::encode(&day, &stored).unwrap();
        assert!(matches!(read(later, &Arc::default(), &Crews::default()), Err(Unreadable::TooNew { .. })));
    }
}
