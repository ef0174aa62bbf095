//! OTLP in Protocol Buffers: the few messages of logs, read field by field.
//!
//! Not with generated types: they would read all of a body before anything could be counted, and an empty record of two
//! bytes would take a hundred times as much memory. See <https://protobuf.dev/programming-guides/encoding/>.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use super::super::body::items;
use super::{LogRecord, NESTED_MAX, Object, Origin, RECORD_BYTES_MAX, SHARED_BYTES_MAX, Take, scope_of};
use crate::error::IngestError;

/// Takes the records of a body one by one.
///
/// Fails if the body is no request at all or has more than `events_max` records.
pub(super) fn records(body: &[u8], events_max: usize, take: &mut Take<'_>) -> Result<(), IngestError> {
    let mut left = events_max;
    for resource_logs in messages(body, 1) {
        let resource_logs = resource_logs?;
        let resource = shared(resource_logs, "resource")?;
        let mut origin = Origin { resource: attributes(resource, 1)?, scope: Object::new() };
        for scope_logs in messages(resource_logs, 2) {
            let scope_logs = scope_logs?;
            let scope = shared(scope_logs, "scope")?;
            origin.scope = scope_of(text_in(scope, 1)?, text_in(scope, 2)?, attributes(scope, 3)?);
            for record in messages(scope_logs, 2) {
                left = left.checked_sub(1).ok_or_else(|| items::too_many(events_max))?;
                let record = record?;
                take(&origin, record, read(record));
            }
        }
    }
    Ok(())
}

fn invalid(reason: String) -> IngestError {
    IngestError::invalid(format!("the body is not a request for logs: {reason}"))
}

/// The messages in the fields of a number.
fn messages(message: &[u8], number: u32) -> impl Iterator<Item = Result<&[u8], IngestError>> {
    Fields { rest: message }.filter_map(move |field| match field {
        Ok((found, Wire::Bytes(content))) if found == number => Some(Ok(content)),
        Ok(_) => None,
        Err(reason) => Some(Err(invalid(reason))),
    })
}

/// The message that all records below share: field 1; empty if it is missing.
fn shared<'a>(message: &'a [u8], name: &str) -> Result<&'a [u8], IngestError> {
    let found = messages(message, 1).last().transpose()?.unwrap_or_default();
    match found.len() > SHARED_BYTES_MAX {
        true => Err(IngestError::invalid(format!("the {name} is larger than {SHARED_BYTES_MAX} bytes"))),
        false => Ok(found),
    }
}

fn text_in(message: &[u8], number: u32) -> Result<String, IngestError> {
    Ok(messages(message, number).last().transpose()?.map(text).unwrap_or_default())
}

fn attributes(message: &[u8], number: u32) -> Result<Object, IngestError> {
    key_values(message, number, NESTED_MAX).map_err(invalid)
}

/// Reads one record.
pub(super) fn read(message: &[u8]) -> Result<LogRecord, String> {
    if message.len() > RECORD_BYTES_MAX {
        return Err(format!("the record is larger than {RECORD_BYTES_MAX} bytes"));
    }
    let mut record = LogRecord { attributes: key_values(message, 6, NESTED_MAX)?, ..LogRecord::default() };
    for field in (Fields { rest: message }) {
        match field? {
            (1, Wire::Fixed64(time_ns)) => record.time_ns = time_ns,
            (2, Wire::Varint(number)) => record.severity_number = i64::try_from(number).unwrap_or_default(),
            (3, Wire::Bytes(content)) => record.severity_text = text(content),
            (5, Wire::Bytes(content)) => record.body = any(content, NESTED_MAX)?,
            (9, Wire::Bytes(content)) => record.trace_id = hex(content),
            (10, Wire::Bytes(content)) => record.span_id = hex(content),
            (11, Wire::Fixed64(time_ns)) => record.observed_ns = time_ns,
            (12, Wire::Bytes(content)) => record.event_name = text(content),
            _ => {}
        }
    }
    Ok(record)
}

/// The pairs of keys and values in the fields of a number.
fn key_values(message: &[u8], number: u32, nested_max: u32) -> Result<Object, String> {
    let mut found = Map::new();
    for field in (Fields { rest: message }) {
        let (of, Wire::Bytes(pair)) = field? else { continue };
        if of != number {
            continue;
        }
        let (mut key, mut value) = (String::new(), Value::Null);
        for field in (Fields { rest: pair }) {
            match field? {
                (1, Wire::Bytes(content)) => key = text(content),
                (2, Wire::Bytes(content)) => value = any(content, nested_max)?,
                _ => {}
            }
        }
        found.insert(key, value);
    }
    Ok(found)
}

