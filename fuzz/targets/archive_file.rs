//! Files of the archive: any bytes are the day that was archived, or are refused.

#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use feishu_pulse::{
    model::{Day, DayKey, Geo, Scope, UserIdType},
    table::{Directory, parquet},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let Some(day) = Day::new(2026, 11, 1) else { return };
    let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: Scope::Everyone, day };
    let file = Bytes::copy_from_slice(file);
    let _ = parquet::read_label(&file);
    let _ = parquet::decode(file, &key, &Arc::<Directory>::default());
});
