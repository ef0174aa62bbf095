//! The text that is being typed, and what keys do to it.

/// A key, or what was pasted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Paste(String),
    Enter,
    Tab,
    Backspace,
    Delete,
    Left,
    Right,
    Up,
    Down,
    WordLeft,
    WordRight,
    Home,
    End,
    DeleteToEnd,
    DeleteToStart,
    DeleteWord,
    Search,
    ClearScreen,
    Interrupt,
    EndOfInput,
}

/// Takes the first key of what a terminal sent. `None` if there is no whole one; an unknown one is left out.
pub(super) fn take_key(bytes: &mut Vec<u8>) -> Option<Key> {
    loop {
        let (length, key) = first_key(bytes)?;
        bytes.drain(..length);
        if key.is_some() {
            return key;
        }
    }
}

/// How many bytes the first key has, and which it is, if it is known.
fn first_key(bytes: &[u8]) -> Option<(usize, Option<Key>)> {
    const PASTE: (&[u8], &[u8]) = (b"\x1b[200~", b"\x1b[201~");
    if bytes.starts_with(PASTE.0) {
        let end = bytes.windows(PASTE.1.len()).position(|part| part == PASTE.1)?;
        let text = String::from_utf8_lossy(&bytes[PASTE.0.len()..end]).replace("\r\n", "\n").replace('\r', "\n");
        return Some((end + PASTE.1.len(), Some(Key::Paste(text))));
    }
    let key = match *bytes.first()? {
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        0x7f | 0x08 => Key::Backspace,
        0x01 => Key::Home,
        0x02 => Key::Left,
        0x03 => Key::Interrupt,
        0x04 => Key::EndOfInput,
        0x05 => Key::End,
        0x06 => Key::Right,
        0x0b => Key::DeleteToEnd,
        0x0c => Key::ClearScreen,
        0x0e => Key::Down,
        0x10 => Key::Up,
        0x12 => Key::Search,
        0x15 => Key::DeleteToStart,
        0x17 => Key::DeleteWord,
        0x1b => return Some(escape(bytes)),
        byte if byte < 0x20 => return Some((1, None)),
        byte => {
            let length = match byte {
                0xc0..0xe0 => 2,
                0xe0..0xf0 => 3,
                0xf0.. => 4,
                _ => 1,
            };
            let text = std::str::from_utf8(bytes.get(..length)?).ok();
            return Some((length, text.and_then(|text| text.chars().next()).map(Key::Char)));
        }
    };
    Some((1, Some(key)))
}

/// A key that begins with the escape character. A terminal sends all of it at once.
fn escape(bytes: &[u8]) -> (usize, Option<Key>) {
    let Some(kind) = bytes.get(1) else { return (1, None) };
    if !matches!(kind, b'[' | b'O') {
        let key = match kind {
            b'b' => Some(Key::WordLeft),
            b'f' => Some(Key::WordRight),
            0x7f => Some(Key::DeleteWord),
            _ => None,
        };
        return (2, key);
    }
    let Some(end) = bytes[2..].iter().position(|byte| (0x40..0x7f).contains(byte)) else { return (bytes.len(), None) };
    let key = match &bytes[2..end + 3] {
        b"A" => Some(Key::Up),
        b"B" => Some(Key::Down),
        b"C" => Some(Key::Right),
        b"D" => Some(Key::Left),
        b"H" | b"1~" | b"7~" => Some(Key::Home),
        b"F" | b"4~" | b"8~" => Some(Key::End),
        b"3~" => Some(Key::Delete),
        b"1;5D" | b"1;3D" => Some(Key::WordLeft),
        b"1;5C" | b"1;3C" => Some(Key::WordRight),
        _ => None,
    };
    (end + 3, key)
}

/// A text and a place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Buffer {
    text: Vec<char>,
    cursor: usize,
}

impl Buffer {
    /// A text with the cursor at its end.
    pub(super) fn of(text: &str) -> Self {
        let text: Vec<char> = text.chars().collect();
        Self { cursor: text.len(), text }
    }

    pub(super) fn text(&self) -> String {
        self.text.iter().collect()
    }

