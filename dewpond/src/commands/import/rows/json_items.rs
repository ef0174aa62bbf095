//! The items of a JSON file: one a line, or those of one array over many lines, or objects that are indented.

use std::io::{BufRead, Read};

use anyhow::bail;

/// An item longer than this ends the import: without a bound, a file without line ends would fill the memory.
pub(in crate::commands::import) const ITEM_BYTES_MAX: usize = 16 << 20;

/// Reads items one by one.
pub(in crate::commands::import) struct JsonItems<R> {
    reader: R,
    name: String,
    is_array: Option<bool>,
    /// The line, or the place in the array, from 1.
    number: u64,
}

impl<R: BufRead> JsonItems<R> {
    pub(in crate::commands::import) fn new(reader: R, name: &str) -> Self {
        Self { reader, name: name.to_owned(), is_array: None, number: 0 }
    }

    /// Whether the file is one array.
    pub(in crate::commands::import) fn is_array(&self) -> bool {
        self.is_array == Some(true)
    }

    /// Reads the next item; none at the end. The number is that of its line, or of the item in its array.
    pub(in crate::commands::import) fn next(&mut self, item: &mut Vec<u8>) -> anyhow::Result<Option<u64>> {
        if self.is_array.is_none() {
            self.is_array = Some(self.begins_an_array()?);
        }
        match self.is_array() {
            true => self.next_of_array(item),
            false => self.next_line(item),
        }
    }

    fn begins_an_array(&mut self) -> anyhow::Result<bool> {
        let start = self.reader.fill_buf()?;
        let mark = "\u{feff}".as_bytes();
        let skipped = if start.starts_with(mark) { mark.len() } else { 0 };
        let spaces = start[skipped..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let begins = start.get(skipped + spaces) == Some(&b'[');
        if begins {
            self.reader.consume(skipped + spaces + 1);
        }
        Ok(begins)
    }

    fn next_line(&mut self, line: &mut Vec<u8>) -> anyhow::Result<Option<u64>> {
        loop {
            line.clear();
            let read = self.reader.by_ref().take(ITEM_BYTES_MAX as u64).read_until(b'\n', line)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if read == ITEM_BYTES_MAX && line.last() != Some(&b'\n') {
                let (name, number) = (&self.name, self.number);
                bail!("{name}:{number} is longer than {ITEM_BYTES_MAX} bytes; put each event on a line of its own");
            }
            match without_mark(line).trim_ascii() {
                b"" => {}
                b"{" => return self.indented(line).map(Some),
                _ => return Ok(Some(self.number)),
            }
        }
    }

    /// The rest of an object whose first line is its brace alone, as programs indent it. Returns the number of that line.
    fn indented(&mut self, item: &mut Vec<u8>) -> anyhow::Result<u64> {
        let (number, mut depth, mut line) = (self.number, 1_i64, Vec::new());
        while depth > 0 {
            line.clear();
            if self.reader.by_ref().take(ITEM_BYTES_MAX as u64).read_until(b'\n', &mut line)? == 0 {
                bail!("{} ends within the object that begins on line {number}, so it was cut off", self.name);
            }
            self.number += 1;
            depth += nesting(&line);
            item.extend_from_slice(&line);
            if item.len() > ITEM_BYTES_MAX {
                bail!("{}:{number} is longer than {ITEM_BYTES_MAX} bytes", self.name);
            }
        }
        Ok(number)
    }

    /// The array may lie over any number of lines, and its items too.
    fn next_of_array(&mut self, item: &mut Vec<u8>) -> anyhow::Result<Option<u64>> {
        item.clear();
        let (mut depth, mut is_text, mut is_escaped) = (0_u32, false, false);
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                bail!("{} ends within its array, so it was cut off", self.name);
            }
            let mut used = 0;
            let mut ended = None;
            for &byte in buffer {
                used += 1;
                match byte {
                    _ if is_escaped => is_escaped = false,
                    b'\\' if is_text => is_escaped = true,
                    b'"' => is_text = !is_text,
                    _ if is_text => {}
                    b'{' | b'[' => depth += 1,
                    b']' if depth == 0 => ended = Some(true),
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    b',' if depth == 0 => ended = Some(false),
                    _ => {}
                }
                if ended.is_some() {
                    break;
                }
                item.push(byte);
            }
            self.reader.consume(used);
            if item.len() > ITEM_BYTES_MAX {
                bail!("{}: an item of its array is longer than {ITEM_BYTES_MAX} bytes", self.name);
            }
            match ended {
                Some(is_last) => {
                    if item.trim_ascii().is_empty() {
                        if is_last {
                            self.is_array = Some(false);
                            return self.after_array(item);
                        }
                        continue;
                    }
                    self.number += 1;
                    if is_last {
                        // Whatever follows is read as lines, of which there should be none.
                        self.is_array = Some(false);
                    }
                    return Ok(Some(self.number));
                }
                None => continue,
            }
        }
    }

    fn after_array(&mut self, item: &mut Vec<u8>) -> anyhow::Result<Option<u64>> {
        self.next_line(item)
    }
}

