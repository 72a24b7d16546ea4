//! The `meta` part of JSON responses: the days that the data is based on.

use std::num::NonZeroU64;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    model::{Day, DayRange, Geo},
    query::{LoadedDays, ReportInput},
    store::DayState,
    table::{DayMetadata, RowSelection},
};

/// Note: distinct counts are null, because Feishu withholds user ids.
pub const DISTINCT_COUNTS_WITHHELD: &str =
    "Feishu withholds user_id from this app: counts of distinct people over several days are null";

/// Note: some values are not counts.
pub const UNREADABLE_VALUES: &str = "some values of Feishu are not counts: fractions are rounded down, other values count as 0; \
                                     /v1/coverage gives their number by day";

/// Note: some rows are missing permanently.
pub const UNREADABLE_ROWS: &str =
    "some rows of Feishu could not be read, in two fetches of the same day, and are left out of the figures";

/// Note: rows may be missing permanently.
pub const CUT_SHORT: &str =
    "Feishu's reply for some days ended early, in two fetches with the same rows: rows of these days may be missing";

/// Note: a sum is limited.
pub const SUMS_LIMITED: &str = "a counter adds up to more than 2^63-1 over these days: sums are limited to that number";

/// Note: provisional days are older than intended, because they could not be refreshed.
pub const REFRESH_FAILING: &str =
    "some days could not be refreshed, because calls to Feishu fail: provisional days show their last fetch";

/// Note: some selected days are late and left out.
pub const LATE_DAYS: &str = "the days in meta.days.late do not count in the figures, because Feishu has sent no rows for them, \
    unusually few, or rows may be missing; they are fetched again until two fetches that are far enough apart agree";

/// Note: the two ranges of a comparison have different numbers of dates that count.
pub const RANGES_OF_DIFFERENT_LENGTH: &str = "days_counted of the two ranges differ, because some dates do not count: only users \
    and figures per day have a change";

/// Note: `inactive_for` was judged by fewer dates than requested.
pub const TOO_FEW_DATES: &str = "fewer dates count than inactive_for names, because days before them are late, missing, expired or \
    before the first day with rows: people are judged by the dates that count";

/// Note: some selected days are older than the retention.
pub const EXPIRED_DAYS: &str =
    "the days in meta.days.expired are older than the retention of this service: they are not fetched and do not count";

/// Note: a date counts in one geo but not in another.
pub const DATES_OF_SOME_GEOS: &str =
    "some dates have data only in some of the selected geos: a date counts only if it counts in every selected geo";

/// Note: trailing figures are null, because days of their windows do not count.
pub const TRAILING_FIGURES_INCOMPLETE: &str =
    "wau, mau and stickiness are null if a late, missing or expired day is in the 7 or 30 days that they describe";

/// Note: figures of movement are null, because a week or month is not known as a whole.
pub const MOVEMENT_INCOMPLETE: &str = "movement compares each week or month with the one before: its figures are null if one of \
    the two is not over, is cut by the selected range, has a date that is late, missing or expired, or has no date that counts";

/// Note: figures are null, because the end of rows does not mean that a person has left.
pub const NO_ROWS_OF_INACTIVE_PEOPLE: &str = "Feishu sends no rows for inactive people: newly_dormant, joined, left and transfers \
    are null, because a person without a row may still be there";

/// Note: people are missing, because Feishu withholds user ids.
pub const PEOPLE_WITHOUT_ID_OMITTED: &str =
    "Feishu withholds user_id from this app: people without an id cannot be distinguished and are omitted";

/// Note: for some people, only the range tells when they were active.
pub const UNKNOWN_LAST_ACTIVITY: &str = "Feishu names no last activity of some people: they count as dormant if they were not \
    active in the range, which is shorter than dormant_after";

/// Note: it is not known who has left.
pub const UNKNOWN_WHO_LEFT: &str = "status is null for people without a row on the newest date, because Feishu withholds ids on \
    that date or sends no rows of inactive people";

/// Note: figures are suppressed for callers that may not see rows.
pub const SMALL_GROUPS_SUPPRESSED: &str =
    "figures of groups below the minimum size, or from which such figures could be derived, are withheld";

/// Note: what the minimum group size does not protect.
pub const RANGES_CAN_BE_COMPARED: &str = "figures of small groups are withheld in each answer; answers to different ranges of days \
    can differ by few people, and this is not prevented";

/// Note: trailing figures are suppressed because of a day before the selected range.
pub const TRAILING_FIGURES_SUPPRESSED: &str = "wau, mau and stickiness are withheld if a day of their window has a group \
    below the minimum size";

/// The days that a response is based on.
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
    /// The selected days by state.
    pub days: DaysByState,
    /// When the most recently fetched day was fetched from Feishu (RFC 3339). Null if there is no day.
    #[schema(format = DateTime, example = "2026-11-08T10:12:00+08:00")]
    pub data_as_of: Option<String>,
    /// Value of `cursor` for the next page. Null on the last page, and if the response has no pages.
    pub next_cursor: Option<String>,
    /// Number of items on all pages. Null if they are not counted.
    #[schema(example = 1234)]
    pub total: Option<usize>,
    /// Figures of groups below this number of people, or from which such figures could be derived, are withheld in this answer.
    /// Null if no figure is withheld.
    #[schema(value_type = Option<u64>, example = json!(null))]
    pub withheld_below: Option<NonZeroU64>,
    /// Remarks on the figures, as sentences. Usually empty.
    pub notes: Vec<&'static str>,
}

