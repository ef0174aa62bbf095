//! The history of reports: a Delta table of the lake that is appended to and never edited.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use lake::{Change, Lake, LakeError, REPORTS, TableFile, TableWriter, read_batches};
use serde_json::Value as Json;

use crate::report::{Metric, Report};

/// Why the history could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] LakeError),

    /// The rows of a report do not fit the table; a defect of this program.
    #[error("a report does not fit its table")]
    Shape(#[from] arrow::error::ArrowError),
}

/// Appends the reports of one run.
pub(crate) async fn append(lake: &Lake, reports: &[Report]) -> Result<(), HistoryError> {
    let Some(first) = reports.first() else { return Ok(()) };
    let table = lake.table(&REPORTS);
    let base = table.load().await?;
    table.require_known_columns(&base)?;
    let date = first.generated_at.date_naive();
    let mut writer = TableWriter::start(&table, date)?;
    writer.write(&to_rows(reports)?).await?;
    let change = Change::publish(vec![writer.finish().await?], vec![], BTreeSet::new());
    table.commit(change, base).await?;
    Ok(())
}

/// The newest report of a site, or of the whole lake for `None`; `None` if there is none.
///
/// Reads the newest files first and ends at the first that has it: the cost does not grow with the history.
pub async fn latest_report(lake: &Lake, site: Option<&str>) -> Result<Option<Report>, HistoryError> {
    let table = lake.table(&REPORTS).load().await?;
    let mut files: Vec<&TableFile> = table.files.iter().collect();
    let newest = |file: &TableFile| file.times_us("generated_at").map(|(_, newest)| newest);
    files.sort_by_key(|file| std::cmp::Reverse(newest(file)));
    let columns: Vec<&str> = REPORTS.file_schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut best: Option<Report> = None;
    for file in files {
        // Bounds are cut to milliseconds, so an equal one may still be newer.
        if let (Some(best), Some(newest)) = (&best, newest(file))
            && best.generated_at.timestamp_micros() > newest
        {
            break;
        }
        let batches: Vec<RecordBatch> =
            read_batches(lake.store(), &file.path, file.size_bytes, &columns).await?.try_collect().await?;
        for report in from_rows(&batches, site) {
            if best.as_ref().is_none_or(|best| best.generated_at < report.generated_at) {
                best = Some(report);
            }
        }
    }
    Ok(best)
}

/// A row of the table: a metric, its name, and the report it is in.
type Row<'a> = (&'a Report, &'a String, &'a Metric);

fn to_rows(reports: &[Report]) -> Result<RecordBatch, HistoryError> {
    // The table's order: site (the whole lake first), metric.
    let mut reports: Vec<&Report> = reports.iter().collect();
    reports.sort_by(|a, b| a.site.cmp(&b.site));
    let rows: Vec<Row<'_>> = reports
        .into_iter()
        .flat_map(|report| report.metrics.iter().map(move |(name, metric)| (report, name, metric)))
        .collect();
    let text =
        |of: fn(&Row<'_>) -> Option<String>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<StringArray>()) };
    let time = |of: fn(&Report) -> DateTime<Utc>| -> ArrayRef {
        let times = rows.iter().map(|(report, _, _)| of(report).timestamp_micros());
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let columns: Vec<ArrayRef> = vec![
        time(|report| report.generated_at),
        time(|report| report.complete_until),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(report, _, _)| report.lake_version))),
        text(|(report, _, _)| report.site.clone()),
        text(|(_, name, _)| Some((*name).clone())),
        text(|(_, _, metric)| metric.title.clone()),
        text(|(_, _, metric)| metric.columns.as_ref().map(to_json)),
        text(|(_, _, metric)| metric.rows.as_ref().map(to_json)),
        Arc::new(rows.iter().map(|(_, _, metric)| metric.value.as_ref().and_then(double)).collect::<Float64Array>()),
        text(|(_, _, metric)| metric.error.clone()),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, _, metric)| metric.duration_ms))),
        text(|(_, _, metric)| metric.how.as_ref().map(to_json)),
    ];
    Ok(RecordBatch::try_new(REPORTS.file_schema.clone(), columns)?)
}

