//! Instants as text, fast: most of the times in a day's rows are of the same few days.

use jiff::Timestamp;

use crate::model::Geo;

const DAY: i64 = 24 * 3600;

/// Writes instants in RFC 3339 with the offset of their geo.
#[derive(Debug, Default)]
pub struct Instants {
    /// The day written last, in days since 1970, and its text.
    last: Option<(i64, String)>,
}

impl Instants {
    /// Writes an instant.
    pub fn push(&mut self, out: &mut Vec<u8>, instant: Timestamp, geo: Geo) {
        let local = instant.as_second() + i64::from(geo.offset().seconds());
        let (day, second) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        if self.last.as_ref().is_none_or(|(last, _)| *last != day) {
            self.last = Some((day, geo.today(instant).to_string()));
        }
        out.extend(self.last.iter().flat_map(|(_, text)| text.as_bytes()));
        for (mark, two) in [(b'T', second / 3600), (b':', second / 60 % 60), (b':', second % 60)] {
            out.push(mark);
            push_two(out, two);
        }
        let offset = geo.offset().seconds();
        out.push(if offset < 0 { b'-' } else { b'+' });
        push_two(out, i64::from(offset.abs() / 3600));
        out.push(b':');
        push_two(out, i64::from(offset.abs() / 60 % 60));
    }
}

fn push_two(out: &mut Vec<u8>, number: i64) {
    let digit = |digit: i64| b'0' + u8::try_from(digit % 10).unwrap_or_default();
    out.extend([digit(number / 10), digit(number)]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_instant_is_written_as_the_geo_writes_it(
            seconds in proptest::collection::vec(-2_000_000_000_i64..4_000_000_000, 1..5), near in 0_i64..100_000,
            geo in proptest::sample::select(Geo::ALL.to_vec()),
        ) {
            let mut instants = Instants::default();
            for second in seconds.into_iter().flat_map(|second| [second, second + near]) {
                let instant = Timestamp::from_second(second).unwrap();
                let mut out = Vec::new();
                instants.push(&mut out, instant, geo);
                prop_assert_eq!(String::from_utf8(out).unwrap(), geo.rfc3339(instant));
            }
        }
    }
}
