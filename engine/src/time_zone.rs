//! Time zones by name, and what clocks show in them.

use chrono::{NaiveDateTime, Offset, TimeZone};
use datafusion::arrow::array::timezone::Tz;

/// A zone by its name, such as `Europe/Berlin` or `UTC`. Offsets such as `+02:00` are none: in PostgreSQL their sign is
/// reversed, and elsewhere it is not.
pub(crate) fn time_zone(name: &str) -> Option<Tz> {
    name.parse().ok().filter(|_| name.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// What clocks in a zone show at an instant of UTC; `None` beyond the calendar.
pub(crate) fn local_time(at: NaiveDateTime, zone: Tz) -> Option<NaiveDateTime> {
    at.checked_add_offset(zone.offset_from_utc_datetime(&at).fix())
}
