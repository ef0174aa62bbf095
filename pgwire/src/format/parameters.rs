//! Values of parameters as clients send them, in text and in binary.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::scalar::ScalarValue;
use uuid::Uuid;

use crate::format::types::{PgType, ValueType};
use crate::format::values::{EPOCH_DAYS, EPOCH_US};
use crate::messages::Format;

/// Digits of a decimal at most.
const DECIMAL_DIGITS_MAX: usize = 38;

/// A parameter's value. The error says what is wrong with it.
pub(crate) fn read(value: Option<&Bytes>, format: Format, of: ValueType) -> Result<ScalarValue, String> {
    let Some(bytes) = value else { return Ok(null(of)) };
    match (format, of) {
        (Format::Text, of) => {
            let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
            match of {
                ValueType::One(of) => read_text(text, of),
                ValueType::Array(of) => {
                    let items = array_items(text).ok_or_else(|| format!("{text:?} is no array, such as {{a,b}}"))?;
                    list(items.into_iter().map(|item| item.map(|item| read_text(&item, of)).transpose()), of)
                }
            }
        }
        (Format::Binary, ValueType::One(of)) => {
            read_binary(bytes.clone(), of).ok_or_else(|| format!("its bytes are no {}", of.sql_name))
        }
        (Format::Binary, ValueType::Array(of)) => {
            read_binary_array(bytes.clone(), of).unwrap_or_else(|| Err(format!("its bytes are no {}[]", of.sql_name)))
        }
    }
}

/// Null of a type.
pub(crate) fn null(of: ValueType) -> ScalarValue {
    ScalarValue::try_new_null(&of.to_arrow()).unwrap_or(ScalarValue::Utf8(None))
}

fn list(
    items: impl Iterator<Item = Result<Option<ScalarValue>, String>>,
    of: &'static PgType,
) -> Result<ScalarValue, String> {
    let none = null(ValueType::One(of));
    let items: Vec<ScalarValue> =
        items.map(|item| Ok(item?.unwrap_or_else(|| none.clone()))).collect::<Result<_, String>>()?;
    let values = match items.is_empty() {
        true => arrow::array::new_empty_array(&none.data_type()),
        false => ScalarValue::iter_to_array(items).map_err(|error| error.to_string())?,
    };
    Ok(ScalarValue::List(Arc::new(SingleRowListArrayBuilder::new(values).build_list_array())))
}

fn read_text(text: &str, of: &PgType) -> Result<ScalarValue, String> {
    let none = || format!("{text:?} is no {}", of.sql_name);
    let trimmed = text.trim();
    Ok(match of.oid {
        16 => ScalarValue::from(flag(trimmed).ok_or_else(none)?),
        21 => ScalarValue::from(trimmed.parse::<i16>().map_err(|_| none())?),
        23 => ScalarValue::from(trimmed.parse::<i32>().map_err(|_| none())?),
        20 | 26 => ScalarValue::from(trimmed.parse::<i64>().map_err(|_| none())?),
        700 => ScalarValue::from(trimmed.parse::<f32>().map_err(|_| none())?),
        701 => ScalarValue::from(trimmed.parse::<f64>().map_err(|_| none())?),
        1700 => decimal(trimmed).ok_or_else(none)?,
        1082 => date(trimmed.parse().map_err(|_| none())?),
        1083 => time(trimmed.parse().map_err(|_| none())?),
        1114 => {
            let naive = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M"];
            let naive = naive.iter().find_map(|form| NaiveDateTime::parse_from_str(trimmed, form).ok());
            let day = || trimmed.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN));
            // A zone is read over, as PostgreSQL does; the lake has instants only, and drivers send those with a zone.
            let zoned = || instant(trimmed).map(|time| time.naive_utc());
            timestamp(naive.or_else(day).or_else(zoned).ok_or_else(none)?.and_utc(), false)
        }
        1184 => timestamp(instant(trimmed).ok_or_else(none)?, true),
        1186 => ScalarValue::try_from_string(trimmed.to_owned(), &DataType::Interval(IntervalUnit::MonthDayNano))
            .map_err(|_| none())?,
        17 => ScalarValue::Binary(Some(bytea(trimmed).ok_or_else(none)?)),
        2950 => ScalarValue::Utf8(Some(Uuid::try_parse(trimmed).map_err(|_| none())?.to_string())),
        _ => ScalarValue::Utf8(Some(text.to_owned())),
    })
}

