//! Which object is which day: the names that readers of the lake rely on.

use object_store::path::Path;

use crate::model::{Day, DayKey, Geo, Scope, UserIdType};

/// Everything that is for readers is below this folder.
pub(super) const DAYS: &str = "user_days";

/// Marks of who archives here are below this folder.
pub(super) const OWNERS: &str = "owners";

/// What was found damaged is moved below this folder.
const DAMAGED: &str = "damaged";

/// A day has one file, under one name: whoever writes it again replaces it whole, so a reader never sees a day twice.
const FILE: &str = "part-0.parquet";

/// The folder of all days of a series.
pub(super) fn series(geo: Geo, user_id_type: UserIdType) -> Path {
    Path::from(format!("{DAYS}/geo={geo}/user_id_type={}", user_id_type.name()))
}

/// The file of a day.
pub(super) fn file(key: &DayKey) -> Path {
    series(key.geo, key.user_id_type).join(format!("date={}", key.day)).join(FILE)
}

/// The day of a file; `None` where it is not one of ours.
pub(super) fn key(path: &Path) -> Option<DayKey> {
    let parts: Vec<_> = path.parts().collect();
    let [folder, geo, user_id_type, date, file] = &parts[..] else { return None };
    let key = DayKey {
        geo: geo.as_ref().strip_prefix("geo=")?.parse().ok()?,
        user_id_type: user_id_type.as_ref().strip_prefix("user_id_type=")?.parse().ok()?,
        scope: Scope::Everyone,
        day: date.as_ref().strip_prefix("date=")?.parse::<Day>().ok()?,
    };
    (folder.as_ref() == DAYS && file.as_ref() == FILE).then_some(key)
}

/// Where a damaged file goes. No longer `.parquet`, so that no reader's pattern picks it up.
pub(super) fn aside(key: &DayKey) -> Path {
    Path::from(format!("{DAMAGED}/{}.damaged", file(key)))
}

/// A note: a small record of the gateway's own, for no reader of the lake.
pub(super) fn note(folder: &str, name: &str) -> Path {
    Path::from(format!("{folder}/{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_found_by_its_name_as_hive_lays_it_out() {
        let day = Day::new(2026, 11, 1).unwrap();
        let one = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: Scope::Everyone, day };

        let path = file(&one);

        assert_eq!(path.as_ref(), "user_days/geo=cn/user_id_type=open_id/date=2026-11-01/part-0.parquet");
        assert_eq!(key(&path), Some(one.clone()));
        assert_eq!(key(&aside(&one)), None);
        assert_eq!(key(&series(Geo::Cn, UserIdType::OpenId)), None);
    }
}
