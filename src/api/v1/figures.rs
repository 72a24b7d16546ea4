//! Groups of figures that several reports contain: people, the use of features, and counters.

use std::num::NonZeroU64;

use fixedbitset::FixedBitSet;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap as _};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Type,
        schema::{KnownFormat, Schema, SchemaFormat},
    },
};

use crate::{
    api::{
        data_request::{DataRequest, RequestContext},
        params::{Params, WholeNumber},
        shared_params,
    },
    model::DayRange,
    report::{RangeFigures, ratio},
    table::{Cell, Column, ColumnKind, Counter, Feature, MAX_COUNT, Record, record},
};

/// The sum of each counter, under Feishu's names. No sum is above [`MAX_COUNT`].
#[derive(Clone, Copy, Debug)]
pub struct Counters([u64; Counter::COUNT]);

/// The use of each feature, by feature name.
#[derive(Clone, Copy, Debug)]
pub struct Features(pub [FeatureUse; Feature::COUNT]);

record! {
    /// How many people used a feature.
    #[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
    pub struct FeatureUse {
        /// Distinct people who used the feature on at least one date that counts.
        #[schema(example = 1240)]
        active: Option<u64>,
        /// `active` divided by all active people. Null if nobody was active.
        #[schema(example = 0.939, minimum = 0, maximum = 1)]
        adoption: Option<f64>,
        /// People who used the feature on a date, on average over the dates that count.
        #[schema(example = 874.3)]
        active_per_day: Option<f64>,
        /// Distinct people who used the feature on at least `regular_days` of the dates that count. Null also if fewer dates
        /// count.
        #[schema(example = 953)]
        regular: Option<u64>,
        /// `regular` divided by all active people. Null if nobody was active.
        #[schema(example = 0.722, minimum = 0, maximum = 1)]
        regular_rate: Option<f64>,
    }
}

record! {
    /// The people of a range and their activity, over the dates that count. Distinct counts are exact; they are null if the
    /// range spans several dates and Feishu withholds user ids.
    #[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
    pub struct PeopleFigures {
        /// People with a row on the last date that counts.
        #[schema(example = 2000)]
        users: Option<u64>,
        /// Distinct people with a row on any date.
        #[schema(example = 2031)]
        people: Option<u64>,
        /// The number of these people whose account is activated on any date, by Feishu's flag or because they were active.
        #[schema(example = 1962)]
        activated: Option<u64>,
        /// Distinct people who were active on any date.
        #[schema(example = 1790)]
        pub active: Option<u64>,
        /// `active` divided by `activated`. The longer the range, the nearer it is to 1. Null if no account is activated.
        #[schema(example = 0.912, minimum = 0, maximum = 1)]
        active_rate: Option<f64>,
        /// Active people of a date, on average over the dates.
        #[schema(example = 1302.4)]
        active_per_day: Option<f64>,
        /// Active people of a date divided by the activated people of that date, on average over the dates.
        #[schema(example = 0.668, minimum = 0, maximum = 1)]
        active_rate_per_day: Option<f64>,
        /// On how many dates a person must have been active, or have used a feature, to be counted in `regular`: the parameter
        /// `regular_days`, or a quarter of the dates that count, rounded up.
        #[schema(example = 8)]
        regular_days: Option<usize>,
        /// Distinct people who were active on at least `regular_days` dates. Null also if fewer dates count.
        #[schema(example = 1544)]
        regular: Option<u64>,
        /// `regular` divided by `activated`. Null if no account is activated.
        #[schema(example = 0.787, minimum = 0, maximum = 1)]
        regular_rate: Option<f64>,
    }
}

record! {
    /// Distinct active people of the last 7 and 30 days.
    #[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
    pub struct TrailingFigures {
        /// Distinct people active in the 7 days that end with the last date that counts. Null if one of the 7 days is late,
        /// missing or expired, or was not loaded because of `trailing`. In a department, people of sub-departments without rows in the
        /// range count too.
        #[schema(example = 1610)]
        pub wau: Option<u64>,
        /// The same as `wau`, over 30 days.
        #[schema(example = 1790)]
        pub mau: Option<u64>,
        /// Active people of a date, on average over the dates that count and are among the 30 days of `mau`, divided by `mau`.
        #[schema(example = 0.737, minimum = 0, maximum = 1)]
        pub stickiness: Option<f64>,
    }
}

