//! What a report is made of: digests where they answer the question, rows where it is about one person.

use std::{num::NonZeroU64, ops::Deref, sync::Arc};

use fixedbitset::FixedBitSet;
use futures_util::{StreamExt as _, stream};

use super::{
    engine::{Asking, Engine, Gathered, NotAnswered},
    plan::{Plan, Query},
};
use crate::{
    model::{Day, DayKey, DayRange},
    report::{
        Digest, Figures, FiguresByDay, Narrowed, SumsByDay, Withheld,
        by_day::{figures_by_day, sums_by_day},
    },
    table::{Origin, Partition, PersonNo, Selection},
};

/// The days that a report is made of. Those before the selected ones serve figures that look back.
#[derive(Debug)]
pub enum Basis {
    /// Days of everyone, or of a department named by its id.
    Digests(Gathered<Digest>),
    /// Days that one person is looked up in.
    Rows(Gathered),
}

/// The numbers that people have in sets of people.
#[derive(Debug)]
pub enum Numbers {
    /// Those of the directory.
    Own,
    /// Small ones.
    Narrowed(Narrowed),
}

impl Engine {
    /// The days that a report on `query` is made of.
    ///
    /// # Errors
    /// As [`Engine::gather`].
    pub async fn basis(&self, query: &Query, asking: Asking) -> Result<Basis, NotAnswered> {
        Ok(match query.selection.user_id {
            None => Basis::Digests(self.digests(query, asking).await?),
            Some(_) => Basis::Rows(self.gather(query, asking).await?),
        })
    }

    /// Adds those of the `days` days before the selected ones that happen to be held.
    pub async fn look_back(&self, basis: &mut Basis, days: u16) {
        match basis {
            Basis::Digests(gathered) => self.look_back_over_digests(gathered, days).await,
            Basis::Rows(gathered) => {
                for key in lead(&gathered.plan, days) {
                    gathered.look_back_at(self.held(&key).await);
                }
            }
        }
    }

    /// The same for digests alone.
    pub async fn look_back_over_digests(&self, gathered: &mut Gathered<Digest>, days: u16) {
        let all = stream::iter(lead(&gathered.plan, days)).map(async |key| self.held_digest(&key).await);
        for held in all.buffered(usize::from(days).max(1)).collect::<Vec<_>>().await {
            gathered.look_back_at(held);
        }
    }
}

/// The keys of so many days before the selected ones, but for those that the plan has loaded.
fn lead(plan: &Plan, days: u16) -> Vec<DayKey> {
    let Some(first) = plan.keys.first() else { return Vec::new() };
    let lead = DayRange::ending(plan.range.first().plus(-1), days);
    let days = lead.days().filter(|day| *day < first.day);
    days.flat_map(|day| plan.geos.iter().map(move |geo| DayKey { geo: *geo, ..first.on(day) })).collect()
}

impl Basis {
    /// The plan that was carried out.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        match self {
            Self::Digests(gathered) => &gathered.plan,
            Self::Rows(gathered) => &gathered.plan,
        }
    }

    /// What must be withheld of these days so that no group of fewer than `least` people can be told of. Days that one
    /// person is looked up in tell of one person: all of them.
    #[must_use]
    pub fn withheld(&self, least: NonZeroU64) -> Option<Withheld> {
        match self {
            Self::Digests(gathered) => Some(Withheld::of(&gathered.days, least)),
            Self::Rows(_) => None,
        }
    }

    /// Whether the selected figures must be withheld, where groups of fewer than `least` people are.
    #[must_use]
    pub fn hides(&self, selection: &Selection, least: Option<NonZeroU64>) -> bool {
        let Some(least) = least else { return false };
        self.withheld(least).is_none_or(|withheld| withheld.hides(selection.department_path.as_deref()))
    }

    /// What adds up of the selected people, by selected day. `selection.active` is not looked at. Where rows must be read
    /// for it, it is taken from the `figures` of the same people.
    #[must_use]
    pub fn sums(&self, selection: &Selection, figures: &impl Deref<Target = FiguresByDay>) -> SumsByDay {
        match self {
            Self::Digests(gathered) => {
                let within = gathered.departments(selection);
                let days: Vec<&Arc<Digest>> = gathered.selected().map(|(day, _)| day).collect();
                sums_by_day(&days, gathered.plan.geos.len(), |day| day.sums_of(within.as_ref()))
            }
            Self::Rows(gathered) => {
                let range = gathered.plan.range;
                let days = figures.range(range.first()..=range.last());
                days.map(|(day, figures)| (*day, figures.sums)).collect()
            }
        }
    }

    /// The figures of the selected people by day, those before the selected days included.
    #[must_use]
    pub fn figures(&self, selection: &Selection) -> FiguresByDay {
        self.numbered_figures(selection).0
    }

    /// The same, with the numbers that people have in the sets of people.
    #[must_use]
    pub fn numbered_figures(&self, selection: &Selection) -> (FiguresByDay, Numbers) {
        let geos = self.plan().geos.len();
        match self {
            Self::Digests(gathered) => {
                let (parts, numbers) = of_digests(gathered, selection);
                (figures_by_day(parts.into_iter(), geos), numbers)
            }
            Self::Rows(gathered) => (figures_by_day(of_rows(&gathered.days, selection), geos), Numbers::Own),
        }
    }

    /// Whether some of the selected rows do not say whose they are; with `in_all_geos`, some of those days that figures
    /// are made of.
    #[must_use]
    pub fn withholds(&self, selection: &Selection, in_all_geos: bool) -> bool {
        let parts = if in_all_geos { self.plan().geos.len() } else { 0 };
        match self {
            Self::Digests(gathered) => {
                let within = gathered.departments(selection);
                gathered.days_in(parts).any(|day| day.withholds(within.as_ref()))
            }
            Self::Rows(gathered) => {
                let mut days = gathered.days_in(parts).filter(|day| !day.names_everyone());
                days.any(|day| figures_of(day, selection).present.unknown > 0)
            }
        }
    }
}

impl Gathered<Digest> {
    /// The selected department and those below it, by number; `None` where everyone is selected.
    #[must_use]
    pub fn departments(&self, selection: &Selection) -> Option<FixedBitSet> {
        let path = selection.department_path.as_deref()?;
        self.days.first().map(|day| day.directory().read().departments_within(path))
    }
}

impl Numbers {
    /// The number of a person, where the person is in any of the sets.
    #[must_use]
    pub fn of(&self, person: PersonNo) -> Option<PersonNo> {
        match self {
            Self::Own => Some(person),
            Self::Narrowed(narrowed) => narrowed.known_number(person),
        }
    }
}

fn of_digests(gathered: &Gathered<Digest>, selection: &Selection) -> (Vec<(Day, Arc<Figures>)>, Numbers) {
    let days = gathered.days.iter();
    let Some(departments) = gathered.departments(selection) else {
        return (days.map(|day| (day.key().day, Arc::clone(day.whole()))).collect(), Numbers::Own);
    };
    let mut narrowed = Narrowed::to(departments);
    let figures = days.map(|day| (day.key().day, Arc::new(narrowed.figures(day)))).collect();
    (figures, Numbers::Narrowed(narrowed))
}

fn of_rows(days: &[Arc<Partition>], selection: &Selection) -> impl Iterator<Item = (Day, Arc<Figures>)> {
    days.iter().map(|day| (day.key().day, Arc::new(figures_of(day, selection))))
}

/// The figures of the selected people on one day.
pub(super) fn figures_of(day: &Partition, selection: &Selection) -> Figures {
    Figures::of(day, &selection.against(&day.directory().read()))
}