/// An `AnyValue` as plain JSON. Bytes become Base64.
fn any(message: &[u8], nested_max: u32) -> Result<Value, String> {
    let nested_max = nested_max.checked_sub(1).ok_or("a value is nested too deeply")?;
    let mut value = Value::Null;
    for field in (Fields { rest: message }) {
        value = match field? {
            (1, Wire::Bytes(content)) => text(content).into(),
            (2, Wire::Varint(flag)) => (flag != 0).into(),
            (3, Wire::Varint(bits)) => bits.cast_signed().into(),
            (4, Wire::Fixed64(bits)) => {
                let float = f64::from_bits(bits);
                Number::from_f64(float).map_or_else(|| float.to_string().into(), Value::Number)
            }
            (5, Wire::Bytes(content)) => {
                let mut values = Vec::new();
                for field in (Fields { rest: content }) {
                    if let (1, Wire::Bytes(content)) = field? {
                        values.push(any(content, nested_max)?);
                    }
                }
                values.into()
            }
            (6, Wire::Bytes(content)) => key_values(content, 1, nested_max)?.into(),
            (7, Wire::Bytes(content)) => STANDARD.encode(content).into(),
            _ => value,
        };
    }
    Ok(value)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The content of a field.
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

/// The fields of a message, with their numbers, in the order in which they were sent. Ends after an error.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Wire<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or_else(|| "a field is cut off or of an unknown kind".to_owned()))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u32, Wire<'a>)> {
        let tag = self.varint()?;
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.take(len)?)
            }
            5 => {
                self.take(4)?;
                Wire::Fixed32
            }
            _ => return None,
        };
        Some((u32::try_from(tag >> 3).ok()?, wire))
    }

    /// An integer in groups of seven bits, the lowest first.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }
}

/// Writes a field with an integer.
pub(super) fn put_varint(message: &mut Vec<u8>, number: u32, value: u64) {
    put(message, u64::from(number) << 3);
    put(message, value);
}

/// Writes a field with a text or a message.
pub(super) fn put_bytes(message: &mut Vec<u8>, number: u32, content: &[u8]) {
    put(message, u64::from(number) << 3 | 2);
    put(message, content.len() as u64);
    message.extend_from_slice(content);
}

fn put(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_cut_off_or_no_message_is_refused() {
        for body in [&b"{}"[..], b"\x0a", b"\x0a\x05\x0a", b"\x0b", &[0xff; 11], b"\x09\x01"] {
            let refused = records(body, 9, &mut |_, _, _| {});
            assert!(refused.is_err(), "{body:?}");
        }
    }

    #[test]
    fn unknown_fields_are_skipped() {
        let mut found = 0;
        let record = [0x12, 2, 0x0a, 0]; // scope_logs { scope {} }, which has no record
        let body = [&[0xa8, 0x1f, 7, 0x0a, 4][..], &record].concat();
        records(&body, 9, &mut |_, _, _| found += 1).unwrap();
        assert_eq!(found, 0);
        let one = [&[0x0a, 4, 0x12, 2, 0x12, 0][..], &[0x0d, 1, 2, 3, 4]].concat();
        records(&one, 9, &mut |_, _, record| found += u32::from(record == Ok(LogRecord::default()))).unwrap();
        assert_eq!(found, 1);
    }

    #[test]
    fn more_records_than_a_request_may_have_are_refused_before_they_are_read() {
        let records_of = |count: usize| {
            let records = [0x12, 0].repeat(count);
            let (mut scope, mut body) = (Vec::new(), Vec::new());
            put_bytes(&mut scope, 2, &records);
            put_bytes(&mut body, 1, &scope);
            body
        };
        let mut taken = 0;
        assert!(records(&records_of(3), 3, &mut |_, _, _| taken += 1).is_ok());
        assert_eq!(taken, 3);
        let refused = records(&records_of(1_000_000), 3, &mut |_, _, _| taken += 1);
        assert!(matches!(refused, Err(IngestError::TooLarge { .. })), "{refused:?}");
        assert_eq!(taken, 6);
    }

    #[test]
    fn nesting_takes_no_stack() {
        let mut value = vec![];
        for _ in 0..1_000 {
            let mut list = vec![];
            put_bytes(&mut list, 1, &value);
            value = vec![];
            put_bytes(&mut value, 5, &list);
        }
        assert_eq!(any(&value, NESTED_MAX), Err("a value is nested too deeply".to_owned()));
    }

    #[test]
    fn values_of_every_kind_become_json() {
        let float = [&[0x21][..], &1.5_f64.to_le_bytes()].concat();
        let nan = [&[0x21][..], &f64::NAN.to_le_bytes()].concat();
        for (message, expected) in [
            (&b"\x0a\x03\xc3\xa4\xff"[..], "\"ä\u{fffd}\""),
            (b"\x10\x01", "true"),
            (b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "-1"),
            (&float, "1.5"),
            (&nan, "\"NaN\""),
            (b"\x2a\x04\x0a\x02\x18\x07", "[7]"),
            (b"\x32\x09\x0a\x07\x0a\x01k\x12\x02\x18\x07", "{\"k\":7}"),
            (b"\x3a\x02hi", "\"aGk=\""),
            (b"", "null"),
        ] {
            assert_eq!(any(message, NESTED_MAX).unwrap().to_string(), expected);
        }
    }
}
