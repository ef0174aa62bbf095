//! How Parquet files are encoded. Pure.
//!
//! Raw files live for minutes and are read once or twice, so they are cheap to write. Table files are written once and
//! read many times, so they are small and easy to skip.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Schema};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::schema::tables::TableSpec;

/// Rows per row group: what a reader decodes at a time, and what one bloom filter covers.
const ROW_GROUP_ROWS: usize = 262_144;

/// False positive rate of the bloom filters; each false positive costs a needless read of a row group's ids. A lower
/// rate would double a filter, whose size is a power of two, from one byte per row to two.
const BLOOM_FALSE_POSITIVES: f64 = 0.03;

/// Text columns with few distinct values: their dictionary leaves nothing to compress.
const FEW_VALUES: [&str; 17] = [
    "site_id",
    "name",
    "channel",
    "browser",
    "browser_version",
    "os",
    "os_version",
    "device",
    "country",
    "language",
    "screen",
    "viewport",
    "currency",
    "protocol",
    "sdk",
    "bot_kind",
    "browser_app",
];

/// Raw files live for minutes and are read once or twice: cheap encoding comes first. Setting up a compressor costs
/// more than encoding a column of a few hundred rows, and so does the decompressor that each query would need for the
/// keys of every pending file. So only texts that gain from it are compressed.
///
/// - `batches`: all rows of the file.
pub(crate) fn raw_properties(schema: &Schema, batches: &[RecordBatch]) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).expect("1 is a zstd level")))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(created_by());
    for (index, field) in schema.fields().iter().enumerate() {
        let column = ColumnPath::from(field.name().as_str());
        match field.data_type() {
            DataType::Utf8 => {
                let mut parts = batches.iter().map(|batch| batch.column(index));
                let is_empty = parts.all(|part| part.null_count() == part.len());
                if !is_empty && !FEW_VALUES.contains(&field.name().as_str()) {
                    continue;
                }
            }
            DataType::Timestamp(_, _) => properties = encode_times(properties, column.clone()),
            // Ids are nearly all distinct.
            DataType::Binary | DataType::Int64 => {
                properties = properties.set_column_dictionary_enabled(column.clone(), false);
            }
            _ => {}
        }
        properties = properties.set_column_compression(column, Compression::UNCOMPRESSED);
    }
    properties.build()
}

fn encode_times(properties: WriterPropertiesBuilder, column: ColumnPath) -> WriterPropertiesBuilder {
    properties
        .set_column_dictionary_enabled(column.clone(), false)
        .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED)
}

pub(crate) fn table_properties(spec: &TableSpec, compression: Compression) -> WriterProperties {
    let sorting = spec
        .sort
        .iter()
        .map(|name| SortingColumn {
            column_idx: spec.file_schema.index_of(name).expect("tables are sorted by their own columns") as i32,
            descending: false,
            nulls_first: true,
        })
        .collect();
    let mut properties = WriterProperties::builder()
        .set_compression(compression)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_sorting_columns(Some(sorting))
        .set_created_by(created_by());
    for field in spec.file_schema.fields() {
        let column = ColumnPath::from(field.name().as_str());
        // Numbers with nearly as many values as rows: a dictionary would hold all values and an index for each row.
        // Without one, times take a fifth less and visitors half (measured with zstd, 1 000 000 events).
        match field.data_type() {
            DataType::Timestamp(_, _) => properties = encode_times(properties, column),
            DataType::Int64 => properties = properties.set_column_dictionary_enabled(column, false),
            // Nearly every page spans the file's whole range of texts, and comparing texts is slow.
            DataType::Utf8 if !spec.bounded.contains(&field.name().as_str()) => {
                properties = properties.set_column_statistics_enabled(column, EnabledStatistics::None);
            }
            _ => {}
        }
    }
    if let Some(bloom) = spec.bloom {
        let column = ColumnPath::from(bloom);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            // Ids that begin with a time, as UUIDv7 does, share prefixes where one visitor's events lie together.
            .set_column_encoding(column.clone(), Encoding::DELTA_BYTE_ARRAY)
            .set_column_bloom_filter_enabled(column.clone(), true)
            .set_column_bloom_filter_fpp(column, BLOOM_FALSE_POSITIVES);
    }
    properties.build()
}

