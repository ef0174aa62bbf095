//! Instants as people and programs write them. Every time that comes in from outside, in an event, an import, a flag
//! or an address, is read here.
//!
//! Read are:
//!
//! - **ISO 8601 and RFC 3339**, with everything that the standard libraries and databases make of them: `T` or a space,
//!   seconds and minutes left out, any number of decimals after a point or a comma, `20260301T120000Z`, and `Z`, `UTC`,
//!   `GMT`, `+01`, `+0100`, `+01:00` or `+01:00:00`, with or without a space before. What a program adds to an offset
//!   is skipped: `[Europe/Berlin]`, `CET`, `(Central European Time)`.
//! - **The day and its month by name**: `Sun, 01 Mar 2026 12:00:00 GMT`, `Sun Mar  1 12:00:00 2026`,
//!   `01/Mar/2026:12:00:00 +0000`.
//! - **Numbers**, as text too: time since 1970. Its unit is the one in which it lies between [`SINCE_S`] and
//!   [`UNTIL_S`], so no number has two:
//!
//!   | From | To, exclusive | Unit |
//!   |---|---|---|
//!   | 100 000 000 (3 March 1973) | 4 133 980 800 (the end of 2100) | seconds |
//!   | 100 000 000 000 | 4 133 980 800 000 | milliseconds |
//!   | 10¹⁴ | 4.1339808 · 10¹⁵ | microseconds |
//!   | 10¹⁷ | 4.1339808 · 10¹⁸ | nanoseconds |
//!
//!   The digits of a date, `20260301`, or of a date and a time, `20260301120000`, lie between these and are what they
//!   look like.
//!
//! A time without a zone is in UTC, and a date is its midnight. What could be two times, such as `01/02/2026` or
//! `12:00 CET`, is refused in words that say what to write.

mod calendar;
mod number;

use chrono::{DateTime, SubsecRound, Timelike, Utc};

pub use number::{SINCE_S, UNTIL_S, Unit};

/// Why a text is not taken for a time. Each says, after the name of what was sent, what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Write a time.
    #[error("is not a time: write 2026-03-01T12:00:00Z, or the seconds or milliseconds since 1970")]
    NoTime,

    /// Write a day and an hour that exist.
    #[error("is not a time: no day or hour has this number. Write it as in 2026-03-01T12:00:00Z")]
    NoSuchTime,

    /// Write the year first: day and month could be the other way round.
    #[error("is not a clear time: which is the day and which the month? Write the year first, as in 2026-03-01")]
    DayOrMonth,

    /// Write the offset: a zone's name says it only together with a calendar of clock changes, and `CST` not even then.
    #[error("is not a clear time: write the offset of the zone {0}, as in 2026-03-01T13:00:00+01:00")]
    ZoneName(String),

    /// Write a time that lies where numbers have one unit.
    #[error(
        "is not a clear time: as a number it must lie in the years 1973 to 2100, in seconds, milliseconds, microseconds \
         or nanoseconds. Write 2026-03-01T12:00:00Z"
    )]
    NoUnit,
}

/// Reads an instant, to the microsecond. See the crate.
///
/// ```
/// let noon = "2026-03-01T12:00:00Z".parse().unwrap();
/// for text in ["2026-03-01 13:00+01", "1772366400", "1772366400000", "Sun, 1 Mar 2026 12:00:00 GMT"] {
///     assert_eq!(instant::parse(text), Ok(noon));
/// }
/// ```
pub fn parse(text: &str) -> Result<DateTime<Utc>, Unreadable> {
    read(text, None)
}

/// Reads an instant by a sender's clock. A number too small to tell its unit has this one: a clock that was never set
/// counts from 1970, and the time of sending by the same clock corrects it.
pub fn parse_clock(text: &str, unit: Unit) -> Result<DateTime<Utc>, Unreadable> {
    read(text, Some(unit))
}