fn read_binary(mut bytes: Bytes, of: &PgType) -> Option<ScalarValue> {
    let value = match of.oid {
        16 => ScalarValue::from(bytes.try_get_u8().ok()? != 0),
        21 => ScalarValue::from(bytes.try_get_i16().ok()?),
        23 => ScalarValue::from(bytes.try_get_i32().ok()?),
        26 => ScalarValue::from(i64::from(bytes.try_get_u32().ok()?)),
        20 => ScalarValue::from(bytes.try_get_i64().ok()?),
        700 => ScalarValue::from(bytes.try_get_f32().ok()?),
        701 => ScalarValue::from(bytes.try_get_f64().ok()?),
        1700 => numeric(&mut bytes)?,
        1082 => ScalarValue::Date32(Some(bytes.try_get_i32().ok()?.checked_add(EPOCH_DAYS)?)),
        1083 => ScalarValue::Time64Microsecond(Some(bytes.try_get_i64().ok()?)),
        1114 => ScalarValue::TimestampMicrosecond(Some(bytes.try_get_i64().ok()?.checked_add(EPOCH_US)?), None),
        1184 => {
            let us = bytes.try_get_i64().ok()?.checked_add(EPOCH_US)?;
            ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into()))
        }
        1186 => {
            let (us, days, months) = (bytes.try_get_i64().ok()?, bytes.try_get_i32().ok()?, bytes.try_get_i32().ok()?);
            let interval = IntervalMonthDayNano::new(months, days, us.checked_mul(1_000)?);
            ScalarValue::IntervalMonthDayNano(Some(interval))
        }
        17 => ScalarValue::Binary(Some(std::mem::take(&mut bytes).into())),
        2950 => ScalarValue::Utf8(Some(Uuid::from_slice(&std::mem::take(&mut bytes)).ok()?.to_string())),
        3802 => {
            // A version stands before the text.
            (bytes.try_get_u8().ok()? == 1).then_some(())?;
            text_of(&mut bytes)?
        }
        _ => text_of(&mut bytes)?,
    };
    bytes.is_empty().then_some(value)
}

fn text_of(bytes: &mut Bytes) -> Option<ScalarValue> {
    String::from_utf8(std::mem::take(bytes).into()).ok().map(|text| ScalarValue::Utf8(Some(text)))
}

/// An array of one dimension. `None` if the bytes are no array of the type.
fn read_binary_array(mut bytes: Bytes, of: &'static PgType) -> Option<Result<ScalarValue, String>> {
    let (dimensions, _, oid) = (bytes.try_get_i32().ok()?, bytes.try_get_i32().ok()?, bytes.try_get_u32().ok()?);
    if dimensions == 0 {
        return Some(list(std::iter::empty(), of));
    }
    if dimensions != 1 || oid != of.oid {
        return None;
    }
    let (count, _) = (bytes.try_get_u32().ok()?, bytes.try_get_i32().ok()?);
    let mut items = Vec::new();
    for _ in 0..count {
        let item = match usize::try_from(bytes.try_get_i32().ok()?) {
            Err(_) => None,
            Ok(length) if length <= bytes.len() => Some(read_binary(bytes.split_to(length), of)?),
            Ok(_) => return None,
        };
        items.push(Ok(item));
    }
    Some(list(items.into_iter(), of))
}

