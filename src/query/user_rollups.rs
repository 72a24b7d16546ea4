//! User roll-ups: the rows or monthly sums of the selected days, per person.

use std::sync::Arc;

use fixedbitset::FixedBitSet;

use super::{
    engine::{QueryEngine, in_one_dictionary},
    loaded_days::{LoadOptions, QueryError},
    plan::{Query, QueryDates},
    report_input::ReportInput,
};
use crate::{
    model::{DayKey, DayRange},
    report::{DayDigest, Interval, PersonSet, account_status::StatusRule, activity::buckets, user_rollup::UserRollup},
    source::LoadError,
    table::{DayMetadata as _, DayTable, Dictionary, RowSelection, day_table::ContentHash},
};

/// Number of loads before a query fails because days change during each of them.
const MAX_LOADS: usize = 3;

/// The user roll-ups of the selected days, with the input of the report.
#[derive(Debug)]
pub struct UserRollups {
    /// The days, including lead days.
    pub input: ReportInput,
    /// The roll-ups of the selected days, earliest first.
    pub rollups: Vec<UserRollup>,
}

impl UserRollups {
    /// Loads the user roll-ups of the days that `query` selects. Lead days are only in the report input.
    ///
    /// The input has the digests of the days, the roll-ups are computed from their rows. If a day is fetched again in
    /// between, the two differ, and the load starts over.
    ///
    /// The roll-up of a whole month of one geo is cached until one of its days changes.
    ///
    /// # Errors
    /// As [`QueryEngine::load_rows`]; [`QueryError::Changing`] if days changed during each of several loads.
    pub async fn load(engine: &QueryEngine, query: &Query, options: LoadOptions) -> Result<Self, QueryError> {
        Self::load_with(engine, query, options, MissingMonth::RollUp).await
    }

    /// The same, but a month whose roll-up is not cached is not rolled up: the rows of its days are returned. For reports that
    /// read the rows of a month faster than they are added up.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn load_cached(engine: &QueryEngine, query: &Query, options: LoadOptions) -> Result<Self, QueryError> {
        Self::load_with(engine, query, options, MissingMonth::Rows).await
    }

    async fn load_with(
        engine: &QueryEngine,
        query: &Query,
        options: LoadOptions,
        missing_month: MissingMonth,
    ) -> Result<Self, QueryError> {
        if query.selection.user_id.is_some() {
            let rows = engine.load_rows(query, options).await?;
            let rollups = rows.selected().map(|(day, _)| UserRollup::Day(Arc::clone(day))).collect();
            return Ok(Self { input: engine.digest_selected(query, rows).await?, rollups });
        }
        for _ in 0..MAX_LOADS {
            let input = engine.load_report_input(query, options).await?;
            if let Some(rollups) = rollups_of(engine, query, &input, options, missing_month).await? {
                return Ok(Self { input, rollups });
            }
        }
        Err(QueryError::Changing)
    }

    /// Loads the rows of the newest selected date that counts, and the report input of all selected days. In contrast to
    /// [`Self::load`], no rows of other days are read.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn load_newest_date(
        engine: &QueryEngine,
        query: &Query,
        options: LoadOptions,
    ) -> Result<Self, QueryError> {
        for _ in 0..MAX_LOADS {
            let input = engine.load_report_input(query, options).await?;
            let newest = input.selected().last().map(|(day, _)| DayRange::single(day.key().day));
            let Some(newest) = newest else { return Ok(Self { input, rollups: Vec::new() }) };
            if let Some(rows) = rows_of(engine, newest, query, &input, options).await? {
                return Ok(Self { input, rollups: rows.into_iter().map(UserRollup::Day).collect() });
            }
        }
        Err(QueryError::Changing)
    }

    /// The rows of the days, if there are no roll-ups of months.
    #[must_use]
    pub fn day_rows(&self) -> Vec<Arc<DayTable>> {
        let rows = |rollup: &UserRollup| match rollup {
            UserRollup::Day(day) => Some(Arc::clone(day)),
            UserRollup::Month(_) => None,
        };
        self.rollups.iter().filter_map(rows).collect()
    }

    /// The dictionary of the days; `None` without days.
    #[must_use]
    pub fn dictionary(&self) -> Option<&Arc<Dictionary>> {
        self.input.days.first().map(|day| day.dictionary())
    }

    /// The rule for the status of accounts; `None` if no selected date counts.
    #[must_use]
    pub fn status_rule(&self, dormant_after: u16) -> Option<StatusRule> {
        let days = self.input.selected().map(|(day, _)| Arc::clone(day)).collect();
        Some(StatusRule::new(self.input.newest_date()?, days, dormant_after))
    }

    /// The indexes of all people with a row in the selected days. `None` if the query selects one person or department.
    #[must_use]
    pub fn all_people(&self, selection: &RowSelection) -> Option<FixedBitSet> {
        let people = || PersonSet::union_of(self.input.selected().map(|(day, _)| &day.figures().present)).identified;
        (selection.department_path.is_none() && selection.user_id.is_none()).then(people)
    }
}

