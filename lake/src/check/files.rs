//! The live files of a table. Each is read completely and compared with its entry in the log.

use std::collections::HashSet;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::SortOptions;

use arrow::row::{OwnedRow, RowConverter, SortField};
use chrono::{DateTime, NaiveDate};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use super::ids::SpilledIds;
use super::replay::{LiveFile, Log};
use super::{Amount, CONCURRENT_FILES, Finding};
use crate::error::{LakeError, Result, whole_text};
use crate::lake::Lake;
use crate::parquet::object_reader::{open_parquet, with_page_index};
use crate::parquet::object_writer::in_digits;
use crate::parquet::reader::schema_problem;
use crate::schema::tables::TableSpec;
use crate::table::bounds::{Bounds, Contents};
use crate::table::file::{Value, object_path, parse_stats};

/// Bytes read per request, so that each one ends before a store's time limit.
const READ_BYTES: u64 = 8 << 20;

const RESTORE: &str = "restore it from a backup or from an older version of the object; without one its rows are lost";

/// The column whose UTC date chooses the partition.
fn date_column(spec: &TableSpec) -> Option<&'static str> {
    ["occurred_at", "generated_at"].into_iter().find(|name| spec.bounded.contains(name))
}

/// The outcome of reading a file.
enum Outcome {
    Read { rows: u64, findings: Vec<Finding> },
    Unreadable(Finding),
    Gone,
}

impl Lake {
    /// Reads every live file of a table. Event ids go to `ids`, if the table has them.
    ///
    /// Returns the files that were read completely, with their sizes in bytes, and totals of what was read.
    pub(super) async fn check_files(
        &self,
        spec: &'static TableSpec,
        log: &Log,
        ids: Option<&SpilledIds>,
        findings: &mut Vec<Finding>,
    ) -> Result<(Vec<(Path, u64)>, Amount)> {
        let root = self.path(spec.name);
        let (mut readable, mut amount) = (Vec::new(), Amount::default());
        let mut gone = Vec::new();
        let files: Vec<(Path, LiveFile)> =
            log.live.iter().map(|(log_path, file)| (object_path(&root, log_path), file.clone())).collect();
        let reads = files.into_iter().map(|(path, file)| {
            let (lake, ids) = (self.clone(), ids.cloned());
            let size_bytes = file.size_bytes;
            // A task of its own: reading takes a core, and a damaged file may make the decoder panic.
            let read = tokio::spawn({
                let path = path.clone();
                async move { lake.check_file(spec, &path, &file, ids).await }
            });
            async move { (path, size_bytes, read.await) }
        });
        // Lazy, so that at most as many tasks run as are awaited.
        let mut reads = stream::iter(reads).buffer_unordered(CONCURRENT_FILES);
        while let Some((path, size_bytes, read)) = reads.next().await {
            match read {
                Ok(Ok(Outcome::Read { rows, findings: found })) => {
                    amount.add(rows, size_bytes);
                    findings.extend(found);
                    readable.push((path, size_bytes));
                }
                Ok(Ok(Outcome::Unreadable(finding))) => findings.push(finding),
                Ok(Ok(Outcome::Gone)) => gone.push(path),
                Ok(Err(error)) => return Err(error),
                Err(panicked) => {
                    findings.push(Finding::error(&path, format!("the decoder fails on it ({panicked}); {RESTORE}")));
                }
            }
        }
        if !gone.is_empty() {
            // The file was merged and vacuumed during the check: nothing is lost.
            let live: HashSet<Path> = match self.table(spec).load().await {
                Ok(newest) => newest.files.iter().map(|file| file.path.clone()).collect(),
                Err(error) if error.is_of_the_store() => return Err(error),
                Err(_) => gone.iter().cloned().collect(),
            };
            for path in gone.into_iter().filter(|path| live.contains(path)) {
                findings.push(Finding::error(path, format!("it is live but missing, so queries fail; {RESTORE}")));
            }
        }
        readable.sort_unstable();
        Ok((readable, amount))
    }

