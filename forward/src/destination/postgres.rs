//! A table of PostgreSQL, or of anything that speaks its protocol and knows COPY.
//!
//! A batch is copied into a temporary table and inserted from there in one transaction, without rows that the table has. So a
//! batch that is sent again adds nothing.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, TimestampMicrosecondType};
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use futures::SinkExt;
use lake::{Column, Source, event_columns};
use serde_json::Value as Json;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Error};

use crate::batch::Batch;
use crate::destination::answer::words;
use crate::destination::postgres_tls::Tls;
use crate::destination::{Destination, Limits, SendError};
use crate::message::Event;

const LIMITS: Limits = Limits { events_max: 10_000, bytes_max: usize::MAX };

/// How long a batch may take.
const TIMEOUT: Duration = Duration::from_secs(120);

/// So much text is handed over at a time.
const PART_BYTES: usize = 256 << 10;

const STAGING: &str = "dewpond_staging";

/// Inserts events.
pub(crate) struct Postgres {
    config: Config,
    tls: Tls,
    table: String,
    connected: Mutex<Option<Client>>,
}

impl Postgres {
    /// - `url`: a connection string: `postgresql://user:password@host/database?sslmode=require`.
    /// - `table`: its name, behind that of its schema if need be.
    ///
    /// Fails if they are none.
    pub(crate) fn new(url: &str, table: &str) -> anyhow::Result<Self> {
        // What is wrong with it may be a part of the password.
        let config = url.parse::<Config>().map_err(|_| ()).ok().context(
            "its connection string is none; write postgresql://user:password@host/database, with %40 for an @ in a password",
        )?;
        Ok(Self {
            config,
            tls: Tls::new()?,
            table: quoted_table(table).context("its table must be NAME or SCHEMA.NAME")?,
            connected: Mutex::default(),
        })
    }

    async fn connect(&self) -> Result<Client, Error> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "a connection to PostgreSQL ended");
            }
        });
        client.batch_execute(&prepare(&self.table)).await?;
        Ok(client)
    }

    async fn insert(&self, rows: &RecordBatch) -> Result<(), Error> {
        let mut connected = self.connected.lock().await;
        // It is put back if all goes well; after anything else a new one is made.
        let mut client = match connected.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => self.connect().await?,
        };
        let transaction = client.transaction().await?;
        let names = column_names();
        let sink = transaction.copy_in::<_, Bytes>(&format!("COPY {STAGING} ({names}) FROM STDIN")).await?;
        {
            let mut sink = std::pin::pin!(sink);
            for part in copied(rows) {
                sink.feed(part).await?;
            }
            sink.finish().await?;
        }
        let insert =
            format!("INSERT INTO {} ({names}) SELECT {names} FROM {STAGING} ON CONFLICT DO NOTHING", self.table);
        transaction.execute(&insert, &[]).await?;
        transaction.commit().await?;
        *connected = Some(client);
        Ok(())
    }
}

#[async_trait]
impl Destination for Postgres {
    fn limits(&self) -> Limits {
        LIMITS
    }

    fn message(&self, _: &Event) -> Result<Json, String> {
        Ok(Json::Null)
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        match timeout(TIMEOUT, self.insert(&batch.rows)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(judge(&error)),
            Err(_) => {
                Err(SendError::Later { reason: format!("it took longer than {} s", TIMEOUT.as_secs()), after: None })
            }
        }
    }
}

/// What an error means: of a value it is the event's (class 22), of all else it can be mended there.
fn judge(error: &Error) -> SendError {
    let reason = words(&lake::whole_text(error));
    match error.code() {
        Some(code) if code.code().starts_with("22") => SendError::Never { reason },
        _ => SendError::Later { reason, after: None },
    }
}

/// A name that may be anything, as SQL has it. `None` if it is none.
fn quoted_table(table: &str) -> Option<String> {
    let parts: Vec<&str> = table.split('.').collect();
    let is_name = |part: &&str| !part.is_empty() && !part.contains('\0');
    (parts.len() <= 2 && parts.iter().all(is_name))
        .then(|| parts.iter().map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect::<Vec<_>>().join("."))
}

