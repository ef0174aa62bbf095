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

/// Rows of a row group: what a reader decodes at a time, and what one bloom filter covers.
const ROW_GROUP_ROWS: usize = 262_144;

/// False positives of the bloom filters: each costs one needless read of a row group's ids. With fewer of them a filter,
/// which has a power of two of bytes, would take two bytes a row instead of one.
const BLOOM_FALSE_POSITIVES: f64 = 0.03;

/// Texts of few different values: their dictionary leaves nothing to compress.
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

/// Raw files live for minutes and are read once or twice: cheap to encode comes first. To set up a compressor costs more
/// than encoding a column of a few hundred rows, and so does a decompressor, which each query would need for the keys of
/// all files that wait. So only texts that gain from it are compressed.
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
            // Ids: nearly all are different.
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
        // Numbers with nearly as many values as rows: a dictionary holds all of them and the rows' places in it too.
        // Without one, times take a fifth less and visitors half (measured with zstd, 1 000 000 events).
        match field.data_type() {
            DataType::Timestamp(_, _) => properties = encode_times(properties, column),
            DataType::Int64 => properties = properties.set_column_dictionary_enabled(column, false),
            // A file has nearly all texts from the first to the last on each page, and comparing them takes long.
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
            // Ids that begin with their time, as UUIDv7 do, share their beginnings where one visitor's events lie
            // together.
            .set_column_encoding(column.clone(), Encoding::DELTA_BYTE_ARRAY)
            .set_column_bloom_filter_enabled(column.clone(), true)
            .set_column_bloom_filter_fpp(column, BLOOM_FALSE_POSITIVES);
    }
    properties.build()
}

fn created_by() -> String {
    format!("dewpond {}", env!("CARGO_PKG_VERSION"))
}

/// Bytes of texts that are encoded between two looks at the size of pages and dictionaries.
const PART_BYTES_MAX: usize = 2 << 20;

/// Divides rows into parts of few bytes of text each. The Parquet writer looks at what pages and dictionaries have become only
/// after each batch: thousands of large texts at once would be one page of hundreds of megabytes, which every reader has
/// to hold.
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

/// Bytes of the different texts of a column, about.
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

/// Bytes of the text of a row; 0 of nulls.
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
