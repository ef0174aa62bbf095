//! Rows as lines of text: what `COPY … TO STDOUT` sends.

use arrow::error::ArrowError;
use bytes::{BufMut, BytesMut};

use crate::format::values::Column;

/// How lines are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CopyForm {
    pub(crate) is_csv: bool,
    pub(crate) header: bool,
    pub(crate) delimiter: char,
    pub(crate) null: String,
    pub(crate) quote: char,
    pub(crate) escape: char,
}

impl Default for CopyForm {
    fn default() -> Self {
        Self { is_csv: false, header: false, delimiter: '\t', null: "\\N".into(), quote: '"', escape: '"' }
    }
}

impl CopyForm {
    /// Comma-separated values.
    pub(crate) fn csv() -> Self {
        Self { is_csv: true, delimiter: ',', null: String::new(), ..Self::default() }
    }

    /// The line with the names of columns.
    pub(crate) fn put_header<'a>(&self, names: impl Iterator<Item = &'a str>, out: &mut BytesMut) {
        for (place, name) in names.enumerate() {
            self.put_delimiter(place, out);
            self.put_value(name, out);
        }
        out.put_u8(b'\n');
    }

    /// The line of a row.
    pub(crate) fn put_row(&self, columns: &[Column], row: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
        let mut value = BytesMut::new();
        for (place, column) in columns.iter().enumerate() {
            self.put_delimiter(place, out);
            if column.is_null(row) {
                out.put_slice(self.null.as_bytes());
                continue;
            }
            value.clear();
            column.put_text(row, &mut value)?;
            self.put_value(&String::from_utf8_lossy(&value), out);
        }
        out.put_u8(b'\n');
        Ok(())
    }

    fn put_delimiter(&self, place: usize, out: &mut BytesMut) {
        if place > 0 {
            put_char(out, self.delimiter);
        }
    }

    fn put_value(&self, value: &str, out: &mut BytesMut) {
        if self.is_csv {
            let special = |c: char| c == self.delimiter || c == self.quote || c == '\n' || c == '\r';
            // A value that looks like null, and the end of the data, are told apart by their quotes.
            if value != self.null && value != "\\." && !value.contains(special) {
                out.put_slice(value.as_bytes());
                return;
            }
            put_char(out, self.quote);
            for c in value.chars() {
                if c == self.quote || c == self.escape {
                    put_char(out, self.escape);
                }
                put_char(out, c);
            }
            put_char(out, self.quote);
            return;
        }
        for c in value.chars() {
            let escaped = match c {
                '\u{8}' => 'b',
                '\u{c}' => 'f',
                '\n' => 'n',
                '\r' => 'r',
                '\t' => 't',
                '\u{b}' => 'v',
                '\\' => '\\',
                c if c == self.delimiter => c,
                c => {
                    put_char(out, c);
                    continue;
                }
            };
            out.put_u8(b'\\');
            put_char(out, escaped);
        }
    }
}

fn put_char(out: &mut BytesMut, c: char) {
    out.put_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    use super::*;

    #[track_caller]
    fn check(form: &CopyForm, expected: &str) {
        let texts = StringArray::from(vec![Some("a\tb"), None, Some("\\N"), Some("q\"u,\n"), Some("")]);
        let numbers = Int64Array::from(vec![Some(1), Some(2), Some(3), None, Some(5)]);
        let columns: Vec<(&str, ArrayRef)> = vec![("t", Arc::new(texts)), ("n", Arc::new(numbers))];
        let columns = crate::format::values::columns(&RecordBatch::try_from_iter(columns).unwrap()).unwrap();
        let mut out = BytesMut::new();
        form.put_header(["t", "n"].into_iter(), &mut out);
        for row in 0..5 {
            form.put_row(&columns, row, &mut out).unwrap();
        }
        assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
    }

    #[test]
    fn text_is_escaped() {
        check(&CopyForm::default(), "t\tn\na\\tb\t1\n\\N\t2\n\\\\N\t3\nq\"u,\\n\t\\N\n\t5\n");
    }

    #[test]
    fn values_are_in_quotes_where_they_need_them() {
        check(&CopyForm::csv(), "t,n\na\tb,1\n,2\n\\N,3\n\"q\"\"u,\n\",\n\"\",5\n");
    }
}
