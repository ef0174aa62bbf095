//! Parameters of requests, as people write them in a query string.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

/// A time in RFC 3339 or a date, which means its midnight in UTC; `default` if there is none.
///
/// Fails with words for the sender.
pub(super) fn time(text: Option<&str>, default: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(default) };
    // A plus in a query string is a space.
    if let Ok(time) = text.replace(' ', "+").parse() {
        return Ok(time);
    }
    match text.parse::<NaiveDate>() {
        Ok(date) => Ok(date.and_time(NaiveTime::MIN).and_utc()),
        Err(_) => Err(format!("{text:?} is not a time: write 2026-03-01 or 2026-03-01T12:00:00Z")),
    }
}

/// The text, unless it is empty: `?site=` asks for nothing.
pub(super) fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn every_text_is_a_time_or_refused_in_words(text in "\\PC{0,30}|[-+0-9.:TZ ]{1,32}") {
            if let Err(words) = time(Some(&text), DateTime::UNIX_EPOCH) {
                proptest::prop_assert!(words.contains("is not a time"), "{}", words);
            }
        }

        #[test]
        fn a_time_that_is_printed_is_read_as_it_was(us in -10_000_000_000_000_000_i64..10_000_000_000_000_000) {
            let at = DateTime::from_timestamp_micros(us).expect("within three hundred years of 1970");
            // As it comes out of a query string, where a plus is a space.
            let text = at.to_rfc3339().replace('+', " ");
            proptest::prop_assert_eq!(time(Some(&text), DateTime::UNIX_EPOCH), Ok(at));
        }
    }
}
