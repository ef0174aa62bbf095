//! OTLP in JSON: the JSON of Protocol Buffers, but with trace ids in hexadecimal.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::body::{items, object};
use super::{LogRecord, NESTED_MAX, Object, Origin, RECORD_BYTES_MAX, SHARED_BYTES_MAX, Take, scope_of};
use crate::error::IngestError;
use crate::json;

/// Takes the records of a body one by one.
///
/// Fails if the body is no request at all or has more than `events_max` records.
pub(super) fn records(body: &[u8], events_max: usize, take: &mut Take<'_>) -> Result<(), IngestError> {
    let raw = object::raw(body)?;
    object::fields(&raw)?;
    let mut left = events_max;
    for resource_logs in list(&raw, "resourceLogs", events_max)? {
        let resource = shared(resource_logs, "resource")?;
        let mut origin = Origin { resource: attributes(resource.get("attributes"))?, scope: Object::new() };
        for scope_logs in list(resource_logs, "scopeLogs", events_max)? {
            let scope = shared(scope_logs, "scope")?;
            let text = |name| text_of(scope.get(name));
            origin.scope = scope_of(text("name"), text("version"), attributes(scope.get("attributes"))?);
            let found = list(scope_logs, "logRecords", left).map_err(|error| match error {
                IngestError::TooLarge { .. } => items::too_many(events_max),
                other => other,
            })?;
            left -= found.len();
            for record in found {
                take(&origin, record.get().as_bytes(), read(record.get()));
            }
        }
    }
    Ok(())
}

/// The array in a field; empty if it is missing.
fn list<'a>(object: &'a RawValue, name: &str, len_max: usize) -> Result<Vec<&'a RawValue>, IngestError> {
    match object::inner(object, name).filter(|value| value.get() != "null") {
        Some(value) => items::read_array(value, len_max),
        None => Ok(vec![]),
    }
}

/// The object in a field, which all records below share; empty if it is missing.
fn shared(object: &RawValue, name: &str) -> Result<Object, IngestError> {
    let Some(value) = object::inner(object, name) else { return Ok(Object::new()) };
    if value.get().len() > SHARED_BYTES_MAX {
        return Err(IngestError::invalid(format!("`{name}` is larger than {SHARED_BYTES_MAX} bytes")));
    }
    match json::read(value.get()) {
        Ok(Value::Object(found)) => Ok(found),
        Ok(Value::Null) => Ok(Object::new()),
        _ => Err(IngestError::invalid(format!("`{name}` must be an object"))),
    }
}

fn read(json: &str) -> Result<LogRecord, String> {
    if json.len() > RECORD_BYTES_MAX {
        return Err(format!("the record is larger than {RECORD_BYTES_MAX} bytes"));
    }
    let record = object::read(json)?;
    let text = |name| text_of(record.get(name));
    let number = |name| number_of(record.get(name)).map_err(|()| format!("`{name}` must be an integer"));
    Ok(LogRecord {
        time_ns: number("timeUnixNano")?,
        observed_ns: number("observedTimeUnixNano")?,
        severity_number: i64::try_from(number("severityNumber").unwrap_or_default()).unwrap_or_default(),
        severity_text: text("severityText"),
        event_name: text("eventName"),
        body: any(record.get("body").unwrap_or(&Value::Null), NESTED_MAX)?,
        attributes: attributes(record.get("attributes")).map_err(|error| error.to_string())?,
        trace_id: text("traceId").to_ascii_lowercase(),
        span_id: text("spanId").to_ascii_lowercase(),
    })
}

fn text_of(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// An integer of 64 bits: a text in the JSON of Protocol Buffers, and a number where people write it. 0 if it is missing.
fn number_of(value: Option<&Value>) -> Result<u64, ()> {
    match value {
        None | Some(Value::Null) => Ok(0),
        Some(Value::String(text)) if text.is_empty() => Ok(0),
        Some(Value::String(text)) => text.parse().map_err(|_| ()),
        Some(Value::Number(number)) => number.as_u64().ok_or(()),
        Some(_) => Err(()),
    }
}

fn attributes(list: Option<&Value>) -> Result<Object, IngestError> {
    key_values(list, NESTED_MAX).map_err(IngestError::invalid)
}

fn key_values(list: Option<&Value>, nested_max: u32) -> Result<Object, String> {
    let Some(list) = list.and_then(Value::as_array) else { return Ok(Map::new()) };
    let mut found = Map::new();
    for pair in list {
        if let Some(key) = pair.get("key").and_then(Value::as_str) {
            found.insert(key.to_owned(), any(pair.get("value").unwrap_or(&Value::Null), nested_max)?);
        }
    }
    Ok(found)
}

/// An `AnyValue` as plain JSON. Bytes stay in Base64.
fn any(value: &Value, nested_max: u32) -> Result<Value, String> {
    let nested_max = nested_max.checked_sub(1).ok_or("a value is nested too deeply")?;
    let Some((kind, value)) = value.as_object().and_then(|fields| fields.iter().next()) else { return Ok(Value::Null) };
    Ok(match (&**kind, value) {
        ("intValue", Value::String(text)) => text.parse::<i64>().map_or_else(|_| text.as_str().into(), Value::from),
        ("stringValue" | "boolValue" | "intValue" | "doubleValue" | "bytesValue", plain) => plain.clone(),
        ("arrayValue", list) => {
            let values = list.get("values").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            Value::Array(values.iter().map(|value| any(value, nested_max)).collect::<Result<_, _>>()?)
        }
        ("kvlistValue", list) => key_values(list.get("values"), nested_max)?.into(),
        _ => Value::Null,
    })
}
