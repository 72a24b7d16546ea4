//! People with rows in several geos on one day. They are rare, and figures of the day count each of them once.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;

use super::{day_figures::RowSums, digest::DayDigest};
use crate::table::PersonIndex;

/// The row of a person in one geo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GeoRow {
    /// The department of the row.
    pub department: u32,
    /// The flags of the row as bits; bit [`Flag::index`](crate::table::Flag::index) is the flag.
    pub flags: u16,
}

/// The rows of each person who has rows in two or more of the `geos`, which are the digests of one day.
pub(super) fn shared_people<D: AsRef<DayDigest>>(geos: &[D]) -> Vec<Vec<GeoRow>> {
    let shared = people_in_several(geos);
    if shared.is_clear() {
        return Vec::new();
    }
    let mut rows: BTreeMap<PersonIndex, Vec<GeoRow>> = BTreeMap::new();
    for digest in geos.iter().map(AsRef::as_ref) {
        for department in digest.departments() {
            let people = department.members.people().iter().filter(|person| shared.contains(**person as usize));
            for person in people {
                let row = GeoRow { department: department.department, flags: digest.figures().flag_bits(*person) };
                rows.entry(*person).or_default().push(row);
            }
        }
    }
    rows.into_values().collect()
}

/// The sums over the rows of these departments, or over all rows if `None`, of one day in all its `geos`.
pub(super) fn sums_of_day<D: AsRef<DayDigest>>(geos: &[D], departments: Option<&FixedBitSet>) -> RowSums {
    let mut sums = RowSums::default();
    for digest in geos.iter().map(AsRef::as_ref) {
        sums.add(&digest.sums_of(departments));
    }
    let is_selected = |row: &&GeoRow| departments.is_none_or(|selected| selected.contains(row.department as usize));
    for rows in shared_people(geos) {
        let selected: Vec<u16> = rows.iter().filter(is_selected).map(|row| row.flags).collect();
        sums.count_person_once(&selected);
    }
    sums
}

fn people_in_several<D: AsRef<DayDigest>>(geos: &[D]) -> FixedBitSet {
    let mut shared = FixedBitSet::new();
    let Some((first, others)) = geos.split_first().filter(|(_, others)| !others.is_empty()) else { return shared };
    let mut seen = first.as_ref().figures().present.identified.clone();
    for digest in others.iter().map(AsRef::as_ref) {
        let people = &digest.figures().present.identified;
        if !seen.is_disjoint(people) {
            let mut both = seen.clone();
            both.intersect_with(people);
            shared.union_with(&both);
        }
        seen.union_with(people);
    }
    shared
}