/// What is loaded for a whole month whose roll-up is not cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MissingMonth {
    /// Its roll-up, which is computed and cached.
    RollUp,
    /// The rows of its days.
    Rows,
}

/// The roll-ups of the selected days of `input`; `None` if a day has other rows than its digest in `input`.
async fn rollups_of(
    engine: &QueryEngine,
    query: &Query,
    input: &ReportInput,
    options: LoadOptions,
    missing_month: MissingMonth,
) -> Result<Option<Vec<UserRollup>>, QueryError> {
    let mut rollups = Vec::new();
    for days in buckets(input.plan.range, Interval::Month) {
        match rollups_of_month(engine, days, query, input, options, missing_month).await? {
            Some(of_month) => rollups.extend(of_month),
            None => return Ok(None),
        }
    }
    Ok(Some(rollups))
}

/// The roll-ups of a month, or of the selected part of a month; `None` if a day has other rows than its digest in
/// `input`.
async fn rollups_of_month(
    engine: &QueryEngine,
    days: DayRange,
    query: &Query,
    input: &ReportInput,
    options: LoadOptions,
    missing_month: MissingMonth,
) -> Result<Option<Vec<UserRollup>>, QueryError> {
    let whole = complete_month(days, input);
    if let Some((first, hashes)) = &whole
        && let Some(dictionary) = input.days.first().map(|day| day.dictionary())
        && let Some(month) = engine.monthly_rollups().get(first, hashes, dictionary)
    {
        return Ok(Some(vec![UserRollup::Month(month)]));
    }
    let Some(rows) = rows_of(engine, days, query, input, options).await? else { return Ok(None) };
    let Some((first, _)) = whole.filter(|_| missing_month == MissingMonth::RollUp) else {
        return Ok(Some(rows.into_iter().map(UserRollup::Day).collect()));
    };
    let month = engine.compute_monthly_rollup(&first, rows).await;
    Ok(Some(vec![UserRollup::Month(month.ok_or(QueryError::Load(LoadError::Abandoned))?)]))
}

/// The rows of those of the `days` that count; `None` if a day has other rows than its digest in `input`.
async fn rows_of(
    engine: &QueryEngine,
    days: DayRange,
    query: &Query,
    input: &ReportInput,
    options: LoadOptions,
) -> Result<Option<Vec<Arc<DayTable>>>, QueryError> {
    let part = Query { dates: QueryDates::Days(days), lead_days: 0, ..query.clone() };
    let loaded = engine.load_rows(&part, options).await?;
    let rows = |digest: &Arc<DayDigest>| {
        let same = |day: &&Arc<DayTable>| day.key() == digest.key() && day.hash() == digest.hash();
        loaded.days.iter().find(same).map(Arc::clone)
    };
    let inside = input.days.iter().filter(|day| days.contains(day.key().day));
    let Some(mut rows) = inside.map(rows).collect::<Option<Vec<_>>>() else { return Ok(None) };
    in_one_dictionary(&mut rows, input.days.first().map(|day| Arc::clone(day.dictionary()))).await?;
    Ok(Some(rows))
}

