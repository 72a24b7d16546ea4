//! The digest of one day.

use std::{collections::BTreeMap, sync::Arc};

use fixedbitset::FixedBitSet;
use jiff::Timestamp;

use crate::{
    model::DayKey,
    report::{
        counted_flags,
        day_figures::{DayFigures, DayFiguresBuilder, PersonSet, RowSums},
        department_members::{DepartmentMember, DepartmentMembers},
    },
    table::{
        DayMetadata, DayTable, Dictionary, FetchQuality, Flag, RowSelector, day_table::ContentHash, profile::Profile,
    },
};

/// The digest of a day.
#[derive(Debug)]
pub struct DayDigest {
    pub(super) key: DayKey,
    pub(super) fetched_at: Timestamp,
    pub(super) hash: ContentHash,
    pub(super) quality: FetchQuality,
    pub(super) dictionary: Arc<Dictionary>,
    pub(super) figures: Arc<DayFigures>,
    pub(super) departments: Box<[DepartmentDigest]>,
    pub(super) bytes: usize,
}

/// The rows of one department, without its sub-departments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepartmentDigest {
    /// The department's index.
    pub department: u32,
    /// Sums of the rows.
    pub sums: RowSums,
    /// The people whose ids are present.
    pub members: Arc<DepartmentMembers>,
}

/// The rows of one department while a digest is computed.
#[derive(Default)]
struct DepartmentRows {
    sums: RowSums,
    members: Vec<DepartmentMember>,
}

impl DepartmentRows {
    fn add(&mut self, day: &DayTable, row: usize, profile: &Profile) {
        self.sums.add_row(counted_flags(day.flags()[row]), |counter| day.counter(counter).get(row));
        let register_time = profile.register_time;
        self.members.extend(profile.person.map(|person| DepartmentMember { person, register_time }));
    }
}

impl DayDigest {
    /// The digest of a day. Members that are equal in `previous` share its memory, unless it has another dictionary; the
    /// digest of the day before is the best choice.
    #[must_use]
    pub fn from_day(day: &DayTable, previous: Option<&Self>) -> Self {
        let mut figures = DayFiguresBuilder::default();
        // By department index.
        let mut by_department: Vec<DepartmentRows> = Vec::new();
        let tables = day.dictionary().read();
        by_department.resize_with(tables.departments().len(), Default::default);
        for (row, index) in day.profiles().iter().enumerate() {
            let profile = tables.profile(*index);
            by_department[profile.department as usize].add(day, row, profile);
            figures.add(profile.person, counted_flags(day.flags()[row]));
        }
        drop(tables);
        let with_rows = (0..).zip(by_department).filter(|(_, rows)| rows.sums.users > 0);
        Self::from_departments(day, figures.finish(), with_rows, previous)
    }

    /// The digest of a few rows of a day, such as those of one person.
    #[must_use]
    pub fn from_selected_rows(day: &DayTable, selector: &RowSelector<'_>) -> Self {
        let mut figures = DayFigures::default();
        let mut by_department: BTreeMap<u32, DepartmentRows> = BTreeMap::new();
        for row in selector.rows(day) {
            let profile = selector.profile_of(day, row);
            by_department.entry(profile.department).or_default().add(day, row, profile);
            figures.add_person(profile.person, counted_flags(day.flags()[row]));
        }
        Self::from_departments(day, figures, by_department.into_iter(), None)
    }

    fn from_departments(
        day: &DayTable,
        mut figures: DayFigures,
        departments: impl Iterator<Item = (u32, DepartmentRows)>,
        previous: Option<&Self>,
    ) -> Self {
        let previous = previous.filter(|previous| Arc::ptr_eq(&previous.dictionary, day.dictionary()));
        let digest = |(department, DepartmentRows { sums, members })| {
            let before = previous.and_then(|previous| previous.department(department)).map(|before| &before.members);
            DepartmentDigest { department, sums, members: DepartmentMembers::new(members).shared_with(before) }
        };
        let departments: Box<[DepartmentDigest]> = departments.map(digest).collect();
        for department in &departments {
            figures.sums.add(&department.sums);
        }
        Self {
            key: day.key().clone(),
            fetched_at: day.fetched_at(),
            hash: *day.hash(),
            quality: day.quality(),
            dictionary: Arc::clone(day.dictionary()),
            bytes: size_in_memory(&figures, &departments),
            figures: Arc::new(figures),
            departments,
        }
    }

