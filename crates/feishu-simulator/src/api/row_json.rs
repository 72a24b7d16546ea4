//! The JSON of a row: the documented fields, with types that may deviate from the documentation.

use jiff::civil::DateTime;
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    GroundTruthRow, SchemaDrift, UserIdKind,
    seeded_rng::{hash_parts, hash_text},
};

const DRIFT: u64 = hash_text("drift");

/// Serializes a row.
pub(crate) struct RowJson<'a> {
    row: &'a GroundTruthRow,
    /// `None` if the app lacks the scope for this kind of id.
    user_id: Option<&'a str>,
    style: RowStyle,
    /// Whether undocumented fields are added.
    has_unknown_fields: bool,
    seed: u64,
}

/// How the types of a row deviate from the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowStyle {
    /// No deviation.
    Documented,
    /// The mail and search counters are integers.
    Integers,
    /// The same counters are integers or strings; zeros and empty texts may also be `""`, `null` or absent.
    Irregular,
    /// As [`Self::Irregular`], and documented integers may be strings as well.
    Wild,
}

/// The value of a field, by its documented type.
#[derive(Clone, Copy)]
enum FieldValue<'a> {
    Text(&'a str),
    Time(Option<DateTime>),
    Flag(bool),
    Integer(u32),
    /// A count that is documented as a string.
    IntegerText(u32),
}

/// The JSON of a field.
enum EncodedValue<'a> {
    Text(&'a str),
    OwnedText(String),
    Number(u32),
    Null,
    Absent,
}

impl<'a> RowJson<'a> {
    /// `withheld` leaves out the user id. The deviations depend on `seed`, geo, person and day only.
    pub(crate) fn new(
        row: &'a GroundTruthRow,
        kind: UserIdKind,
        withheld: bool,
        drift: SchemaDrift,
        seed: u64,
    ) -> Self {
        let row_id = [hash_text(row.geo.name()), u64::from(row.person), hash_text(&row.day.to_string())];
        let seed = hash_parts(&[seed, DRIFT, row_id[0], row_id[1], row_id[2]]);
        let (style, has_unknown_fields) = match (drift, seed % 20) {
            (SchemaDrift::Off, _) | (SchemaDrift::Usual, 0..13) => (RowStyle::Documented, false),
            (SchemaDrift::Wild, _) => (RowStyle::Wild, seed.is_multiple_of(3)),
            (SchemaDrift::Usual, 13..16) => (RowStyle::Integers, false),
            (SchemaDrift::Usual, random) => (RowStyle::Irregular, random == 19),
        };
        Self { row, user_id: (!withheld).then(|| row.id(kind)), style, has_unknown_fields, seed }
    }

    fn encode(&self, index: usize, value: FieldValue<'a>) -> EncodedValue<'a> {
        let random = hash_parts(&[self.seed, index as u64]);
        match value {
            FieldValue::Text("") | FieldValue::Time(None) if self.is_irregular() => irregular_empty(random),
            FieldValue::Text(text) => EncodedValue::Text(text),
            FieldValue::Time(Some(time)) => EncodedValue::OwnedText(time.strftime("%Y-%m-%d %H:%M:%S").to_string()),
            FieldValue::Time(None) => empty_or_absent(random),
            FieldValue::Flag(flag) => self.encode_integer(u32::from(flag), random),
            FieldValue::Integer(count) => self.encode_integer(count, random),
            FieldValue::IntegerText(count) => self.encode_integer_text(count, random),
        }
    }

    fn encode_integer(&self, count: u32, random: u64) -> EncodedValue<'a> {
        match self.style {
            RowStyle::Documented | RowStyle::Integers | RowStyle::Irregular => EncodedValue::Number(count),
            RowStyle::Wild => irregular_count(count, random),
        }
    }

