//! The digest of a day: what most reports need of it, made once, a few bytes a person, and held when the rows are not.
//!
//! ```text
//! whole        sums, and a bitmap of people for each flag
//! departments  for each that has rows of its own: sums, and who they are (its crew)
//! ```
//!
//! Sums add up along the path of a department, since a person has one row a day and so one department. People do not:
//! who is in two departments over a week is one person. So crews are kept, and sets are made of them when asked for.

mod crews;
mod stored;

use std::sync::Arc;

use fixedbitset::FixedBitSet;
use jiff::Timestamp;

use super::{
    crew::{Crew, Member},
    figures::{Figures, People, Sums},
};
use crate::{
    model::DayKey,
    table::{Directory, Flag, Origin, Partition, PersonNo, partition::ContentHash},
};

pub use self::{
    crews::Crews,
    stored::{restore, store},
};

/// What is held of a day apart from its rows.
#[derive(Debug)]
pub struct Digest {
    key: DayKey,
    fetched_at: Timestamp,
    hash: ContentHash,
    doubtful: bool,
    directory: Arc<Directory>,
    whole: Arc<Figures>,
    departments: Box<[Part]>,
    bytes: usize,
}

/// The rows of one department, without those below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The department's number.
    pub department: u32,
    /// What adds up.
    pub sums: Sums,
    /// Who they are, as far as their ids are known.
    pub crew: Arc<Crew>,
}

/// Gives the people of a few departments small numbers of their own, so that their sets are as small as the
/// departments and not as large as the company.
#[derive(Debug)]
pub struct Narrowed {
    departments: FixedBitSet,
    /// By person number; [`Self::UNSEEN`] until met.
    numbers: Vec<PersonNo>,
    next: PersonNo,
}

impl Digest {
    /// The digest of a day. Crews that equal those of `neighbour`, best the day before, are shared with it.
    #[must_use]
    pub fn of(day: &Partition, neighbour: Option<&Self>) -> Self {
        let mut whole = Figures::default();
        // By department number.
        let mut parts: Vec<(Sums, Vec<Member>)> = Vec::new();
        let tables = day.directory().read();
        parts.resize_with(tables.departments().len(), Default::default);
        for (row, number) in day.profiles().iter().enumerate() {
            let profile = tables.profile(*number);
            let flags = day.flags()[row];
            let (sums, crew) = &mut parts[profile.department as usize];
            sums.add_row(flags, |counter| day.counter(counter).get(row));
            crew.extend(profile.person.map(|person| (person, profile.register_time)));
            whole.add_person(profile.person, flags);
        }
        drop(tables);
        let part = |(department, (sums, crew))| {
            let before = neighbour.and_then(|digest| digest.part(department)).map(|part| &part.crew);
            Part { department, sums, crew: Crew::of(crew).shared(before) }
        };
        let departments: Box<[Part]> = (0..).zip(parts).filter(|(_, (sums, _))| sums.users > 0).map(part).collect();
        for part in &departments {
            whole.sums.add(&part.sums);
        }
        Self {
            key: day.key().clone(),
            fetched_at: day.fetched_at(),
            hash: *day.hash(),
            doubtful: day.is_doubtful(),
            directory: Arc::clone(day.directory()),
            bytes: bytes(&whole, &departments),
            whole: Arc::new(whole),
            departments,
        }
    }

    /// The directory that its numbers are of.
    #[must_use]
    pub const fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The figures of all rows.
    #[must_use]
    pub const fn whole(&self) -> &Arc<Figures> {
        &self.whole
    }

    /// The sums of the rows of these departments; without, of all.
    #[must_use]
    pub fn sums_of(&self, departments: Option<&FixedBitSet>) -> Sums {
        let Some(departments) = departments else { return self.whole.sums };
        let mut sums = Sums::default();
        for part in self.parts(departments) {
            sums.add(&part.sums);
        }
        sums
    }

