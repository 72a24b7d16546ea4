//! The simulated tenant's truth in the words of the API, to compare answers with.

use feishu_pulse::{
    model::{DayRange, Geo, UserIdType},
    sim::TruthRow,
};
use serde_json::{Value, json};

use crate::support::{Setup, day};

/// The fields that [`rows`] and [`lines`] have.
const FIELDS: &str = "date,geo,user_id,user_name,department_path,register_time,activated,active,cal_active,send_messenger_num,\
    vc_duration,email_receive_count,tab_search_count";

/// The true rows of the days from `first` to `last` in a geo, in the order of the API: by day and user id.
pub(crate) fn rows(setup: &Setup, geo: Geo, first: &str, last: &str, kind: UserIdType) -> Vec<Value> {
    let days = DayRange::new(day(first), day(last)).expect("a range").days();
    let sorted = |mut rows: Vec<TruthRow>| {
        rows.sort_by(|one, other| one.id(kind).cmp(other.id(kind)));
        rows
    };
    let rows = days.flat_map(|day| sorted(setup.simulator.tenant().rows_of(geo, day)));
    rows.map(|row| written(&row, kind)).collect()
}

/// What the gateway says of a selection, in the same fields.
pub(crate) async fn lines(setup: &Setup, query: &str) -> Vec<Value> {
    setup.get(&format!("/v1/user-days?format=ndjson&fields={FIELDS}&{query}")).await.lines()
}

/// One true row.
pub(crate) fn written(row: &TruthRow, kind: UserIdType) -> Value {
    let counters = row.counters;
    json!({
        "date": row.day, "geo": row.geo.name(), "user_id": row.id(kind), "user_name": row.user_name,
        "department_path": row.department_path,
        "register_time": row.register_time.map(|time| row.geo.rfc3339(row.geo.instant(time))),
        "activated": row.user_active, "active": row.suite_active, "cal_active": row.cal_active,
        "send_messenger_num": counters.send_messenger_num, "vc_duration": counters.vc_duration,
        "email_receive_count": counters.email_receive_count, "tab_search_count": counters.tab_search_count,
    })
}
