//! The department of each person over several days, and the people who changed departments.
//!
//! The days of all people are counted in bit slices. When a person changes departments, the numbers so far are read, so
//! that the days in each department are differences of two numbers.

use std::{collections::BTreeMap, sync::Arc};

use fixedbitset::FixedBitSet;
use rayon::iter::{IndexedParallelIterator as _, IntoParallelIterator as _, ParallelIterator as _};

use super::{
    day_counts::{DayCounter, SETS_PER_STEP, in_any},
    department_members::MembershipChanges,
    department_tree::DepartmentTree,
    digest::{DayDigest, by_date},
    people_by_date::{PeopleByDate, PeopleOfDate},
    people_view::{LANES, PeopleView, Words, words_from},
};
use crate::{
    model::Geo,
    table::{DayMetadata as _, Flag, PersonIndex},
};

/// The departments of each person.
#[derive(Debug)]
pub struct PrimaryDepartments {
    /// The first department, by person index.
    by_person: Vec<u32>,
    /// People with several departments.
    transferred: FixedBitSet,
    /// People with rows in several geos. They can be in two departments on one day.
    in_several_geos: FixedBitSet,
    /// The changes of department of people with rows in one geo, by person, then date.
    transfers: Vec<Transfer>,
}

/// A change of department.
#[derive(Clone, Copy, Debug)]
struct Transfer {
    person: PersonIndex,
    /// The position of the date on which the person is in the new department.
    date: usize,
    department: u32,
}

/// A condition on the rows of a person over several days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Criterion {
    /// The flag that rows must have; `None`: any row.
    pub flag: Option<Flag>,
    /// On how many days there must be such a row; at least 1.
    pub days: usize,
}

/// Number of days by flag, by [`Flag::index`]; last, the number of days with a row.
type DaysByFlag = [u32; Flag::COUNT + 1];

/// The rows of one transferred person.
#[derive(Clone, Debug, Default)]
struct TransferredPerson {
    /// Days on which the person was in one department, by department.
    days_by_department: Vec<(u32, DaysByFlag)>,
    /// Days on which the person was in several departments, in different geos: each with its flags as bits.
    split_days: Vec<Vec<(u32, u16)>>,
    /// The rows of the day that is being read.
    today: Vec<(u32, u16)>,
}

/// The people of each date, by flag as in [`DaysByFlag`].
type SetsByFlag<'a> = [Vec<PeopleView<'a>>; Flag::COUNT + 1];

/// The days of the people of some words.
struct DaysOfWords<'a, const N: usize> {
    /// The first person of the words.
    first: usize,
    /// The changes of department of these people, by person, then date.
    transfers: &'a [Transfer],
    /// The positions of the transfers, by date.
    by_date: Vec<usize>,
    /// The people who meet each of the criteria.
    meeting: [Words; N],
    /// The numbers of days at each transfer, before it, in the order of the transfers.
    at_transfers: Vec<DaysByFlag>,
    /// The numbers of days in the end, of each person with a transfer.
    in_the_end: Vec<(PersonIndex, DaysByFlag)>,
}

/// Numbers of people who meet each of the criteria.
struct PeopleCounts<const N: usize> {
    /// By department index: people who have been in this department only.
    by_department: Vec<[u64; N]>,
    /// By node: people with several departments.
    by_node: Vec<[u64; N]>,
}

/// Marks people without a row.
const NO_DEPARTMENT: u32 = u32::MAX;

/// Number of people of the words that are processed together.
const PEOPLE_PER_STEP: usize = LANES * usize::BITS as usize;

/// Number of people whose words of one flag are copied together. Eight adjacent cache lines of a bitmap are read in hardly more time
/// than one, and the copy of a year takes 187 KB, which fits into the second-level cache.
const PEOPLE_PER_BLOCK: usize = 8 * PEOPLE_PER_STEP;

/// Smallest number of blocks of a thread: each thread has counts of its own, which are added up in the end.
const MIN_BLOCKS_PER_THREAD: usize = 2;

impl PrimaryDepartments {
    /// Assigns the people of these days, which are sorted by day.
    #[must_use]
    pub fn from_days(days: &[Arc<DayDigest>]) -> Self {
        let people = days.iter().map(|digest| digest.figures().present.identified.len()).max().unwrap_or(0);
        let mut departments = Self {
            by_person: vec![NO_DEPARTMENT; people],
            transferred: FixedBitSet::with_capacity(people),
            in_several_geos: people_in_several_geos(days),
            transfers: Vec::new(),
        };
        let mut latest = departments.by_person.clone();
        let mut changes: BTreeMap<Geo, MembershipChanges<'_>> = BTreeMap::new();
        for (date, geos) in by_date(days).enumerate() {
            for digest in geos {
                let changes = changes.entry(digest.key().geo).or_default();
                changes.next_day();
                for department in digest.departments() {
                    changes.for_each_new(department.department, &department.members, |person| {
                        departments.assign(person, department.department, date, &mut latest);
                    });
                }
            }
        }
        departments.transfers.retain(|transfer| !departments.in_several_geos.contains(transfer.person as usize));
        departments.transfers.sort_by_key(|transfer| transfer.person);
        departments
    }

