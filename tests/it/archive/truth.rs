//! Compares archived files with the simulator's ground truth.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use feishu_pulse::{
    model::{DataScope, Day, DayKey, Geo, UserIdType},
    table::{Counter, Dictionary, Feature, Flag, parquet},
};
use feishu_simulator::{GroundTruthRow, Tenant, TenantGeo};

/// A row for comparison: name, department path, flags and counters.
type Figures = (String, String, [bool; 7], Vec<u64>);

/// Reads a file as the gateway does, and asserts that every row equals the ground truth.
pub(crate) fn file_equals_truth(file: &Path, tenant: &Tenant, day: Day) {
    let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day };
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let table = parquet::decode(bytes.into(), &key, &Arc::new(Dictionary::default()));
    let table = table.unwrap_or_else(|error| panic!("{}: {error}", file.display()));

    let tables = table.dictionary().read();
    let archived: BTreeMap<String, Figures> = (0..table.row_count())
        .map(|row| {
            let profile = tables.profile(table.profiles()[row]);
            let path = tables.department(profile.department).path.to_string();
            let flags = SENT.map(|flag| table.flags()[row].contains(flag));
            let counters = Counter::ALL.map(|counter| table.counter(counter).get(row)).to_vec();
            let id = profile.user_id.as_deref().expect("an id").to_owned();
            (id, (profile.user_name.to_string(), path, flags, counters))
        })
        .collect();
    let truth: BTreeMap<String, Figures> = tenant.rows_of(TenantGeo::Cn, day.date()).into_iter().map(figures).collect();
    assert!(archived == truth, "{day} differs from the ground truth");
}

const SENT: [Flag; 7] = [
    Flag::Activated,
    Flag::Active,
    Flag::Feature(Feature::Im),
    Flag::Feature(Feature::Docs),
    Flag::Feature(Feature::Cal),
    Flag::Feature(Feature::Vc),
    Flag::Feature(Feature::Search),
];

fn figures(row: GroundTruthRow) -> (String, Figures) {
    let GroundTruthRow { counters: c, .. } = row;
    let flags = [
        row.user_active,
        row.suite_active,
        row.im_active,
        row.docs_active,
        row.cal_active,
        row.vc_active,
        row.search_active,
    ];
    let counters = [
        c.send_messenger_num,
        c.create_docs_num,
        c.create_cal_num,
        c.vc_duration,
        c.vc_num,
        c.create_task_num,
        c.email_send_count,
        c.email_receive_count,
        c.email_send_ext_count,
        c.email_receive_ext_count,
        c.email_send_in_count,
        c.email_receive_in_count,
        c.total_search_count,
        c.quick_search_count,
        c.tab_search_count,
    ];
    (row.open_id, (row.user_name, row.department_path, flags, counters.map(u64::from).to_vec()))
}
