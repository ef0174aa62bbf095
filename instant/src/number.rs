//! Times as numbers: how long since 1970, in a unit that the size of the number tells.

use chrono::{DateTime, Utc};

use crate::Unreadable;
use crate::calendar;

/// Where numbers begin to have a unit, in seconds: 3 March 1973. Earlier ones would overlap with those of the next
/// smaller unit, and are mostly no times at all but the day of a spreadsheet, a year or a duration.
pub const SINCE_S: f64 = 1e8;

/// Where they end: the end of the year 2100.
pub const UNTIL_S: f64 = 4_133_980_800.0;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Since 1970.
    Seconds,
    /// Since 1970.
    Milliseconds,
    /// Since 1970.
    Microseconds,
    /// Since 1970.
    Nanoseconds,
}

impl Unit {
    const ALL: [Self; 4] = [Self::Seconds, Self::Milliseconds, Self::Microseconds, Self::Nanoseconds];

    fn per_s(self) -> i128 {
        match self {
            Self::Seconds => 1,
            Self::Milliseconds => 1_000,
            Self::Microseconds => 1_000_000,
            Self::Nanoseconds => 1_000_000_000,
        }
    }
}

/// Reads a number; `None` if the text is none.
///
/// - `small`: the unit of numbers that are too small to tell theirs.
pub(crate) fn read(text: &str, small: Option<Unit>) -> Option<Result<DateTime<Utc>, Unreadable>> {
    let text = match text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        // The offset of .NET's form only says how to show the time.
        Some(inside) => {
            let sign = inside.char_indices().skip(1).find(|(_, char)| matches!(char, '+' | '-'));
            &inside[..sign.map_or(inside.len(), |(at, _)| at)]
        }
        None => text,
    };
    // Rust reads `inf` and `nan`, too.
    if !text.trim_start_matches(['+', '-']).starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    // By a clock, eight digits are hours since it was started; a date in digits nobody's clock gives.
    if let Some(at) = calendar::read_digits(text).filter(|_| small.is_none() || text.len() > 8) {
        return Some(Ok(at));
    }
    let value: f64 = text.parse().ok()?;
    let in_seconds = |unit: &Unit| value.abs() / unit.per_s() as f64;
    let unit = match Unit::ALL.iter().find(|unit| (SINCE_S..UNTIL_S).contains(&in_seconds(unit))) {
        Some(unit) => Some(*unit),
        None if value == 0.0 => Some(Unit::Seconds),
        None if value.abs() < SINCE_S => small,
        None => None,
    };
    let us = unit.and_then(|unit| match text.parse::<i128>() {
        Ok(whole) => i64::try_from((whole * 1_000_000).div_euclid(unit.per_s())).ok(),
        Err(_) => Some((value * (1e6 / unit.per_s() as f64)).round() as i64),
    });
    Some(us.and_then(DateTime::from_timestamp_micros).ok_or(Unreadable::NoUnit))
}