    fn assign(&mut self, person: PersonIndex, department: u32, date: usize, latest: &mut [u32]) {
        let index = person as usize;
        if latest[index] == department {
            return;
        }
        if latest[index] == NO_DEPARTMENT {
            self.by_person[index] = department;
        } else {
            self.transferred.insert(index);
            self.transfers.push(Transfer { person, date, department });
        }
        latest[index] = department;
    }

    /// Distinct people who meet each of the criteria, for every node of `tree`, by their rows in the departments of the node.
    /// People without an id are not counted. The digests must be sorted by day.
    #[must_use]
    pub fn counts<const N: usize>(
        &self,
        days: &[Arc<DayDigest>],
        tree: &DepartmentTree,
        criteria: [Criterion; N],
    ) -> Vec<[u64; N]> {
        let everyone = PeopleByDate::new(days, None);
        let sets: SetsByFlag<'_> = std::array::from_fn(|set| {
            let of_date =
                |date| if set == Flag::COUNT { PeopleOfDate::with_row(date) } else { date.with_flag(Flag::ALL[set]) };
            everyone.dates().iter().map(of_date).collect()
        });
        let last = self.by_person.iter().filter(|department| **department != NO_DEPARTMENT).max();
        let departments = last.map_or(0, |last| *last as usize + 1);
        let no_one = || PeopleCounts { by_department: vec![[0; N]; departments], by_node: vec![[0; N]; tree.len()] };
        let blocks = 0..self.by_person.len().div_ceil(PEOPLE_PER_BLOCK);
        let counted = blocks.into_par_iter().with_min_len(MIN_BLOCKS_PER_THREAD).fold(no_one, |mut counts, block| {
            self.count_block(block * PEOPLE_PER_BLOCK, &sets, tree, criteria, &mut counts);
            counts
        });
        let PeopleCounts { by_department, by_node: mut counts } = counted.reduce(no_one, PeopleCounts::merge);
        for (department, own) in (0..).zip(by_department) {
            for node in tree.self_and_ancestors(department) {
                add(&mut counts[node], own);
            }
        }
        for person in self.transferred_in_several_geos(days) {
            person.add_to(&mut counts, tree, criteria);
        }
        counts
    }

    /// Adds the people of the block that begins with the person `first`.
    fn count_block<const N: usize>(
        &self,
        first: usize,
        sets: &SetsByFlag<'_>,
        tree: &DepartmentTree,
        criteria: [Criterion; N],
        counts: &mut PeopleCounts<N>,
    ) {
        let steps = (first..self.by_person.len().min(first + PEOPLE_PER_BLOCK)).step_by(PEOPLE_PER_STEP);
        let mut steps: Vec<DaysOfWords<'_, N>> =
            steps.map(|first| DaysOfWords::new(first, self.transfers_of(first))).collect();
        let mut words: Vec<Words> = Vec::new();
        for (set, dates) in sets.iter().enumerate() {
            words.clear();
            words.resize(steps.len() * dates.len(), [0; LANES]);
            for (date, people) in dates.iter().enumerate() {
                for (step, days) in steps.iter().enumerate() {
                    words[step * dates.len() + date] = people.words(days.first / usize::BITS as usize);
                }
            }
            for (days, words) in steps.iter_mut().zip(words.chunks(dates.len().max(1))) {
                days.count(set, words, criteria);
            }
        }
        for days in &steps {
            let transferred = words_from(self.transferred.as_slice(), days.first / usize::BITS as usize);
            for (i, meeting) in days.meeting.iter().enumerate() {
                let stayed = std::array::from_fn(|word| meeting[word] & !transferred[word]);
                for position in ones(&stayed) {
                    counts.by_department[self.by_person[days.first + position] as usize][i] += 1;
                }
            }
            for person in self.stays(days) {
                person.add_to(&mut counts.by_node, tree, criteria);
            }
        }
    }

    /// The transfers of the people of the words that begin with the person `first`.
    fn transfers_of(&self, first: usize) -> &[Transfer] {
        let before = |end: usize| self.transfers.partition_point(|transfer| (transfer.person as usize) < end);
        &self.transfers[before(first)..before(first + PEOPLE_PER_STEP)]
    }

    /// The days of the people with a transfer in each of their departments.
    fn stays<const N: usize>(&self, days: &DaysOfWords<'_, N>) -> impl Iterator<Item = TransferredPerson> {
        let mut at_transfers = &*days.at_transfers;
        let of_people = days.transfers.chunk_by(|one, other| one.person == other.person);
        of_people.zip(&days.in_the_end).map(move |(transfers, (person, in_the_end))| {
            let (ends, later) = at_transfers.split_at(transfers.len());
            at_transfers = later;
            let mut stays = TransferredPerson::default();
            let mut before = &DaysByFlag::default();
            let first = self.by_person[*person as usize];
            let departments = std::iter::once(first).chain(transfers.iter().map(|transfer| transfer.department));
            for (department, end) in departments.zip(ends.iter().chain([in_the_end])) {
                for ((days, end), before) in stays.days_in(department).iter_mut().zip(end).zip(before) {
                    *days += end - before;
                }
                before = end;
            }
            stays
        })
    }

    /// The rows of each person with several departments and with rows in several geos.
    fn transferred_in_several_geos(&self, days: &[Arc<DayDigest>]) -> Vec<TransferredPerson> {
        let both = self.transferred.intersection(&self.in_several_geos);
        let transferred: Vec<PersonIndex> = both.filter_map(|person| PersonIndex::try_from(person).ok()).collect();
        let mut people = vec![TransferredPerson::default(); transferred.len()];
        if transferred.is_empty() {
            return people;
        }
        for geos in by_date(days) {
            for digest in geos {
                for department in digest.departments() {
                    for person in department.members.people() {
                        let Ok(position) = transferred.binary_search(person) else { continue };
                        let bits = digest.figures().flag_bits(*person);
                        merge_flags(&mut people[position].today, department.department, bits);
                    }
                }
            }
            people.iter_mut().for_each(TransferredPerson::end_day);
        }
        people
    }
}