fn flag(text: &str) -> Option<bool> {
    match &*text.to_ascii_lowercase() {
        "t" | "true" | "y" | "yes" | "on" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn instant(text: &str) -> Option<DateTime<chrono::Utc>> {
    let day = || Some(text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN).and_utc());
    // Without a zone, times are those of the session's, UTC.
    let zoneless =
        || Some(NaiveDateTime::parse_from_str(&text.replace('T', " "), "%Y-%m-%d %H:%M:%S%.f").ok()?.and_utc());
    let forms = ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z"];
    let zoned = || forms.iter().find_map(|form| DateTime::parse_from_str(text, form).ok()).map(|time| time.to_utc());
    let standard = || DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    standard().or_else(zoned).or_else(zoneless).or_else(day)
}

fn timestamp(time: DateTime<chrono::Utc>, has_zone: bool) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(time.timestamp_micros()), has_zone.then(|| "UTC".into()))
}

fn date(date: NaiveDate) -> ScalarValue {
    ScalarValue::Date32(Some((date - NaiveDate::default()).num_days() as i32))
}

fn time(time: NaiveTime) -> ScalarValue {
    let us = i64::from(time.num_seconds_from_midnight()) * 1_000_000 + i64::from(time.nanosecond() / 1_000);
    ScalarValue::Time64Microsecond(Some(us))
}

/// A decimal with all of its digits, or a whole number, which compares with more.
fn decimal(text: &str) -> Option<ScalarValue> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(ScalarValue::from(whole));
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    let count = whole.len() + fraction.len();
    if !all_digits || count == 0 || count > DECIMAL_DIGITS_MAX {
        let float = text.parse::<f64>().ok()?;
        return float.is_finite().then(|| ScalarValue::from(float));
    }
    let unscaled: i128 = format!("{whole}{fraction}").parse().ok()?;
    let unscaled = if text.starts_with('-') { -unscaled } else { unscaled };
    Some(ScalarValue::Decimal128(Some(unscaled), DECIMAL_DIGITS_MAX as u8, fraction.len() as i8))
}

/// A decimal in groups of four digits.
fn numeric(bytes: &mut Bytes) -> Option<ScalarValue> {
    let (groups, weight) = (bytes.try_get_u16().ok()?, bytes.try_get_i16().ok()?);
    let (sign, scale) = (bytes.try_get_u16().ok()?, usize::from(bytes.try_get_u16().ok()?));
    if groups > 20 || !(-10..10).contains(&weight) || scale > DECIMAL_DIGITS_MAX || !matches!(sign, 0 | 0x4000) {
        return None;
    }
    let groups: Vec<u16> =
        (0..groups).map(|_| bytes.try_get_u16().ok().filter(|group| *group < 10_000)).collect::<Option<_>>()?;
    let group = |place: i32| groups.get(usize::try_from(i32::from(weight) - place).ok()?).copied();
    let at = |place: i32| format!("{:04}", group(place).unwrap_or(0));
    let whole: String = (0..=i32::from(weight.max(0))).rev().map(at).collect();
    let fraction: String = (0..scale.div_ceil(4)).map(|place| at(-1 - place as i32)).collect();
    let sign = if sign == 0 { "" } else { "-" };
    let whole = whole.trim_start_matches('0');
    decimal(&match scale {
        0 => format!("{sign}0{whole}"),
        _ => format!("{sign}0{whole}.{}", &fraction[..scale]),
    })
}

