//! Types of the upstream replies. They accept every JSON type in every field.
//!
//! Feishu's documentation and its SDKs disagree on which fields are strings and which are numbers. So every scalar is
//! read as [`LenientScalar`] and converted in [`decode`](super::decode). If an object has a key twice, the last value is
//! used.
//!
//! A successful reply is parsed in one pass, row by row, by [`parse_success`]. Only if anything in it is unusual, it is parsed
//! again: first the outer object ([`ReplyEnvelope`]), then the rows of its page one by one ([`UpstreamPage`]), so that a fault costs
//! no other row, and the fields of a row one by one, so that a fault costs no other field.

use std::{borrow::Cow, collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    count_parser::{self, InexactCount},
    json_repair::repair_json,
};
use crate::table::{Counter, schema::with_counter_table};

/// Numbers from 2^53 on have no exact value as `f64`.
const MAX_EXACT_F64: f64 = 9_007_199_254_740_992.0;

/// The fields of an object, not parsed.
type RawFields<'a> = HashMap<String, &'a RawValue>;

/// The outer object of every reply.
#[derive(Debug)]
pub struct ReplyEnvelope<'a> {
    /// 0 for success. A reply without a code does not come from Feishu.
    pub code: LenientScalar<'a>,
    /// The payload. It is parsed only if `code` is 0.
    pub data: Option<&'a RawValue>,
    /// Details of a failure.
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
#[derive(Debug)]
pub struct TokenReply<'a> {
    /// The token.
    pub tenant_access_token: LenientScalar<'a>,
    /// Remaining lifetime of the token, in seconds.
    pub expire: LenientScalar<'a>,
}

/// What follows a page.
#[derive(Debug, Default)]
pub struct PageEnd<'a> {
    /// Whether there is a next page.
    pub has_more: LenientScalar<'a>,
    /// The token of the next page. Documented as opaque.
    pub page_token: LenientScalar<'a>,
}

/// One page of user-days.
#[derive(Debug, Default)]
pub struct UpstreamPage<'a> {
    /// What follows the page.
    pub end: PageEnd<'a>,
    /// The rows. There may be none even if there is a next page.
    pub rows: Vec<UpstreamRow<'a>>,
    /// Number of items that are not objects.
    pub unreadable_rows: usize,
}

impl<'a> ReplyEnvelope<'a> {
    /// Parses the outer object. `None` if the text is not a JSON object with a code.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let fields: RawFields<'a> = serde_json::from_str(text).ok()?;
        let raw = |name: &str| fields.get(name).copied().filter(|raw| raw.get() != "null");
        Some(Self { code: LenientScalar::of_raw(fields.get("code")?), data: raw("data"), error: raw("error") })
    }
}

impl<'a> TokenReply<'a> {
    /// Parses the reply. `None` if the text is not a JSON object.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let fields: RawFields<'a> = serde_json::from_str(text).ok()?;
        let scalar = |name: &str| fields.get(name).map_or(LenientScalar::Missing, |raw| LenientScalar::of_raw(raw));
        Some(Self { tenant_access_token: scalar("tenant_access_token"), expire: scalar("expire") })
    }
}

impl<'a> UpstreamPage<'a> {
    /// Parses a page. `repaired` stores a copy of the payload, repaired if its strings are not valid JSON. `None` if the payload
    /// is not an object.
    #[must_use]
    pub fn parse(payload: &'a RawValue, repaired: &'a mut String) -> Option<Self> {
        *repaired = repair_json(payload.get());
        let fields: RawFields<'a> = serde_json::from_str(repaired).ok()?;
        let scalar = |name: &str| fields.get(name).map_or(LenientScalar::Missing, |raw| LenientScalar::of_raw(raw));
        let end = PageEnd { has_more: scalar("has_more"), page_token: scalar("page_token") };
        let mut page = Self { end, ..Self::default() };
        let Some(items) = fields.get("items") else { return Some(page) };
        match serde_json::from_str::<Option<Vec<&'a RawValue>>>(items.get()) {
            Ok(items) => {
                let items = items.unwrap_or_default();
                page.rows = items.iter().filter_map(|item| UpstreamRow::of_raw(item)).collect();
                page.unreadable_rows = items.len() - page.rows.len();
            }
            Err(_) => page.unreadable_rows = 1,
        }
        Some(page)
    }
}

