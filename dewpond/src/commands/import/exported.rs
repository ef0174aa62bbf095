//! Turns rows of CSV and Parquet files, and events exported by `dewpond query`, into events of the native protocol. Pure.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

/// A CSV record as JSON. Empty cells are left out, and a timestamp in digits is a number of milliseconds. `None` as in
/// [`from_columns`].
pub(super) fn csv_json(header: &csv::StringRecord, record: &csv::StringRecord, site: &str) -> Option<String> {
    let fields = header.iter().zip(record).filter(|(_, cell)| !cell.is_empty()).map(|(name, cell)| {
        let value = match cell.parse::<i64>() {
            Ok(millis) if name == "timestamp" => millis.into(),
            _ => cell.into(),
        };
        (name.to_owned(), value)
    });
    Some(from_columns(fields.collect(), site)?.to_string())
}

/// A line of JSON as an event. Only an exported event needs a change. `None` as in [`from_columns`].
pub(super) fn from_export<'a>(json: &'a str, site: &str) -> Option<Cow<'a, str>> {
    match json.contains("\"occurred_at\"").then(|| serde_json::from_str(json)) {
        Some(Ok(fields)) => Some(Cow::Owned(from_columns(fields, site)?.to_string())),
        _ => Some(Cow::Borrowed(json)),
    }
}

/// A row of a table as an event; `None` for an exported event of another site.
///
/// `properties` may be JSON in a string. An exported event has its time in `occurred_at`, and its id is a UUID or, from
/// earlier releases, its 16 bytes in hexadecimal.
pub(super) fn from_columns(mut fields: Map<String, Json>, site: &str) -> Option<Json> {
    if let Some(properties) =
        fields.get("properties").and_then(Json::as_str).and_then(|text| serde_json::from_str(text).ok())
    {
        fields.insert("properties".into(), properties);
    }
    if let Some(occurred_at) = fields.remove("occurred_at") {
        if fields.get("site_id").and_then(Json::as_str).is_some_and(|of| of != site) {
            return None;
        }
        fields.entry("timestamp").or_insert(occurred_at);
        // The lake derives these anew.
        for derived in [
            "received_at",
            "visitor_id",
            "site_id",
            "protocol",
            "date",
            "is_bot",
            "hostname",
            "path",
            "query",
            "referrer_host",
        ] {
            fields.remove(derived);
        }
        let id = fields.get("event_id").and_then(Json::as_str).filter(|id| id.len() == 32);
        if let Some(id) = id.and_then(|id| Uuid::try_parse(id).ok()) {
            fields.insert("event_id".into(), id.hyphenated().to_string().into());
        }
    }
    Some(Json::Object(fields))
}

/// The batch with its times in UTC, so that they are written with a time zone.
pub(super) fn in_utc(batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
    let fields: Vec<Field> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Timestamp(_, None) => Field::new(
                field.name(),
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                field.is_nullable(),
            ),
            other => Field::new(field.name(), other.clone(), field.is_nullable()),
        })
        .collect();
    let columns = batch
        .columns()
        .iter()
        .zip(&fields)
        .map(|(column, field)| arrow::compute::cast(column, field.data_type()))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_csv_record_becomes_the_json_of_its_filled_cells() {
        let header = csv::StringRecord::from(vec!["name", "user_id", "properties", "timestamp"]);
        let record = csv::StringRecord::from(vec!["buy", "", r#"{"a":1}"#, "1700000000000"]);
        assert_eq!(
            csv_json(&header, &record, "shop").unwrap(),
            r#"{"name":"buy","properties":{"a":1},"timestamp":1700000000000}"#
        );
    }

    #[test]
    fn a_line_that_was_not_exported_stays_as_it_is() {
        let line = r#"{"name":"a", "n":12345678901234567890123}"#;
        assert_eq!(from_export(line, "shop").unwrap(), line);
    }

    #[test]
    fn an_exported_event_keeps_its_id_and_its_time() {
        for id in ["4be2b2dd4a594b91b39d2db84cdf31c5", "4be2b2dd-4a59-4b91-b39d-2db84cdf31c5"] {
            let row =
                format!(r#"{{"event_id":"{id}","name":"a","occurred_at":"2024-01-01T00:00:00Z","visitor_id":7}}"#);
            assert_eq!(
                from_export(&row, "shop").unwrap(),
                r#"{"event_id":"4be2b2dd-4a59-4b91-b39d-2db84cdf31c5","name":"a","timestamp":"2024-01-01T00:00:00Z"}"#
            );
        }
    }

    #[test]
    fn an_exported_event_of_another_site_is_left_out() {
        let row = r#"{"site_id":"blog","name":"a","occurred_at":"2024-01-01T00:00:00Z"}"#;
        assert_eq!(from_export(row, "shop"), None);
        assert!(from_export(row, "blog").is_some());
    }
}