/// The number as near as a double comes; `rows` has it exactly.
fn double(number: &Json) -> Option<f64> {
    number.as_f64().or_else(|| number.as_str()?.parse().ok())
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("names and JSON values are plain data")
}

/// The reports of one site among rows, one for each run.
fn from_rows(batches: &[RecordBatch], site: Option<&str>) -> Vec<Report> {
    let mut reports: BTreeMap<i64, Report> = BTreeMap::new();
    for batch in batches {
        let text = |name: &str, row: usize| -> Option<&str> {
            let column = batch[name].as_string::<i32>();
            column.is_valid(row).then(|| column.value(row))
        };
        let integer = |name: &str, row: usize| batch[name].as_primitive::<Int64Type>().value(row);
        let time = |name: &str, row: usize| batch[name].as_primitive::<TimestampMicrosecondType>().value(row);
        for row in (0..batch.num_rows()).filter(|&row| text("site_id", row) == site) {
            let generated_at_us = time("generated_at", row);
            let report = reports.entry(generated_at_us).or_insert_with(|| Report {
                generated_at: DateTime::from_timestamp_micros(generated_at_us).unwrap_or_default(),
                complete_until: DateTime::from_timestamp_micros(time("complete_until", row)).unwrap_or_default(),
                lake_version: integer("lake_version", row),
                site: site.map(str::to_owned),
                metrics: BTreeMap::new(),
            });
            let Some(name) = text("metric", row) else { continue };
            let owned = |name: &str| text(name, row).map(str::to_owned);
            let duration_ms = integer("duration_ms", row);
            let parsed = (
                text("columns", row).and_then(|json| serde_json::from_str(json).ok()),
                text("rows", row).and_then(|json| serde_json::from_str(json).ok()),
            );
            let how = batch.column_by_name("how").map(|column| column.as_string::<i32>());
            let how = how.filter(|how| how.is_valid(row)).and_then(|how| serde_json::from_str(how.value(row)).ok());
            let mut metric = match parsed {
                (Some(columns), Some(rows)) => Metric::answered(owned("title"), columns, rows, duration_ms),
                _ => Metric { title: owned("title"), error: owned("error"), duration_ms, ..Metric::default() },
            };
            metric.how = how;
            report.metrics.insert(name.to_owned(), metric);
        }
    }
    reports.into_values().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::MadeHow;

    fn report(minute: i64, site: Option<&str>, events: i64) -> Report {
        let at = DateTime::from_timestamp(1_700_000_000 + 60 * minute, 0).unwrap();
        let answered = Metric::answered(Some("Events".into()), vec!["events".into()], vec![vec![json!(events)]], 3);
        let how = MadeHow { incremental: true, files: Some(3), ..MadeHow::default() };
        let answered = Metric { how: Some(how), ..answered };
        let failed = Metric::failed(None, "broken.sql:1: no such table".into(), 1);
        Report {
            generated_at: at,
            complete_until: at,
            lake_version: minute,
            site: site.map(str::to_owned),
            metrics: [("events".to_owned(), answered), ("broken".to_owned(), failed)].into(),
        }
    }

    #[tokio::test]
    async fn the_newest_report_of_a_site_reads_back_as_it_was() {
        let lake = Lake::open("memory:///", []).unwrap();
        assert_eq!(latest_report(&lake, None).await.unwrap(), None);
        for minute in 0..3 {
            append(&lake, &[report(minute, None, 10 + minute), report(minute, Some("shop"), minute)]).await.unwrap();
        }
        append(&lake, &[report(3, None, 99)]).await.unwrap();
        assert_eq!(latest_report(&lake, None).await.unwrap(), Some(report(3, None, 99)));
        assert_eq!(latest_report(&lake, Some("shop")).await.unwrap(), Some(report(2, Some("shop"), 2)));
        assert_eq!(latest_report(&lake, Some("other")).await.unwrap(), None);
    }
}
