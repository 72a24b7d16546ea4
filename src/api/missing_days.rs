//! The header `Pulse-Missing-Days`: the selected days whose rows are not in a response in a format without `meta`.

use std::fmt::Write as _;

use axum::http::{HeaderName, HeaderValue};

use crate::model::{Day, Geo};

/// The name of the header.
pub(super) const MISSING_DAYS: HeaderName = HeaderName::from_static("pulse-missing-days");

/// Maximum number of days in the header. Many clients accept about 8 KiB of headers.
const MAX_LISTED_DAYS: usize = 366;

/// The value of the header: dates separated by commas, for a selection of several geos each as `geo:date`. Beyond
/// `MAX_LISTED_DAYS` it ends with `+` and the number of further days. `None` if no day is missing.
pub(super) fn missing_days_header(geos: &[Geo], missing: &[(Geo, Day)]) -> Option<HeaderValue> {
    let days = missing.iter().take(MAX_LISTED_DAYS).map(|(geo, day)| match geos {
        [_] => day.to_string(),
        _ => format!("{geo}:{day}"),
    });
    let mut list = days.collect::<Vec<_>>().join(",");
    if let Some(rest) = missing.len().checked_sub(MAX_LISTED_DAYS).filter(|rest| *rest > 0) {
        // Writing to a `String` cannot fail.
        let _ = write!(list, ",+{rest}");
    }
    if list.is_empty() { None } else { HeaderValue::try_from(list).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_listed_with_their_geo_if_there_are_several() {
        let day = |of_month| Day::new(2026, 11, of_month).unwrap();
        let header = |geos: &[Geo], days: &[(Geo, Day)]| {
            missing_days_header(geos, days).map(|header| header.to_str().unwrap().to_owned())
        };
        let one = [(Geo::Cn, day(1)), (Geo::Cn, day(3))];
        assert_eq!(header(&[Geo::Cn], &one).as_deref(), Some("2026-11-01,2026-11-03"));
        assert_eq!(header(&[Geo::Cn, Geo::Sg], &one).as_deref(), Some("cn:2026-11-01,cn:2026-11-03"));
        assert_eq!(header(&[Geo::Cn], &[]), None);
        let many: Vec<_> = (0..400).map(|offset| (Geo::Cn, day(1).plus(offset))).collect();
        assert!(header(&[Geo::Cn], &many).is_some_and(|header| header.ends_with(",+34") && header.len() < 5000));
    }
}