    /// What is before the cursor.
    pub(super) fn before(&self) -> String {
        self.text[..self.cursor].iter().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(super) fn insert(&mut self, text: &str) {
        let chars: Vec<char> = text.chars().filter(|c| *c == '\n' || *c == '\t' || !c.is_control()).collect();
        let count = chars.len();
        self.text.splice(self.cursor..self.cursor, chars);
        self.cursor += count;
    }

    /// Puts a word in the place of the characters before the cursor.
    pub(super) fn complete(&mut self, chars: usize, word: &str) {
        self.delete_back_to(self.cursor.saturating_sub(chars));
        self.insert(word);
    }

    /// Does what a key does to the text. Returns whether it did: other keys are for the editor.
    pub(super) fn apply(&mut self, key: &Key) -> bool {
        match key {
            Key::Char(c) => self.insert(&c.to_string()),
            Key::Paste(text) => self.insert(text),
            Key::Backspace => self.delete_back_to(self.cursor.saturating_sub(1)),
            Key::Delete if self.cursor < self.text.len() => drop(self.text.remove(self.cursor)),
            Key::Delete => {}
            Key::Left => self.cursor = self.cursor.saturating_sub(1),
            Key::Right => self.cursor = (self.cursor + 1).min(self.text.len()),
            Key::WordLeft => self.cursor = self.word_before(),
            Key::WordRight => self.cursor = self.word_after(),
            Key::Home => self.cursor = self.line_start(),
            Key::End => self.cursor = self.line_end(),
            Key::DeleteToEnd => drop(self.text.drain(self.cursor..self.line_end())),
            Key::DeleteToStart => self.delete_back_to(self.line_start()),
            Key::DeleteWord => self.delete_back_to(self.word_before()),
            Key::Up => return self.move_line(false),
            Key::Down => return self.move_line(true),
            _ => return false,
        }
        true
    }

    fn delete_back_to(&mut self, start: usize) {
        self.text.drain(start..self.cursor);
        self.cursor = start;
    }

    fn line_start(&self) -> usize {
        self.text[..self.cursor].iter().rposition(|c| *c == '\n').map_or(0, |end| end + 1)
    }

    fn line_end(&self) -> usize {
        self.text[self.cursor..].iter().position(|c| *c == '\n').map_or(self.text.len(), |end| self.cursor + end)
    }

    fn word_before(&self) -> usize {
        let before = &self.text[..self.cursor];
        let end = before.iter().rposition(|c| c.is_alphanumeric()).unwrap_or(0);
        before[..end].iter().rposition(|c| !c.is_alphanumeric()).map_or(0, |start| start + 1)
    }

    fn word_after(&self) -> usize {
        let after = &self.text[self.cursor..];
        let start = after.iter().position(|c| c.is_alphanumeric()).unwrap_or(after.len());
        let length = after[start..].iter().position(|c| !c.is_alphanumeric()).unwrap_or(after.len() - start);
        self.cursor + start + length
    }

    /// To the line above or below, if there is one.
    fn move_line(&mut self, is_down: bool) -> bool {
        let (start, end) = (self.line_start(), self.line_end());
        let column = self.cursor - start;
        let moved = match is_down {
            false if start > 0 => start - 1,
            true if end < self.text.len() => end + 1,
            _ => return false,
        };
        self.cursor = moved;
        self.cursor = (self.line_start() + column).min(self.line_end());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut bytes = bytes.to_vec();
        std::iter::from_fn(|| take_key(&mut bytes)).collect()
    }

    #[test]
    fn keys_are_told_apart() {
        assert_eq!(keys(b"a\r"), [Key::Char('a'), Key::Enter]);
        assert_eq!(keys("ä€😀".as_bytes()), [Key::Char('ä'), Key::Char('€'), Key::Char('😀')]);
        assert_eq!(keys(b"\x1b[A\x1bOB\x1b[1;5C\x1b[3~"), [Key::Up, Key::Down, Key::WordRight, Key::Delete]);
        assert_eq!(keys(b"\x1b[15~x"), [Key::Char('x')]);
        assert_eq!(keys(b"\x1b[200~a\r\nb;\x1b[201~\x03"), [Key::Paste("a\nb;".into()), Key::Interrupt]);
        assert_eq!(keys(b"\xc3"), []);
        assert_eq!(keys(b"\xff\xff\xff\xffz"), [Key::Char('z')]);
    }

    /// The text with a bar at the cursor, after some keys.
    #[track_caller]
    fn check(typed: &str, keys: &[Key], expected: &str) {
        let mut buffer = Buffer::of(typed);
        for key in keys {
            buffer.apply(key);
        }
        let (before, all) = (buffer.before(), buffer.text());
        assert_eq!(format!("{before}|{}", &all[before.len()..]), expected);
    }

    #[test]
    fn keys_change_the_text_at_the_cursor() {
        check("ab", &[Key::Left, Key::Char('x')], "ax|b");
        check("ab", &[Key::Home, Key::Delete, Key::Delete, Key::Delete], "|");
        check("SELECT one, two", &[Key::DeleteWord], "SELECT one, |");
        check("SELECT one", &[Key::WordLeft, Key::DeleteToStart], "|one");
        check("a\nbcd", &[Key::Up], "a|\nbcd");
        check("abc\nd", &[Key::Up, Key::End, Key::Down], "abc\nd|");
        check("ab\ncd", &[Key::Home, Key::DeleteToEnd, Key::Backspace], "ab|");
        check("a b", &[Key::Home, Key::WordRight, Key::WordRight], "a b|");
        check("x", &[Key::Paste("a\nb\u{7}".into())], "xa\nb|");
    }
}
