//! Days as they stand in files, held against what the simulator made them from.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use feishu_pulse::{
    model::{Day, DayKey, Geo, Scope, UserIdType},
    sim::{Tenant, TruthRow},
    table::{Counter, Directory, Feature, Flag, parquet},
};

/// Everything of a row that a sum or a set could hide.
type Figures = (String, String, [bool; 7], Vec<u64>);

/// Reads a file as the gateway would, and holds every row of it against the truth.
pub(crate) fn file_equals_truth(file: &Path, tenant: &Tenant, day: Day) {
    let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: Scope::Everyone, day };
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let partition = parquet::decode(bytes.into(), &key, &Arc::new(Directory::default()));
    let partition = partition.unwrap_or_else(|error| panic!("{}: {error}", file.display()));

    let tables = partition.directory().read();
    let archived: BTreeMap<String, Figures> = (0..partition.rows())
        .map(|row| {
            let profile = tables.profile(partition.profiles()[row]);
            let path = tables.department(profile.department).path.to_string();
            let flags = SENT.map(|flag| partition.flags()[row].has(flag));
            let counters = Counter::ALL.map(|counter| partition.counter(counter).get(row)).to_vec();
            let id = profile.user_id.as_deref().expect("an id").to_owned();
            (id, (profile.user_name.to_string(), path, flags, counters))
        })
        .collect();
    let truth: BTreeMap<String, Figures> = tenant.rows_of(Geo::Cn, day).into_iter().map(figures).collect();
    assert!(archived == truth, "{day} differs from the truth");
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

fn figures(row: TruthRow) -> (String, Figures) {
    let TruthRow { counters: c, .. } = row;
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
