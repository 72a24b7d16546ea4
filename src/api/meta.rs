//! The envelope of every JSON answer: the data, and what it is based on.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    model::{Day, DayRange, Geo},
    query::{Basis, Gathered},
    store::State,
    table::{Origin, Selection},
};

/// Why counts of different people may be null.
pub const WITHHELD: &str =
    "Feishu withholds user_id from this app: counts of different people over several days are null";

/// Why provisional days may be older than they should be.
pub const NOT_REFRESHED: &str =
    "provisional days could not be fetched anew, because Feishu does not answer: they are shown as they were";

/// Why people may be missing.
pub const WITHHELD_PEOPLE: &str =
    "Feishu withholds user_id from this app: people without one cannot be told apart and are left out";

/// Why figures are not shown to callers who may not see rows.
pub const WITHHELD_GROUPS: &str =
    "figures of fewer people than this service tells of, or from which these could be worked out, are withheld";

/// What an answer is based on.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Meta {
    /// First day of the selection.
    #[schema(value_type = String, format = Date, example = "2026-11-01")]
    pub start_date: Day,
    /// Last day of the selection.
    #[schema(value_type = String, format = Date, example = "2026-11-07")]
    pub end_date: Day,
    /// The geos of the selection.
    #[schema(example = json!(["cn"]))]
    pub geos: Vec<&'static str>,
    /// The selected days by how far they can be relied on.
    pub days: Days,
    /// When the data that was fetched last came from Feishu; null where there is none. RFC 3339.
    #[schema(format = DateTime, example = "2026-11-08T10:12:00+08:00")]
    pub data_as_of: Option<String>,
    /// Asks for the next page; null on the last and where there are no pages.
    pub next_cursor: Option<String>,
    /// How many items there are on all pages; null where that is not counted.
    #[schema(example = 1234)]
    pub total: Option<usize>,
    /// What a caller should know about the figures, in words. Usually empty.
    pub notes: Vec<&'static str>,
}

/// The selected days (each of each geo counts) by how far they can be relied on.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Days {
    /// Days that cannot change any more.
    #[schema(example = 7)]
    pub r#final: usize,
    /// Days that may still change: just produced, or suspiciously small.
    #[schema(example = 0)]
    pub provisional: usize,
    /// Those of the provisional days that should have been fetched anew by now: that is under way, or failed.
    #[schema(example = 0)]
    pub stale: usize,
    /// Days that Feishu has not produced yet (it does at 09:30 of the next day). They are not in the data.
    pub pending: Vec<GeoDay>,
    /// Days that could not be had. Only with `allow_partial=true`.
    pub missing: Vec<GeoDay>,
}

/// One day of one geo.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GeoDay {
    /// The geo.
    #[schema(example = "cn")]
    pub geo: &'static str,
    /// The day.
    #[schema(value_type = String, format = Date, example = "2026-11-08")]
    pub date: Day,
}

impl Meta {
    /// What is to be said of the gathered days.
    #[must_use]
    pub fn of<D: Origin>(gathered: &Gathered<D>) -> Self {
        let count = |state: State| gathered.selected().filter(|(_, one)| *one == state).count();
        let latest = gathered.selected().max_by_key(|(day, _)| day.fetched_at());
        Self {
            start_date: gathered.plan.range.first(),
            end_date: gathered.plan.range.last(),
            geos: gathered.plan.geos.iter().map(|geo| geo.name()).collect(),
            days: Days {
                r#final: count(State::Final),
                provisional: count(State::Provisional),
                stale: gathered.supply.stale,
                pending: gathered.plan.pending.iter().copied().map(GeoDay::from).collect(),
                missing: gathered.selected_missing().map(GeoDay::from).collect(),
            },
            data_as_of: latest.map(|(day, _)| day.key().geo.rfc3339(day.fetched_at())),
            next_cursor: None,
            total: None,
            notes: if gathered.supply.failing > 0 { vec![NOT_REFRESHED] } else { Vec::new() },
        }
    }

    /// What is to be said of the days that a report is made of.
    #[must_use]
    pub fn of_basis(basis: &Basis) -> Self {
        match basis {
            Basis::Digests(gathered) => Self::of(gathered),
            Basis::Rows(gathered) => Self::of(gathered),
        }
    }

    /// The same, and whether figures of the selected people are null for want of ids.
    #[must_use]
    pub fn of_figures(basis: &Basis, selection: &Selection) -> Self {
        Self::of_basis(basis).noting(basis.withholds(selection, true).then_some(WITHHELD))
    }

    /// The days of the selection.
    #[must_use]
    pub fn range(&self) -> DayRange {
        DayRange::new(self.start_date, self.end_date).unwrap_or(DayRange::single(self.start_date))
    }

    /// With a note, where there is one.
    #[must_use]
    pub fn noting(mut self, note: Option<&'static str>) -> Self {
        self.notes.extend(note);
        self
    }
}

impl From<(Geo, Day)> for GeoDay {
    fn from((geo, date): (Geo, Day)) -> Self {
        Self { geo: geo.name(), date }
    }
}
