//! The rows of the simulated tenant in the format of the API, as the expected values of tests.

use feishu_pulse::model::{DayRange, UserIdType};
use feishu_simulator::{GroundTruthRow, TenantGeo};
use serde_json::{Value, json};

use crate::support::{Setup, day, gateway_geo, user_id_kind};

/// The fields that [`rows`] and [`lines`] have.
const FIELDS: &str = "date,geo,user_id,user_name,department_path,register_time,activated,active,cal_active,send_messenger_num,\
    vc_duration,email_receive_count,tab_search_count";

/// The true rows of the days from `first` to `last` in a geo, in the order of the API: by day and user id.
pub(crate) fn true_rows(setup: &Setup, geo: TenantGeo, first: &str, last: &str, kind: UserIdType) -> Vec<Value> {
    let days = DayRange::new(day(first), day(last)).expect("a range").days();
    let sorted = |mut rows: Vec<GroundTruthRow>| {
        rows.sort_by(|one, other| user_id(one, kind).cmp(user_id(other, kind)));
        rows
    };
    let rows = days.flat_map(|day| sorted(setup.simulator.tenant().rows_of(geo, day.date())));
    rows.map(|row| row_json(&row, kind)).collect()
}

/// The rows that the gateway returns for a query, with the same fields.
pub(crate) async fn served_rows(setup: &Setup, query: &str) -> Vec<Value> {
    setup.get(&format!("/v1/user-days?format=ndjson&fields={FIELDS}&{query}")).await.lines()
}

/// One true row.
pub(crate) fn row_json(row: &GroundTruthRow, kind: UserIdType) -> Value {
    let (geo, counters) = (gateway_geo(row.geo), row.counters);
    json!({
        "date": row.day.to_string(), "geo": row.geo.name(), "user_id": user_id(row, kind), "user_name": row.user_name,
        "department_path": row.department_path,
        "register_time": row.register_time.map(|time| geo.rfc3339(geo.instant(time))),
        "activated": row.user_active, "active": row.suite_active, "cal_active": row.cal_active,
        "send_messenger_num": counters.send_messenger_num, "vc_duration": counters.vc_duration,
        "email_receive_count": counters.email_receive_count, "tab_search_count": counters.tab_search_count,
    })
}

fn user_id(row: &GroundTruthRow, kind: UserIdType) -> &str {
    row.id(user_id_kind(kind))
}
