//! A row as upstream writes it: the documented fields, and how far their types stray.

use jiff::civil::DateTime;
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    model::UserIdType,
    sim::{
        Drift, TruthRow,
        chance::{mix, mix_text},
    },
};

const DRIFT: u64 = mix_text("drift");

/// A row on its way out.
pub(crate) struct WireRow<'a> {
    truth: &'a TruthRow,
    /// `None` where the app may not know it.
    user_id: Option<&'a str>,
    manner: Manner,
    /// Whether fields come that nobody documented.
    novelties: bool,
    chance: u64,
}

/// How a row's types stray.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Documented,
    /// The mail and search counters are integers.
    Integers,
    /// Zeros and empty texts are written in any way one could think of.
    Ragged,
    /// Integers as well.
    Wild,
}

/// A field's value and documented type.
#[derive(Clone, Copy)]
enum Value<'a> {
    Text(&'a str),
    Time(Option<DateTime>),
    Flag(bool),
    Integer(u32),
    /// A count that is documented as a string.
    Numeral(u32),
}

/// What is written for a value.
enum Word<'a> {
    Text(&'a str),
    Written(String),
    Number(u32),
    Null,
    Absent,
}

impl<'a> WireRow<'a> {
    /// The row with ids of a type, or with none if `withheld`; how it strays depends on `seed` and whose row it is.
    pub(crate) fn new(truth: &'a TruthRow, kind: UserIdType, withheld: bool, drift: Drift, seed: u64) -> Self {
        let whose = [mix_text(truth.geo.name()), u64::from(truth.person), mix_text(&truth.day.to_string())];
        let chance = mix(&[seed, DRIFT, whose[0], whose[1], whose[2]]);
        let (manner, novelties) = match (drift, chance % 20) {
            (Drift::Off, _) | (Drift::Usual, 0..13) => (Manner::Documented, false),
            (Drift::Wild, _) => (Manner::Wild, chance.is_multiple_of(3)),
            (Drift::Usual, 13..16) => (Manner::Integers, false),
            (Drift::Usual, lot) => (Manner::Ragged, lot == 19),
        };
        Self { truth, user_id: (!withheld).then(|| truth.id(kind)), manner, novelties, chance }
    }

    fn word(&self, place: usize, value: Value<'a>) -> Word<'a> {
        let lot = mix(&[self.chance, place as u64]);
        match value {
            Value::Text("") | Value::Time(None) if self.is_ragged() => nothing(lot),
            Value::Text(text) => Word::Text(text),
            Value::Time(Some(time)) => Word::Written(time.strftime("%Y-%m-%d %H:%M:%S").to_string()),
            Value::Time(None) => empty_or_absent(lot),
            Value::Flag(flag) => self.integer(u32::from(flag), lot),
            Value::Integer(count) => self.integer(count, lot),
            Value::Numeral(count) => self.numeral(count, lot),
        }
    }

    fn integer(&self, count: u32, lot: u64) -> Word<'a> {
        match self.manner {
            Manner::Documented | Manner::Integers | Manner::Ragged => Word::Number(count),
            Manner::Wild => ragged(count, lot),
        }
    }

    fn numeral(&self, count: u32, lot: u64) -> Word<'a> {
        match self.manner {
            Manner::Documented => Word::Written(count.to_string()),
            Manner::Integers => Word::Number(count),
            Manner::Ragged | Manner::Wild => ragged(count, lot),
        }
    }

    fn is_ragged(&self) -> bool {
        matches!(self.manner, Manner::Ragged | Manner::Wild)
    }

    /// All fields but `date` and `user_id`, in the documentation's order.
    fn fields(&self) -> [(&'static str, Value<'a>); 31] {
        let (row, n) = (self.truth, &self.truth.counters);
        [
            ("user_name", Value::Text(&row.user_name)),
            ("department_name", Value::Text(&row.department_name)),
            ("department_path", Value::Text(&row.department_path)),
            ("create_time", Value::Time(Some(row.create_time))),
            ("user_active_flag", Value::Flag(row.user_active)),
            ("register_time", Value::Time(row.register_time)),
            ("suite_active_flag", Value::Flag(row.suite_active)),
            ("last_active_time", Value::Time(row.last_active_time)),
            ("im_active_flag", Value::Flag(row.im_active)),
            ("send_messenger_num", Value::Integer(n.send_messenger_num)),
            ("docs_active_flag", Value::Flag(row.docs_active)),
            ("create_docs_num", Value::Integer(n.create_docs_num)),
            ("cal_active_flag", Value::Flag(row.cal_active)),
            ("create_cal_num", Value::Integer(n.create_cal_num)),
            ("vc_active_flag", Value::Flag(row.vc_active)),
            ("vc_duration", Value::Integer(n.vc_duration)),
            ("active_os", Value::Text(&row.active_os)),
            ("create_task_num", Value::Integer(n.create_task_num)),
            ("vc_num", Value::Integer(n.vc_num)),
            ("app_package_type", Value::Text(&row.app_package_type)),
            ("os_name", Value::Text(&row.os_name)),
            ("email_send_count", Value::Numeral(n.email_send_count)),
            ("email_receive_count", Value::Numeral(n.email_receive_count)),
            ("email_send_ext_count", Value::Numeral(n.email_send_ext_count)),
            ("email_receive_ext_count", Value::Numeral(n.email_receive_ext_count)),
            ("email_send_in_count", Value::Numeral(n.email_send_in_count)),
            ("email_receive_in_count", Value::Numeral(n.email_receive_in_count)),
            ("search_active_flag", Value::Flag(row.search_active)),
            ("total_search_count", Value::Numeral(n.total_search_count)),
            ("quick_search_count", Value::Numeral(n.quick_search_count)),
            ("tab_search_count", Value::Numeral(n.tab_search_count)),
        ]
    }
}

