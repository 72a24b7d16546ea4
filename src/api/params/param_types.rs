//! Types of query parameters that read and document themselves.

use std::{fmt::Display, str::FromStr};

use crate::query::Period;
use serde::{Deserialize, Deserializer, de::Error as _};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// A whole number within inclusive bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeNumber<const MIN: usize, const MAX: usize>(pub usize);

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for WholeNumber<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = String::deserialize(deserializer)?.parse().ok().filter(|number| (MIN..=MAX).contains(number));
        number.map(Self).ok_or_else(|| D::Error::custom(format!("expected a whole number from {MIN} to {MAX}")))
    }
}

impl<const MIN: usize, const MAX: usize> PartialSchema for WholeNumber<MIN, MAX> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(MIN)).maximum(Some(MAX)).into()
    }
}

impl<const MIN: usize, const MAX: usize> ToSchema for WholeNumber<MIN, MAX> {}

/// A number of days such as `30d`, from 1 to 3660.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayCount(pub u16);

impl FromStr for DayCount {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(Period::Latest(days)) => Ok(Self(days)),
            _ => Err("expected a number of days such as 30d (1d to 3660d)"),
        }
    }
}

/// For `#[serde(deserialize_with)]`: reads an optional parameter with `FromStr`. The message of a parse error becomes the
/// detail of the fault.
///
/// # Errors
/// If the text cannot be parsed.
pub fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<Option<T>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
}

/// The schema of a text that is one of `names`.
#[must_use]
pub fn choice_schema<const N: usize>(description: &str, names: [&'static str; N]) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.description(Some(description)).enum_values(Some(names)).into()
}
