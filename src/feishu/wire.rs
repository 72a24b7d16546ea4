//! Upstream's replies as they come: serde shapes only, forgiving about types and strict about nothing.
//!
//! The documentation and the SDKs disagree on what is a string and what a number, so every scalar is read as
//! [`Loose`] and made sense of in [`decode`](super::decode).

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The outer level of every reply. Judge by `code`, never by the HTTP status alone.
#[derive(Debug, Deserialize)]
pub struct Reply<'a> {
    /// 0 for success. Without it, the reply is not upstream's.
    #[serde(borrow)]
    pub code: Loose<'a>,
    /// The payload, read further only where `code` is 0.
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
    /// More about a failure.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
}

/// More about a failure.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorDetail<'a> {
    /// Finds the call in Feishu's log search.
    #[serde(borrow)]
    pub log_id: Loose<'a>,
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
    pub subject: Loose<'a>,
}

/// The reply to a token request, which has no `data` level.
#[derive(Debug, Deserialize)]
pub struct TokenReply<'a> {
    /// The token.
    #[serde(borrow, default)]
    pub tenant_access_token: Loose<'a>,
    /// Seconds that the token is still valid.
    #[serde(borrow, default)]
    pub expire: Loose<'a>,
}

/// One page of user-days.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Page<'a> {
    /// Whether there is more.
    #[serde(borrow)]
    pub has_more: Loose<'a>,
    /// Asks for the next page. Opaque.
    #[serde(borrow)]
    pub page_token: Loose<'a>,
    /// The rows; may be empty or null although there is more.
    #[serde(borrow)]
    pub items: Option<Vec<Item<'a>>>,
}

/// One user-day, under upstream's names.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "documented by upstream; what they mean to us is in `table::schema`")]
pub struct Item<'a> {
    #[serde(borrow)]
    pub date: Loose<'a>,
    #[serde(borrow)]
    pub user_id: Loose<'a>,
    #[serde(borrow)]
    pub user_name: Loose<'a>,
    #[serde(borrow)]
    pub department_name: Loose<'a>,
    #[serde(borrow)]
    pub department_path: Loose<'a>,
    #[serde(borrow)]
    pub create_time: Loose<'a>,
    #[serde(borrow)]
    pub user_active_flag: Loose<'a>,
    #[serde(borrow)]
    pub register_time: Loose<'a>,
    #[serde(borrow)]
    pub suite_active_flag: Loose<'a>,
    #[serde(borrow)]
    pub last_active_time: Loose<'a>,
    #[serde(borrow)]
    pub im_active_flag: Loose<'a>,
    #[serde(borrow)]
    pub send_messenger_num: Loose<'a>,
    #[serde(borrow)]
    pub docs_active_flag: Loose<'a>,
    #[serde(borrow)]
    pub create_docs_num: Loose<'a>,
    #[serde(borrow)]
    pub cal_active_flag: Loose<'a>,
    #[serde(borrow)]
    pub create_cal_num: Loose<'a>,
    #[serde(borrow)]
    pub vc_active_flag: Loose<'a>,
    #[serde(borrow)]
    pub vc_duration: Loose<'a>,
    #[serde(borrow)]
    pub active_os: Loose<'a>,
    #[serde(borrow)]
    pub create_task_num: Loose<'a>,
    #[serde(borrow)]
    pub vc_num: Loose<'a>,
    #[serde(borrow)]
    pub app_package_type: Loose<'a>,
    #[serde(borrow)]
    pub os_name: Loose<'a>,
    #[serde(borrow)]
    pub email_send_count: Loose<'a>,
    #[serde(borrow)]
    pub email_receive_count: Loose<'a>,
    #[serde(borrow)]
    pub email_send_ext_count: Loose<'a>,
    #[serde(borrow)]
    pub email_receive_ext_count: Loose<'a>,
    #[serde(borrow)]
    pub email_send_in_count: Loose<'a>,
    #[serde(borrow)]
    pub email_receive_in_count: Loose<'a>,
    #[serde(borrow)]
    pub search_active_flag: Loose<'a>,
    #[serde(borrow)]
    pub total_search_count: Loose<'a>,
    #[serde(borrow)]
    pub quick_search_count: Loose<'a>,
    #[serde(borrow)]
    pub tab_search_count: Loose<'a>,
}

/// A scalar of whatever type it came in.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Loose<'a> {
    /// Absent, null, or of a shape that no scalar has.
    #[default]
    Nothing,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that is not negative.
    Count(u64),
    /// A negative or broken number.
    Number(f64),
    /// A text, as it is.
    Text(Cow<'a, str>),
}

impl Loose<'_> {
    /// The value as a text that is not blank.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Nothing => None,
            Self::Bool(value) => Some(Cow::Owned(value.to_string())),
            Self::Count(value) => Some(Cow::Owned(value.to_string())),
            Self::Number(value) => Some(Cow::Owned(value.to_string())),
            Self::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()).map(Cow::Borrowed),
        }
    }

    /// The value as a count: `Ok(None)` where there is none.
    ///
    /// # Errors
    /// [`Unreadable`] where something is there that is not a count.
    pub fn count(&self) -> Result<Option<u64>, Unreadable> {
        match self {
            Self::Nothing => Ok(None),
            Self::Bool(value) => Ok(Some(u64::from(*value))),
            Self::Count(value) => Ok(Some(*value)),
            Self::Number(value) => whole(*value).map(Some),
            Self::Text(text) if text.trim().is_empty() => Ok(None),
            Self::Text(text) => {
                let text = text.trim();
                text.parse().or_else(|_| text.parse::<f64>().map_err(|_| Unreadable).and_then(whole)).map(Some)
            }
        }
    }

    /// The value as yes or no; anything that is not clearly a yes is a no.
    #[must_use]
    pub fn is_yes(&self) -> bool {
        match self {
            Self::Text(text) if text.trim().eq_ignore_ascii_case("true") => true,
            other => other.count().is_ok_and(|count| count.is_some_and(|count| count > 0)),
        }
    }
}

/// A value that makes no sense in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie within the range")]
fn whole(value: f64) -> Result<u64, Unreadable> {
    let in_range = value.fract() == 0.0 && (0.0..9.0e15).contains(&value);
    if in_range { Ok(value as u64) } else { Err(Unreadable) }
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Loose::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Loose::Count(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(value).map_or(Loose::Number(value as f64), Loose::Count))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Loose::Number(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Loose::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Loose::Nothing)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Loose::Nothing)
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
    #[case("-1", Err(Unreadable))]
    #[case("1.5", Err(Unreadable))]
    #[case(r#""many""#, Err(Unreadable))]
    #[case(r#""NaN""#, Err(Unreadable))]
    fn a_count_is_read_from_whatever_type_it_came_in(
        #[case] json: &str,
        #[case] count: Result<Option<u64>, Unreadable>,
    ) {
        let loose: Loose<'_> = serde_json::from_str(json).unwrap();
        assert_eq!(loose.count(), count);
    }

    #[test]
    fn an_item_survives_absent_null_and_unknown_fields() {
        let item: Item<'_> = serde_json::from_str(r#"{"date":null,"vc_num":"3","new_field":{"deep":[1,2]}}"#).unwrap();
        assert_eq!(item.vc_num.count(), Ok(Some(3)));
        assert_eq!(item.user_id, Loose::Nothing);
    }
}