macro_rules! define_upstream_row {
    ($($counter:ident, $name:ident, $feature:ident, $notation:ident, $description:literal;)*) => {
        define_upstream_row! {
            @fields
            date user_id user_name department_name department_path create_time user_active_flag register_time
            suite_active_flag last_active_time im_active_flag docs_active_flag cal_active_flag vc_active_flag active_os
            app_package_type os_name search_active_flag
            $($name)*
        }

        impl<'a> UpstreamRow<'a> {
            /// The counters, by [`Counter::index`].
            #[must_use]
            pub const fn counters(&self) -> [&LenientScalar<'a>; Counter::COUNT] {
                [$(&self.$name),*]
            }
        }
    };
    (@fields $($field:ident)*) => {
        /// One user-day, with Feishu's field names.
        #[derive(Debug, Default)]
        #[expect(missing_docs, reason = "documented by Feishu; `table::schema` documents their meaning")]
        pub struct UpstreamRow<'a> {
            $(pub $field: LenientScalar<'a>,)*
        }

        /// The names of the fields.
        const FIELD_NAMES: &[&str] = &[$(stringify!($field)),*];

        impl<'a> UpstreamRow<'a> {
            /// The fields, in the order of [`FIELD_NAMES`].
            fn fields_mut(&mut self) -> [&mut LenientScalar<'a>; FIELD_NAMES.len()] {
                [$(&mut self.$field),*]
            }
        }
    };
}
with_counter_table!(define_upstream_row);

impl<'a> UpstreamRow<'a> {
    /// Parses a row. A field that cannot be parsed is [`LenientScalar::Unreadable`]. `None` if the item is not an object.
    fn of_raw(item: &'a RawValue) -> Option<Self> {
        if let Ok(row) = serde_json::from_str(item.get()) {
            return Some(row);
        }
        let fields: RawFields<'a> = serde_json::from_str(item.get()).ok()?;
        let mut row = Self::default();
        for (name, field) in FIELD_NAMES.iter().zip(row.fields_mut()) {
            if let Some(raw) = fields.get(*name) {
                *field = LenientScalar::of_raw(raw);
            }
        }
        Some(row)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for UpstreamRow<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RowSeed { order: &mut FieldOrder::default() }.deserialize(deserializer)
    }
}

/// Parses a successful reply in one pass and calls `on_row` for each row. `None` if the reply is not a success or if anything in
/// it is unusual: then the rows so far do not count, and the reply is to be parsed as a [`ReplyEnvelope`].
#[must_use]
pub fn parse_success<'a>(text: &'a str, on_row: impl FnMut(UpstreamRow<'a>)) -> Option<PageEnd<'a>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let end = ReplySeed { on_row }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok().map(|()| end)
}

// The visitors below are not derived, because derived code accepts an array in place of an object, and rejects a row with a key
// twice.

/// Parses a successful reply. Fails for any other reply.
struct ReplySeed<F> {
    on_row: F,
}

impl<'de, F: FnMut(UpstreamRow<'de>)> DeserializeSeed<'de> for ReplySeed<F> {
    type Value = PageEnd<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(UpstreamRow<'de>)> Visitor<'de> for ReplySeed<F> {
    type Value = PageEnd<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a successful reply")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut is_success, mut end) = (false, None);
        while let Some(key) = map.next_key::<LenientScalar<'de>>()? {
            match key.as_key() {
                "code" if !is_success => {
                    is_success = map.next_value::<LenientScalar<'de>>()? == LenientScalar::Count(0);
                }
                "data" if end.is_none() => end = Some(map.next_value_seed(PageSeed { on_row: &mut self.on_row })?),
                "code" | "data" => return Err(A::Error::custom("a key twice")),
                "error" if map.next_value::<LenientScalar<'de>>()? == LenientScalar::Missing => {}
                "error" => return Err(A::Error::custom("details of a failure")),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        end.filter(|_| is_success).ok_or_else(|| A::Error::custom("no success"))
    }
}

/// Parses a page.
struct PageSeed<'f, F> {
    on_row: &'f mut F,
}

impl<'de, F: FnMut(UpstreamRow<'de>)> DeserializeSeed<'de> for PageSeed<'_, F> {
    type Value = PageEnd<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(UpstreamRow<'de>)> Visitor<'de> for PageSeed<'_, F> {
    type Value = PageEnd<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut has_more, mut page_token, mut has_items) = (None, None, false);
        while let Some(key) = map.next_key::<LenientScalar<'de>>()? {
            match key.as_key() {
                "has_more" if has_more.is_none() => has_more = Some(map.next_value()?),
                "page_token" if page_token.is_none() => page_token = Some(map.next_value()?),
                "items" if !has_items => {
                    has_items = true;
                    map.next_value_seed(ItemsSeed { on_row: &mut *self.on_row })?;
                }
                "has_more" | "page_token" | "items" => return Err(A::Error::custom("a key twice")),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(PageEnd { has_more: has_more.unwrap_or_default(), page_token: page_token.unwrap_or_default() })
    }
}

