//! Views: what a caller who may not see everything sees instead of the days.
//!
//! A view of a day is a day of its own, with a [`Directory`] of its own, in which what must not be seen was never
//! written down. So whatever is made of it (figures, pages, cursors, hashes, the order of rows) can't tell of it either.

use std::sync::Arc;

use fixedbitset::FixedBitSet;

use super::{
    builder::{PartitionBuilder, Row},
    directory::{Directory, Tables},
    partition::Partition,
    pseudonym::Pseudonyms,
    schema::Counter,
};
use crate::model::{Geo, Scope};

/// What is seen of the days.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct View {
    /// Only people of these departments and of those below them; `None`: of all. None of them lies below another.
    departments: Option<Arc<[Arc<str>]>>,
    pseudonymous: bool,
}

impl View {
    /// The view of these departments, by path, and of those below them; of all, where `None`. With `pseudonymous`,
    /// people have pseudonyms and no names.
    #[must_use]
    pub fn new(departments: Option<&[Arc<str>]>, pseudonymous: bool) -> Self {
        Self { departments: departments.map(topmost), pseudonymous }
    }

    /// Whether all is seen as it is.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        *self == Self::default()
    }

    /// Whether people of some departments only are seen.
    #[must_use]
    pub const fn is_bound(&self) -> bool {
        self.departments.is_some()
    }

    /// The departments, by path, where only some are seen.
    #[must_use]
    pub fn departments(&self) -> Option<&[Arc<str>]> {
        self.departments.as_deref()
    }

    /// Whether people have pseudonyms.
    #[must_use]
    pub const fn is_pseudonymous(&self) -> bool {
        self.pseudonymous
    }

    /// Whose day the view of a day is made from. But for the whole view, never that of one person: Feishu knows no
    /// pseudonyms, and what it says of an id would tell whether there is such a person outside the view.
    #[must_use]
    pub fn source(&self, scope: &Scope) -> Scope {
        match scope {
            Scope::User(_) if !self.is_whole() => Scope::Everyone,
            Scope::User(_) | Scope::Everyone | Scope::Department(..) => scope.clone(),
        }
    }

    /// What is seen of a day. Some microseconds a row: keep it off the async threads.
    #[must_use]
    pub fn of(&self, day: &Partition, pseudonyms: Option<&Pseudonyms>, directory: &Arc<Directory>) -> Partition {
        let mut seen = PartitionBuilder::new(day.key().clone(), Arc::clone(directory)).doubtful(day.is_doubtful());
        for row in self.rows(day, pseudonyms) {
            seen.push(&row);
        }
        seen.finish(day.fetched_at())
    }

    fn rows(&self, day: &Partition, pseudonyms: Option<&Pseudonyms>) -> Vec<Row> {
        let tables = day.directory().read();
        let within = self.departments().map(|paths| within(&tables, paths));
        let is_seen = |row: &usize| {
            let department = tables.profile(day.profiles()[*row]).department;
            within.as_ref().is_none_or(|within| within.contains(department as usize))
        };
        (0..day.rows()).filter(is_seen).map(|row| self.row(&tables, day, row, pseudonyms)).collect()
    }

    fn row(&self, tables: &Tables, day: &Partition, row: usize, pseudonyms: Option<&Pseudonyms>) -> Row {
        let profile = tables.profile(day.profiles()[row]);
        let seen = Row {
            user_id: profile.user_id.as_deref().map(str::to_owned),
            user_name: profile.user_name.to_string(),
            department: (**tables.department(profile.department)).clone(),
            create_time: profile.create_time,
            register_time: profile.register_time,
            last_active_time: day.last_active(row),
            flags: day.flags()[row],
            counters: Counter::ALL.map(|counter| day.counter(counter).get(row)),
            devices: (**tables.devices(day.devices()[row])).clone(),
        };
        if self.pseudonymous { without_identity(seen, day.key().geo, pseudonyms) } else { seen }
    }
}