/// Bytes in hexadecimal behind `\x`.
fn bytea(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?;
    (digits.len() % 2 == 0 && digits.is_ascii()).then_some(())?;
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

/// The items of an array of one dimension: `{a,"b c",NULL}`.
fn array_items(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    let mut rest = inner.chars().peekable();
    if inner.trim().is_empty() {
        return Some(items);
    }
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        let mut item = String::new();
        let is_quoted = rest.next_if_eq(&'"').is_some();
        if is_quoted {
            loop {
                match rest.next()? {
                    '"' => break,
                    '\\' => item.push(rest.next()?),
                    c => item.push(c),
                }
            }
            while rest.next_if(|c| c.is_whitespace()).is_some() {}
        } else {
            while let Some(c) = rest.next_if(|c| *c != ',') {
                match c {
                    '{' | '}' | '"' => return None,
                    '\\' => item.push(rest.next()?),
                    c => item.push(c),
                }
            }
            item.truncate(item.trim_end().len());
            if item.is_empty() {
                return None;
            }
        }
        items.push((is_quoted || !item.eq_ignore_ascii_case("null")).then_some(item));
        match rest.next() {
            None => return Some(items),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::types::*;

    fn text(value: &str, of: &'static PgType) -> Result<ScalarValue, String> {
        read(Some(&Bytes::copy_from_slice(value.as_bytes())), Format::Text, ValueType::One(of))
    }

    fn binary(value: &[u8], of: ValueType) -> Result<ScalarValue, String> {
        read(Some(&Bytes::copy_from_slice(value)), Format::Binary, of)
    }

    #[test]
    fn text_is_read_as_its_type() {
        let instant = ScalarValue::TimestampMicrosecond(Some(1_772_359_200_000_000), Some("UTC".into()));
        assert_eq!(text("007", TEXT), Ok(ScalarValue::from("007")));
        assert_eq!(text("null", TEXT), Ok(ScalarValue::from("null")));
        assert_eq!(text("7", INT8), Ok(ScalarValue::from(7_i64)));
        assert_eq!(text("on", BOOL), Ok(ScalarValue::from(true)));
        assert_eq!(text("9.99", NUMERIC), Ok(ScalarValue::Decimal128(Some(999), 38, 2)));
        assert_eq!(text("2026-03-01", DATE), Ok(ScalarValue::Date32(Some(20_513))));
        for same in
            ["2026-03-01T10:00:00Z", "2026-03-01 10:00:00+00", "2026-03-01 12:00:00.0+02:00", "2026-03-01 10:00:00"]
        {
            assert_eq!(text(same, TIMESTAMPTZ), Ok(instant.clone()), "{same}");
        }
        assert_eq!(text("\\x00ff", BYTEA), Ok(ScalarValue::Binary(Some(vec![0, 255]))));
        for (wrong, of) in [("x", INT4), ("3000000000", INT4), ("maybe", BOOL), ("\\xäb", BYTEA), ("now", DATE)] {
            assert!(text(wrong, of).is_err(), "{wrong} is no {}", of.name);
        }
    }

    #[test]
    fn bytes_are_read_as_their_type_and_nothing_else() {
        let one = ValueType::One;
        assert_eq!(binary(&[0, 0, 0, 7], one(INT4)), Ok(ScalarValue::from(7_i32)));
        assert_eq!(binary(&[0, 0, 0, 1], one(DATE)), Ok(ScalarValue::Date32(Some(10_958))));
        assert_eq!(
            binary(&[0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 9, 41, 26, 124], one(NUMERIC)),
            Ok(ScalarValue::Decimal128(Some(12_345_678), 38, 3))
        );
        let array = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, b'a'];
        assert_eq!(binary(&array, ValueType::Array(TEXT)).unwrap().to_string(), "[a]");
        for (wrong, of) in [
            (&[0, 0, 7][..], one(INT4)),
            (&[0, 0, 0, 7, 0], one(INT4)),
            (&[0xff, 0xff], one(TEXT)),
            (&[0xff; 16], one(NUMERIC)),
            (&array[..20], ValueType::Array(TEXT)),
            (&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1], ValueType::Array(TEXT)),
        ] {
            assert!(binary(wrong, of).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_array_is_taken_apart() {
        let items = |text| array_items(text).map(|items| format!("{items:?}"));
        assert_eq!(items("{}").as_deref(), Some("[]"));
        assert_eq!(
            items(r#"{a, "b ,\"c" ,NULL,"NULL"}"#).as_deref(),
            Some(r#"[Some("a"), Some("b ,\"c"), None, Some("NULL")]"#)
        );
        for wrong in ["", "a", "{a", "{a,}", "{,}", "{{a}}", r#"{"a}"#, r#"{"a"b}"#] {
            assert_eq!(items(wrong), None, "{wrong}");
        }
    }
}
