//! Amounts of money: exact, in ten-thousandths.

use rust_decimal::{Decimal, RoundingStrategy};

/// 18 digits, four of them after the decimal point: what the column `revenue` holds.
const E4_MAX: i128 = 999_999_999_999_999_999;

/// Parses an amount as it is written in JSON, into ten-thousandths. `None` if it is not a number or has more than 14
/// digits before the decimal point.
///
/// Digits beyond the fourth decimal place are rounded, half away from zero, because JavaScript writes 0.1 + 0.2 as
/// 0.30000000000000004.
pub(crate) fn parse_e4(text: &str) -> Option<i128> {
    let text = text.trim();
    let exact = if text.contains(['e', 'E']) { Decimal::from_scientific(text) } else { text.parse() }.ok()?;
    let mut rounded = exact.round_dp_with_strategy(4, RoundingStrategy::MidpointAwayFromZero);
    rounded.rescale(4);
    (rounded.scale() == 4 && rounded.mantissa().abs() <= E4_MAX).then(|| rounded.mantissa())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        check("19.99", Some(199_900));
        check("0", Some(0));
        check("-3", Some(-30_000));
        check(" 7.5 ", Some(75_000));
        check("1e3", Some(10_000_000));
        check("1.5E-3", Some(15));
        check("99999999999999.9999", Some(E4_MAX));
    }

    #[test]
    fn what_is_beyond_four_places_is_rounded() {
        check("0.30000000000000004", Some(3_000));
        check("0.00005", Some(1));
        check("-0.00005", Some(-1));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        check("", None);
        check("ten", None);
        check("1,234.50", None);
        check("NaN", None);
        check("100000000000000", None);
        check("99999999999999.99995", None);
        check("1e400", None);
        check("123456789012345678901234567890", None);
    }

    #[track_caller]
    fn check(text: &str, expected_e4: Option<i128>) {
        assert_eq!(parse_e4(text), expected_e4, "{text}");
    }
}