impl Serialize for WireRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("date", &self.truth.day)?;
        if let Some(user_id) = self.user_id {
            map.serialize_entry("user_id", user_id)?;
        }
        for (place, (name, value)) in self.fields().into_iter().enumerate() {
            match self.word(place, value) {
                Word::Text(text) => map.serialize_entry(name, text)?,
                Word::Written(text) => map.serialize_entry(name, &text)?,
                Word::Number(number) => map.serialize_entry(name, &number)?,
                Word::Null => map.serialize_entry(name, &())?,
                Word::Absent => {}
            }
        }
        if self.novelties {
            map.serialize_entry("tenant_key", "2ed263bf32cf1651")?;
            map.serialize_entry("ai_usage", &[Some(3), None])?;
        }
        map.end()
    }
}

/// A count, zero or not, in any way one could think of.
fn ragged<'a>(count: u32, lot: u64) -> Word<'a> {
    match (count, lot % 6) {
        (0, 0) => Word::Text(""),
        (0, 1) => Word::Null,
        (0, 2) => Word::Absent,
        (_, lot) if lot.is_multiple_of(2) => Word::Number(count),
        _ => Word::Written(count.to_string()),
    }
}

/// An empty text in any way one could think of.
const fn nothing<'a>(lot: u64) -> Word<'a> {
    match lot % 3 {
        0 => Word::Null,
        _ => empty_or_absent(lot),
    }
}

const fn empty_or_absent<'a>(lot: u64) -> Word<'a> {
    if lot.is_multiple_of(2) { Word::Text("") } else { Word::Absent }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::Value as Json;

    use super::*;
    use crate::{
        model::Geo,
        sim::{SimConfig, Tenant},
    };

    fn rows(drift: Drift) -> Vec<(TruthRow, Json)> {
        let config = SimConfig { users: 300, ..SimConfig::default() };
        let tenant = Tenant::new(&config, "2026-11-22T04:00:00Z".parse().expect("an instant"));
        let rows = tenant.rows_of(Geo::Cn, "2026-11-20".parse().expect("a day"));
        let written = |row: &TruthRow| {
            serde_json::to_value(WireRow::new(row, UserIdType::UnionId, false, drift, 1)).expect("JSON")
        };
        rows.into_iter().map(|row| (row.clone(), written(&row))).collect()
    }

    /// Reads a count in all the ways it may be written.
    fn count(value: Option<&Json>) -> u64 {
        match value {
            None | Some(Json::Null) => 0,
            Some(Json::String(text)) if text.is_empty() => 0,
            Some(Json::String(text)) => text.parse().expect("digits"),
            Some(number) => number.as_u64().expect("a count"),
        }
    }

    #[rstest]
    fn however_a_count_is_written_it_is_the_same_count(#[values(Drift::Off, Drift::Usual, Drift::Wild)] drift: Drift) {
        for (truth, written) in rows(drift) {
            let counters = truth.counters;
            assert_eq!(count(written.get("email_receive_count")), u64::from(counters.email_receive_count));
            assert_eq!(count(written.get("tab_search_count")), u64::from(counters.tab_search_count));
            assert_eq!(count(written.get("vc_duration")), u64::from(counters.vc_duration));
            assert_eq!(count(written.get("suite_active_flag")), u64::from(truth.suite_active));
            assert_eq!(written["user_id"], Json::from(truth.union_id));
        }
    }

    #[test]
    fn without_drift_every_type_is_the_documented_one() {
        for (_, written) in rows(Drift::Off) {
            assert!(written["email_send_count"].is_string() && written["quick_search_count"].is_string());
            assert!(written["send_messenger_num"].is_u64() && written["user_active_flag"].is_u64());
            assert!(written["active_os"].is_string() && written.get("ai_usage").is_none());
        }
    }

    #[test]
    fn usual_drift_has_every_oddity_and_keeps_flags_integers() {
        let rows = rows(Drift::Usual);
        let any = |odd: fn(&Json) -> bool| rows.iter().any(|(_, written)| odd(written));

        assert!(any(|row| row["email_send_count"].is_string()) && any(|row| row["email_send_count"].is_u64()));
        assert!(any(|row| row["email_send_count"] == "") && any(|row| row["active_os"].is_null()));
        assert!(any(|row| row.get("email_send_count").is_none()) && any(|row| row.get("ai_usage").is_some()));
        assert!(rows.iter().all(|(_, row)| row["suite_active_flag"].is_u64() && row["vc_num"].is_u64()));
    }
}
