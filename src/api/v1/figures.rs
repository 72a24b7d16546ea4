//! Groups of figures that several reports contain: counters, and the use of features.

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Type,
        schema::{KnownFormat, Schema, SchemaFormat},
    },
};

use crate::{
    report::ratio,
    table::{Cell, Column, ColumnKind, Counter, Feature, MAX_COUNT, Record, RecordField},
};

/// The sum of each counter, under Feishu's names. No sum is above [`MAX_COUNT`].
#[derive(Clone, Copy, Debug)]
pub struct Counters([u64; Counter::COUNT]);

/// The use of each feature, by feature name.
#[derive(Clone, Copy, Debug)]
pub struct Features(pub [FeatureUse; Feature::COUNT]);

/// The use of one feature.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct FeatureUse {
    /// Distinct people who used the feature.
    #[schema(example = 1240)]
    pub active: Option<u64>,
    /// `active` divided by all active people, 0 to 1. Null if nobody was active.
    #[schema(example = 0.939)]
    pub adoption: Option<f64>,
}

/// The number of days on which each feature was used, by feature name.
#[derive(Clone, Copy, Debug)]
pub struct FeatureDays(pub [u64; Feature::COUNT]);

#[derive(Debug, Serialize, ToSchema)]
struct FeatureDaysItem {
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

impl Features {
    /// The use of each feature by `users`, out of `active` people.
    #[must_use]
    pub fn new(users: [Option<u64>; Feature::COUNT], active: Option<u64>) -> Self {
        Self(users.map(|users| FeatureUse {
            active: users,
            adoption: users.and_then(|users| ratio(users, active)).map(round_to_thousandths),
        }))
    }
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

/// Two columns per feature: `im_active`, `im_adoption` and so on.
impl Record for Features {
    fn columns() -> Vec<Column> {
        let columns = Feature::ALL.into_iter().flat_map(|feature| {
            let name = feature.name();
            [
                Column::new(format!("{name}_active"), ColumnKind::Count),
                Column::new(format!("{name}_adoption"), ColumnKind::Number),
            ]
        });
        columns.collect()
    }

    fn push_cells<'a>(&'a self, cells: &mut Vec<Cell<'a>>) {
        for used in &self.0 {
            RecordField::push_cells(&used.active, cells);
            RecordField::push_cells(&used.adoption, cells);
        }
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
            map.serialize_entry(feature.name(), &FeatureDaysItem { active_days })?;
        }
        map.end()
    }
}

impl PartialSchema for FeatureDays {
    fn schema() -> RefOr<Schema> {
        let properties = Feature::ALL.into_iter().fold(ObjectBuilder::new(), |object, feature| {
            object.property(feature.name(), FeatureDaysItem::schema()).required(feature.name())
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