/// Parses the rows of a page: a list, or null.
struct ItemsSeed<'f, F> {
    on_row: &'f mut F,
}

impl<'de, F: FnMut(UpstreamRow<'de>)> DeserializeSeed<'de> for ItemsSeed<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, F: FnMut(UpstreamRow<'de>)> Visitor<'de> for ItemsSeed<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of user-days")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut order = FieldOrder::default();
        while let Some(row) = seq.next_element_seed(RowSeed { order: &mut order })? {
            (self.on_row)(row);
        }
        Ok(())
    }
}

/// Parses a row. If it has a key twice, the last value is used.
struct RowSeed<'o> {
    order: &'o mut FieldOrder,
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = UpstreamRow<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = UpstreamRow<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a user-day")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut row, mut position) = (UpstreamRow::default(), 0);
        let fields = row.fields_mut();
        while let Some(key) = map.next_key::<LenientScalar<'de>>()? {
            match self.order.find(position, key.as_key()) {
                Some(field) => *fields[field] = map.next_value()?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
            position += 1;
        }
        Ok(row)
    }
}

/// The fields of the latest row in their order in the text. Upstream sends the fields of all rows in the same order, so that few
/// names are searched in the list of all names.
#[derive(Debug)]
struct FieldOrder([usize; FIELD_NAMES.len()]);

impl Default for FieldOrder {
    fn default() -> Self {
        Self([0; FIELD_NAMES.len()])
    }
}

impl FieldOrder {
    /// The index of a field in [`FIELD_NAMES`]. `position` is that of the field in its row. `None` if there is no such field.
    fn find(&mut self, position: usize, name: &str) -> Option<usize> {
        let expected = self.0.get(position).copied().filter(|field| FIELD_NAMES[*field] == name);
        expected.or_else(|| {
            let field = FIELD_NAMES.iter().position(|field| *field == name)?;
            if let Some(known) = self.0.get_mut(position) {
                *known = field;
            }
            Some(field)
        })
    }
}

/// A scalar of any JSON type.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum LenientScalar<'a> {
    /// Absent or null.
    #[default]
    Missing,
    /// `true` or `false`.
    Bool(bool),
    /// A non-negative integer.
    Count(u64),
    /// A negative or fractional number below 2^53.
    Number(f64),
    /// A string, not trimmed, or the text of a number that has no exact value as `f64`.
    Text(Cow<'a, str>),
    /// An array or an object.
    Unreadable,
}

impl<'a> LenientScalar<'a> {
    fn of_raw(raw: &'a RawValue) -> Self {
        let text = raw.get();
        let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        match serde_json::from_str(text) {
            Ok(scalar) => scalar,
            Err(_) if is_number => Self::Text(Cow::Borrowed(text)),
            Err(_) => Self::Unreadable,
        }
    }
}

impl<'a> LenientScalar<'a> {
    /// The value as trimmed text. `None` if it is missing, blank, an array or an object.
    #[must_use]
    pub fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(Cow::Borrowed(text)) => Some(text.trim()).filter(|text| !text.is_empty()).map(Cow::Borrowed),
            other => other.text().map(|text| Cow::Owned(text.into_owned())),
        }
    }
}