    fn encode_integer_text(&self, count: u32, random: u64) -> EncodedValue<'a> {
        match self.style {
            RowStyle::Documented => EncodedValue::OwnedText(count.to_string()),
            RowStyle::Integers => EncodedValue::Number(count),
            RowStyle::Irregular | RowStyle::Wild => irregular_count(count, random),
        }
    }

    fn is_irregular(&self) -> bool {
        matches!(self.style, RowStyle::Irregular | RowStyle::Wild)
    }

    /// All fields except `date` and `user_id`, in the order of the documentation.
    fn fields(&self) -> [(&'static str, FieldValue<'a>); 31] {
        let (row, n) = (self.row, &self.row.counters);
        [
            ("user_name", FieldValue::Text(&row.user_name)),
            ("department_name", FieldValue::Text(&row.department_name)),
            ("department_path", FieldValue::Text(&row.department_path)),
            ("create_time", FieldValue::Time(Some(row.create_time))),
            ("user_active_flag", FieldValue::Flag(row.user_active)),
            ("register_time", FieldValue::Time(row.register_time)),
            ("suite_active_flag", FieldValue::Flag(row.suite_active)),
            ("last_active_time", FieldValue::Time(row.last_active_time)),
            ("im_active_flag", FieldValue::Flag(row.im_active)),
            ("send_messenger_num", FieldValue::Integer(n.send_messenger_num)),
            ("docs_active_flag", FieldValue::Flag(row.docs_active)),
            ("create_docs_num", FieldValue::Integer(n.create_docs_num)),
            ("cal_active_flag", FieldValue::Flag(row.cal_active)),
            ("create_cal_num", FieldValue::Integer(n.create_cal_num)),
            ("vc_active_flag", FieldValue::Flag(row.vc_active)),
            ("vc_duration", FieldValue::Integer(n.vc_duration)),
            ("active_os", FieldValue::Text(&row.active_os)),
            ("create_task_num", FieldValue::Integer(n.create_task_num)),
            ("vc_num", FieldValue::Integer(n.vc_num)),
            ("app_package_type", FieldValue::Text(&row.app_package_type)),
            ("os_name", FieldValue::Text(&row.os_name)),
            ("email_send_count", FieldValue::IntegerText(n.email_send_count)),
            ("email_receive_count", FieldValue::IntegerText(n.email_receive_count)),
            ("email_send_ext_count", FieldValue::IntegerText(n.email_send_ext_count)),
            ("email_receive_ext_count", FieldValue::IntegerText(n.email_receive_ext_count)),
            ("email_send_in_count", FieldValue::IntegerText(n.email_send_in_count)),
            ("email_receive_in_count", FieldValue::IntegerText(n.email_receive_in_count)),
            ("search_active_flag", FieldValue::Flag(row.search_active)),
            ("total_search_count", FieldValue::IntegerText(n.total_search_count)),
            ("quick_search_count", FieldValue::IntegerText(n.quick_search_count)),
            ("tab_search_count", FieldValue::IntegerText(n.tab_search_count)),
        ]
    }
}

impl Serialize for RowJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("date", &self.row.day.to_string())?;
        if let Some(user_id) = self.user_id {
            map.serialize_entry("user_id", user_id)?;
        }
        for (index, (name, value)) in self.fields().into_iter().enumerate() {
            match self.encode(index, value) {
                EncodedValue::Text(text) => map.serialize_entry(name, text)?,
                EncodedValue::OwnedText(text) => map.serialize_entry(name, &text)?,
                EncodedValue::Number(number) => map.serialize_entry(name, &number)?,
                EncodedValue::Null => map.serialize_entry(name, &())?,
                EncodedValue::Absent => {}
            }
        }
        if self.has_unknown_fields {
            map.serialize_entry("tenant_key", "2ed263bf32cf1651")?;
            map.serialize_entry("ai_usage", &[Some(3), None])?;
        }
        map.end()
    }
}

