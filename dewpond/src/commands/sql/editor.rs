//! Reads statements from a terminal, with history and completion.

use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use console::Term;
use termios::{ECHO, ICANON, ICRNL, IEXTEN, ISIG, IXON, TCSADRAIN, Termios, VMIN, VTIME, tcsetattr};
use unicode_width::UnicodeWidthChar;

use super::buffer::{Buffer, Key, take_key};

/// Statements that are remembered.
const HISTORY_MAX: usize = 1_000;

/// Words that are shown to choose from at most.
const CHOICES_MAX: usize = 60;

const STANDARD_INPUT: i32 = 0;

const PROMPT: &str = "dewpond> ";
const PROMPT_OF_MORE: &str = "      -> ";

/// What was typed.
pub(super) enum Typed {
    Text(String),
    /// Ctrl-C: what was typed is dropped.
    Interrupted,
    /// Ctrl-D in an empty line.
    End,
}

/// A terminal that reads statements.
pub(super) struct Editor {
    history: Vec<String>,
    file: Option<PathBuf>,
    /// Bytes that were typed and not looked at yet.
    pending: Vec<u8>,
    /// The row of the cursor within what is drawn.
    row: usize,
}

/// The terminal hands over keys as they are typed. Dropped, it is as it was before.
struct RawMode(Termios);

