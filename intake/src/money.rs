//! Amounts of money: exact, in ten-thousandths.

use rust_decimal::{Decimal, RoundingStrategy};

/// 18 digits, four of them after the decimal point: what the column `revenue` holds.
const E4_MAX: i128 = 999_999_999_999_999_999;

/// The longest amount for people. Longer texts are something else.
const WRITTEN_BYTES_MAX: usize = 64;

/// Parses an amount into ten-thousandths: as JSON writes it, or else as people do, such as `$9.99`, `9,99 €` or
/// `1.234,50`. `None` if it is neither, or has more than 14 digits before the decimal point, or if its only separator
/// could mean thousands as well as decimals.
///
/// Digits beyond the fourth decimal place are rounded, half away from zero, because JavaScript writes 0.1 + 0.2 as
/// 0.30000000000000004.
pub(crate) fn parse_e4(text: &str) -> Option<i128> {
    let text = text.trim();
    let exact = if text.contains(['e', 'E']) { Decimal::from_scientific(text) } else { text.parse() };
    let exact = exact.ok().or_else(|| parse_written(text)?.parse().ok())?;
    let mut rounded = exact.round_dp_with_strategy(4, RoundingStrategy::MidpointAwayFromZero);
    rounded.rescale(4);
    (rounded.scale() == 4 && rounded.mantissa().abs() <= E4_MAX).then(|| rounded.mantissa())
}

/// The product of two amounts, in ten-thousandths; `None` if it has more digits than an amount may have.
pub(crate) fn product_e4(one_e4: i128, other_e4: i128) -> Option<i128> {
    let product_e8 = one_e4.checked_mul(other_e4)?;
    let half = 5_000 * product_e8.signum();
    Some((product_e8 + half) / 10_000).filter(|product_e4| product_e4.abs() <= E4_MAX)
}

/// An amount for people as a plain number.
fn parse_written(text: &str) -> Option<String> {
    if text.len() > WRITTEN_BYTES_MAX {
        return None;
    }
    let in_parentheses = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let text = in_parentheses.unwrap_or(text);
    let (first, last) = (text.find(is_digit)?, text.rfind(is_digit)?);
    // A point before the digits is theirs, unless it ends a name, as in `Rs.5`.
    let starts_at = match text[..first].strip_suffix('.') {
        Some(before) if !before.ends_with(char::is_alphabetic) => first - 1,
        _ => first,
    };
    let ends_at = last + 1 + usize::from(text[last + 1..].starts_with(['.', ',']));
    let (before, digits, mut after) = (&text[..starts_at], &text[starts_at..ends_at], &text[ends_at..]);
    if digits.ends_with(['.', ',']) {
        // As in `99,-`, which is not negative.
        after = after.strip_prefix(['-', '\u{2013}', '\u{2014}']).unwrap_or(after);
    }
    let signs = signs_around(before)? + signs_around(after)?;
    let is_negative = match (signs, in_parentheses) {
        (0, None) => false,
        (1, None) | (0, Some(_)) => true,
        _ => return None,
    };
    Some(format!("{}{}", if is_negative { "-" } else { "" }, with_a_point(&without_spaces(digits)?)?))
}

fn is_digit(char: char) -> bool {
    char.is_ascii_digit()
}

/// How many signs are in what stands before or after the digits: a currency's symbol or name, if anything.
fn signs_around(text: &str) -> Option<usize> {
    let text = text.trim();
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_sign = |char: &char| matches!(char, '-' | '\u{2212}');
    let is_currency = |char: char| char == '$' || char.is_alphabetic() || !char.is_ascii();
    let name: Vec<char> = text.chars().filter(|char| !char.is_whitespace()).collect();
    let signs = name.iter().filter(|char| is_sign(char)).count();
    (name.len() <= 5 && name.iter().all(|char| is_sign(char) || is_currency(*char))).then_some(signs)
}

/// Digits without what only ever separates thousands: spaces, of whatever width, and apostrophes.
fn without_spaces(digits: &str) -> Option<String> {
    let is_space = |char: char| char.is_whitespace() || matches!(char, '\'' | '\u{2019}');
    let mut groups = digits.split(is_space);
    let first = groups.next()?.to_owned();
    groups.try_fold(first, |all, group| {
        let is_complete = all.chars().all(is_digit) && group.chars().take_while(|char| is_digit(*char)).count() == 3;
        is_complete.then(|| all + group)
    })
}

