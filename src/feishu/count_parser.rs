//! Parses counts. The rule is part of the contract with callers (`docs/metrics.md`): whole numbers from 0 to 2^63 − 1 are
//! counts, however they are written; a fraction is rounded down; anything else counts as 0.

use std::{borrow::Cow, num::IntErrorKind};

use crate::table::MAX_COUNT;

/// Number of digits of [`MAX_COUNT`].
const MAX_COUNT_DIGITS: usize = 19;

/// A value that is not a count, with the count to use instead: the value rounded down if it is a fraction, otherwise 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InexactCount(pub u64);

/// The parts of a decimal number.
struct Decimal<'a> {
    negative: bool,
    /// The digits before the point, without separators.
    whole: Cow<'a, str>,
    /// The digits after the point.
    fraction: &'a str,
    exponent: i64,
}

/// Checks that a whole number is a count.
///
/// # Errors
/// [`InexactCount`] if it is 2^63 or larger.
pub const fn check_range(value: u64) -> Result<u64, InexactCount> {
    if value <= MAX_COUNT { Ok(value) } else { Err(InexactCount(0)) }
}

/// The count of a number with an exact value.
///
/// # Errors
/// [`InexactCount`] if it is negative or a fraction.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; a cast saturates")]
pub fn round_down(value: f64) -> Result<u64, InexactCount> {
    if value.is_nan() || value < 0.0 {
        return Err(InexactCount(0));
    }
    let count = check_range(value as u64)?;
    if value.fract() == 0.0 { Ok(count) } else { Err(InexactCount(count)) }
}

/// Parses a decimal number: `12`, `12.0`, `1e3`, `1,234`. Each group after a thousands separator has three digits.
///
/// # Errors
/// [`InexactCount`] if it is not a whole number from 0 to 2^63 − 1.
pub fn parse_count(text: &str) -> Result<u64, InexactCount> {
    // Nearly all counts are written like this.
    if (1..MAX_COUNT_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| InexactCount(0));
    }
    let Decimal { negative, whole, fraction, exponent } = Decimal::parse(text).ok_or(InexactCount(0))?;
    let point = i64::try_from(whole.len()).unwrap_or(i64::MAX).saturating_add(exponent);
    let digits = whole.into_owned() + fraction;
    if !has_nonzero_digit(&digits) {
        return Ok(0);
    }
    // A negative position of the point means a number between 0 and 1.
    let point = usize::try_from(point).ok().filter(|_| !negative).ok_or(InexactCount(0))?;
    let (whole, fraction) = digits.split_at(point.min(digits.len()));
    let whole = whole.trim_start_matches('0');
    let zeros = point.saturating_sub(digits.len());
    // The check also bounds the memory of the text below.
    if whole.len().saturating_add(zeros) > MAX_COUNT_DIGITS {
        return Err(InexactCount(0));
    }
    let value = format!("0{whole}{:0<zeros$}", "").parse().map_err(|_| InexactCount(0))?;
    let count = check_range(value)?;
    if has_nonzero_digit(fraction) { Err(InexactCount(count)) } else { Ok(count) }
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let whole = without_separators(whole)?;
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_number = are_digits(&whole) && are_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
        is_number.then_some(Self { negative: text.starts_with('-'), whole, fraction, exponent })
    }
}

/// Removes thousands separators. `None` if a group does not have three digits.
fn without_separators(whole: &str) -> Option<Cow<'_, str>> {
    let Some((first, others)) = whole.split_once(',') else { return Some(Cow::Borrowed(whole)) };
    let is_grouped = (1..=3).contains(&first.len()) && others.split(',').all(|group| group.len() == 3);
    // "0,123" is a fraction in some languages.
    (is_grouped && !first.starts_with('0')).then(|| Cow::Owned(whole.replace(',', "")))
}

/// An exponent. One beyond the range of `i64` is replaced by the limit.
fn parse_exponent(text: &str) -> Option<i64> {
    text.parse().map_or_else(
        |error: std::num::ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow => Some(i64::MAX),
            IntErrorKind::NegOverflow => Some(i64::MIN),
            _ => None,
        },
        Some,
    )
}

