//! Serde types of the upstream replies. They accept every JSON type in every field.
//!
//! Feishu's documentation and its SDKs disagree on which fields are strings and which are numbers. So every scalar is
//! deserialized as [`LenientScalar`] and converted in [`decode`](super::decode).

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::table::{Counter, schema::with_counter_table};

/// The outer object of every reply. `code` determines the outcome, not the HTTP status alone.
#[derive(Debug, Deserialize)]
pub struct ReplyEnvelope<'a> {
    /// 0 for success. A reply without a code does not come from Feishu.
    #[serde(borrow)]
    pub code: LenientScalar<'a>,
    /// The payload. It is parsed only if `code` is 0.
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
    /// Details of a failure.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
}

/// Details of a failure.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorDetail<'a> {
    /// The id of the call in Feishu's log search.
    #[serde(borrow)]
    pub log_id: LenientScalar<'a>,
    /// The scopes that are missing.
    #[serde(borrow)]
    pub permission_violations: Vec<PermissionViolation<'a>>,
}

/// A scope that is missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PermissionViolation<'a> {
    /// The scope's name.
    #[serde(borrow)]
    pub subject: LenientScalar<'a>,
}

/// The reply to a token request. Its fields are not nested in `data`.
#[derive(Debug, Deserialize)]
pub struct TokenReply<'a> {
    /// The token.
    #[serde(borrow, default)]
    pub tenant_access_token: LenientScalar<'a>,
    /// Remaining lifetime of the token, in seconds.
    #[serde(borrow, default)]
    pub expire: LenientScalar<'a>,
}

/// One page of user-days.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct UpstreamPage<'a> {
    /// Whether there is a next page.
    #[serde(borrow)]
    pub has_more: LenientScalar<'a>,
    /// The token of the next page. Documented as opaque.
    #[serde(borrow)]
    pub page_token: LenientScalar<'a>,
    /// The rows. They may be empty or null even if there is a next page.
    #[serde(borrow)]
    pub items: Option<Vec<UpstreamRow<'a>>>,
}

macro_rules! define_upstream_row {
    ($($counter:ident, $name:ident, $feature:ident, $notation:ident, $description:literal;)*) => {
        /// One user-day, with Feishu's field names.
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, bound(deserialize = "'de: 'a"))]
        #[expect(missing_docs, reason = "documented by Feishu; `table::schema` documents their meaning")]
        pub struct UpstreamRow<'a> {
            pub date: LenientScalar<'a>,
            pub user_id: LenientScalar<'a>,
            pub user_name: LenientScalar<'a>,
            pub department_name: LenientScalar<'a>,
            pub department_path: LenientScalar<'a>,
            pub create_time: LenientScalar<'a>,
            pub user_active_flag: LenientScalar<'a>,
            pub register_time: LenientScalar<'a>,
            pub suite_active_flag: LenientScalar<'a>,
            pub last_active_time: LenientScalar<'a>,
            pub im_active_flag: LenientScalar<'a>,
            pub docs_active_flag: LenientScalar<'a>,
            pub cal_active_flag: LenientScalar<'a>,
            pub vc_active_flag: LenientScalar<'a>,
            pub active_os: LenientScalar<'a>,
            pub app_package_type: LenientScalar<'a>,
            pub os_name: LenientScalar<'a>,
            pub search_active_flag: LenientScalar<'a>,
            $(pub $name: LenientScalar<'a>,)*
        }

        impl<'a> UpstreamRow<'a> {
            /// The counters, by [`Counter::index`].
            #[must_use]
            pub const fn counters(&self) -> [&LenientScalar<'a>; Counter::COUNT] {
                [$(&self.$name),*]
            }
        }
    };
}
with_counter_table!(define_upstream_row);

/// A scalar of any JSON type.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum LenientScalar<'a> {
    /// Absent, null, an array or an object.
    #[default]
    Missing,
    /// `true` or `false`.
    Bool(bool),
    /// A non-negative integer.
    Count(u64),
    /// A negative or fractional number.
    Number(f64),
    /// A string, not trimmed.
    Text(Cow<'a, str>),
}