/// The parameter of regular use. Read by [`read_regular_days`].
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RegularParams {
    /// On how many dates a person must use something to be a regular user of it (`regular`, `regular_rate`). At most the
    /// number of days of the longest bucket. Default: a quarter of the dates that count, rounded up: 1 of 3, 2 of 7, 8 of 30.
    #[param(inline, example = 1)]
    regular_days: Option<WholeNumber<1, 3660>>,
}

/// Reads `regular_days`, which must not exceed the longest of the buckets of the range. Call it after the range is read.
pub fn read_regular_days(
    params: &mut Params,
    context: &RequestContext,
    data: &DataRequest,
    bucket_lengths: impl Fn(DayRange) -> Option<usize>,
) -> Option<usize> {
    let RegularParams { regular_days } = params.read();
    shared_params::reject_days_if_suppressing(params, context, "regular_days");
    let WholeNumber(days) = regular_days?;
    if !params.is_any_faulty(&["start_date", "end_date", "period", "geo"]) {
        let range = data.query.dates.resolve(&data.query.geos, context.now());
        let longest = bucket_lengths(range).unwrap_or(1);
        if days > longest {
            params.add_fault("regular_days", format!("is more than the {longest} days of the longest bucket"));
        }
    }
    Some(days)
}

/// The positions of the numbers of people that are withheld: those from 1 to below the minimum, and the next smallest one, from
/// which they could be derived.
fn withheld_positions(counts: &[Option<u64>], min_group_size: NonZeroU64) -> FixedBitSet {
    let known = || counts.iter().enumerate().filter_map(|(at, people)| Some(((*people)?, at)));
    let is_small = |people: u64| (1..min_group_size.get()).contains(&people);
    let mut withheld: FixedBitSet = known().filter(|(people, _)| is_small(*people)).map(|(_, at)| at).collect();
    if !withheld.is_clear() {
        let next = known().filter(|(people, _)| *people >= min_group_size.get()).min();
        withheld.extend(next.map(|(_, at)| at));
    }
    withheld
}

/// Sets numbers of people from 1 to below the minimum to null, and the next smallest one. Returns whether there was one.
pub fn withhold_parts(parts: &mut [&mut Option<u64>], min_group_size: NonZeroU64) -> bool {
    let counts: Vec<Option<u64>> = parts.iter().map(|part| **part).collect();
    let withheld = withheld_positions(&counts, min_group_size);
    withheld.ones().for_each(|at| *parts[at] = None);
    !withheld.is_clear()
}

/// A number of people in a response, and the figures that it can be computed from.
type PeopleCell<'a> = (&'a mut Option<u64>, Vec<&'a mut Option<f64>>);

/// Sets numbers of people from 1 to below `min_group_size` to null; also the next smallest number, from which they could be
/// derived, and the figures that are computed from a number that is null. Returns whether a number was set to null.
pub fn withhold_small_cells(
    people: &mut PeopleFigures,
    trailing: &mut TrailingFigures,
    features: &mut Features,
    min_group_size: NonZeroU64,
) -> bool {
    let of_features = features.0.iter_mut().flat_map(|of| {
        [
            (&mut of.active, vec![&mut of.adoption, &mut of.active_per_day]),
            (&mut of.regular, vec![&mut of.regular_rate]),
        ]
    });
    let mut cells: Vec<PeopleCell<'_>> = of_features.collect();
    cells.extend([
        (&mut people.users, Vec::new()),
        (&mut people.people, Vec::new()),
        (&mut people.activated, Vec::new()),
        (
            &mut people.active,
            vec![&mut people.active_rate, &mut people.active_per_day, &mut people.active_rate_per_day],
        ),
        (&mut people.regular, vec![&mut people.regular_rate]),
        (&mut trailing.wau, Vec::new()),
        (&mut trailing.mau, Vec::new()),
    ]);
    let counts: Vec<Option<u64>> = cells.iter().map(|(people, _)| **people).collect();
    let withheld = withheld_positions(&counts, min_group_size);
    if withheld.is_clear() {
        return false;
    }
    for (people, derived) in
        cells.into_iter().enumerate().filter(|(at, _)| withheld.contains(*at)).map(|(_, cell)| cell)
    {
        *people = None;
        for figure in derived {
            *figure = None;
        }
    }
    // The product of stickiness and `mau` is a number of active people.
    if trailing.mau.is_none() || people.active.is_none() {
        trailing.stickiness = None;
    }
    true
}

