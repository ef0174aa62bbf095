//! Turns records of a CSV file into JSON objects. Pure.

use csv::StringRecord;
use serde_json::{Map, Value as Json};

use super::names::{self, Names};

/// Turns a CSV record into a JSON object.
///
/// Empty cells are left out; in an export of `events` they are null, because there the header says which columns were
/// exported. A timestamp in digits is a number. Columns without a name, such as the row numbers that pandas writes, are not
/// read.
pub(in crate::commands::import) fn json(names: &Names, record: &StringRecord) -> String {
    let mut fields = Map::new();
    for (name, cell) in names.iter().zip(record).filter(|(name, _)| !names::is_row_number(name)) {
        let value = match cell.parse::<i64>() {
            Ok(number) if name == "timestamp" => number.into(),
            _ if cell.is_empty() && names.are_exported() => Json::Null,
            _ if cell.is_empty() => continue,
            _ => cell.into(),
        };
        fields.insert(name.to_owned(), value);
    }
    Json::Object(fields).to_string()
}

/// What stands between the values of a table: tabs if its first line has any, else commas.
pub(in crate::commands::import) fn separator(text: &str) -> char {
    let first = text.lines().next().unwrap_or_default();
    if first.contains('\t') && !first.contains(',') { '\t' } else { ',' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_becomes_the_json_of_its_filled_cells() {
        check(
            "name,user_id,properties,timestamp",
            &["buy", "", r#"{"a":1}"#, "1700000000000"],
            r#"{"name":"buy","properties":"{\"a\":1}","timestamp":1700000000000}"#,
        );
        check("name,user_id", &["buy", "007"], r#"{"name":"buy","user_id":"007"}"#);
    }

    #[test]
    fn a_column_without_a_name_is_not_read() {
        // pandas: DataFrame.to_csv() writes its row numbers so.
        check(",name", &["0", "buy"], r#"{"name":"buy"}"#);
    }

    #[test]
    fn a_byte_order_mark_belongs_to_no_name() {
        // Excel.
        check("\u{feff}name", &["buy"], r#"{"name":"buy"}"#);
    }

    #[test]
    fn names_in_capitals_are_the_same_names() {
        // Snowflake and Oracle.
        check("NAME,USER_ID,PLAN", &["buy", "7", "pro"], r#"{"name":"buy","plan":"pro","user_id":"7"}"#);
        check("name,Plan", &["buy", "pro"], r#"{"Plan":"pro","name":"buy"}"#);
    }

    #[test]
    fn an_exports_empty_cell_is_null() {
        check(
            "name,occurred_at,channel",
            &["a", "2024-01-01", ""],
            r#"{"channel":null,"name":"a","occurred_at":"2024-01-01"}"#,
        );
    }

    #[track_caller]
    fn check(header: &str, record: &[&str], expected: &str) {
        let names = Names::new(header.split(','));
        assert_eq!(json(&names, &StringRecord::from(record)), expected);
    }
}
