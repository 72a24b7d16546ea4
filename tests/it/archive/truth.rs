//! Compares archived files with the simulator's ground truth.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use feishu_pulse::{
    model::{DataScope, Day, DayKey, Geo, UserIdType},
    table::{Counter, Dictionary, Flag, parquet},
};
use feishu_simulator::{GroundTruthRow, Tenant, TenantGeo};

/// A row for comparison: name, department path, flags, and counters above zero.
type Figures = (String, String, [bool; 7], BTreeMap<&'static str, u64>);

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
            let flags = Flag::SENT.map(|flag| table.flags()[row].contains(flag));
            let counters = Counter::ALL.map(|counter| (counter.name(), table.counter(counter).get(row)));
            let id = profile.user_id.as_deref().expect("an id").to_owned();
            (id, (profile.user_name.to_string(), path, flags, above_zero(counters)))
        })
        .collect();
    let truth: BTreeMap<String, Figures> = tenant.rows_of(TenantGeo::Cn, day.date()).into_iter().map(figures).collect();
    assert!(archived == truth, "{day} differs from the ground truth");
}

fn figures(row: GroundTruthRow) -> (String, Figures) {
    let counters = row.counters.named().map(|(name, count)| (name, u64::from(count)));
    let flags = [
        row.user_active,
        row.suite_active,
        row.im_active,
        row.docs_active,
        row.cal_active,
        row.vc_active,
        row.search_active,
    ];
    (row.open_id, (row.user_name, row.department_path, flags, above_zero(counters)))
}

/// The simulator does not have to know every counter of the gateway.
fn above_zero<const N: usize>(counters: [(&'static str, u64); N]) -> BTreeMap<&'static str, u64> {
    counters.into_iter().filter(|(_, count)| *count > 0).collect()
}