    /// The dictionary that the indices refer to.
    #[must_use]
    pub const fn dictionary(&self) -> &Arc<Dictionary> {
        &self.dictionary
    }

    /// The figures of all rows.
    #[must_use]
    pub const fn figures(&self) -> &Arc<DayFigures> {
        &self.figures
    }

    /// The sums of the rows of these departments, or of all rows if `None`.
    #[must_use]
    pub fn sums_of(&self, departments: Option<&FixedBitSet>) -> RowSums {
        let Some(departments) = departments else { return self.figures.sums };
        let mut sums = RowSums::default();
        for department in self.selected(departments) {
            sums.add(&department.sums);
        }
        sums
    }

    /// Whether a row of these departments, or any row if `None`, lacks the person's id.
    #[must_use]
    pub fn has_unidentified(&self, departments: Option<&FixedBitSet>) -> bool {
        let any_of = |departments| {
            self.selected(departments).any(|department| department.sums.users > department.members.len() as u64)
        };
        self.figures.present.unidentified > 0 && departments.is_none_or(any_of)
    }

    /// Whether all rows are in these departments.
    #[must_use]
    pub fn is_within(&self, departments: &FixedBitSet) -> bool {
        self.departments.iter().all(|own| departments.contains(own.department as usize))
    }

    /// The departments that have their own rows, sorted by index.
    #[must_use]
    pub const fn departments(&self) -> &[DepartmentDigest] {
        &self.departments
    }

    /// Size in memory in bytes. Members shared with the previous digest at construction are counted there.
    #[must_use]
    pub const fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// The digests of those of these departments that have their own rows.
    fn selected(&self, departments: &FixedBitSet) -> impl Iterator<Item = &DepartmentDigest> {
        departments.ones().filter_map(|index| self.department(u32::try_from(index).ok()?))
    }

    /// The digest of the department with this index, if it has its own rows.
    #[must_use]
    pub fn department(&self, index: u32) -> Option<&DepartmentDigest> {
        // On most days every department has rows, so its position equals its index.
        let expected = self.departments.get(index as usize).filter(|digest| digest.department == index);
        expected.or_else(|| {
            let position = self.departments.binary_search_by_key(&index, |digest| digest.department);
            position.ok().map(|position| &self.departments[position])
        })
    }
}

impl DayMetadata for DayDigest {
    fn key(&self) -> &DayKey {
        &self.key
    }

    fn fetched_at(&self) -> Timestamp {
        self.fetched_at
    }

    fn row_count(&self) -> usize {
        usize::try_from(self.figures.sums.users).unwrap_or(usize::MAX)
    }

    fn quality(&self) -> FetchQuality {
        self.quality
    }

    fn hash(&self) -> &ContentHash {
        &self.hash
    }
}

/// The digests of each date, in all their geos. The digests must be sorted by day.
pub fn by_date<D: AsRef<DayDigest>>(days: &[D]) -> impl DoubleEndedIterator<Item = &[D]> {
    days.chunk_by(|one, other| one.as_ref().key.day == other.as_ref().key.day)
}

/// Whether upstream sends rows for people who were not active. Without such rows, the end of a row does not mean that a
/// person has left.
#[must_use]
pub fn has_inactive_rows(days: &[Arc<DayDigest>]) -> bool {
    days.iter().any(|day| day.figures.sums.rows_with(Flag::Active) < day.figures.sums.users)
}

/// The size of a digest in memory in bytes, without members that are shared with other digests.
pub(super) fn size_in_memory(figures: &DayFigures, departments: &[DepartmentDigest]) -> usize {
    let own = departments.iter().filter(|department| Arc::strong_count(&department.members) == 1);
    let members = own.map(|department| department.members.heap_bytes()).sum::<usize>();
    let sets: usize = Flag::ALL
        .into_iter()
        .map(|flag| figures.people_with(flag))
        .chain([&figures.present])
        .map(PersonSet::heap_bytes)
        .sum();
    size_of::<DayDigest>() + size_of::<DayFigures>() + sets + size_of_val(departments) + members
}