/// The number of days on which each feature was used, by feature name.
#[derive(Clone, Copy, Debug)]
pub struct FeatureDays(pub [u64; Feature::COUNT]);

/// The number of days on which a feature was used.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeatureActiveDays {
    /// Number of days on which the feature was used.
    #[schema(example = 17)]
    active_days: u64,
}

impl Counters {
    /// These sums, limited to [`MAX_COUNT`].
    #[must_use]
    pub fn new(sums: [u64; Counter::COUNT]) -> Self {
        Self(sums.map(|sum| sum.min(MAX_COUNT)))
    }
}

impl PeopleFigures {
    /// The figures of a range.
    #[must_use]
    pub fn new(range: &RangeFigures) -> Self {
        let RangeFigures { suite, activated, .. } = range;
        let share = |part: Option<u64>| part.and_then(|part| ratio(part, *activated)).map(round_to_thousandths);
        Self {
            users: Some(range.users),
            people: range.people,
            activated: *activated,
            active: suite.active,
            active_rate: share(suite.active),
            active_per_day: Some(round_to_thousandths(suite.active_per_day)),
            active_rate_per_day: range.active_rate_per_day.map(round_to_thousandths),
            regular_days: Some(range.regular_days),
            regular: suite.regular,
            regular_rate: share(suite.regular),
        }
    }
}

impl Features {
    /// No figures.
    pub const UNKNOWN: Self = Self([FeatureUse::UNKNOWN; Feature::COUNT]);

    /// The figures of a range.
    #[must_use]
    pub fn new(range: &RangeFigures) -> Self {
        let share = |part: Option<u64>| part.and_then(|part| ratio(part, range.suite.active)).map(round_to_thousandths);
        Self(range.features.map(|of| FeatureUse {
            active: of.active,
            adoption: share(of.active),
            active_per_day: Some(round_to_thousandths(of.active_per_day)),
            regular: of.regular,
            regular_rate: share(of.regular),
        }))
    }
}

impl FeatureUse {
    const UNKNOWN: Self =
        Self { active: None, adoption: None, active_per_day: None, regular: None, regular_rate: None };
}

/// One column per counter.
impl Record for Counters {
    fn columns() -> Vec<Column> {
        Counter::ALL.map(|counter| Column::new(counter.name(), ColumnKind::Count)).into()
    }

    fn push_cells<'a>(&'a self, cells: &mut Vec<Cell<'a>>) {
        cells.extend(self.0.map(Cell::Count));
    }
}

/// The columns of [`FeatureUse`] for each feature: `im_active`, `im_adoption` and so on.
impl Record for Features {
    fn columns() -> Vec<Column> {
        let columns = Feature::ALL.into_iter().flat_map(|feature| {
            let of_feature = <FeatureUse as Record>::columns().into_iter();
            of_feature.map(move |column| Column::new(format!("{}_{}", feature.name(), column.name), column.kind))
        });
        columns.collect()
    }

    fn push_cells<'a>(&'a self, cells: &mut Vec<Cell<'a>>) {
        self.0.iter().for_each(|of| Record::push_cells(of, cells));
    }
}

/// One column per feature: `im_active_days` and so on.
impl Record for FeatureDays {
    fn columns() -> Vec<Column> {
        let name = |feature: Feature| format!("{}_active_days", feature.name());
        Feature::ALL.map(|feature| Column::new(name(feature), ColumnKind::Count)).into()
    }

    fn push_cells<'a>(&'a self, cells: &mut Vec<Cell<'a>>) {
        cells.extend(self.0.map(Cell::Count));
    }
}

/// Rounds to the three decimals that responses have.
#[must_use]
pub fn round_to_thousandths(share: f64) -> f64 {
    (share * 1000.0).round() / 1000.0
}

