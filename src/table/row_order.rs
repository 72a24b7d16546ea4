//! Row order: sorts the selected rows of several days by one field.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    day_table::DayTable,
    dictionary::DictionaryTables,
    profile::{NO_PERSON, Profile},
    row_field::RowField,
    row_selection::RowSelection,
    schema::{Counter, Flag},
};

/// Maximum number of rows that are sorted. Each takes 16 bytes.
pub const MAX_SORTED_ROWS: usize = 10_000_000;

/// The position of a row in a list of days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowPosition {
    /// Index of the day in the list.
    pub day: usize,
    /// Index of the row in the day.
    pub row: usize,
}

/// An order of rows: by one field, then by position. A missing value is the smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowSort {
    field: RowField,
    descending: bool,
}

/// The selection has more rows than can be sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot sort more than {MAX_SORTED_ROWS} rows; select fewer days, or omit sort")]
pub struct TooManyRows;

/// The selected rows of several days with their sort keys.
#[derive(Debug, Default)]
pub struct RowRanking {
    rows: Vec<RankedRow>,
}

/// A row with its sort key. Fields in the order of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RankedRow {
    key: u64,
    day: u32,
    row: u32,
}

/// Computes the sort key of a row.
enum SortKey {
    Day,
    Geo,
    /// Keys by profile index.
    Profile(Vec<u64>),
    LastActive,
    Flag(Flag),
    Counter(Counter),
}

impl RowSort {
    /// The order by `field`, the largest value first if `descending`. `None` for fields that are lists.
    #[must_use]
    pub const fn new(field: RowField, descending: bool) -> Option<Self> {
        match field {
            RowField::Clients | RowField::AppPackages | RowField::OsNames => None,
            _ => Some(Self { field, descending }),
        }
    }

    /// Ranks the rows of `days` that `selection` selects. The days share the dictionary of `tables`.
    ///
    /// # Errors
    /// [`TooManyRows`] above [`MAX_SORTED_ROWS`] rows.
    pub fn rank(
        self,
        days: &[Arc<DayTable>],
        tables: &DictionaryTables,
        selection: &RowSelection,
    ) -> Result<RowRanking, TooManyRows> {
        let key = SortKey::new(self.field, tables);
        let selector = selection.compile(tables);
        let mut rows = Vec::new();
        for (index, day) in (0..).zip(days) {
            for row in selector.rows(day) {
                if rows.len() == MAX_SORTED_ROWS {
                    return Err(TooManyRows);
                }
                let ascending = key.of(day, row);
                let key = if self.descending { !ascending } else { ascending };
                let row = u32::try_from(row).map_err(|_| TooManyRows)?;
                rows.push(RankedRow { key, day: index, row });
            }
        }
        Ok(RowRanking { rows })
    }
}

impl RowRanking {
    /// Number of rows.
    #[must_use]
    pub const fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// The `limit` rows after the first `skip`. Only these are sorted; the others are only partitioned.
    #[must_use]
    pub fn page(mut self, skip: usize, limit: usize) -> Vec<RowPosition> {
        if skip >= self.rows.len() {
            return Vec::new();
        }
        if skip > 0 {
            self.rows.select_nth_unstable(skip);
        }
        let page = &mut self.rows[skip..];
        if limit < page.len() {
            page.select_nth_unstable(limit);
        }
        let limit = limit.min(page.len());
        let page = &mut page[..limit];
        page.sort_unstable();
        page.iter().copied().map(RowPosition::from).collect()
    }

    /// All rows in order.
    pub fn into_positions(mut self) -> impl Iterator<Item = RowPosition> + Send {
        self.rows.sort_unstable();
        self.rows.into_iter().map(RowPosition::from)
    }
}

impl From<RankedRow> for RowPosition {
    fn from(ranked: RankedRow) -> Self {
        Self { day: ranked.day as usize, row: ranked.row as usize }
    }
}

impl SortKey {
    fn new(field: RowField, tables: &DictionaryTables) -> Self {
        let by_profile = |key: &dyn Fn(&Profile) -> u64| Self::Profile(tables.profiles().map(|one| key(one)).collect());
        let department_ranks =
            |text: fn(&super::Department) -> &str| ranks(tables.departments().map(|department| text(department)));
        match field {
            RowField::Date => Self::Day,
            // Lists are not sorted, see `RowSort::new`.
            RowField::Geo | RowField::Clients | RowField::AppPackages | RowField::OsNames => Self::Geo,
            RowField::UserId => {
                let ranks = tables.user_id_ranks();
                let rank = |person: u32| if person == NO_PERSON { 0 } else { u64::from(ranks[person as usize]) + 1 };
                Self::Profile(tables.profile_persons().iter().map(|person| rank(*person)).collect())
            }
            RowField::UserName => Self::Profile(ranks(tables.profiles().map(|profile| &*profile.user_name))),
            RowField::DepartmentName => {
                let ranks = department_ranks(|department| &department.name);
                by_profile(&|profile| ranks[profile.department as usize])
            }
            RowField::DepartmentPath => {
                let ranks = department_ranks(|department| &department.path);
                by_profile(&|profile| ranks[profile.department as usize])
            }
            RowField::CreateTime => by_profile(&|profile| instant_key(profile.create_time)),
            RowField::RegisterTime => by_profile(&|profile| instant_key(profile.register_time)),
            RowField::LastActiveTime => Self::LastActive,
            RowField::Flag(flag) => Self::Flag(flag),
            RowField::Counter(counter) => Self::Counter(counter),
        }
    }

    fn of(&self, day: &DayTable, row: usize) -> u64 {
        match self {
            Self::Day => signed_key(day.key().day.days_since_year_zero().into()),
            Self::Geo => day.key().geo.name().bytes().fold(0, |key, byte| key << 8 | u64::from(byte)),
            Self::Profile(keys) => keys[day.profiles()[row] as usize],
            Self::LastActive => instant_key(day.last_active(row)),
            Self::Flag(flag) => day.flags()[row].contains(*flag).into(),
            Self::Counter(counter) => day.counter(*counter).get(row),
        }
    }
}

/// The rank of each text among these texts. Equal texts have equal ranks.
fn ranks<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<u64> {
    let texts: Vec<&str> = texts.collect();
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_unstable_by_key(|index| texts[*index]);
    let (mut ranks, mut rank) = (vec![0; texts.len()], 0);
    for (position, index) in order.iter().enumerate() {
        if position > 0 && texts[order[position - 1]] != texts[*index] {
            rank += 1;
        }
        ranks[*index] = rank;
    }
    ranks
}

fn instant_key(instant: Option<Timestamp>) -> u64 {
    instant.map_or(0, |instant| signed_key(instant.as_second()))
}

/// Maps signed numbers to unsigned ones in the same order.
const fn signed_key(number: i64) -> u64 {
    number.cast_unsigned() ^ (1 << 63)
}