/// The first key of a month and the content hashes of its days, if the days are a whole month and all are loaded.
fn complete_month(days: DayRange, loaded: &ReportInput) -> Option<(DayKey, Vec<ContentHash>)> {
    let is_whole = Interval::Month.containing(days.first()) == days && loaded.plan.geos.len() == 1;
    let inside = loaded.days.iter().filter(|day| days.contains(day.key().day));
    let hashes: Vec<ContentHash> = inside.clone().map(|day| *day.hash()).collect();
    let first = inside.map(|day| day.key()).next()?;
    (is_whole && hashes.len() == days.len()).then(|| (first.clone(), hashes))
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::atomic::{AtomicU64, Ordering},
        time::Duration,
    };

    use async_trait::async_trait;
    use jiff::Timestamp;
    use tokio::time::Instant;

    use crate::{
        model::{DataScope, Day, Geo, ManualClock, UserIdType},
        query::engine::LeadDays,
        source::{DaySource, Depth, Forecast, LoadContext, LoadedDay},
        store::{DayCatalog, FreshnessPolicy},
        table::{Counter, DayTableBuilder, Row},
    };

    use super::*;

    /// A source of one person's days. Each of the first `changes` loads of rows returns other rows than the digest that
    /// was loaded before.
    #[derive(Default)]
    struct ChangingSource {
        dictionary: Arc<Dictionary>,
        loads_of_rows: AtomicU64,
        changes: u64,
    }

    impl ChangingSource {
        fn version(&self, key: &DayKey, messages: u64) -> DayTable {
            let mut day = DayTableBuilder::new(key.clone(), Arc::clone(&self.dictionary));
            let mut row = Row { user_id: Some("ou_1".into()), ..Row::default() };
            row.counters[Counter::SendMessengerNum.index()] = messages;
            day.push(&row);
            day.finish("2026-11-22T04:00:00Z".parse().unwrap())
        }
    }

    #[async_trait]
    impl DaySource for ChangingSource {
        async fn load(&self, key: &DayKey, depth: Depth, _: LoadContext) -> Result<LoadedDay, LoadError> {
            let loads = self.loads_of_rows.load(Ordering::SeqCst);
            Ok(match depth {
                Depth::Digest => LoadedDay::Digest(Arc::new(DayDigest::from_day(&self.version(key, loads), None))),
                Depth::Rows => {
                    self.loads_of_rows.fetch_add(1, Ordering::SeqCst);
                    LoadedDay::Rows(Arc::new(self.version(key, if loads < self.changes { loads + 1 } else { loads })))
                }
            })
        }

        async fn stored(&self, keys: &[DayKey], _: Depth) -> Vec<Option<LoadedDay>> {
            vec![None; keys.len()]
        }

        async fn forecast(&self, _: &[DayKey], _: Depth) -> Forecast {
            Forecast::NOTHING
        }
    }

    fn catalog() -> DayCatalog {
        let now: Timestamp = "2026-11-22T04:00:00Z".parse().unwrap();
        DayCatalog::new(FreshnessPolicy::default(), Arc::new(ManualClock::at(now)))
    }

    fn query(days: DayRange) -> Query {
        Query {
            dates: QueryDates::Days(days),
            geos: vec![Geo::Cn],
            user_id_type: UserIdType::OpenId,
            scope: DataScope::Everyone,
            selection: RowSelection::default(),
            lead_days: 0,
        }
    }

    fn options() -> LoadOptions {
        LoadOptions { deadline: Instant::now() + Duration::from_secs(60), allow_partial: false }
    }

    async fn load(changes: u64) -> Result<UserRollups, QueryError> {
        let source = Arc::new(ChangingSource { changes, ..ChangingSource::default() });
        let engine = QueryEngine::new(source, catalog(), 1 << 20);
        let query = query(DayRange::single(Day::new(2026, 11, 10).unwrap()));
        UserRollups::load(&engine, &query, options()).await
    }

    #[tokio::test]
    async fn digests_and_rows_are_of_the_same_version_of_a_day() {
        for changes in 0..3 {
            let loaded = load(changes).await.unwrap();
            let [UserRollup::Day(rows)] = &loaded.rollups[..] else { panic!("one day") };
            assert_eq!(rows.hash(), loaded.input.days[0].hash());
            assert_eq!(rows.counter(Counter::SendMessengerNum).sum(), changes);
        }
    }

    /// A source that gives each load another dictionary, as if it was renewed all the time. Each day has the person of all days
    /// and one of its own, in an order that depends on the load.
    #[derive(Default)]
    struct RenewingSource(AtomicU64);

    #[async_trait]
    impl DaySource for RenewingSource {
        async fn load(&self, key: &DayKey, depth: Depth, _: LoadContext) -> Result<LoadedDay, LoadError> {
            let load = self.0.fetch_add(1, Ordering::SeqCst);
            let dictionary = Arc::<Dictionary>::default();
            dictionary.intern_people((0..load % 5).map(|_| "somebody else"), &[]);
            let mut day = DayTableBuilder::new(key.clone(), dictionary);
            let mut people = vec!["ou_all".to_owned(), format!("ou_{}", key.day)];
            people.rotate_left(usize::from(load % 2 == 1));
            for user_id in people {
                day.push(&Row { user_id: Some(user_id), ..Row::default() });
            }
            let day = Arc::new(day.finish("2026-11-22T04:00:00Z".parse().unwrap()));
            Ok(match depth {
                Depth::Digest => LoadedDay::Digest(Arc::new(DayDigest::from_day(&day, None))),
                Depth::Rows => LoadedDay::Rows(day),
            })
        }

        async fn stored(&self, keys: &[DayKey], _: Depth) -> Vec<Option<LoadedDay>> {
            vec![None; keys.len()]
        }

        async fn forecast(&self, _: &[DayKey], _: Depth) -> Forecast {
            Forecast::NOTHING
        }
    }

    #[tokio::test]
    async fn all_days_of_a_report_have_one_dictionary() {
        let catalog = catalog();
        let engine = QueryEngine::new(Arc::<RenewingSource>::default(), catalog, 1 << 20);
        let october = "2026-10".parse::<crate::model::Month>().unwrap().days();
        let query = query(DayRange::new(october.first(), october.last().plus(5)).unwrap());
        for _ in 0..2 {
            let mut loaded = UserRollups::load(&engine, &query, options()).await.unwrap();
            engine.add_lead_days(&mut loaded.input, &query, 3, LeadDays::Affordable(options())).await.unwrap();

            let dictionary = loaded.dictionary().unwrap();
            assert_eq!((loaded.input.days.len(), loaded.rollups.len()), (39, 6));
            assert!(loaded.input.days.iter().all(|day| Arc::ptr_eq(day.dictionary(), dictionary)));
            let tables = dictionary.read();
            let all = loaded.all_people(&RowSelection::default()).unwrap();
            assert_eq!(all.count_ones(..), 37);
            assert!(all.contains(tables.find_person("ou_all").unwrap() as usize));
            for rollup in &loaded.rollups {
                let ids: BTreeSet<&str> = rollup
                    .profiles()
                    .iter()
                    .map(|profile| tables.profile(*profile).user_id.as_deref().unwrap())
                    .collect();
                let days = if matches!(rollup, UserRollup::Month(_)) { 31 } else { 1 };
                assert!(ids.contains("ou_all") && ids.contains(format!("ou_{}", rollup.last_day()).as_str()));
                assert_eq!(ids.len(), days + 1);
            }
        }
    }

    #[tokio::test]
    async fn a_query_whose_days_change_during_every_load_fails() {
        assert_eq!(load(3).await.err(), Some(QueryError::Changing));
    }
}