impl LenientScalar<'_> {
    /// The text of a key of an object.
    fn as_key(&self) -> &str {
        if let Self::Text(name) = self { name } else { "" }
    }

    /// The value as trimmed text. `None` if it is missing, blank, an array or an object.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Missing | Self::Unreadable => None,
            Self::Bool(value) => Some(Cow::Owned(value.to_string())),
            Self::Count(value) => Some(Cow::Owned(value.to_string())),
            Self::Number(value) => Some(Cow::Owned(value.to_string())),
            Self::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()).map(Cow::Borrowed),
        }
    }

    /// The value as a count, 0 if it is missing or blank.
    ///
    /// # Errors
    /// [`InexactCount`] if the value is not a whole number from 0 to 2^63 − 1. It contains the count to use instead.
    pub fn count(&self) -> Result<u64, InexactCount> {
        match self {
            Self::Missing => Ok(0),
            Self::Bool(_) | Self::Unreadable => Err(InexactCount(0)),
            Self::Count(value) => count_parser::check_range(*value),
            Self::Number(value) => count_parser::round_down(*value),
            Self::Text(text) if text.trim().is_empty() => Ok(0),
            Self::Text(text) => count_parser::parse_count(text.trim()),
        }
    }

    /// Whether the value is `true`, the text "true", or a count above 0.
    ///
    /// # Errors
    /// [`InexactCount`] if the value is neither a truth value nor a count.
    pub fn flag(&self) -> Result<bool, InexactCount> {
        match self {
            Self::Bool(value) => Ok(*value),
            Self::Text(text) if text.trim().eq_ignore_ascii_case("true") => Ok(true),
            Self::Text(text) if text.trim().eq_ignore_ascii_case("false") => Ok(false),
            other => other.count().map(|count| count > 0),
        }
    }
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

    /// Rejects a number without an exact value. Then the number is read from its text.
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        let is_exact = value.abs() < MAX_EXACT_F64;
        if is_exact { Ok(LenientScalar::Number(value)) } else { Err(E::custom("the number is too large")) }
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
        Ok(LenientScalar::Unreadable)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(LenientScalar::Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("7", Ok(7))]
    #[case(r#""7""#, Ok(7))]
    #[case(r#"" 7 ""#, Ok(7))]
    #[case("7.0", Ok(7))]
    #[case("1e3", Ok(1000))]
    #[case(r#""1,234""#, Ok(1234))]
    #[case("9223372036854775807", Ok(9_223_372_036_854_775_807))]
    #[case("9007199254740993.0", Ok(9_007_199_254_740_993))]
    #[case("-0", Ok(0))]
    #[case(r#""""#, Ok(0))]
    #[case("null", Ok(0))]
    #[case("[1]", Err(InexactCount(0)))]
    #[case(r#"{"a":1}"#, Err(InexactCount(0)))]
    #[case("true", Err(InexactCount(0)))]
    #[case("-1", Err(InexactCount(0)))]
    #[case("12.7", Err(InexactCount(12)))]
    #[case(r#""many""#, Err(InexactCount(0)))]
    #[case("9223372036854775808", Err(InexactCount(0)))]
    #[case("18446744073709551616", Err(InexactCount(0)))]
    #[case("9223372036854775808.0", Err(InexactCount(0)))]
    #[case("1e400", Err(InexactCount(0)))]
    fn a_count_is_read_from_any_json_type(#[case] json: &str, #[case] count: Result<u64, InexactCount>) {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        assert_eq!(LenientScalar::of_raw(raw).count(), count);
    }

    fn parse_rows(items: &str) -> (Vec<(String, String)>, usize) {
        let payload = format!(r#"{{"has_more":false,"items":[{items}]}}"#);
        let mut repaired = String::new();
        let payload: &RawValue = serde_json::from_str(&payload).unwrap();
        let page = UpstreamPage::parse(payload, &mut repaired).unwrap();
        let text = |scalar: &LenientScalar<'_>| scalar.text().unwrap_or_default().into_owned();
        (page.rows.iter().map(|row| (text(&row.user_id), text(&row.user_name))).collect(), page.unreadable_rows)
    }

    #[rstest]
    #[case::a_lone_surrogate(r#"{"user_id":"a","user_name":"P \ud83d"}"#, "P \u{fffd}")]
    #[case::a_pair(r#"{"user_id":"a","user_name":"\ud83d\ude00"}"#, "\u{1f600}")]
    #[case::a_repeated_key(r#"{"user_name":"x","user_id":"b","user_name":"y","user_id":"a"}"#, "y")]
    #[case::a_number_beyond_f64(r#"{"user_id":"a","user_name":"n","vc_num":1e999}"#, "n")]
    #[case::an_unknown_field(r#"{"user_id":"a","user_name":"n","new":{"deep":[1,2]},"vc_num":null}"#, "n")]
    fn a_row_with_an_odd_field_is_read(#[case] row: &str, #[case] name: &str) {
        assert_eq!(parse_rows(row), (vec![("a".to_owned(), name.to_owned())], 0));
    }

    #[rstest]
    #[case("[]")]
    #[case(r#"["2026-11-01","a"]"#)]
    #[case("null")]
    #[case("7")]
    #[case(r#""row""#)]
    fn an_item_that_is_no_object_costs_no_other_row(#[case] item: &str) {
        let rows = format!(r#"{{"user_id":"a"}},{item},{{"user_id":"b"}}"#);
        let expected = ["a", "b"].map(|id| (id.to_owned(), String::new()));
        assert_eq!(parse_rows(&rows), (expected.into(), 1));
    }

    #[test]
    fn items_that_are_no_list_are_one_unreadable_row() {
        let payload: &RawValue = serde_json::from_str(r#"{"items":{"a":1}}"#).unwrap();
        let mut repaired = String::new();
        assert_eq!(UpstreamPage::parse(payload, &mut repaired).unwrap().unreadable_rows, 1);
    }
}
