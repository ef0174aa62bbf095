//! `AT TIME ZONE` as in PostgreSQL: an instant becomes the local time of the zone, without a zone; a local time becomes
//! an instant.
//!
//! DataFusion keeps an instant and only shows it in the zone. Whatever is then computed with it, a day's beginning or a
//! bin, may be of UTC again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::time_zone::{Clocks, time_zone};

/// The zone of a session: in what is written without a zone, the clock shows UTC.
pub(crate) const SESSION_ZONE: &str = "UTC";

/// `timezone(zone, time)`, which is what `time AT TIME ZONE zone` means.
pub(super) fn timezone() -> ScalarUDF {
    ScalarUDF::from(Timezone { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Timezone {
    signature: Signature,
}

fn local() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(SESSION_ZONE.into()))
}

impl ScalarUDFImpl for Timezone {
    fn name(&self) -> &str {
        "timezone"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [zone, time] = types else { return plan_err!("timezone takes a zone and a time") };
        if !matches!(zone, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null) {
            return plan_err!("AT TIME ZONE takes the name of a zone, such as 'Europe/Berlin'");
        }
        let time = match time {
            DataType::Timestamp(_, None) => local(),
            // A text is an instant, as in PostgreSQL.
            DataType::Timestamp(_, Some(_))
            | DataType::Date32
            | DataType::Date64
            | DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Null => instant(),
            other => return plan_err!("AT TIME ZONE takes a timestamp and not {other}"),
        };
        Ok(vec![DataType::Utf8, time])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match &types[1] {
            DataType::Timestamp(_, None) => instant(),
            _ => local(),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [zones, times] = args.args.as_slice() else { return exec_err!("timezone takes a zone and a time") };
        let to_instant = matches!(args.return_type(), DataType::Timestamp(_, Some(_)));
        let times_array: ArrayRef =
            times.to_array(if is_scalar(zones) && is_scalar(times) { 1 } else { args.number_rows })?;
        let times_us = times_array.as_primitive::<TimestampMicrosecondType>();
        let shifted: TimestampMicrosecondArray = match zones {
            ColumnarValue::Scalar(zone) => match zone.try_as_str().flatten() {
                Some(zone) => {
                    let zone = zone_of(zone)?;
                    match to_instant {
                        true => times_us.try_unary(|us| checked(us, instant_us(us, zone)))?,
                        false => local_times(times_us, Clocks::new(zone))?,
                    }
                }
                None => TimestampMicrosecondArray::new_null(times_us.len()),
            },
            ColumnarValue::Array(zones) => {
                let mut known: HashMap<&str, (Tz, Clocks)> = HashMap::new();
                let zones = zones.as_string::<i32>();
                let mut shifted = Vec::with_capacity(times_us.len());
                for (zone, us) in zones.iter().zip(times_us) {
                    let (Some(name), Some(us)) = (zone, us) else {
                        shifted.push(None);
                        continue;
                    };
                    let (zone, clocks) = match known.entry(name) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => {
                            let zone = zone_of(name)?;
                            new.insert((zone, Clocks::new(zone)))
                        }
                    };
                    let other = if to_instant { instant_us(us, *zone) } else { clocks.local_us(us) };
                    shifted.push(Some(checked(us, other)?));
                }
                shifted.into()
            }
        };
        let shifted = if to_instant { shifted.with_timezone(SESSION_ZONE) } else { shifted };
        if is_scalar(zones) && is_scalar(times) {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&shifted, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(shifted)))
    }
}

fn is_scalar(value: &ColumnarValue) -> bool {
    matches!(value, ColumnarValue::Scalar(_))
}

fn zone_of(name: &str) -> Result<Tz> {
    match time_zone(name) {
        Some(zone) => Ok(zone),
        None => exec_err!("there is no time zone {name:?}: write a name such as 'Europe/Berlin' or 'UTC'"),
    }
}

/// What clocks show at instants.
fn local_times(times: &TimestampMicrosecondArray, mut clocks: Clocks) -> Result<TimestampMicrosecondArray> {
    let mut shown = Vec::with_capacity(times.len());
    for (row, us) in times.values().iter().enumerate() {
        shown.push(match clocks.local_us(*us) {
            Some(local_us) => local_us,
            // What stands in the place of a null may be anything.
            None if times.is_null(row) => 0,
            None => checked(*us, None)?,
        });
    }
    Ok(TimestampMicrosecondArray::new(shown.into(), times.nulls().cloned()))
}