impl<'a, const N: usize> DaysOfWords<'a, N> {
    /// No days yet of the people of the words that begin with the person `first`.
    fn new(first: usize, transfers: &'a [Transfer]) -> Self {
        let mut by_date: Vec<usize> = (0..transfers.len()).collect();
        by_date.sort_by_key(|transfer| transfers[*transfer].date);
        let people = transfers.chunk_by(|one, other| one.person == other.person);
        Self {
            first,
            transfers,
            by_date,
            meeting: [[0; LANES]; N],
            at_transfers: vec![DaysByFlag::default(); transfers.len()],
            in_the_end: people.map(|of_person| (of_person[0].person, DaysByFlag::default())).collect(),
        }
    }

    /// Counts the days of the set with this position in [`DaysByFlag`]. `dates` are the words of the people on each date.
    fn count(&mut self, set: usize, dates: &[Words], criteria: [Criterion; N]) {
        let mut counter = DayCounter::new(dates.len());
        let mut next_date = 0;
        for transfer in &self.by_date {
            let Transfer { person, date, .. } = self.transfers[*transfer];
            let position = person as usize - self.first;
            // Few days at a time are slow to add for everyone, so the last days before the transfer are looked up.
            let added = date - date % SETS_PER_STEP;
            counter.add(&dates[next_date..added], |words| *words);
            next_date = added;
            let looked_up = dates[added..date].iter().map(|words| u32::from(is_set(words, position))).sum::<u32>();
            self.at_transfers[*transfer][set] = counter.count_of(position) + looked_up;
        }
        counter.add(&dates[next_date..], |words| *words);
        for (person, days) in &mut self.in_the_end {
            days[set] = counter.count_of(*person as usize - self.first);
        }
        for (meeting, criterion) in self.meeting.iter_mut().zip(criteria) {
            if criterion.set() == set {
                *meeting = counter.at_least(criterion.days);
            }
        }
    }
}

impl<const N: usize> PeopleCounts<N> {
    fn merge(mut self, other: Self) -> Self {
        for (counts, other) in [(&mut self.by_department, other.by_department), (&mut self.by_node, other.by_node)] {
            for (counts, other) in counts.iter_mut().zip(other) {
                add(counts, other);
            }
        }
        self
    }
}

impl Criterion {
    /// People with the flag on any day.
    #[must_use]
    pub const fn any_day(flag: Flag) -> Self {
        Self { flag: Some(flag), days: 1 }
    }

    /// The index in [`DaysByFlag`].
    fn set(self) -> usize {
        self.flag.map_or(Flag::COUNT, Flag::index)
    }