    /// Whether some rows of these departments do not say whose they are; without, some of all.
    #[must_use]
    pub fn withholds(&self, departments: Option<&FixedBitSet>) -> bool {
        let some_of = |departments| self.parts(departments).any(|part| part.sums.users > part.crew.len() as u64);
        self.whole.present.unknown > 0 && departments.is_none_or(some_of)
    }

    /// The departments that have rows of their own, by number.
    #[must_use]
    pub const fn departments(&self) -> &[Part] {
        &self.departments
    }

    /// Bytes that it takes in memory; crews that it shared with its neighbour when it was made count there.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn parts(&self, departments: &FixedBitSet) -> impl Iterator<Item = &Part> {
        departments.ones().filter_map(|number| self.part(u32::try_from(number).ok()?))
    }

    fn part(&self, department: u32) -> Option<&Part> {
        // Most days every department has rows, and stands where its number says.
        let expected = self.departments.get(department as usize).filter(|part| part.department == department);
        expected.or_else(|| {
            let at = self.departments.binary_search_by_key(&department, |part| part.department);
            at.ok().map(|at| &self.departments[at])
        })
    }
}

impl Origin for Digest {
    fn key(&self) -> &DayKey {
        &self.key
    }

    fn fetched_at(&self) -> Timestamp {
        self.fetched_at
    }

    fn rows(&self) -> usize {
        usize::try_from(self.whole.sums.users).unwrap_or(usize::MAX)
    }

    fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    fn hash(&self) -> &ContentHash {
        &self.hash
    }
}

impl Narrowed {
    const UNSEEN: PersonNo = PersonNo::MAX;

    /// For the departments with these numbers.
    #[must_use]
    pub const fn to(departments: FixedBitSet) -> Self {
        Self { departments, numbers: Vec::new(), next: 0 }
    }

    /// The figures of those departments on one day. People keep their small numbers from day to day.
    pub fn figures(&mut self, digest: &Digest) -> Figures {
        let parts: Vec<&Part> = digest.parts(&self.departments).collect();
        let most = self.next as usize + parts.iter().map(|part| part.crew.len()).sum::<usize>();
        let mut figures = Figures::with_room_for(most);
        for part in parts {
            figures.sums.add(&part.sums);
            for person in part.crew.people() {
                let number = Some(self.number(*person));
                figures.present.add(number);
                for (people, all) in figures.flags.iter_mut().zip(&digest.whole.flags) {
                    if all.has(*person) {
                        people.add(number);
                    }
                }
            }
        }
        // Whoever has a row and is in no crew is unknown.
        figures.present.unknown = figures.sums.users - figures.present.count();
        for (people, count) in figures.flags.iter_mut().zip(figures.sums.flags) {
            people.unknown = count - people.count();
        }
        figures
    }

    /// The small number of a person, where the person has been met.
    #[must_use]
    pub fn known_number(&self, person: PersonNo) -> Option<PersonNo> {
        self.numbers.get(person as usize).copied().filter(|number| *number != Self::UNSEEN)
    }

    fn number(&mut self, person: PersonNo) -> PersonNo {
        let at = person as usize;
        if self.numbers.len() <= at {
            self.numbers.resize(at + 1, Self::UNSEEN);
        }
        if self.numbers[at] == Self::UNSEEN {
            self.numbers[at] = self.next;
            self.next += 1;
        }
        self.numbers[at]
    }
}

fn bytes(whole: &Figures, departments: &[Part]) -> usize {
    let own = departments.iter().filter(|part| Arc::strong_count(&part.crew) == 1);
    let crews = own.map(|part| part.crew.bytes()).sum::<usize>();
    let sets: usize =
        Flag::ALL.into_iter().map(|flag| whole.people(flag)).chain([&whole.present]).map(People::bytes).sum();
    size_of::<Digest>() + size_of::<Figures>() + sets + size_of_val(departments) + crews
}