fn created_by() -> String {
    format!("dewpond {}", env!("CARGO_PKG_VERSION"))
}

/// Bytes of text that are encoded before the sizes of pages and dictionaries are checked again.
const PART_BYTES_MAX: usize = 2 << 20;

/// Divides rows into parts with little text each. The Parquet writer checks the sizes of pages and dictionaries only after
/// each batch: thousands of large texts in one batch would make a page of hundreds of megabytes, which every reader would
/// have to hold.
pub(crate) fn divide(batch: &RecordBatch) -> Vec<RecordBatch> {
    let large: Vec<&ArrayRef> =
        batch.columns().iter().filter(|column| text_bytes(column) > PART_BYTES_MAX / 8).collect();
    let row_bytes = |row| large.iter().map(|column| text_bytes_of(column, row)).sum::<usize>();
    let (mut parts, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for row in 0..if large.is_empty() { 0 } else { batch.num_rows() } {
        bytes += row_bytes(row);
        if bytes > PART_BYTES_MAX {
            parts.push(batch.slice(begin, row + 1 - begin));
            (begin, bytes) = (row + 1, 0);
        }
    }
    if begin < batch.num_rows() {
        parts.push(batch.slice(begin, batch.num_rows() - begin));
    }
    parts
}

/// The approximate size in bytes of a column's distinct texts.
fn text_bytes(column: &ArrayRef) -> usize {
    match column.data_type() {
        DataType::Utf8 => {
            let offsets = column.as_string::<i32>().value_offsets();
            (offsets[offsets.len() - 1] - offsets[0]) as usize
        }
        DataType::Dictionary(_, _) => text_bytes(column.as_any_dictionary().values()),
        _ => 0,
    }
}

/// Bytes of a row's text; 0 for nulls.
fn text_bytes_of(column: &ArrayRef, row: usize) -> usize {
    match column.data_type() {
        _ if column.is_null(row) => 0,
        DataType::Utf8 => column.as_string::<i32>().value_length(row) as usize,
        DataType::Dictionary(_, _) => {
            let texts = column.as_dictionary::<Int32Type>();
            text_bytes_of(texts.values(), texts.keys().value(row) as usize)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{DictionaryArray, StringArray};
    use arrow::compute;
    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn rows_with_large_texts_are_encoded_few_at_a_time() {
        check(&[], "");
        check(&[1, 2, 3], "3");
        check(&[1_500, 1_500, 1_500, 1], "2 2");
        check(&[9_000, 0, 9_000, 1], "1 2 1");
    }

    /// Divides rows with texts of so many KiB, as they are and as a dictionary; compares with the rows of each part.
    #[track_caller]
    fn check(texts_kib: &[usize], expected: &str) {
        let texts: StringArray =
            texts_kib.iter().map(|kib| (*kib > 0).then(|| kib.to_string() + &"-".repeat(kib << 10))).collect();
        let dictionary: DictionaryArray<Int32Type> = texts.iter().collect();
        for column in [Arc::new(texts.clone()) as ArrayRef, Arc::new(dictionary)] {
            let field = Field::new("properties", column.data_type().clone(), true);
            let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column]).unwrap();
            let parts = divide(&batch);
            let rows: Vec<String> = parts.iter().map(|part| part.num_rows().to_string()).collect();
            assert_eq!(rows.join(" "), expected);
            let again = compute::concat_batches(&batch.schema(), &parts).unwrap();
            assert_eq!(compute::cast(again.column(0), &DataType::Utf8).unwrap().as_string::<i32>(), &texts);
        }
    }
}
