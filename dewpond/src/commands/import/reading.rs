//! What rows of files are: events, something that is left out, or refused. A function of its arguments.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::sync::Arc;

use csv::StringRecord;
use intake::Context;
use intake::history::{Format, Header, Join, Row, Told, read_native, read_row};
use lake::Salt;
use serde_json::{Map, Value as Json};

use super::gathered::{Gathered, Refused};
use super::rows::cells::Cells;
use super::rows::names::{self, Names};
use super::rows::{Data, Rows, csv_rows, parquet_rows};

/// A JSON object.
pub(super) type Object = Map<String, Json>;

/// How rows are read.
pub(super) struct Reading {
    /// None for the fields of the native protocol.
    pub(super) format: Option<Arc<Format>>,
    pub(super) told: Told,
    pub(super) context: Context,
    pub(super) salt: Option<Salt>,
    /// Only records with these values are read.
    pub(super) only: Vec<(String, String)>,
    /// Whether nothing is to be written.
    pub(super) is_dry: bool,
    /// Values that belong to records, by the records' ids.
    pub(super) joined: Arc<HashMap<String, Object>>,
}

/// What records are that `--only` leaves out.
const OTHERS: &str = "records that --only leaves out";

impl Reading {
    /// Reads rows, in their order.
    pub(super) fn read(&self, rows: Rows) -> anyhow::Result<Gathered> {
        let mut gathered = Gathered::new(self.is_dry);
        match (rows.data, self.format.as_deref()) {
            (Data::Json(items), None) => {
                items.into_iter().for_each(|(number, json)| gathered.add(number, self.native(&json)));
            }
            (Data::Json(items), Some(format)) => {
                items.into_iter().for_each(|(number, json)| gathered.add(number, self.json(format, &json)));
            }
            (Data::Records(names, records), format) => {
                let read = |record: Result<StringRecord, String>| {
                    let record = record.map_err(unkept)?;
                    match format {
                        None => self.native(&csv_rows::json(&names, &record)),
                        Some(format) => self.object(format, object_of(&names, &record)),
                    }
                };
                records.into_iter().for_each(|(number, record)| gathered.add(number, read(record)));
            }
            (Data::Lines(header, lines), Some(format)) => self.lines(format, header, lines, &mut gathered),
            (Data::Lines(..), None) => {}
            (Data::Batch(first, batch), None) => {
                let (cells, json) = (Cells::of(&batch), LazyCell::new(|| parquet_rows::json(&batch)));
                let json = |row: usize| match &*json {
                    Ok(rows) => rows[row].clone().map_err(unkept),
                    Err(error) => Err(unkept(format!("{error:#}"))),
                };
                let read = |row: usize| match cells.as_ref().and_then(|cells| cells.row(row)) {
                    Some(fields) => read_row(fields, &self.context).map_err(|reason| {
                        let kept = json(row)
                            .map_or_else(|refused| refused.kept, |json| intake::history::kept_of_refused(&json));
                        Refused { reason, kept }
                    }),
                    None => self.native(&json(row)?),
                };
                (0..batch.num_rows()).zip(first..).for_each(|(row, number)| gathered.add(number, read(row)));
            }
            (Data::Batch(first, batch), Some(format)) => {
                let read = |json: Result<String, String>| self.json(format, &json.map_err(unkept)?);
                let rows = parquet_rows::json(&batch)?.into_iter();
                rows.zip(first..).for_each(|(json, number)| gathered.add(number, read(json)));
            }
        }
        Ok(gathered)
    }

