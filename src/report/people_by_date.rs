//! The people of selected departments, or of everyone, on each date.

use std::{collections::BTreeMap, sync::Arc};

use fixedbitset::FixedBitSet;

use super::{
    day_figures::{DayFigures, PersonSet},
    department_members::DepartmentMembers,
    digest::DayDigest,
    people_view::PeopleView,
};
use crate::{
    model::{Day, DayRange, Geo},
    table::{DayMetadata as _, Flag},
};

/// The people of selected departments, or of everyone, by date.
///
/// Nothing is copied from the digests. A department is selected by one bitmap of its members, which the days share until
/// its members change, so counting the people of a department takes hardly more time than counting everyone.
#[derive(Debug, Default)]
pub struct PeopleByDate {
    dates: Vec<PeopleOfDate>,
}

/// The people of one date.
#[derive(Debug)]
pub struct PeopleOfDate {
    /// The date.
    pub day: Day,
    geos: Vec<PeopleOfGeo>,
}

/// The people of one date in one geo.
#[derive(Clone, Debug)]
struct PeopleOfGeo {
    geo: Geo,
    figures: Arc<DayFigures>,
    /// The members of the selected departments; `None`: everyone.
    members: Option<Arc<FixedBitSet>>,
    /// Number of selected people without an id, by [`Flag::index`]; last, with any row.
    unidentified: [u64; Flag::COUNT + 1],
}

/// The members of the selected departments, which change from day to day.
#[derive(Default)]
struct SelectedMembers<'a> {
    /// By department index.
    latest: Vec<Option<&'a Arc<DepartmentMembers>>>,
    people: Arc<FixedBitSet>,
}

impl PeopleByDate {
    /// The people of these departments, or of everyone if `None`. The digests may come in any order.
    #[must_use]
    pub fn new(days: &[Arc<DayDigest>], departments: Option<&FixedBitSet>) -> Self {
        let mut days: Vec<&Arc<DayDigest>> = days.iter().collect();
        days.sort_by_key(|digest| digest.key().day);
        let mut members: BTreeMap<Geo, SelectedMembers<'_>> = BTreeMap::new();
        let mut dates: Vec<PeopleOfDate> = Vec::new();
        for digest in days {
            let (day, geo) = (digest.key().day, digest.key().geo);
            let selected = departments.filter(|departments| !digest.is_within(departments));
            let people = match selected {
                None => PeopleOfGeo::everyone(geo, digest.figures()),
                Some(departments) => {
                    let members = members.entry(geo).or_default().update(digest, departments);
                    PeopleOfGeo::of_departments(digest, departments, members)
                }
            };
            match dates.last_mut().filter(|date| date.day == day) {
                Some(date) => date.geos.push(people),
                None => dates.push(PeopleOfDate { day, geos: vec![people] }),
            }
        }
        Self { dates }
    }

    /// The dates, in order.
    #[must_use]
    pub fn dates(&self) -> &[PeopleOfDate] {
        &self.dates
    }

    /// The dates of a range, in order.
    #[must_use]
    pub fn within(&self, range: DayRange) -> &[PeopleOfDate] {
        let first = self.dates.partition_point(|date| date.day < range.first());
        &self.dates[first..][..self.dates[first..].partition_point(|date| date.day <= range.last())]
    }

    /// The geos that have people.
    pub fn geos(&self) -> impl Iterator<Item = Geo> {
        self.dates.iter().flat_map(|date| date.geos.iter().map(|people| people.geo))
    }

    /// The people of one geo only.
    #[must_use]
    pub fn of_geo(&self, geo: Geo) -> Self {
        let of_date = |date: &PeopleOfDate| {
            let geos: Vec<PeopleOfGeo> = date.geos.iter().filter(|people| people.geo == geo).cloned().collect();
            (!geos.is_empty()).then_some(PeopleOfDate { day: date.day, geos })
        };
        Self { dates: self.dates.iter().filter_map(of_date).collect() }
    }
}