/// How many objects and arrays a line of JSON opens more than it closes. No text of JSON has an end of line in it.
fn nesting(line: &[u8]) -> i64 {
    let (mut depth, mut is_text, mut is_escaped) = (0, false, false);
    for byte in line {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    depth
}

/// A line without blanks around it and without the byte order mark that many programs begin a file with. Files that were
/// joined have one in the middle.
pub(in crate::commands::import) fn without_mark(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii();
    line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line).trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_byte_is_one_odd_character_and_a_mark_is_none() {
        // Windows programs, PowerShell and .NET begin files with a mark, and `cat` joins them.
        check(b"\xef\xbb\xbf{\"a\":1}\r\n\xef\xbb\xbf{\"b\":2}", Ok(r#"1:{"a":1} 2:{"b":2}"#));
        check(b"\xef\xbb\xbf\n{\"a\":1}\n", Ok(r#"2:{"a":1}"#));
        check(b"\"Gr\xf6\xdfe\"\n", Ok("1:\"Gr\u{fffd}\u{fffd}e\""));
        check(b"", Ok(""));
    }

    #[test]
    fn an_array_may_lie_over_many_lines() {
        check(b"[{\"a\":[1,2]},\n {\"b\":\"],\\\"}\"}\n]\n", Ok(r#"1:{"a":[1,2]} 2:{"b":"],\"}"}"#));
        check(b"\xef\xbb\xbf [\n]\n", Ok(""));
        check(b"[{}]", Ok("1:{}"));
    }

    #[test]
    fn an_indented_object_is_one_item() {
        check(
            b"{\n  \"a\": [\n    \"}\\\"{\"\n  ]\n}\n{\"b\":2}\n",
            Ok("1:{\n  \"a\": [\n    \"}\\\"{\"\n  ]\n} 6:{\"b\":2}"),
        );
        check(b"{\n  \"a\": 1\n", Err("file ends within the object that begins on line 1"));
    }

    #[test]
    fn an_array_that_was_cut_is_told_from_a_whole_one() {
        check(b"[{\"a\":1},{\"a\"", Err("file ends within its array"));
        check(b"[{\"a\":1}", Err("file ends within its array"));
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<&str, &str>) {
        let mut items = JsonItems::new(std::io::BufReader::with_capacity(3.max(bytes.len()), bytes), "file");
        let (mut item, mut found) = (Vec::new(), Vec::new());
        let ended = loop {
            match items.next(&mut item) {
                Ok(Some(number)) => {
                    found.push(format!("{number}:{}", String::from_utf8_lossy(without_mark(&item))));
                }
                Ok(None) => break Ok(found.join(" ")),
                Err(error) => break Err(error.to_string()),
            }
        };
        match expected {
            Ok(expected) => assert_eq!(ended.as_deref().map_err(|error| &**error), Ok(expected)),
            Err(part) => assert!(ended.as_ref().is_err_and(|error| error.contains(part)), "{ended:?}"),
        }
    }
}
