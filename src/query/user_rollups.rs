//! User roll-ups: the rows or monthly sums of the selected days, per person.

use std::sync::Arc;

use fixedbitset::FixedBitSet;
use tokio::task::spawn_blocking;

use super::{
    engine::QueryEngine,
    loaded_days::{LoadOptions, LoadedDays, QueryError},
    plan::{Query, QueryDates},
    report_input::ReportInput,
};
use crate::{
    model::{DayKey, DayRange},
    report::{
        DayDigest, Interval, PersonSet, activity::buckets, monthly_rollup::MonthlyRollup, user_rollup::UserRollup,
    },
    source::LoadError,
    table::{DayMetadata, Dictionary, RowSelection, day_table::ContentHash},
};

/// The user roll-ups of the selected days, with the input of the report.
#[derive(Debug)]
pub struct UserRollups {
    /// The days, including lead days.
    pub input: ReportInput,
    /// The roll-ups of the selected days, earliest first.
    pub rollups: Vec<UserRollup>,
}

impl QueryEngine {
    /// Loads the user roll-ups of the days that `query` selects. Lead days are only in the report input.
    ///
    /// The roll-up of a whole month of one geo is cached until one of its days changes.
    ///
    /// # Errors
    /// As [`QueryEngine::load_rows`].
    pub async fn load_user_rollups(&self, query: &Query, options: LoadOptions) -> Result<UserRollups, QueryError> {
        let input = self.load_report_input(query, options).await?;
        let mut rollups = Vec::new();
        match &input {
            ReportInput::Rows(loaded) => {
                rollups.extend(loaded.selected().map(|(day, _)| UserRollup::Day(Arc::clone(day))));
            }
            ReportInput::Digests(loaded) => {
                for days in buckets(loaded.plan.range, Interval::Month) {
                    rollups.extend(self.load_rollups_of_month(days, query, loaded, options).await?);
                }
            }
        }
        Ok(UserRollups { input, rollups })
    }

    /// The roll-ups of a month, or of the selected part of a month.
    async fn load_rollups_of_month(
        &self,
        days: DayRange,
        query: &Query,
        loaded: &LoadedDays<DayDigest>,
        options: LoadOptions,
    ) -> Result<Vec<UserRollup>, QueryError> {
        let whole = complete_month(days, loaded);
        if let Some((first, versions)) = &whole
            && let Some(month) = self.memory().monthly_rollup(first, versions).await
        {
            return Ok(vec![UserRollup::Month(month)]);
        }
        let part = Query { dates: QueryDates::Days(days), lead_days: 0, ..query.clone() };
        let rows = self.load_rows(&part, options).await?.days;
        let Some((first, versions)) = whole else { return Ok(rows.into_iter().map(UserRollup::Day).collect()) };
        let computed = spawn_blocking(move || MonthlyRollup::from_days(&rows)).await.ok().flatten();
        let month = Arc::new(computed.ok_or(QueryError::Load(LoadError::Abandoned))?);
        if month.day_hashes() == versions {
            self.memory().insert_monthly_rollup(&first, Arc::clone(&month)).await;
        }
        Ok(vec![UserRollup::Month(month)])
    }
}

/// The first key of a month and the versions of its days, if the days are a whole month and all are loaded.
fn complete_month(days: DayRange, loaded: &LoadedDays<DayDigest>) -> Option<(DayKey, Vec<ContentHash>)> {
    let is_whole = Interval::Month.containing(days.first()) == days && loaded.plan.geos.len() == 1;
    let inside = loaded.days.iter().filter(|day| days.contains(day.key().day));
    let versions: Vec<ContentHash> = inside.clone().map(|day| *day.hash()).collect();
    let first = inside.map(|day| day.key()).next()?;
    (is_whole && versions.len() == days.len()).then(|| (first.clone(), versions))
}

impl UserRollups {
    /// The dictionary of the days; `None` without days.
    #[must_use]
    pub fn dictionary(&self) -> Option<&Arc<Dictionary>> {
        match &self.input {
            ReportInput::Digests(loaded) => loaded.days.first().map(|day| day.dictionary()),
            ReportInput::Rows(loaded) => loaded.days.first().map(|day| day.dictionary()),
        }
    }

    /// The indexes of all people with a row in the selected days. `None` without digests, or if the query selects one
    /// person or department.
    #[must_use]
    pub fn all_people(&self, selection: &RowSelection) -> Option<FixedBitSet> {
        let ReportInput::Digests(loaded) = &self.input else { return None };
        let people = || PersonSet::union_of(loaded.selected().map(|(day, _)| &day.figures().present)).identified;
        (selection.department_path.is_none() && selection.user_id.is_none()).then(people)
    }
}