    async fn check_file(
        self,
        spec: &'static TableSpec,
        path: &Path,
        file: &LiveFile,
        ids: Option<SpilledIds>,
    ) -> Result<Outcome> {
        let found_bytes = match self.store().head(path).await {
            Ok(found) => found.size,
            Err(object_store::Error::NotFound { .. }) => return Ok(Outcome::Gone),
            Err(error) => return Err(LakeError::store(format!("look for {path}"), error)),
        };
        if found_bytes != file.size_bytes {
            let message = format!("it has {found_bytes} bytes, but the log says {}; {RESTORE}", file.size_bytes);
            return Ok(Outcome::Unreadable(Finding::error(path, message)));
        }
        match self.read_file(spec, path, file, ids).await {
            Ok(outcome) => Ok(outcome),
            Err(LakeError::Gone { .. }) => Ok(Outcome::Gone),
            Err(error @ LakeError::Corrupt { .. }) => {
                Ok(Outcome::Unreadable(Finding::error(path, format!("{}; {RESTORE}", whole_text(&error)))))
            }
            Err(error) => Err(error),
        }
    }

    async fn read_file(
        &self,
        spec: &'static TableSpec,
        path: &Path,
        file: &LiveFile,
        ids: Option<SpilledIds>,
    ) -> Result<Outcome> {
        if let Some(written) = &file.checksum {
            let found = self.read_checksum(path, file.size_bytes).await?;
            if found != *written {
                let message = format!(
                    "its bytes are not those that were written (checksum {found}, but {written} in the log); {RESTORE}"
                );
                return Ok(Outcome::Unreadable(Finding::error(path, message)));
            }
        }
        let damaged = |error| LakeError::parquet(path, error);
        let (reader, metadata) = open_parquet(self.store(), path, file.size_bytes, with_page_index()).await?;
        if let Some(problem) = schema_problem(metadata.schema(), &spec.file_schema) {
            return Ok(Outcome::Unreadable(Finding::error(path, format!("{problem}, so queries fail; {RESTORE}"))));
        }
        let columns = metadata.metadata().file_metadata().schema_descr();
        let bloom_column =
            spec.bloom.and_then(|name| columns.columns().iter().position(|column| column.name() == name));
        let mut rows = RowsRead::start(spec).map_err(|error| LakeError::corrupt(path.to_string(), error))?;
        for row_group in 0..metadata.metadata().num_row_groups() {
            let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader.clone(), metadata.clone());
            let bloom = match bloom_column {
                Some(column) => builder.get_row_group_column_bloom_filter(row_group, column).await.map_err(damaged)?,
                None => None,
            };
            let mut batches = builder.with_row_groups(vec![row_group]).build().map_err(damaged)?;
            while let Some(batch) = batches.try_next().await.map_err(damaged)? {
                rows.take(spec, &batch).map_err(|error| LakeError::corrupt(path.to_string(), error))?;
                if let Some(ids) = &ids {
                    ids.add(&batch)?;
                }
                if let (Some(bloom), Some(name)) = (&bloom, spec.bloom) {
                    let values = batch[name].as_binary::<i32>();
                    rows.not_in_bloom += values.iter().flatten().filter(|value| !bloom.check(*value)).count() as u64;
                }
            }
        }
        Ok(Outcome::Read { rows: rows.count, findings: rows.compare(spec, path, file) })
    }

    /// The checksum of an object's bytes.
    ///
    /// Fails with [`LakeError::Gone`] if it is not there.
    async fn read_checksum(&self, path: &Path, size_bytes: u64) -> Result<String> {
        let mut hasher = blake3::Hasher::new();
        let mut start = 0;
        while start < size_bytes {
            let end = size_bytes.min(start + READ_BYTES);
            let bytes = self.store().get_range(path, start..end).await;
            hasher.update(&bytes.map_err(|error| LakeError::store(format!("read {path}"), error))?);
            start = end;
        }
        Ok(in_digits(&hasher))
    }
}

/// What a file's rows say, gathered batch by batch.
struct RowsRead {
    count: u64,
    order: RowConverter,
    last: Option<OwnedRow>,
    unsorted: u64,
    contents: Contents,
    not_in_bloom: u64,
}