fn has_nonzero_digit(digits: &str) -> bool {
    digits.bytes().any(|digit| digit != b'0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0", Ok(0))]
    #[case("+7", Ok(7))]
    #[case("007", Ok(7))]
    #[case("12.000", Ok(12))]
    #[case("1.5e1", Ok(15))]
    #[case("1200e-2", Ok(12))]
    #[case("1E+3", Ok(1000))]
    #[case("0e99999999999999999999", Ok(0))]
    #[case("-0.0", Ok(0))]
    #[case("1,234", Ok(1234))]
    #[case("1,234,567.0", Ok(1_234_567))]
    #[case("9,223,372,036,854,775,807", Ok(MAX_COUNT))]
    #[case("9223372036854775807.5", Err(InexactCount(MAX_COUNT)))]
    #[case("12.7", Err(InexactCount(12)))]
    #[case("0.9", Err(InexactCount(0)))]
    #[case("125e-1", Err(InexactCount(12)))]
    #[case("1e-99999999999999999999", Err(InexactCount(0)))]
    #[case("9223372036854775808", Err(InexactCount(0)))]
    #[case("1e19", Err(InexactCount(0)))]
    #[case("1e99999999999999999999", Err(InexactCount(0)))]
    #[case("-1", Err(InexactCount(0)))]
    #[case("1,23", Err(InexactCount(0)))]
    #[case("1234,567", Err(InexactCount(0)))]
    #[case("0,123", Err(InexactCount(0)))]
    #[case(",123", Err(InexactCount(0)))]
    #[case("1,,234", Err(InexactCount(0)))]
    #[case(".", Err(InexactCount(0)))]
    #[case("1e", Err(InexactCount(0)))]
    #[case("NaN", Err(InexactCount(0)))]
    #[case("inf", Err(InexactCount(0)))]
    #[case("0x1f", Err(InexactCount(0)))]
    #[case("１２", Err(InexactCount(0)))]
    #[case("1 234", Err(InexactCount(0)))]
    fn a_number_is_a_count_however_it_is_written(#[case] text: &str, #[case] count: Result<u64, InexactCount>) {
        assert_eq!(parse_count(text), count);
    }

    fn grouped(count: u64) -> String {
        let digits = count.to_string();
        let (mut text, mut position) = (String::new(), digits.len());
        for digit in digits.chars() {
            text.push(digit);
            position -= 1;
            if position > 0 && position.is_multiple_of(3) {
                text.push(',');
            }
        }
        text
    }

    proptest! {
        #[test]
        fn every_count_is_read_in_every_notation(count in 0..=MAX_COUNT, shift in 0_u32..63, zeros in 0_usize..30) {
            let count = count >> shift;
            let many_zeros = "0".repeat(zeros);
            prop_assert_eq!(parse_count(&count.to_string()), Ok(count));
            prop_assert_eq!(parse_count(&format!("{many_zeros}{count}.{many_zeros}")), Ok(count));
            prop_assert_eq!(parse_count(&format!("{count}{many_zeros}e-{zeros}")), Ok(count));
            prop_assert_eq!(parse_count(&format!("0.{count:019}e19")), Ok(count));
            prop_assert_eq!(parse_count(&grouped(count)), Ok(count));
            prop_assert_eq!(parse_count(&format!("{count}.{many_zeros}1")), Err(InexactCount(count)));
        }

        #[test]
        fn numbers_beyond_the_range_count_as_zero(beyond in MAX_COUNT + 1..=u64::MAX, zeros in 0_usize..400) {
            let many_zeros = "0".repeat(zeros);
            prop_assert_eq!(parse_count(&format!("{beyond}{many_zeros}")), Err(InexactCount(0)));
            prop_assert_eq!(parse_count(&format!("-{beyond}")), Err(InexactCount(0)));
        }

        #[test]
        fn no_text_gives_a_count_beyond_the_range(text in "[-+0-9.,eE]{0,30}|\\PC{0,20}") {
            let count = parse_count(&text).unwrap_or_else(|InexactCount(count)| count);
            prop_assert!(count <= MAX_COUNT);
        }

        #[test]
        fn exact_numbers_are_read_as_their_text_is(value in -1e15_f64..1e15) {
            prop_assert_eq!(round_down(value), parse_count(&value.to_string()));
        }
    }
}
