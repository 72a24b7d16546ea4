//! A fast formatter of instants for rows whose times fall on few different days.

use jiff::Timestamp;

use crate::model::Geo;

const SECONDS_PER_DAY: i64 = 24 * 3600;

/// Formats instants as RFC 3339 with the offset of a geo.
///
/// The text of the last date is cached, because consecutive instants often fall on the same day.
#[derive(Debug, Default)]
pub struct InstantFormatter {
    /// The date formatted last.
    cached_date: Option<CachedDate>,
}

/// A local date with its text.
#[derive(Debug)]
struct CachedDate {
    days_since_epoch: i64,
    text: String,
}

impl InstantFormatter {
    /// Appends an instant to `out`.
    pub fn push(&mut self, out: &mut Vec<u8>, instant: Timestamp, geo: Geo) {
        let local = instant.as_second() + i64::from(geo.offset().seconds());
        let (days_since_epoch, second) = (local.div_euclid(SECONDS_PER_DAY), local.rem_euclid(SECONDS_PER_DAY));
        if self.cached_date.as_ref().is_none_or(|date| date.days_since_epoch != days_since_epoch) {
            self.cached_date = Some(CachedDate { days_since_epoch, text: geo.today(instant).to_string() });
        }
        out.extend(self.cached_date.iter().flat_map(|date| date.text.as_bytes()));
        for (separator, number) in [(b'T', second / 3600), (b':', second / 60 % 60), (b':', second % 60)] {
            out.push(separator);
            push_two_digits(out, number);
        }
        let offset = geo.offset().seconds();
        out.push(if offset < 0 { b'-' } else { b'+' });
        push_two_digits(out, i64::from(offset.abs() / 3600));
        out.push(b':');
        push_two_digits(out, i64::from(offset.abs() / 60 % 60));
    }
}

fn push_two_digits(out: &mut Vec<u8>, number: i64) {
    let digit = |digit: i64| b'0' + u8::try_from(digit % 10).unwrap_or_default();
    out.extend([digit(number / 10), digit(number)]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_text_of_an_instant_is_the_same_as_with_geo_rfc3339(
            seconds in proptest::collection::vec(-2_000_000_000_i64..4_000_000_000, 1..5), near in 0_i64..100_000,
            geo in proptest::sample::select(Geo::ALL.to_vec()),
        ) {
            let mut instants = InstantFormatter::default();
            for second in seconds.into_iter().flat_map(|second| [second, second + near]) {
                let instant = Timestamp::from_second(second).unwrap();
                let mut out = Vec::new();
                instants.push(&mut out, instant, geo);
                prop_assert_eq!(String::from_utf8(out).unwrap(), geo.rfc3339(instant));
            }
        }
    }
}
