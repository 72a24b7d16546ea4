//! A day of data and its digest, shared by several fuzz targets.

use std::sync::Arc;

use feishu_pulse::{
    model::{DataScope, Day, DayKey, Geo, UserIdType},
    report::digest,
    table::{Client, Counter, DayTable, DayTableBuilder, Department, Devices, Dictionary, Feature, Flag, Flags, Row},
};
use jiff::Timestamp;

/// The key of the day that is expected in archive files.
///
/// # Panics
/// Never, because the date is valid.
#[must_use]
pub fn key() -> DayKey {
    let day = Day::new(2026, 11, 1).expect("a day of the calendar");
    DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day }
}

/// The day [`key`] with this number of rows. All rows differ, and the last one has no user id.
///
/// # Panics
/// Never, because all instants are valid.
#[must_use]
pub fn day(rows: u32) -> DayTable {
    let mut builder = DayTableBuilder::new(key(), Arc::<Dictionary>::default());
    for number in 0..rows {
        builder.push(&row(number, number + 1 < rows));
    }
    builder.finish(instant(1_793_577_600))
}

/// The parts of a stored digest, decompressed.
pub struct UnpackedDigest {
    /// The versions at the start, which are not compressed: one byte for the layout, one for the definitions.
    pub versions: Vec<u8>,
    /// The fields that identify the day.
    pub day_fields: Vec<u8>,
    /// The departments and all that follows them.
    pub departments: Vec<u8>,
}

impl UnpackedDigest {
    /// Encodes the digest of a day and takes it apart.
    ///
    /// # Panics
    /// If the layout of digests has changed.
    #[must_use]
    pub fn of(day: &DayTable) -> Self {
        let stored = digest::encode_digest(day);
        let (versions, packed) = stored.split_at(2);
        let plain = zstd::decode_all(packed).expect("a digest that was just written");
        let name = "总部".as_bytes();
        let department = plain.windows(name.len()).position(|window| window == name).expect("the first department");
        // The name is preceded by the number of departments and by the length of the name, one byte each.
        let (day_fields, departments) = plain.split_at(department - 2);
        Self { versions: versions.to_vec(), day_fields: day_fields.to_vec(), departments: departments.to_vec() }
    }
}

fn row(number: u32, has_id: bool) -> Row {
    let path = ["总部", "总部/研发", "总部/研发/平台"][number as usize % 3];
    let name = path.rsplit('/').next().unwrap_or_default().into();
    let flags = [Flag::Activated, Flag::Active, Flag::Feature(Feature::Im)];
    let mut row = Row {
        user_id: has_id.then(|| format!("ou_{number:04x}")),
        user_name: format!("员工{number}"),
        department: Department { name, path: path.into() },
        create_time: Some(instant(1_600_000_000 + i64::from(number))),
        register_time: (!number.is_multiple_of(2)).then(|| instant(1_600_000_100)),
        last_active_time: Some(instant(1_793_500_000)),
        flags: flags.into_iter().take(number as usize % 4).fold(Flags::default(), |flags, flag| flags.with(flag, true)),
        devices: Devices {
            clients: vec![Client { os: Some("ios 14.2".into()), client: None }],
            app_packages: vec!["Feishu".into()],
            os_names: vec!["iOS".into(), "Windows".into()],
        },
        ..Row::default()
    };
    row.counters[Counter::SendMessengerNum.index()] = u64::from(number) * 37;
    row.counters[Counter::EmailSendCount.index()] = u64::from(number) << 33;
    row
}

fn instant(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("an instant of this century")
}