impl LenientScalar<'_> {
    /// The value as trimmed text. `None` if it is missing or blank.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Missing => None,
            Self::Bool(value) => Some(Cow::Owned(value.to_string())),
            Self::Count(value) => Some(Cow::Owned(value.to_string())),
            Self::Number(value) => Some(Cow::Owned(value.to_string())),
            Self::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()).map(Cow::Borrowed),
        }
    }

    /// The value as a count. `Ok(None)` if it is missing or blank.
    ///
    /// # Errors
    /// [`InvalidCount`] if the value is neither missing nor a count.
    pub fn count(&self) -> Result<Option<u64>, InvalidCount> {
        match self {
            Self::Missing => Ok(None),
            Self::Bool(value) => Ok(Some(u64::from(*value))),
            Self::Count(value) => Ok(Some(*value)),
            Self::Number(value) => whole_number(*value).map(Some),
            Self::Text(text) if text.trim().is_empty() => Ok(None),
            Self::Text(text) => {
                let text = text.trim();
                text.parse().or_else(|_| text.parse::<f64>().map_err(|_| InvalidCount).and_then(whole_number)).map(Some)
            }
        }
    }

    /// Whether the value is `true`, the text "true", or a count above 0.
    #[must_use]
    pub fn is_true(&self) -> bool {
        match self {
            Self::Text(text) if text.trim().eq_ignore_ascii_case("true") => true,
            other => other.count().is_ok_and(|count| count.is_some_and(|count| count > 0)),
        }
    }
}

/// A value that is not a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidCount;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie within the range")]
fn whole_number(value: f64) -> Result<u64, InvalidCount> {
    let in_range = value.fract() == 0.0 && (0.0..9.0e15).contains(&value);
    if in_range { Ok(value as u64) } else { Err(InvalidCount) }
}

impl<'de: 'a, 'a> Deserialize<'de> for LenientScalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LenientScalarVisitor)
    }
}

struct LenientScalarVisitor;

impl<'de> Visitor<'de> for LenientScalarVisitor {
    type Value = LenientScalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(LenientScalar::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(LenientScalar::Count(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(value).map_or(LenientScalar::Number(value as f64), LenientScalar::Count))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(LenientScalar::Number(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(LenientScalar::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(LenientScalar::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(LenientScalar::Missing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(LenientScalar::Missing)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(LenientScalar::Missing)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("7", Ok(Some(7)))]
    #[case(r#""7""#, Ok(Some(7)))]
    #[case(r#"" 7 ""#, Ok(Some(7)))]
    #[case("7.0", Ok(Some(7)))]
    #[case(r#""7.0""#, Ok(Some(7)))]
    #[case(r#""""#, Ok(None))]
    #[case("null", Ok(None))]
    #[case("[1]", Ok(None))]
    #[case(r#"{"a":1}"#, Ok(None))]
    #[case("true", Ok(Some(1)))]
    #[case("-1", Err(InvalidCount))]
    #[case("1.5", Err(InvalidCount))]
    #[case(r#""many""#, Err(InvalidCount))]
    #[case(r#""NaN""#, Err(InvalidCount))]
    fn a_count_is_read_from_any_json_type(#[case] json: &str, #[case] count: Result<Option<u64>, InvalidCount>) {
        let scalar: LenientScalar<'_> = serde_json::from_str(json).unwrap();
        assert_eq!(scalar.count(), count);
    }

    #[test]
    fn a_row_may_have_absent_null_and_unknown_fields() {
        let row: UpstreamRow<'_> =
            serde_json::from_str(r#"{"date":null,"vc_num":"3","new_field":{"deep":[1,2]}}"#).unwrap();
        assert_eq!(row.vc_num.count(), Ok(Some(3)));
        assert_eq!(row.user_id, LenientScalar::Missing);
    }
}