impl PeopleOfDate {
    /// The selected people with the flag.
    #[must_use]
    pub fn with_flag(&self, flag: Flag) -> PeopleView<'_> {
        self.view(|people| people.select(people.figures.people_with(flag), people.unidentified[flag.index()]))
    }

    /// The selected people with a row.
    #[must_use]
    pub fn with_row(&self) -> PeopleView<'_> {
        self.view(|people| people.select(&people.figures.present, people.unidentified[Flag::COUNT]))
    }

    /// All people with a row, selected or not.
    #[must_use]
    pub fn with_row_anywhere(&self) -> PeopleView<'_> {
        self.view(|people| PeopleView::from(&people.figures.present))
    }

    /// The union over the geos. There is at least one.
    fn view<'a>(&'a self, of: impl Fn(&'a PeopleOfGeo) -> PeopleView<'a>) -> PeopleView<'a> {
        let (first, others) = self.geos.split_first().expect("a date has a geo");
        others.iter().map(&of).fold(of(first), PeopleView::union)
    }
}

impl PeopleOfGeo {
    fn everyone(geo: Geo, figures: &Arc<DayFigures>) -> Self {
        let mut unidentified = [figures.present.unidentified; Flag::COUNT + 1];
        for (count, people) in unidentified.iter_mut().zip(&figures.flags) {
            *count = people.unidentified;
        }
        Self { geo, figures: Arc::clone(figures), members: None, unidentified }
    }

    /// Those of `people` who are selected.
    fn select<'a>(&'a self, people: &'a PersonSet, unidentified: u64) -> PeopleView<'a> {
        PeopleView::new(&people.identified, self.members.as_deref(), unidentified)
    }

    fn of_departments(digest: &DayDigest, departments: &FixedBitSet, members: Arc<FixedBitSet>) -> Self {
        let figures = digest.figures();
        let mut unidentified = [0; Flag::COUNT + 1];
        if figures.present.unidentified > 0 {
            // Rows of these departments that belong to no member have no person id.
            let sums = digest.sums_of(Some(departments));
            let without_id =
                |rows: u64, people: &PersonSet| rows - PeopleView::new(&people.identified, Some(&members), 0).count();
            unidentified[Flag::COUNT] = without_id(sums.users, &figures.present);
            for ((count, rows), people) in unidentified.iter_mut().zip(sums.flags).zip(&figures.flags) {
                *count = without_id(rows, people);
            }
        }
        Self { geo: digest.key().geo, figures: Arc::clone(figures), members: Some(members), unidentified }
    }
}

impl<'a> SelectedMembers<'a> {
    /// The members of these departments on a day. Only departments whose members changed since the day before are read.
    fn update(&mut self, digest: &'a DayDigest, departments: &FixedBitSet) -> Arc<FixedBitSet> {
        self.latest.resize(departments.len(), None);
        let (mut before, mut now) = (Vec::new(), Vec::new());
        for (index, latest) in departments.ones().filter_map(|index| Some((u32::try_from(index).ok()?, index))) {
            let members = digest.department(index).map(|department| &department.members);
            if !same(self.latest[latest], members) {
                before.extend(std::mem::replace(&mut self.latest[latest], members));
                now.extend(members);
            }
        }
        if !before.is_empty() || !now.is_empty() {
            // A person is in one department a day, so nobody of `before` is in a department that is the same as before.
            let people = Arc::make_mut(&mut self.people);
            let indexes = |of: Vec<&'a Arc<DepartmentMembers>>| {
                of.into_iter().flat_map(|members| members.people().iter().map(|person| *person as usize))
            };
            indexes(before).for_each(|person| people.set(person, false));
            indexes(now).for_each(|person| people.grow_and_insert(person));
        }
        Arc::clone(&self.people)
    }
}

/// Whether both are absent or the same shared members.
fn same(one: Option<&Arc<DepartmentMembers>>, other: Option<&Arc<DepartmentMembers>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

#[cfg(test)]
impl FromIterator<(Day, Arc<DayFigures>)> for PeopleByDate {
    /// Everyone in one geo, by date.
    fn from_iter<I: IntoIterator<Item = (Day, Arc<DayFigures>)>>(days: I) -> Self {
        let of_date = |(day, figures)| PeopleOfDate { day, geos: vec![PeopleOfGeo::everyone(Geo::Cn, &figures)] };
        Self { dates: days.into_iter().map(of_date).collect() }
    }
}