    fn is_met_by(self, days: &DaysByFlag) -> bool {
        days[self.set()] as usize >= self.days
    }
}

/// Whether the bit at a position is set.
fn is_set(words: &Words, position: usize) -> bool {
    words[position / usize::BITS as usize] >> (position % usize::BITS as usize) & 1 == 1
}

/// The positions of the bits that are set.
fn ones(words: &Words) -> impl Iterator<Item = usize> {
    words.iter().enumerate().flat_map(|(index, word)| {
        std::iter::successors(Some(*word).filter(|word| *word > 0), |word| {
            Some(word & (word - 1)).filter(|word| *word > 0)
        })
        .map(move |word| index * usize::BITS as usize + word.trailing_zeros() as usize)
    })
}

/// People with rows in several geos, on any of the days.
fn people_in_several_geos(days: &[Arc<DayDigest>]) -> FixedBitSet {
    let mut geos: BTreeMap<Geo, Vec<PeopleView<'_>>> = BTreeMap::new();
    for digest in days {
        geos.entry(digest.key().geo).or_default().push(PeopleView::from(&digest.figures().present));
    }
    if geos.len() < 2 {
        return FixedBitSet::new();
    }
    let (mut seen, mut in_several) = (FixedBitSet::new(), FixedBitSet::new());
    for people in geos.values().map(|sets| in_any(sets)) {
        let mut again = seen.clone();
        again.intersect_with(&people);
        in_several.union_with(&again);
        seen.union_with(&people);
    }
    in_several
}

impl TransferredPerson {
    /// Adds the rows of the day that was read.
    fn end_day(&mut self) {
        match self.today[..] {
            [] => {}
            [(department, bits)] => {
                add_day(self.days_in(department), bits);
                self.today.clear();
            }
            _ => self.split_days.push(std::mem::take(&mut self.today)),
        }
    }

    /// The days in a department.
    fn days_in(&mut self, department: u32) -> &mut DaysByFlag {
        let position = self.days_by_department.iter().position(|(known, _)| *known == department);
        let position = position.unwrap_or_else(|| {
            self.days_by_department.push((department, DaysByFlag::default()));
            self.days_by_department.len() - 1
        });
        &mut self.days_by_department[position].1
    }

    /// Adds the person to the counts of each node at which the person meets the criteria.
    fn add_to<const N: usize>(&self, counts: &mut [[u64; N]], tree: &DepartmentTree, criteria: [Criterion; N]) {
        for (node, days) in self.days_by_node(tree) {
            add(&mut counts[node], criteria.map(|criterion| u64::from(criterion.is_met_by(&days))));
        }
    }

    /// The days at each node that contains one of the departments.
    fn days_by_node(&self, tree: &DepartmentTree) -> Vec<(usize, DaysByFlag)> {
        let mut nodes: Vec<(usize, DaysByFlag)> = Vec::new();
        for (department, days) in &self.days_by_department {
            nodes.extend(tree.self_and_ancestors(*department).map(|node| (node, *days)));
        }
        for day in &self.split_days {
            for (node, bits) in flags_by_node(day, tree) {
                let mut days = DaysByFlag::default();
                add_day(&mut days, bits);
                nodes.push((node, days));
            }
        }
        nodes.sort_unstable_by_key(|(node, _)| *node);
        nodes.dedup_by(|(node, days), (known, sum)| {
            let is_same = node == known;
            if is_same {
                sum.iter_mut().zip(days).for_each(|(sum, days)| *sum += *days);
            }
            is_same
        });
        nodes
    }
}

/// Counts one day with a row that has these flags.
fn add_day(days: &mut DaysByFlag, bits: u16) {
    for (flag, days) in days.iter_mut().enumerate() {
        *days += u32::from(flag == Flag::COUNT || bits >> flag & 1 == 1);
    }
}

fn merge_flags(departments: &mut Vec<(u32, u16)>, department: u32, flags: u16) {
    match departments.iter_mut().find(|(known, _)| *known == department) {
        Some((_, bits)) => *bits |= flags,
        None => departments.push((department, flags)),
    }
}

/// All nodes that contain these departments, each with the union of the flags.
fn flags_by_node(departments: &[(u32, u16)], tree: &DepartmentTree) -> BTreeMap<usize, u16> {
    let mut nodes: BTreeMap<usize, u16> = BTreeMap::new();
    for (department, flags) in departments {
        for node in tree.self_and_ancestors(*department) {
            *nodes.entry(node).or_default() |= flags;
        }
    }
    nodes
}

fn add<const N: usize>(counts: &mut [u64; N], more: [u64; N]) {
    for (count, more) in counts.iter_mut().zip(more) {
        *count += more;
    }
}