/// The selected days by state. Each day counts once per geo.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct DaysByState {
    /// Number of days that will not change any more.
    #[schema(example = 7)]
    pub r#final: usize,
    /// Number of days that Feishu may still change, because they were fetched shortly after their production (6 hours by
    /// default).
    #[schema(example = 0)]
    pub provisional: usize,
    /// Number of provisional or late days that are due for a refresh; the refresh is in progress or has failed.
    #[schema(example = 0)]
    pub stale: usize,
    /// Number of days without rows, such as those before the tenant's first day. They do not count in the figures.
    #[schema(example = 0)]
    pub empty: usize,
    /// Days for which Feishu has sent no rows, unusually few, or rows may be missing. They do not count in the
    /// figures until two fetches return the same rows.
    pub late: Vec<GeoDay>,
    /// Days that Feishu has not produced yet. It produces a day at 09:30 on the next day. They are not in the data.
    pub pending: Vec<GeoDay>,
    /// Days that could not be loaded. Only with `allow_partial=true`.
    pub missing: Vec<GeoDay>,
    /// Days that are older than the retention of this service. They are not fetched.
    pub expired: Vec<GeoDay>,
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
    /// The metadata of loaded days.
    #[must_use]
    pub fn from_loaded_days<D: DayMetadata>(loaded: &LoadedDays<D>) -> Self {
        let uncounted = loaded.selected_uncounted().map(|day| (day.key.geo, day.fetched_at, day.state));
        let all: Vec<(Geo, Timestamp, DayState)> =
            loaded.selected().map(|(day, state)| (day.key().geo, day.fetched_at(), state)).chain(uncounted).collect();
        let count = |state: DayState| all.iter().filter(|(_, _, day_state)| *day_state == state).count();
        let late = loaded.selected_uncounted().filter(|day| day.state == DayState::Late);
        let are_cut_short = loaded.selected().any(|(day, _)| day.quality().broken_off);
        let has_unreadable_rows = loaded.selected().any(|(day, _)| day.quality().unreadable_rows > 0);
        let has_unreadable_values = loaded.selected().any(|(day, _)| day.quality().unreadable_values > 0);
        let latest = all.iter().max_by_key(|(_, fetched_at, _)| *fetched_at);
        let days = DaysByState {
            r#final: count(DayState::Final),
            provisional: count(DayState::Provisional),
            stale: loaded.cache_status.stale_days,
            empty: count(DayState::Empty),
            late: late.map(|day| GeoDay::from((day.key.geo, day.key.day))).collect(),
            pending: loaded.plan.pending.iter().copied().map(GeoDay::from).collect(),
            missing: loaded.selected_missing().map(GeoDay::from).collect(),
            expired: loaded.selected_expired().map(GeoDay::from).collect(),
        };
        let notes = [
            (loaded.cache_status.failed_refreshes > 0).then_some(REFRESH_FAILING),
            (!days.late.is_empty()).then_some(LATE_DAYS),
            (!days.expired.is_empty()).then_some(EXPIRED_DAYS),
            loaded.selected_uncounted().any(|day| day.state.counts()).then_some(DATES_OF_SOME_GEOS),
        ];
        Self {
            start_date: loaded.plan.range.first(),
            end_date: loaded.plan.range.last(),
            geos: loaded.plan.geos.iter().map(|geo| geo.name()).collect(),
            days,
            data_as_of: latest.map(|(geo, fetched_at, _)| geo.rfc3339(*fetched_at)),
            next_cursor: None,
            total: None,
            withheld_below: None,
            notes: notes.into_iter().flatten().collect(),
        }
        .with_note(has_unreadable_rows.then_some(UNREADABLE_ROWS))
        .with_note(are_cut_short.then_some(CUT_SHORT))
        .with_note(has_unreadable_values.then_some(UNREADABLE_VALUES))
    }

    /// The metadata of the input of a report, with a note if distinct counts are null because ids are withheld.
    #[must_use]
    pub fn from_report_figures(input: &ReportInput, selection: &RowSelection) -> Self {
        Self::from_loaded_days(input)
            .with_note(input.has_unidentified_rows(selection).then_some(DISTINCT_COUNTS_WITHHELD))
            .with_note(input.exceeds_max_sum().then_some(SUMS_LIMITED))
    }

    /// The days of the selection.
    #[must_use]
    pub fn range(&self) -> DayRange {
        DayRange::new(self.start_date, self.end_date).unwrap_or(DayRange::single(self.start_date))
    }

    /// Adds notes.
    #[must_use]
    pub fn with_notes(mut self, notes: impl IntoIterator<Item = &'static str>) -> Self {
        self.notes.extend(notes);
        self
    }

    /// Adds the note on withheld figures, if there is one, and the minimum size of a group.
    #[must_use]
    pub fn with_withheld(mut self, note: Option<&'static str>, min_group_size: Option<NonZeroU64>) -> Self {
        self.withheld_below = self.withheld_below.or(min_group_size.filter(|_| note.is_some()));
        self.with_note(note)
    }

    /// Adds a note, if there is one.
    #[must_use]
    pub fn with_note(mut self, note: Option<&'static str>) -> Self {
        self.notes.extend(note);
        self
    }
}

impl From<(Geo, Day)> for GeoDay {
    fn from((geo, date): (Geo, Day)) -> Self {
        Self { geo: geo.name(), date }
    }
}
