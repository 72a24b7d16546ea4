//! Object names of the archive. Readers of the data lake rely on them.

use object_store::path::Path;

use crate::{
    model::{DataScope, Day, DayKey, DayRange, Geo, UserIdType},
    source::ChainKey,
};

/// The folder of the days. Readers of the data lake need only this one.
pub(super) const DAYS_FOLDER: &str = "user_days";

/// The folder of the owner records.
pub(super) const OWNERS_FOLDER: &str = "owners";

/// The folder of the checkpoints of long fetches.
pub(super) const CHECKPOINTS_FOLDER: &str = "checkpoints";

/// The folder of unfinished files. Readers of a data lake skip names that begin with an underscore.
pub(super) const STAGING_FOLDER: &str = "_staging";

/// The folder for damaged files.
const DAMAGED_FOLDER: &str = "damaged";

/// The name of every day's only file. A second write replaces the whole file, so a reader never sees a day twice.
const FILE_NAME: &str = "part-0.parquet";

/// The folder of all days of a series.
pub(super) fn series_folder(geo: Geo, user_id_type: UserIdType) -> Path {
    Path::from(format!("{DAYS_FOLDER}/geo={geo}/user_id_type={}", user_id_type.name()))
}

/// The folder of a day.
pub(super) fn day_folder(key: &DayKey) -> Path {
    series_folder(key.geo, key.user_id_type).join(format!("date={}", key.day))
}

/// The file of a day.
pub(super) fn day_file(key: &DayKey) -> Path {
    day_folder(key).join(FILE_NAME)
}

/// The day of a folder; `None` if the path is not that of a day's folder.
pub(super) fn parse_day_folder(path: &Path) -> Option<DayKey> {
    parse_day_file(&path.clone().join(FILE_NAME))
}

/// The day of a file; `None` if the path is not that of a day's file.
pub(super) fn parse_day_file(path: &Path) -> Option<DayKey> {
    let parts: Vec<_> = path.parts().collect();
    let [folder, geo, user_id_type, date, file] = &parts[..] else { return None };
    let key = DayKey {
        geo: geo.as_ref().strip_prefix("geo=")?.parse().ok()?,
        user_id_type: user_id_type.as_ref().strip_prefix("user_id_type=")?.parse().ok()?,
        scope: DataScope::Everyone,
        day: date.as_ref().strip_prefix("date=")?.parse::<Day>().ok()?,
    };
    (folder.as_ref() == DAYS_FOLDER && file.as_ref() == FILE_NAME).then_some(key)
}

/// The path for the damaged file of a day. It does not end in `.parquet`, so no reader's pattern matches it.
pub(super) fn damaged_file(key: &DayKey) -> Path {
    Path::from(format!("{DAMAGED_FOLDER}/{}.damaged", day_file(key)))
}

/// The path of a control record: a small file for the gateway itself, not for readers of the data lake.
pub(super) fn control_record(folder: &str, name: &str) -> Path {
    Path::from(format!("{folder}/{name}.json"))
}

/// The name of the control record with the checkpoint of a chain.
pub(super) fn checkpoint_name(ChainKey { geo, user_id_type, range }: ChainKey) -> String {
    format!("{geo}.{}.{}.{}", user_id_type.name(), range.first(), range.last())
}

/// Whether the checkpoint of this name contains rows of the day.
pub(super) fn checkpoint_contains(name: &str, day: &DayKey) -> bool {
    let parse = || {
        let range = name.strip_prefix(&format!("{}.{}.", day.geo, day.user_id_type.name()))?;
        let (first, last) = range.split_once('.')?;
        DayRange::new(first.parse().ok()?, last.parse().ok()?)
    };
    parse().is_some_and(|range| range.contains(day.day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_day_follows_hive_partitioning_and_names_its_key() {
        let day = Day::new(2026, 11, 1).unwrap();
        let one = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day };

        let path = day_file(&one);

        assert_eq!(path.as_ref(), "user_days/geo=cn/user_id_type=open_id/date=2026-11-01/part-0.parquet");
        assert_eq!(parse_day_file(&path), Some(one.clone()));
        assert_eq!(parse_day_folder(&day_folder(&one)), Some(one.clone()));
        assert_eq!(parse_day_file(&damaged_file(&one)), None);
        assert_eq!(parse_day_file(&series_folder(Geo::Cn, UserIdType::OpenId)), None);
    }

    #[test]
    fn the_name_of_a_checkpoint_tells_its_days() {
        let day = |of_month| Day::new(2026, 11, of_month).unwrap();
        let key =
            |geo, user_id_type, of_month| DayKey { geo, user_id_type, scope: DataScope::Everyone, day: day(of_month) };
        let range = DayRange::new(day(3), day(5)).unwrap();
        let name = checkpoint_name(ChainKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, range });

        assert_eq!(name, "cn.open_id.2026-11-03.2026-11-05");
        let contained: Vec<i8> = (1..8)
            .filter(|of_month| checkpoint_contains(&name, &key(Geo::Cn, UserIdType::OpenId, *of_month)))
            .collect();
        assert_eq!(contained, [3, 4, 5]);
        assert!(!checkpoint_contains(&name, &key(Geo::Sg, UserIdType::OpenId, 4)));
        assert!(!checkpoint_contains(&name, &key(Geo::Cn, UserIdType::UserId, 4)));
        assert!(!checkpoint_contains("else", &key(Geo::Cn, UserIdType::OpenId, 4)));
    }
}