impl RowsRead {
    fn start(spec: &TableSpec) -> Result<Self, arrow::error::ArrowError> {
        let options = SortOptions { descending: false, nulls_first: true };
        let fields = spec
            .sort
            .iter()
            .map(|name| {
                Ok(SortField::new_with_options(spec.file_schema.field_with_name(name)?.data_type().clone(), options))
            })
            .collect::<Result<_, arrow::error::ArrowError>>()?;
        Ok(Self {
            count: 0,
            order: RowConverter::new(fields)?,
            last: None,
            unsorted: 0,
            contents: Contents::default(),
            not_in_bloom: 0,
        })
    }

    fn take(&mut self, spec: &TableSpec, batch: &RecordBatch) -> Result<(), arrow::error::ArrowError> {
        self.count += batch.num_rows() as u64;
        self.contents.take(spec, batch);
        let sorted_by: Option<Vec<_>> = spec.sort.iter().map(|name| batch.column_by_name(name).cloned()).collect();
        let Some(sorted_by) = sorted_by.filter(|_| batch.num_rows() > 0) else { return Ok(()) };
        let rows = self.order.convert_columns(&sorted_by)?;
        if self.last.as_ref().is_some_and(|last| last.row() > rows.row(0)) {
            self.unsorted += 1;
        }
        self.unsorted += (1..rows.num_rows()).filter(|&row| rows.row(row - 1) > rows.row(row)).count() as u64;
        self.last = Some(rows.row(rows.num_rows() - 1).owned());
        Ok(())
    }

    /// Compares with the log entry.
    fn compare(self, spec: &TableSpec, path: &Path, file: &LiveFile) -> Vec<Finding> {
        let mut wrong = Vec::new();
        let stats = match parse_stats(spec, &file.stats) {
            Ok(stats) => Some(stats),
            Err(why) => {
                wrong.push(format!(
                    "its statistics in the log cannot be read ({why}), so counts are wrong; the file has {} rows",
                    self.count
                ));
                None
            }
        };
        let null_counts: serde_json::Value = serde_json::from_str(&file.stats).unwrap_or_default();
        if let Some((rows, ranges)) = stats {
            if rows != self.count {
                wrong.push(format!(
                    "it has {} rows and the log says {rows}, so counts are wrong and its merges are refused; restore it \
                     from a backup if rows are missing",
                    self.count
                ));
            }
            for &name in spec.bounded {
                if let (Some(actual), Some(said)) = (self.contents.bounds.get(name), ranges.get(name))
                    && (actual.min < said.min || actual.max > said.max)
                {
                    wrong.push(format!(
                        "its {name} lies in {} to {} and the log says {} to {}, so queries that filter by it leave rows \
                         out; merge the file, or write its rows again",
                        actual.min, actual.max, said.min, said.max
                    ));
                }
                let (actual, said) = (self.contents.nulls.get(name).copied(), null_counts["nullCount"][name].as_u64());
                if let (Some(actual), Some(said)) = (actual, said)
                    && actual != said
                {
                    wrong.push(format!(
                        "its {name} is null in {actual} rows and the log says {said}, so other engines may leave rows \
                         out; merge the file, or write its rows again"
                    ));
                }
            }
        }
        if self.unsorted > 0 {
            wrong.push(format!(
                "{} of its {} rows are not in the order of {}, which queries and merges rely on; write its rows again in \
                 order",
                self.unsorted,
                self.count,
                spec.sort.join(", ")
            ));
        }
        if let Some(name) = date_column(spec)
            && let Some(Bounds { min: Value::TimeUs(min), max: Value::TimeUs(max) }) = self.contents.bounds.get(name)
        {
            let date = |us: &i64| DateTime::from_timestamp_micros(*us).map(|time| time.date_naive());
            let (first, last) = (date(min), date(max));
            if file.date.is_none() || first != file.date || last != file.date {
                let words = |date: Option<NaiveDate>| date.map_or("no date".to_owned(), |date| date.to_string());
                wrong.push(format!(
                    "it is filed under {} and its {name} lies on {} to {}, so queries that filter by date leave rows out; \
                     write its rows again under their dates",
                    words(file.date),
                    words(first),
                    words(last)
                ));
            }
        }
        if self.not_in_bloom > 0 {
            wrong.push(format!(
                "its bloom filter denies {} of its own ids, so that copies of these events would be published; write its \
                 rows again",
                self.not_in_bloom
            ));
        }
        wrong.into_iter().map(|what| Finding::error(path, what)).collect()
    }
}
