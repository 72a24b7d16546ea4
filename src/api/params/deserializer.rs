//! Deserializes a struct of query parameters. Each error names its parameter, so that all faults can be collected.

use std::fmt::{self, Display};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor, value::StrDeserializer},
    forward_to_deserialize_any,
};

/// The parameter whose value can be empty and can contain control characters, because a department can have any path.
pub(super) const DEPARTMENT_PATH: &str = "department_path";

/// Why a value is not valid for its parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParamError {
    /// The parameter; `None` if the error is not about a value.
    pub(super) parameter: Option<&'static str>,
    /// The detail of the fault.
    pub(super) detail: String,
}

/// Deserializes a struct from texts. The function returns the texts of the fields that have one, in the order of the
/// fields.
pub(super) struct ParamsDeserializer<F>(pub(super) F);

/// The values of the fields of a struct, in the order of the fields.
struct FieldValues {
    values: std::vec::IntoIter<(&'static str, String)>,
    current: Option<(&'static str, String)>,
}

/// The value of one parameter.
struct ParamValue<'a>(&'a str);

impl<'de, F> Deserializer<'de> for ParamsDeserializer<F>
where
    F: FnOnce(&'static [&'static str]) -> Vec<(&'static str, String)>,
{
    type Error = ParamError;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ParamError> {
        visitor.visit_map(FieldValues { values: (self.0)(fields).into_iter(), current: None })
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParamError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for FieldValues {
    type Error = ParamError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ParamError> {
        self.current = self.values.next();
        let name: Option<StrDeserializer<'_, ParamError>> =
            self.current.as_ref().map(|(name, _)| (*name).into_deserializer());
        name.map(|name| seed.deserialize(name)).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ParamError> {
        let Some((name, value)) = self.current.take() else { return Err(ParamError::custom("a value without a name")) };
        let result = match value.as_str() {
            "" if name != DEPARTMENT_PATH => Err(ParamError::custom("is empty")),
            value => seed.deserialize(ParamValue(value)),
        };
        result.map_err(|error| ParamError { parameter: Some(name), ..error })
    }
}

impl<'de> Deserializer<'de> for ParamValue<'_> {
    type Error = ParamError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParamError> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParamError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ParamError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParamError> {
        match self.0 {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(ParamError::custom("expected one of true, false")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ParamError> {
        let name: StrDeserializer<'_, ParamError> = self.0.into_deserializer();
        visitor.visit_enum(name)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl Error for ParamError {
    fn custom<T: Display>(detail: T) -> Self {
        Self { parameter: None, detail: detail.to_string() }
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format!("expected one of {}", expected.join(", ")))
    }
}

impl Display for ParamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for ParamError {}