impl Serialize for Counters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Counter::COUNT))?;
        for (counter, sum) in Counter::ALL.into_iter().zip(self.0) {
            map.serialize_entry(counter.name(), &sum)?;
        }
        map.end()
    }
}

impl Serialize for Features {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Feature::COUNT))?;
        for (feature, used) in Feature::ALL.into_iter().zip(self.0) {
            map.serialize_entry(feature.name(), &used)?;
        }
        map.end()
    }
}

impl Serialize for FeatureDays {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Feature::COUNT))?;
        for (feature, active_days) in Feature::ALL.into_iter().zip(self.0) {
            map.serialize_entry(feature.name(), &FeatureActiveDays { active_days })?;
        }
        map.end()
    }
}

impl PartialSchema for FeatureDays {
    fn schema() -> RefOr<Schema> {
        let properties = Feature::ALL.into_iter().fold(ObjectBuilder::new(), |object, feature| {
            object.property(feature.name(), FeatureActiveDays::schema()).required(feature.name())
        });
        properties.description(Some("The number of days on which each feature was used")).into()
    }
}

impl ToSchema for FeatureDays {}

impl PartialSchema for Counters {
    fn schema() -> RefOr<Schema> {
        let properties = Counter::ALL.into_iter().fold(ObjectBuilder::new(), |object, counter| {
            let count = ObjectBuilder::new()
                .schema_type(Type::Integer)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
                .description(Some(counter.describe()));
            object.property(counter.name(), count).required(counter.name())
        });
        properties.description(Some("The sum of each counter")).into()
    }
}

impl ToSchema for Counters {}

impl PartialSchema for Features {
    fn schema() -> RefOr<Schema> {
        let properties = Feature::ALL.into_iter().fold(ObjectBuilder::new(), |object, feature| {
            object.property(feature.name(), FeatureUse::schema()).required(feature.name())
        });
        properties.description(Some("The use of each feature")).into()
    }
}

impl ToSchema for Features {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(people: &PeopleFigures, trailing: &TrailingFigures, features: &Features) -> Vec<Option<u64>> {
        let own = [people.users, people.people, people.activated, people.active, people.regular];
        let of_features = features.0.iter().flat_map(|of| [of.active, of.regular]);
        own.into_iter().chain([trailing.wau, trailing.mau]).chain(of_features).collect()
    }

    proptest! {
        #[test]
        fn no_small_number_is_visible_and_none_is_withheld_alone(
            numbers in proptest::collection::vec(proptest::option::of(0_u64..40), 7 + 2 * Feature::COUNT), least in 1_u64..20,
        ) {
            let number = |index: usize| numbers[index];
            let share = Some(0.5);
            let mut people = PeopleFigures {
                users: number(0), people: number(1), activated: number(2), active: number(3), regular: number(4),
                active_rate: share, active_per_day: share, active_rate_per_day: share, regular_days: Some(2), regular_rate: share,
            };
            let mut trailing = TrailingFigures { wau: number(5), mau: number(6), stickiness: share };
            let mut features = Features(std::array::from_fn(|feature| FeatureUse {
                active: number(7 + 2 * feature), regular: number(8 + 2 * feature),
                adoption: share, active_per_day: share, regular_rate: share,
            }));
            let before = counts(&people, &trailing, &features);

            let are_withheld =
                withhold_small_cells(&mut people, &mut trailing, &mut features, NonZeroU64::new(least).unwrap());

            let after = counts(&people, &trailing, &features);
            prop_assert!(after.iter().flatten().all(|count| *count == 0 || *count >= least));
            let withheld = before.iter().zip(&after).filter(|(before, after)| before != after).count();
            prop_assert_eq!(are_withheld, withheld > 0);
            let visible = after.iter().flatten().filter(|count| **count > 0).count();
            prop_assert!(withheld != 1 || visible == 0, "one alone could be derived from the others");
            // Shares and means of a withheld number are withheld with it.
            if are_withheld && before[3].is_some() && people.active.is_none() {
                prop_assert_eq!((people.active_rate, people.active_per_day, people.active_rate_per_day), (None, None, None));
                prop_assert_eq!(trailing.stickiness, None);
            }
        }
    }
}