/// The table, with all columns that this release knows, and the one that batches are copied into.
fn prepare(table: &str) -> String {
    let columns: Vec<String> =
        event_columns().iter().map(|column| format!("\"{}\" {}", column.name, sql_type(column))).collect();
    let added: Vec<String> = columns.iter().map(|column| format!("ADD COLUMN IF NOT EXISTS {column}")).collect();
    // Each column that is there would be a line of the log.
    format!(
        "SET client_min_messages = warning; \
         CREATE TABLE IF NOT EXISTS {table} ({}, PRIMARY KEY (site_id, event_id, occurred_at)); \
         ALTER TABLE {table} {}; \
         CREATE TEMPORARY TABLE {STAGING} ({}) ON COMMIT DELETE ROWS",
        columns.join(", "),
        added.join(", "),
        columns.join(", "),
    )
}

fn column_names() -> String {
    event_columns().iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ")
}

fn sql_type(column: &Column) -> &'static str {
    match column.source {
        Source::Id => "uuid",
        Source::Text(..) if column.name == "properties" => "jsonb",
        Source::Text(..) => "text",
        Source::TimeUs(..) => "timestamptz",
        Source::Integer(..) => "bigint",
        Source::MoneyE4(..) => "numeric(18, 4)",
        Source::Flag(..) => "boolean",
    }
}

/// Rows in the text format of COPY, in parts.
fn copied(rows: &RecordBatch) -> Vec<Bytes> {
    let columns: Vec<_> = event_columns().iter().map(|column| rows.column_by_name(column.name)).collect();
    let (mut parts, mut text) = (Vec::new(), String::new());
    for row in 0..rows.num_rows() {
        for (at, column) in columns.iter().enumerate() {
            if at > 0 {
                text.push('\t');
            }
            match column.filter(|column| column.is_valid(row)) {
                Some(column) => write_value(&mut text, column.as_ref(), row),
                None => text.push_str("\\N"),
            }
        }
        text.push('\n');
        if text.len() >= PART_BYTES {
            parts.push(std::mem::take(&mut text).into());
        }
    }
    parts.push(text.into());
    parts
}

fn write_value(text: &mut String, column: &dyn Array, row: usize) {
    match column.data_type() {
        DataType::Utf8 => escape(text, column.as_string::<i32>().value(row)),
        DataType::Binary => {
            for byte in column.as_binary::<i32>().value(row) {
                let _ = write!(text, "{byte:02x}");
            }
        }
        DataType::Int64 => text.push_str(&column.as_primitive::<Int64Type>().value(row).to_string()),
        DataType::Boolean => text.push(if column.as_boolean().value(row) { 't' } else { 'f' }),
        DataType::Timestamp(..) => {
            let at_us = column.as_primitive::<TimestampMicrosecondType>().value(row);
            let at = DateTime::from_timestamp_micros(at_us).unwrap_or_default();
            text.push_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true));
        }
        DataType::Decimal128(..) => text.push_str(&column.as_primitive::<Decimal128Type>().value_as_string(row)),
        other => unreachable!("no column of events is of type {other}"),
    }
}

/// A text as COPY wants it. PostgreSQL has no character 0 in texts.
fn escape(text: &mut String, value: &str) {
    for char in value.chars() {
        match char {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\0' => text.push(char::REPLACEMENT_CHARACTER),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stands_on_one_line_whatever_is_in_it() {
        for (value, expected) in [("a", "a"), ("\\N", "\\\\N"), ("a\tb\r\nc", "a\\tb\\r\\nc"), ("\0", "\u{fffd}")] {
            let mut text = String::new();
            escape(&mut text, value);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_table_may_be_called_anything_and_is_nothing_but_a_name() {
        for (name, expected) in [
            ("events", Some("\"events\"")),
            ("web.events", Some("\"web\".\"events\"")),
            ("a\"; DROP TABLE x; --", Some("\"a\"\"; DROP TABLE x; --\"")),
            ("a.b.c", None),
            ("", None),
            ("a.", None),
        ] {
            assert_eq!(quoted_table(name).as_deref(), expected);
        }
    }
}