/// Digits with points and commas as a number with one point at most.
fn with_a_point(digits: &str) -> Option<String> {
    let (points, commas) = (digits.matches('.').count(), digits.matches(',').count());
    let decimal = match (points, commas) {
        (0, 0) => return Some(digits.to_owned()),
        (1, 0) | (0, 1) => {
            let separator = if points == 1 { '.' } else { ',' };
            let (whole, rest) = digits.split_once(separator)?;
            // 1,234 is a thousand or one, by the sender's country.
            if rest.len() == 3 && !matches!(whole, "" | "0") {
                return None;
            }
            Some(separator)
        }
        (_, 0) | (0, _) => None,
        _ => Some(if digits.rfind('.') > digits.rfind(',') { '.' } else { ',' }),
    };
    let (whole, fraction) = match decimal {
        Some(decimal) => digits.rsplit_once(decimal)?,
        None => (digits, ""),
    };
    let groups: Vec<&str> = whole.split(['.', ',']).collect();
    let is_one_separator = decimal.is_none_or(|decimal| !whole.contains(decimal));
    // In India groups have two digits, but for the last.
    let are_thousands = groups[1..].iter().all(|group| matches!(group.len(), 2 | 3))
        && (groups.len() == 1 || groups.last().is_some_and(|last| last.len() == 3));
    (is_one_separator && are_thousands).then(|| format!("{}.{fraction}0", groups.concat()))
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
        check("1.234", Some(12_340));
        check("99999999999999.9999", Some(E4_MAX));
    }

    #[test]
    fn what_is_beyond_four_places_is_rounded() {
        check("0.30000000000000004", Some(3_000));
        check("0.00005", Some(1));
        check("-0.00005", Some(-1));
    }

    #[test]
    fn an_amount_for_people_is_one_too() {
        for (text, expected, sender) in [
            ("9,99", 99_900, "a form in most of Europe"),
            ("$9.99", 99_900, "the price on an American page"),
            ("-$9.99", -99_900, "a refund"),
            ("$-9.99", -99_900, "a refund in some shops"),
            ("(9.99)", -99_900, "accounting"),
            ("9,99-", -99_900, "SAP"),
            ("\u{2212}9,99\u{a0}€", -99_900, "Intl.NumberFormat, sv"),
            ("9,99\u{a0}€", 99_900, "Intl.NumberFormat, de"),
            ("€9.99", 99_900, "Intl.NumberFormat, en"),
            ("€ 9,99", 99_900, "Intl.NumberFormat, nl"),
            ("9.99 EUR", 99_900, "an export"),
            ("USD 9.99", 99_900, "another"),
            ("US$9.99", 99_900, "a Canadian page"),
            ("1,234.50", 12_345_000, "America"),
            ("1.234,50 €", 12_345_000, "Germany, Spain, Italy"),
            ("1\u{202f}234,50 €", 12_345_000, "Intl.NumberFormat, fr"),
            ("1'234.50", 12_345_000, "Switzerland"),
            ("CHF 1\u{2019}234.50", 12_345_000, "Intl.NumberFormat, de-CH"),
            ("R$ 1.234,50", 12_345_000, "Brazil"),
            ("₹12,34,567.00", 12_345_670_000, "India"),
            ("Rs. 500", 5_000_000, "India"),
            ("Rs.500.50", 5_005_000, "India"),
            ("1,234,567", 12_345_670_000, "America"),
            ("¥1200", 12_000_000, "Japan"),
            ("1200円", 12_000_000, "Japan"),
            ("12.5 zł", 125_000, "Poland"),
            ("99 kr", 990_000, "Sweden"),
            ("99 kr.", 990_000, "Intl.NumberFormat, da"),
            ("99,-", 990_000, "a German price tag"),
            ("$.50", 5_000, "an American one"),
            ("0,125", 1_250, "a price per unit"),
            (".5", 5_000, "a hand"),
            ("5,", 50_000, "a form that was not finished"),
        ] {
            assert_eq!(parse_e4(text), Some(expected), "{text}: {sender}");
        }
    }

    #[test]
    fn what_is_no_clear_amount_is_refused() {
        for text in [
            "",
            "ten",
            "NaN",
            "$",
            "EUR",
            "€1,234",
            "$1.234",
            "1,234",
            "1,2,3",
            "1.234,567.89",
            "1,23,45",
            "9.99 or more",
            "3 for 9.99",
            "5 10",
            "--5",
            "(-5)",
            "100000000000000",
            "99999999999999.99995",
            "1e400",
            "123456789012345678901234567890",
        ] {
            check(text, None);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_an_amount_or_none(text in "\\PC{0,20}|[-0-9., $€()eE']{0,20}") {
            let _ = parse_e4(&text);
        }
    }

    #[track_caller]
    fn check(text: &str, expected_e4: Option<i128>) {
        assert_eq!(parse_e4(text), expected_e4, "{text}");
    }
}
