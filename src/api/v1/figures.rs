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
    report::activity::share,
    table::{Counter, Feature},
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
