//! Figures as reports show them: one value per counter, one per feature, shares with three decimals.

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Type,
        schema::{KnownFormat, Schema, SchemaFormat},
    },
};

use crate::{
    report::share,
    table::{Cell, Column, Counter, Feature, Kind},
};

/// The sum of every counter, under upstream's names.
#[derive(Clone, Copy, Debug)]
pub struct Counters(pub [u64; Counter::COUNT]);

/// The use of every feature, under upstream's names.
#[derive(Clone, Copy, Debug)]
pub struct Features(pub [FeatureUse; Feature::COUNT]);

/// The use of one feature.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct FeatureUse {
    /// Different people who used it.
    #[schema(example = 1240)]
    pub active: Option<u64>,
    /// Their share of all active people, 0 to 1; null where nobody was active.
    #[schema(example = 0.939)]
    pub adoption: Option<f64>,
}

/// On how many days each feature was used, under upstream's names.
#[derive(Clone, Copy, Debug)]
pub struct FeatureDays(pub [u64; Feature::COUNT]);

#[derive(Debug, Serialize, ToSchema)]
struct DaysOfUse {
    /// On how many days it was used.
    #[schema(example = 17)]
    active_days: u64,
}

impl Features {
    /// The use of each feature by `users` of it, out of `active` people.
    #[must_use]
    pub fn new(users: [Option<u64>; Feature::COUNT], active: Option<u64>) -> Self {
        Self(users.map(|users| FeatureUse {
            active: users,
            adoption: users.and_then(|users| share(users, active)).map(rounded),
        }))
    }
}

impl Counters {
    /// A column for each.
    pub fn columns() -> impl Iterator<Item = Column> {
        Counter::ALL.into_iter().map(|counter| Column::new(counter.name(), Kind::Count))
    }

    /// A cell for each.
    pub fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        self.0.into_iter().map(Cell::Count)
    }

    /// A cell for each; empty where there are none.
    pub fn cells_of(counters: Option<&Self>) -> impl Iterator<Item = Cell<'_>> {
        let sums = counters.map_or([None; Counter::COUNT], |counters| counters.0.map(Some));
        sums.into_iter().map(Cell::from)
    }
}

impl Features {
    /// Two columns for each: `im_active`, `im_adoption` and so on.
    pub fn columns() -> impl Iterator<Item = Column> {
        Feature::ALL.into_iter().flat_map(|feature| {
            let name = feature.name();
            [Column::new(format!("{name}_active"), Kind::Count), Column::new(format!("{name}_adoption"), Kind::Number)]
        })
    }

    /// Two cells for each.
    pub fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        self.0.iter().flat_map(|used| [used.active.into(), used.adoption.into()])
    }
}

impl FeatureDays {
    /// A column for each: `im_active_days` and so on.
    pub fn columns() -> impl Iterator<Item = Column> {
        Feature::ALL.into_iter().map(|feature| Column::new(format!("{}_active_days", feature.name()), Kind::Count))
    }

    /// A cell for each.
    pub fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        self.0.into_iter().map(Cell::Count)
    }
}

/// Three decimals are more than any reader uses.
#[must_use]
pub fn rounded(share: f64) -> f64 {
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
            map.serialize_entry(feature.name(), &DaysOfUse { active_days })?;
        }
        map.end()
    }
}

impl PartialSchema for FeatureDays {
    fn schema() -> RefOr<Schema> {
        let properties = Feature::ALL.into_iter().fold(ObjectBuilder::new(), |object, feature| {
            object.property(feature.name(), DaysOfUse::schema()).required(feature.name())
        });
        properties.description(Some("On how many days each feature was used")).into()
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
        properties.description(Some("The sum of every counter")).into()
    }
}

impl ToSchema for Counters {}

impl PartialSchema for Features {
    fn schema() -> RefOr<Schema> {
        let properties = Feature::ALL.into_iter().fold(ObjectBuilder::new(), |object, feature| {
            object.property(feature.name(), FeatureUse::schema()).required(feature.name())
        });
        properties.description(Some("The use of every feature")).into()
    }
}

impl ToSchema for Features {}
