//! The reference of all settings, as JSON. `.ci/generate` writes the settings page and the chart's values from it.

use std::{
    any::TypeId,
    net::SocketAddr,
    num::{NonZero, NonZeroU64},
    time::Duration,
};

use axum::http::HeaderValue;
use bytesize::ByteSize;
use clap::{Arg, Args as _, Command};
use reqwest::Url;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};

use super::settings::{
    Settings,
    access::RequestsPerMinute,
    fleet::{ReplicaAddress, StoreSetting},
    values::{CallRate, RetentionDays, Share, WarmDays},
};
use crate::model::Geo;

/// All settings in the order of `--help`.
pub(super) fn settings() -> Value {
    Settings::augment_args(Command::new("serve")).get_arguments().map(setting).collect()
}

fn setting(setting: &Arg) -> Value {
    let value_name = setting.get_value_names().filter(|_| takes_value(setting)).map(|names| names.join(" "));
    let defaults = setting.get_default_values().iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>();
    json!({
        "variable": setting.get_env().map(|name| name.to_string_lossy()),
        "option": setting.get_long(),
        "value_name": value_name,
        "default": (takes_value(setting) && !defaults.is_empty()).then(|| defaults.join(",")),
        "description": setting.get_help().map(ToString::to_string),
        "schema": schema(setting),
    })
}

/// The JSON Schema of the values.
fn schema(setting: &Arg) -> Value {
    let schema = one_value(setting);
    if setting.get_value_delimiter().is_none() {
        return schema;
    }
    json!({ "type": "array", "minItems": setting.get_default_values().len(), "uniqueItems": true, "items": schema })
}

fn one_value(setting: &Arg) -> Value {
    let choices: Vec<_> = setting.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if takes_value(setting) && !choices.is_empty() {
        return json!({ "enum": choices });
    }
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let integer = |minimum: u8| json!({ "type": "integer", "minimum": minimum });
    let schemas = [
        (TypeId::of::<bool>(), json!({ "type": "boolean" })),
        (TypeId::of::<Duration>(), text("^[0-9]+(ms|s|m|min|h)$")),
        (TypeId::of::<ByteSize>(), text(r"^[0-9]+(\.[0-9]+)? ?([KMGT]i?B|B)?$")),
        (TypeId::of::<RetentionDays>(), text("^[0-9]+d$")),
        (TypeId::of::<Url>(), text("^https?://.+")),
        (TypeId::of::<SocketAddr>(), text("^.+:[0-9]+$")),
        (TypeId::of::<ReplicaAddress>(), text(r"^(.+:[0-9]+|[0-9]+(\.[0-9]+){3}|[0-9A-Fa-f:.]+)$")),
        (TypeId::of::<StoreSetting>(), text(r"^(none|archive|rediss?(\+sentinel)?://.+)$")),
        (TypeId::of::<ServerName<'static>>(), text("^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")),
        (TypeId::of::<HeaderValue>(), text("^https?://[^/]+$")),
        (TypeId::of::<RequestsPerMinute>(), text("^([1-9][0-9]*|none)$")),
        (TypeId::of::<Geo>(), json!({ "enum": Geo::ALL.map(Geo::name) })),
        (TypeId::of::<u64>(), integer(0)),
        (TypeId::of::<NonZero<usize>>(), integer(1)),
        (TypeId::of::<NonZeroU64>(), integer(1)),
        (TypeId::of::<WarmDays>(), json!({ "type": "integer", "minimum": 0, "maximum": WarmDays::MAX })),
        (TypeId::of::<Share>(), number(Share::RANGE)),
        (TypeId::of::<CallRate>(), number(CallRate::RANGE)),
    ];
    let kind = setting.get_value_parser().type_id();
    let known = schemas.into_iter().find(|(id, _)| kind == *id);
    known.map_or_else(|| json!({ "type": "string" }), |(_, schema)| schema)
}

fn number(range: std::ops::RangeInclusive<f64>) -> Value {
    json!({ "type": "number", "minimum": range.start(), "maximum": range.end() })
}

fn takes_value(setting: &Arg) -> bool {
    setting.get_action().takes_values()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_an_option_a_variable_and_a_description() {
        let settings = settings();

        for setting in settings.as_array().expect("a list") {
            for key in ["option", "variable", "description"] {
                assert!(setting[key].is_string(), "{key} is missing in {setting}");
            }
        }
    }
}
