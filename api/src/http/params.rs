//! Parameters of requests, as people write them in a query string.

use chrono::{DateTime, Utc};

/// A time as [`instant`] reads it; `default` if there is none.
///
/// Fails with words for the sender.
pub(super) fn time(text: Option<&str>, default: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(default) };
    instant::parse(text).map_err(|unreadable| format!("{text:?} {unreadable}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_as_programs_write_it_into_an_address() {
        let noon = "2026-03-01T12:00:00Z".parse().unwrap();
        for text in [
            "1772366400",                // date +%s
            "1772366400000",             // JavaScript
            "2026-03-01T13:00:00 01:00", // Python, its plus not encoded
            "2026-03-01 12:00:00 00",    // PostgreSQL, the same
            "2026-03-01T12:00Z",         // Java
            "2026-03-01T12:00",          // <input type=datetime-local>
            "2026-03-01 12:00:00 UTC",   // BigQuery
        ] {
            assert_eq!(time(Some(text), DateTime::UNIX_EPOCH), Ok(noon), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_text_is_a_time_or_refused_in_words(text in "\\PC{0,30}|[-+0-9.:TZ ]{1,32}") {
            if let Err(words) = time(Some(&text), DateTime::UNIX_EPOCH) {
                proptest::prop_assert!(words.contains("is not a"), "{}", words);
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