impl RawMode {
    fn new() -> io::Result<Self> {
        let before = Termios::from_fd(STANDARD_INPUT)?;
        let mut raw = before;
        raw.c_lflag &= !(ICANON | ECHO | ISIG | IEXTEN);
        raw.c_iflag &= !(IXON | ICRNL);
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        tcsetattr(STANDARD_INPUT, TCSADRAIN, &raw)?;
        // What is pasted comes in marks, so that its line ends do not count as Enter.
        print!("\x1b[?2004h");
        Ok(Self(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        print!("\x1b[?2004l");
        let _ = io::stdout().flush();
        let _ = tcsetattr(STANDARD_INPUT, TCSADRAIN, &self.0);
    }
}

impl Editor {
    /// An editor that keeps its history in a file.
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        let kept = file.as_ref().and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        let history = kept.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Self { history, file, pending: Vec::new(), row: 0 }
    }

    /// Reads one statement, or several at once.
    ///
    /// - `begun`: what is there to begin with.
    /// - `is_whole`: whether Enter ends a text.
    /// - `complete`: words for what is before the cursor, and how many characters they replace.
    pub(super) fn read(
        &mut self,
        begun: &str,
        is_whole: &dyn Fn(&str) -> bool,
        complete: &dyn Fn(&str) -> (usize, Vec<String>),
    ) -> io::Result<Typed> {
        let _raw = RawMode::new()?;
        let mut buffer = Buffer::of(begun);
        // Behind the last one is what is being typed.
        let mut place = self.history.len();
        let mut typed = String::new();
        self.row = 0;
        self.draw(&buffer)?;
        loop {
            let key = self.key()?;
            match &key {
                Key::Enter if is_whole(&buffer.text()) => {
                    buffer.apply(&Key::End);
                    let text = buffer.text();
                    self.leave(&Buffer::of(&text))?;
                    self.remember(&text);
                    return Ok(Typed::Text(text));
                }
                Key::Enter => buffer.insert("\n"),
                Key::Interrupt => {
                    self.leave(&Buffer::of(&buffer.text()))?;
                    return Ok(Typed::Interrupted);
                }
                Key::EndOfInput if buffer.is_empty() => {
                    self.leave(&buffer)?;
                    return Ok(Typed::End);
                }
                Key::EndOfInput => drop(buffer.apply(&Key::Delete)),
                Key::Tab => self.offer(&mut buffer, complete)?,
                Key::Search => self.search(&mut buffer)?,
                Key::ClearScreen => {
                    print!("\x1b[H\x1b[2J");
                    self.row = 0;
                }
                key if buffer.apply(key) => {}
                Key::Up | Key::Down => {
                    let next = if key == Key::Up { place.checked_sub(1) } else { Some(place + 1) };
                    if let Some(next) = next.filter(|next| *next <= self.history.len()) {
                        if place == self.history.len() {
                            typed = buffer.text();
                        }
                        place = next;
                        buffer = Buffer::of(self.history.get(place).unwrap_or(&typed));
                    }
                }
                _ => {}
            }
            self.draw(&buffer)?;
        }
    }

    fn key(&mut self) -> io::Result<Key> {
        loop {
            if let Some(key) = take_key(&mut self.pending) {
                return Ok(key);
            }
            let mut bytes = [0; 4_096];
            match io::stdin().lock().read(&mut bytes)? {
                0 => return Ok(Key::EndOfInput),
                read => self.pending.extend_from_slice(&bytes[..read]),
            }
        }
    }

    /// Completes the word before the cursor as far as it is sure, and shows how it may go on.
    fn offer(&mut self, buffer: &mut Buffer, complete: &dyn Fn(&str) -> (usize, Vec<String>)) -> io::Result<()> {
        let (chars, words) = complete(&buffer.before());
        match &words[..] {
            [] => {}
            [word] => buffer.complete(chars, &format!("{word} ")),
            words => {
                let common = common_start(words);
                if common.chars().count() > chars {
                    buffer.complete(chars, common);
                    return Ok(());
                }
                self.leave(buffer)?;
                let shown = words.iter().take(CHOICES_MAX).map(String::as_str).collect::<Vec<_>>().join("  ");
                let more = if words.len() > CHOICES_MAX { "  …" } else { "" };
                print!("{shown}{more}\r\n");
            }
        }
        Ok(())
    }

    /// Finds the newest statement that has what is typed now.
    fn search(&mut self, buffer: &mut Buffer) -> io::Result<()> {
        let (mut wanted, mut skip) = (String::new(), 0);
        loop {
            let found = self.history.iter().rev().filter(|text| text.contains(&wanted)).nth(skip).cloned();
            let shown = found.clone().unwrap_or_default().replace('\n', " ");
            self.draw(&Buffer::default())?;
            print!("\r\x1b[Jsearch {wanted:?}: {shown}");
            io::stdout().flush()?;
            match self.key()? {
                Key::Char(c) => (wanted, skip) = (format!("{wanted}{c}"), 0),
                Key::Backspace => drop(wanted.pop()),
                Key::Search => skip += usize::from(found.is_some()),
                Key::Interrupt => return Ok(()),
                _ => {
                    if let Some(found) = found {
                        *buffer = Buffer::of(&found);
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Draws the text again, with the cursor where it is.
    fn draw(&mut self, buffer: &Buffer) -> io::Result<()> {
        let columns = usize::from(Term::stdout().size().1).max(20);
        let text = buffer.text();
        let mut out = String::new();
        if self.row > 0 {
            out += &format!("\x1b[{}A", self.row);
        }
        out += "\r\x1b[J";
        out += PROMPT;
        for c in text.chars() {
            match c {
                '\n' => out += &format!("\r\n{PROMPT_OF_MORE}"),
                '\t' => out.push(' '),
                c => out.push(c),
            }
        }
        let (row, column) = place(&buffer.before(), columns);
        let (last_row, last_column) = place(&text, columns);
        // A terminal keeps the cursor in a line that is full until the next character comes.
        if last_column == 0 && last_row > 0 {
            out += "\r\n";
        }
        if last_row > row {
            out += &format!("\x1b[{}A", last_row - row);
        }
        out += "\r";
        if column > 0 {
            out += &format!("\x1b[{column}C");
        }
        self.row = row;
        print!("{out}");
        io::stdout().flush()
    }

    /// Goes to the line behind the text.
    fn leave(&mut self, buffer: &Buffer) -> io::Result<()> {
        self.draw(&Buffer::of(&buffer.text()))?;
        self.row = 0;
        print!("\r\n");
        io::stdout().flush()
    }

    fn remember(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty() || self.history.last().is_some_and(|last| last == text) {
            return;
        }
        self.history.push(text.to_owned());
        let surplus = self.history.len().saturating_sub(HISTORY_MAX);
        self.history.drain(..surplus);
        if let Some(file) = &self.file {
            let lines: Vec<String> = self.history.iter().map(|text| serde_json::json!(text).to_string()).collect();
            // Without a history one can still ask.
            let _ = write_private(file, &format!("{}\n", lines.join("\n")));
        }
    }
}

/// Writes a file that only its owner can read: statements may name people.
fn write_private(file: &PathBuf, text: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    file.write_all(text.as_bytes())
}

/// The row and the column behind a text on a terminal that is so wide.
fn place(text: &str, columns: usize) -> (usize, usize) {
    let (mut row, mut column) = (0, PROMPT.len());
    for c in text.chars() {
        if c == '\n' {
            (row, column) = (row + 1, PROMPT_OF_MORE.len());
            continue;
        }
        let width = if c == '\t' { 1 } else { c.width().unwrap_or(0) };
        if column + width > columns {
            (row, column) = (row + 1, 0);
        }
        column += width;
        if column == columns {
            (row, column) = (row + 1, 0);
        }
    }
    (row, column)
}

/// What all words begin with, however they are written.
fn common_start(words: &[String]) -> &str {
    let first = &words[0];
    let same = |word: &String| {
        let pairs = first.char_indices().zip(word.chars());
        pairs.take_while(|((_, a), b)| a.eq_ignore_ascii_case(b)).last().map_or(0, |((at, c), _)| at + c.len_utf8())
    };
    &first[..words.iter().map(same).min().unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_behind_what_was_drawn() {
        assert_eq!(place("", 80), (0, 9));
        assert_eq!(place("ab\nc", 80), (1, 10));
        assert_eq!(place("日本", 80), (0, 13));
        assert_eq!(place(&"x".repeat(11), 20), (1, 0));
        assert_eq!(place(&"x".repeat(12), 20), (1, 1));
        // A wide character does not fit into the last column.
        assert_eq!(place(&format!("{}日", "x".repeat(10)), 20), (1, 2));
    }

    #[test]
    fn words_are_completed_as_far_as_they_agree() {
        let common =
            |words: &[&str]| common_start(&words.iter().map(ToString::to_string).collect::<Vec<_>>()).to_owned();
        assert_eq!(common(&["visitor_days", "visitors", "visitor_id"]), "visitor");
        assert_eq!(common(&["SELECT", "session"]), "SE");
        assert_eq!(common(&["a", "b"]), "");
    }
}