/// Leaves nothing by which a person can be looked up elsewhere: no id, no name, and of the times of the account, which
/// are next to unique to the second, only the day. Without a key nobody has an id at all.
fn without_identity(row: Row, geo: Geo, pseudonyms: Option<&Pseudonyms>) -> Row {
    let day = |instant: jiff::Timestamp| geo.starts_at(geo.today(instant));
    Row {
        user_id: row.user_id.as_deref().and_then(|id| pseudonyms.map(|pseudonyms| pseudonyms.of(id))),
        user_name: String::new(),
        create_time: row.create_time.map(day),
        register_time: row.register_time.map(day),
        ..row
    }
}

fn within(tables: &Tables, paths: &[Arc<str>]) -> FixedBitSet {
    let sets = paths.iter().map(|path| tables.departments_within(path));
    sets.fold(FixedBitSet::new(), |mut all, set| {
        all.union_with(&set);
        all
    })
}

/// In order, each once, and none that lies below another: so that two ways of saying the same are the same view.
fn topmost(paths: &[Arc<str>]) -> Arc<[Arc<str>]> {
    let lies_below = |path: &str, other: &str| path.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
    let mut top: Vec<Arc<str>> =
        paths.iter().filter(|path| !paths.iter().any(|other| lies_below(path, other))).cloned().collect();
    top.sort_unstable();
    top.dedup();
    top.into()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        model::{Day, DayKey, UserIdType},
        table::Department,
    };

    fn paths(paths: &[&str]) -> Vec<Arc<str>> {
        paths.iter().map(|path| Arc::from(*path)).collect()
    }

    fn day(people: &[(&str, &str)]) -> Partition {
        let day = Day::new(2026, 11, 1).unwrap();
        let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: Scope::Everyone, day };
        let mut builder = PartitionBuilder::new(key, Arc::default());
        for (id, path) in people {
            let department = Department { name: "x".into(), path: (*path).into() };
            let register_time = Some("2026-10-01T03:04:05Z".parse().unwrap());
            let (user_id, user_name) = (Some((*id).to_owned()), format!("name of {id}"));
            builder.push(&Row { user_id, user_name, department, register_time, ..Row::default() });
        }
        builder.finish(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn two_ways_of_saying_the_same_are_the_same_view() {
        let view = |of: &[&str]| View::new(Some(&paths(of)), false);
        assert_eq!(view(&["b", "a/c", "a", "b"]), view(&["a", "b"]));
        assert_ne!(view(&["a"]), view(&["ab"]));
        assert_ne!(view(&[]), View::default());
    }

    #[test]
    fn what_is_outside_leaves_no_trace() {
        let view = View::new(Some(&paths(&["总部/研发"])), false);
        let insiders = [("b", "总部/研发"), ("d", "总部/研发/平台")];
        let others = [("a", "总部"), ("c", "总部/研发二部"), ("e", "x")];
        let (crowded, quiet) = (day(&[&insiders[..], &others[..]].concat()), day(&insiders));

        let directory = Arc::<Directory>::default();
        let seen = view.of(&crowded, None, &directory);

        assert_eq!(seen.rows(), 2);
        assert_eq!(seen.hash(), quiet.hash());
        assert_eq!(directory.read().people(), 2);
        assert_eq!(directory.read().departments().len(), 2);
    }

    #[test]
    fn people_with_pseudonyms_have_no_names_no_exact_times_and_another_order() {
        let view = View::new(None, true);
        let pseudonyms = Pseudonyms::new(&"key".into());
        let directory = Arc::<Directory>::default();
        let ids: Vec<String> = (0..20).map(|id| format!("ou_{id:02}")).collect();
        let people: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "总部")).collect();

        let seen = view.of(&day(&people), Some(&pseudonyms), &directory);

        let tables = directory.read();
        let profiles: Vec<_> = seen.profiles().iter().map(|profile| tables.profile(*profile)).collect();
        assert!(profiles.iter().all(|profile| profile.user_name.is_empty()));
        assert!(profiles.iter().all(|profile| profile.register_time == Some("2026-09-30T16:00:00Z".parse().unwrap())));
        let shown: Vec<&str> = profiles.iter().map(|profile| profile.user_id.as_deref().unwrap()).collect();
        assert!(shown.is_sorted());
        assert_ne!(shown, ids.iter().map(|id| pseudonyms.of(id)).collect::<Vec<_>>());
    }
}