    fn native(&self, json: &str) -> Result<Row<'static>, Refused> {
        read_native(json, &self.context)
            .map_err(|reason| Refused { reason, kept: intake::history::kept_of_refused(json) })
    }

    fn json(&self, format: &Format, json: &str) -> Result<Row<'static>, Refused> {
        match intake::history::object(json) {
            Ok(object) => self.object(format, object),
            Err(reason) => Err(Refused { reason, kept: intake::history::kept_of_refused(json) }),
        }
    }

    fn object(&self, format: &Format, mut object: Object) -> Result<Row<'static>, Refused> {
        let is_meant = |(name, value): &(String, String)| match object.get(name) {
            Some(Json::String(found)) => found == value,
            Some(Json::Null) | None => value.is_empty(),
            Some(other) => {
                let text = other.to_string();
                text == *value
            }
        };
        if !self.only.iter().all(is_meant) {
            return Ok(Row::LeftOut(OTHERS.into()));
        }
        if let Some(join) = &format.join
            && let Some(values) = object.get(&join.of).and_then(Json::as_str).and_then(|id| self.joined.get(id))
        {
            object.insert(join.into.clone(), Json::Object(values.clone()));
        }
        format
            .read(object.clone(), &self.told, &self.context, self.salt.as_ref())
            .map(Row::into_owned)
            .map_err(|reason| Refused { reason, kept: intake::history::kept_of_record(object) })
    }

    fn lines(&self, format: &Format, mut header: Header, lines: Vec<(u64, String)>, gathered: &mut Gathered) {
        for (number, line) in lines {
            if header.take(&line) {
                continue;
            }
            // Nothing is kept of a line: it has an address in it, and nobody knows where.
            let outcome = match format.record(&line, &header) {
                Some(record) => self.object(format, record).map_err(|refused| unkept(refused.reason)),
                None => Err(unkept(format!("it is no line of {}", format.title))),
            };
            gathered.add(number, outcome);
        }
    }
}

fn unkept(reason: String) -> Refused {
    Refused { reason, kept: String::new() }
}

/// A record of a table of text. Empty cells are absent.
pub(super) fn object_of(names: &Names, record: &StringRecord) -> Object {
    let cells = names.iter().zip(record).filter(|(name, cell)| !cell.is_empty() && !names::is_row_number(name));
    cells.map(|(name, cell)| (name.to_owned(), Json::String(cell.to_owned()))).collect()
}

/// Adds the values of a file that belong to the records of others. Returns their size.
pub(super) fn join(join: &Join, joined: &mut HashMap<String, Object>, rows: Rows) -> usize {
    let objects: Vec<Object> = match rows.data {
        Data::Records(names, records) => {
            records.iter().filter_map(|(_, record)| Some(object_of(&names, record.as_ref().ok()?))).collect()
        }
        Data::Json(items) => items.iter().filter_map(|(_, json)| intake::history::object(json).ok()).collect(),
        Data::Batch(_, batch) => {
            let rows = parquet_rows::json(&batch).unwrap_or_default();
            rows.iter().filter_map(|json| intake::history::object(json.as_ref().ok()?).ok()).collect()
        }
        Data::Lines(..) => vec![],
    };
    let mut bytes = 0;
    for mut object in objects {
        let key = join.key.iter().find_map(|name| object.get(name)?.as_str().map(str::to_owned));
        let Some((key, name)) = key.zip(object.get(&join.name).and_then(Json::as_str).map(str::to_owned)) else {
            continue;
        };
        let value = join.value.iter().find_map(|column| {
            let value = object.remove(column).filter(|value| !value.is_null() && *value != "" && *value != "\\N")?;
            match &value {
                Json::String(text) if join.number.as_ref() == Some(column) => Some(number(text).unwrap_or(value)),
                _ => Some(value),
            }
        });
        let Some(value) = value else { continue };
        bytes += key.len() + name.len() + value.as_str().map_or(16, str::len) + 100;
        joined.entry(key).or_default().insert(name, value);
    }
    bytes
}

/// A number as databases write it, with zeros behind the point.
fn number(text: &str) -> Option<Json> {
    let number: f64 = text.parse().ok()?;
    if number.fract() == 0.0 && number.abs() < 9e15 {
        return Some((number as i64).into());
    }
    Some(number.into())
}