/// The other time of a time, which has one within the calendar.
fn checked(us: i64, other_us: Option<i64>) -> Result<i64> {
    match other_us {
        Some(other_us) => Ok(other_us),
        None => exec_err!("the time {us} µs is beyond the calendar"),
    }
}

/// The instant at which clocks in the zone show a time, in microseconds.
fn instant_us(us: i64, zone: Tz) -> Option<i64> {
    let time = DateTime::from_timestamp_micros(us)?.naive_utc();
    Some(instant_of(time, zone)?.and_utc().timestamp_micros())
}

/// The instant at which clocks in the zone show `time`. Of two, the later; if clocks pass over it, the one that they would
/// show had they not been turned yet. Both as in PostgreSQL.
fn instant_of(time: NaiveDateTime, zone: Tz) -> Option<NaiveDateTime> {
    let instant = |offset: <Tz as TimeZone>::Offset| time.checked_sub_offset(offset.fix());
    match zone.offset_from_local_datetime(&time) {
        MappedLocalTime::Single(offset) => instant(offset),
        MappedLocalTime::Ambiguous(one, other) => instant(one).max(instant(other)),
        // No clock was ever turned forward by more than a day.
        MappedLocalTime::None => (1..=25).find_map(|hours| {
            let before = time.checked_sub_signed(TimeDelta::hours(hours))?;
            zone.offset_from_local_datetime(&before).latest().and_then(instant)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_time_and_its_instant_are_those_of_postgresql() {
        // Summer and winter, the hour that is twice, the hour that is not, a day that is not, and half hours.
        check("Europe/Berlin", "2026-07-01T00:00:00", "2026-06-30T22:00:00");
        check("Europe/Berlin", "2026-01-01T00:00:00", "2025-12-31T23:00:00");
        check("Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T01:30:00");
        check("Europe/Berlin", "2026-03-29T02:30:00", "2026-03-29T01:30:00");
        check("Pacific/Apia", "2011-12-30T12:00:00", "2011-12-30T22:00:00");
        check("Asia/Kolkata", "2026-03-01T00:00:00", "2026-02-28T18:30:00");
        check("UTC", "2026-03-01T00:00:00", "2026-03-01T00:00:00");
    }

    #[track_caller]
    fn check(zone: &str, local: &str, instant: &str) {
        let us = |text: &str| text.parse::<NaiveDateTime>().unwrap().and_utc().timestamp_micros();
        let zone_read = zone_of(zone).unwrap();
        assert_eq!(instant_us(us(local), zone_read), Some(us(instant)), "{local} in {zone}");
    }

    #[test]
    fn an_instant_is_the_local_time_that_clocks_show() {
        let us = |text: &str| text.parse::<NaiveDateTime>().unwrap().and_utc().timestamp_micros();
        let instants = ["2026-06-30T22:00:00", "2026-10-25T00:30:00", "2026-10-25T01:30:00"].map(us);
        let shown = ["2026-07-01T00:00:00", "2026-10-25T02:30:00", "2026-10-25T02:30:00"].map(us);
        // One by one, all within a summer or a winter, some of each, and none.
        for rows in [0..1, 1..2, 2..3, 0..3, 1..3, 0..0] {
            let times = |of: &[i64]| of.iter().map(|us| Some(*us)).chain([None]).collect::<TimestampMicrosecondArray>();
            let clocks = Clocks::new(zone_of("Europe/Berlin").unwrap());
            let found = local_times(&times(&instants[rows.clone()]), clocks).unwrap();
            assert_eq!(found, times(&shown[rows]));
        }
        let beyond = TimestampMicrosecondArray::from(vec![i64::MAX]);
        assert!(local_times(&beyond, Clocks::new(zone_of("Asia/Tokyo").unwrap())).is_err());
    }

    #[test]
    fn an_offset_or_an_unknown_name_is_no_zone() {
        for name in ["+02:00", "-05", "Europe/Nowhere", ""] {
            assert!(zone_of(name).is_err(), "{name}");
        }
    }
}