/// A count as an integer or a string; a zero also as `""`, `null` or absent.
fn irregular_count<'a>(count: u32, random: u64) -> EncodedValue<'a> {
    match (count, random % 6) {
        (0, 0) => EncodedValue::Text(""),
        (0, 1) => EncodedValue::Null,
        (0, 2) => EncodedValue::Absent,
        (_, random) if random.is_multiple_of(2) => EncodedValue::Number(count),
        _ => EncodedValue::OwnedText(count.to_string()),
    }
}

/// An empty text as `""`, `null` or absent.
const fn irregular_empty<'a>(random: u64) -> EncodedValue<'a> {
    match random % 3 {
        0 => EncodedValue::Null,
        _ => empty_or_absent(random),
    }
}

const fn empty_or_absent<'a>(random: u64) -> EncodedValue<'a> {
    if random.is_multiple_of(2) { EncodedValue::Text("") } else { EncodedValue::Absent }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::Value as Json;

    use super::*;
    use crate::{SimulatorConfig, Tenant, TenantGeo};

    fn rows(drift: SchemaDrift) -> Vec<(GroundTruthRow, Json)> {
        let config = SimulatorConfig { users: 300, ..SimulatorConfig::default() };
        let tenant = Tenant::new(&config, "2026-11-22T04:00:00Z".parse().expect("an instant"));
        let rows = tenant.rows_of(TenantGeo::Cn, "2026-11-20".parse().expect("a day"));
        let encoded = |row: &GroundTruthRow| {
            serde_json::to_value(RowJson::new(row, UserIdKind::UnionId, false, drift, 1)).expect("JSON")
        };
        rows.into_iter().map(|row| (row.clone(), encoded(&row))).collect()
    }

    /// Parses a count in any of its encodings.
    fn count(value: Option<&Json>) -> u64 {
        match value {
            None | Some(Json::Null) => 0,
            Some(Json::String(text)) if text.is_empty() => 0,
            Some(Json::String(text)) => text.parse().expect("digits"),
            Some(number) => number.as_u64().expect("a count"),
        }
    }

    #[rstest]
    fn every_encoding_of_a_count_has_the_same_value(
        #[values(SchemaDrift::Off, SchemaDrift::Usual, SchemaDrift::Wild)] drift: SchemaDrift,
    ) {
        for (truth, encoded) in rows(drift) {
            let counters = truth.counters;
            assert_eq!(count(encoded.get("email_receive_count")), u64::from(counters.email_receive_count));
            assert_eq!(count(encoded.get("tab_search_count")), u64::from(counters.tab_search_count));
            assert_eq!(count(encoded.get("vc_duration")), u64::from(counters.vc_duration));
            assert_eq!(count(encoded.get("suite_active_flag")), u64::from(truth.suite_active));
            assert_eq!(encoded["user_id"], Json::from(truth.union_id));
        }
    }

    #[test]
    fn without_drift_every_type_is_the_documented_one() {
        for (_, encoded) in rows(SchemaDrift::Off) {
            assert!(encoded["email_send_count"].is_string() && encoded["quick_search_count"].is_string());
            assert!(encoded["send_messenger_num"].is_u64() && encoded["user_active_flag"].is_u64());
            assert!(encoded["active_os"].is_string() && encoded.get("ai_usage").is_none());
        }
    }

    #[test]
    fn usual_drift_has_every_deviation_and_keeps_flags_integers() {
        let rows = rows(SchemaDrift::Usual);
        let any = |odd: fn(&Json) -> bool| rows.iter().any(|(_, encoded)| odd(encoded));

        assert!(any(|row| row["email_send_count"].is_string()) && any(|row| row["email_send_count"].is_u64()));
        assert!(any(|row| row["email_send_count"] == "") && any(|row| row["active_os"].is_null()));
        assert!(any(|row| row.get("email_send_count").is_none()) && any(|row| row.get("ai_usage").is_some()));
        assert!(rows.iter().all(|(_, row)| row["suite_active_flag"].is_u64() && row["vc_num"].is_u64()));
    }
}