fn read(text: &str, unit: Option<Unit>) -> Result<DateTime<Utc>, Unreadable> {
    // Nearly all texts are of this form, which chrono reads several times faster. A leap second it keeps as one.
    if let Ok(time) = DateTime::parse_from_rfc3339(text)
        && time.nanosecond() < 1_000_000_000
    {
        return Ok(time.to_utc().trunc_subsecs(6));
    }
    // Quotes are what is left of a text that was written as JSON twice.
    let text = text.trim().trim_matches('"').trim();
    number::read(text, unit).unwrap_or_else(|| calendar::read(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noon of 1 March 2026, as each of these writes it.
    #[test]
    fn noon_is_noon_whoever_writes_it() {
        for (text, writer) in [
            ("2026-03-01T12:00:00Z", "RFC 3339; Go, Rust, iOS ISO8601DateFormatter"),
            ("2026-03-01T12:00:00.000Z", "JavaScript toISOString"),
            ("\"2026-03-01T12:00:00.000Z\"", "JavaScript, JSON.stringify of a Date put into JSON again"),
            ("2026-03-01T12:00:00+00:00", "Python isoformat, PHP DATE_ATOM"),
            ("2026-03-01T13:00:00.000000+01:00", "Python isoformat of an aware datetime"),
            ("2026-03-01T12:00:00+0000", "Python strftime %z, PHP DATE_ISO8601, iOS DateFormatter"),
            ("2026-03-01T07:00:00.000-0500", "iOS DateFormatter SSSZ, Jackson, log4j"),
            ("2026-03-01T12:00Z", "Java OffsetDateTime and Instant-like texts on the full minute"),
            ("2026-03-01T13:00+01:00[Europe/Berlin]", "Java ZonedDateTime"),
            ("2026-03-01T12:00:00Z[UTC]", "Java ZonedDateTime, JavaScript Temporal"),
            ("2026-03-01T13:00:00+01:00[Europe/Berlin][u-ca=gregory]", "JavaScript Temporal with a calendar"),
            ("2026-03-01T12:00", "Java LocalDateTime, <input type=datetime-local>"),
            ("2026-03-01T12:00:00", "Python isoformat of a naive datetime, SQL Server"),
            ("2026-03-01T12:00:00.000000000", "NumPy datetime64[ns]"),
            ("2026-03-01 12:00:00+00", "PostgreSQL, DuckDB timestamptz"),
            ("2026-03-01 17:30:00+05:30", "PostgreSQL in Kolkata"),
            ("2026-03-01 12:53:28+00:53:28", "PostgreSQL with a local mean time"),
            ("2026-03-01 12:00:00 UTC", "BigQuery, Ruby, Trino"),
            ("2026-03-01 12:00:00.000000 UTC", "BigQuery"),
            ("2026-03-01 12:00:00 Etc/UTC", "Trino in a container"),
            ("2026-03-01 12:00:00 +0000", "Ruby Time#to_s, Swift Date.description, Snowflake, git"),
            ("2026-03-01 12:00:00.000 +0000", "Snowflake TIMESTAMP_TZ"),
            ("2026-03-01 12:00:00 +0000 UTC", "Go time.Time.String"),
            ("2026-03-01 13:00:00.000000001 +0100 CET m=+0.000012345", "Go time.Now().String"),
            ("2026-03-01 12:00:00.0000000 +00:00", "SQL Server datetimeoffset"),
            ("2026-03-01T12:00:00.0000000Z", ".NET format o"),
            ("2026-03-01 12:00:00Z", ".NET format u, SQLite"),
            ("2026-03-01 12:00:00", "MySQL, SQLite, ClickHouse, pandas"),
            ("2026-03-01 12:00:00,000", "Python logging, log4j"),
            ("2026-03-01 12:00", "spreadsheets"),
            ("2026-03-01 12:00:00 PM", "Power BI"),
            ("2026/03/01 12:00:00", "Go log, nginx error log"),
            ("2026-3-1 12:00:00", "a hand that pads nothing"),
            ("20260301T120000Z", "ISO 8601 basic: iCalendar, AWS"),
            ("20260301T120000.000Z", "Elasticsearch basic_date_time"),
            ("2026-03-01T12Z", "ISO 8601 to the hour"),
            ("2026-03-01t12:00:00z", "RFC 3339 in lower case"),
            ("2026-03-01T12:00:00\u{2212}00:00", "the minus sign of ISO 8601 and ICU"),
            ("2026-03-01T13:00:00 01:00", "any, where an address turned its plus into a space"),
            ("  2026-03-01T12:00:00Z\n", "a shell"),
            ("Sun, 01 Mar 2026 12:00:00 GMT", "HTTP, JavaScript toUTCString, Python email.utils"),
            ("Sun, 1 Mar 2026 13:00:00 +0100", "mail"),
            ("Sunday, 01-Mar-2026 12:00:00 UTC", "PHP DATE_COOKIE"),
            ("Sun Mar 01 2026 13:00:00 GMT+0100 (Central European Standard Time)", "JavaScript Date.toString"),
            ("Sun Mar 01 2026 12:00:00 GMT 0000 (UTC)", "the same in an address"),
            ("Sun Mar  1 12:00:00 2026", "C asctime, Python ctime"),
            ("Sun Mar 01 12:00:00 UTC 2026", "Java Date.toString, date"),
            ("Mar 1, 2026, 12:00:00\u{202f}PM", "JavaScript toLocaleString, en-US, dateStyle medium"),
            ("01/Mar/2026:12:00:00 +0000", "Apache and nginx access logs"),
            ("1772366400", "PHP time, Unix date +%s, Umami"),
            ("1772366400.0", "Python time.time"),
            ("1.7723664E9", "Java Double.toString"),
            ("1772366400000", "JavaScript Date.now, Java currentTimeMillis"),
            ("1.7723664e12", "JavaScript and R with an exponent"),
            ("/Date(1772366400000)/", ".NET Framework"),
            ("/Date(1772366400000+0100)/", ".NET Framework, a DataContract"),
            ("1772366400000000", "GA4 timestamp_micros, BigQuery UNIX_MICROS"),
            ("1772366400000000000", "Python time.time_ns, Go UnixNano, pandas"),
            ("20260301120000", "MySQL and web archives"),
        ] {
            check(text, "2026-03-01T12:00:00Z", writer);
        }
    }

    #[test]
    fn a_date_alone_is_its_midnight_in_utc() {
        for text in ["2026-03-01", "20260301", "2026/03/01", "1 Mar 2026", "March 1, 2026"] {
            check(text, "2026-03-01T00:00:00Z", "a date");
        }
        check("2026-02-28T24:00:00Z", "2026-03-01T00:00:00Z", "ISO 8601, the end of a day");
        check("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", "a leap second");
        check("Mar 1, 2026, 12:30:00 AM", "2026-03-01T00:30:00Z", "midnight of a clock of twelve hours");
        check("0", "1970-01-01T00:00:00Z", "zero, which is the same in every unit");
    }

    #[test]
    fn decimals_are_kept_to_the_microsecond() {
        check("2026-03-01T12:00:00.5+02:00", "2026-03-01T10:00:00.5Z", "RFC 3339");
        check("2022-12-22 13:25:47.677000+00:00", "2022-12-22T13:25:47.677Z", "pandas");
        check("2026-03-01T12:00:00.1234567Z", "2026-03-01T12:00:00.123456Z", ".NET");
        check("1772366400.123456", "2026-03-01T12:00:00.123456Z", "Python");
        check("1772366400000.25", "2026-03-01T12:00:00.00025Z", "performance.timeOrigin + performance.now()");
        check("1772366400123456789", "2026-03-01T12:00:00.123456Z", "nanoseconds");
    }

    #[test]
    fn what_is_no_clear_time_is_refused_in_words() {
        use Unreadable::{DayOrMonth, NoSuchTime, NoTime, NoUnit};
        let zone = |name: &str| Unreadable::ZoneName(name.into());
        for (text, expected) in [
            ("", NoTime),
            ("noon", NoTime),
            ("yesterday", NoTime),
            ("2026", NoUnit),
            ("2026-03", NoTime),
            ("12:00:00", NoTime),
            ("2026-03-01T", NoTime),
            ("2026-03-01T12:", NoTime),
            ("2026-03-01T12:00:00.", NoTime),
            ("2026-03-01T12:00:00+", NoTime),
            ("2026-03-01T12:00:00Z and more", NoTime),
            ("+12026-03-01T12:00:00Z", NoTime),
            ("2026-W09-7", NoTime),
            ("Sun Mar  1 12:00:00", NoTime),
            ("2026-02-30", NoSuchTime),
            ("20260230", NoUnit),
            ("2026-13-01T12:00:00Z", NoSuchTime),
            ("2026-03-01T25:00:00Z", NoSuchTime),
            ("2026-03-01T12:60:00Z", NoSuchTime),
            ("2026-03-01T13:00:00 PM", NoSuchTime),
            ("2026-03-01T12:00:00+24:00", NoSuchTime),
            ("03/01/2026 12:00:00 +00:00", DayOrMonth),
            ("3/1/2026, 12:00:00 PM", DayOrMonth),
            ("01.03.2026 12:00", DayOrMonth),
            ("01-03-2026", DayOrMonth),
            ("Sun Mar 01 13:00:00 CET 2026", zone("CET")),
            ("2026-03-01 12:00:00 EST", zone("EST")),
            ("2026-03-01 13:00:00 Europe/Berlin", zone("Europe/Berlin")),
            ("2026-03-01T13:00[Europe/Berlin]", zone("Europe/Berlin")),
            ("1", NoUnit),
            ("46082", NoUnit),
            ("99999999", NoUnit),
            ("4133980800", NoUnit),
            ("99999999999", NoUnit),
            ("1e300", NoUnit),
            ("99999999999999999999", NoUnit),
            ("NaN", NoTime),
            ("-", NoTime),
        ] {
            assert_eq!(parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_clock_that_was_never_set_counts_in_its_senders_unit() {
        let at = |text: &str, unit| parse_clock(text, unit).map(|at| at.timestamp_micros());
        assert_eq!(at("5000", Unit::Milliseconds), Ok(5_000_000));
        assert_eq!(at("7.5", Unit::Seconds), Ok(7_500_000));
        assert_eq!(at("1772366400", Unit::Milliseconds), Ok(1_772_366_400_000_000));
    }

    proptest::proptest! {
        #[test]
        fn every_text_is_read_or_refused_in_words(
            text in "\\PC{0,30}|[-+0-9.,:/TZ \\[\\]]{1,32}|(Sun|Mar|1|2026|12:00| |,|GMT|PM|\\+){1,9}"
        ) {
            if let Err(refusal) = parse(&text) {
                proptest::prop_assert!(refusal.to_string().contains("rite"), "{}", refusal);
            }
        }

        #[test]
        fn what_is_printed_is_read_as_it_was(us in 100_000_000_000_000_i64..4_133_980_800_000_000) {
            let at = DateTime::from_timestamp_micros(us).expect("until 2100");
            let offset = chrono::FixedOffset::east_opt(20_700).expect("5:45");
            for text in [
                at.to_rfc3339(),
                at.to_rfc3339().replace('+', " "),
                at.to_string(),
                at.with_timezone(&offset).to_string(),
                us.to_string(),
                (us * 1_000).to_string(),
            ] {
                proptest::prop_assert_eq!(parse(&text), Ok(at), "{}", text);
            }
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str, writer: &str) {
        let expected = expected.parse().unwrap();
        assert_eq!(parse(text), Ok(expected), "{text:?}, by {writer}");
    }
}
