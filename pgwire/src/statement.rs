//! What a client sends as one statement: a query for the engine, or one of the few others that a session answers itself.
//! Nothing here decides what is allowed: whatever is not recognised is a query, and the engine looks at its plan.

use datafusion::sql::sqlparser::ast::{CopyLegacyCsvOption, CopyLegacyOption, CopyOption, Statement as Parsed};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::copy::CopyForm;
use crate::failure::advice;
use crate::messages::Report;

/// One statement of a client's text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) kind: Kind,
    /// Characters of the client's text before the SQL that is in `kind`.
    pub(crate) before: usize,
}

/// What a statement is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A query, which the engine plans and may refuse.
    Query(String),
    /// The answer of a query as lines of text.
    Copy {
        sql: String,
        form: CopyForm,
    },
    Begin,
    Commit,
    Rollback,
    /// Back to a savepoint: a transaction that failed goes on.
    RollbackTo,
    /// Something of transactions, by its tag, that means nothing where nothing is written.
    Tolerated(&'static str),
    Set {
        name: String,
        value: String,
    },
    Show(String),
    /// Forgets prepared statements: one, or all.
    Deallocate(Option<String>),
    DiscardAll,
    Declare {
        cursor: String,
        sql: String,
    },
    /// The next rows of a cursor; none is all.
    Fetch {
        cursor: String,
        rows: Option<usize>,
    },
    CloseCursor(Option<String>),
    /// What is not done here, and what to do instead.
    Refused(Report),
}

/// The statements of a text. One that cannot be told apart is a query, so that the engine says what is wrong.
pub(crate) fn split(text: &str) -> Vec<Statement> {
    let dialect = PostgreSqlDialect {};
    let Ok(tokens) = Tokenizer::new(&dialect, text).tokenize_with_location() else {
        return vec![Statement { kind: Kind::Query(text.to_owned()), before: 0 }];
    };
    let places = Places::new(text);
    let mut statements = Vec::new();
    for tokens in tokens.split(|token| token.token == Token::SemiColon) {
        let words: Vec<&TokenWithSpan> =
            tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)).collect();
        if !words.is_empty() {
            statements.push(Words { text, places: &places, words }.statement());
        }
    }
    statements
}

/// Where lines begin in a text.
struct Places {
    /// For each line, its first byte and the number of characters before it.
    lines: Vec<(usize, usize)>,
}

impl Places {
    fn new(text: &str) -> Self {
        let mut lines = vec![(0, 0)];
        let mut chars = 0;
        for (place, c) in text.char_indices() {
            chars += 1;
            if c == '\n' {
                lines.push((place + 1, chars));
            }
        }
        Self { lines }
    }

    /// The byte at a location, and how many characters are before it.
    fn of(&self, text: &str, location: Location) -> (usize, usize) {
        let line = usize::try_from(location.line).unwrap_or(1).saturating_sub(1).min(self.lines.len() - 1);
        let (start, chars) = self.lines[line];
        let column = usize::try_from(location.column).unwrap_or(1).saturating_sub(1);
        let bytes: usize = text[start..].chars().take(column).map(char::len_utf8).sum();
        (start + bytes, chars + column)
    }
}

/// The words of a statement.
struct Words<'a> {
    text: &'a str,
    places: &'a Places,
    words: Vec<&'a TokenWithSpan>,
}

impl Words<'_> {
    fn statement(&self) -> Statement {
        let kind = match &*self.word(0) {
            "BEGIN" => Kind::Begin,
            "START" if self.word(1) == "TRANSACTION" => Kind::Begin,
            "COMMIT" | "END" => Kind::Commit,
            "ROLLBACK" | "ABORT" if self.has("TO") => Kind::RollbackTo,
            "ROLLBACK" | "ABORT" => Kind::Rollback,
            "SAVEPOINT" => Kind::Tolerated("SAVEPOINT"),
            "RELEASE" => Kind::Tolerated("RELEASE"),
            "UNLISTEN" => Kind::Tolerated("UNLISTEN"),
            "RESET" => Kind::Tolerated("RESET"),
            "SET" => self.set(),
            "SHOW" => self.show(),
            "DISCARD" if self.word(1) == "ALL" => Kind::DiscardAll,
            "DISCARD" => Kind::Tolerated("DISCARD"),
            "DEALLOCATE" => {
                let name = if self.word(1) == "PREPARE" { 2 } else { 1 };
                Kind::Deallocate((self.word(name) != "ALL").then(|| self.name(name)))
            }
            "CLOSE" => Kind::CloseCursor((self.word(1) != "ALL").then(|| self.name(1))),
            "DECLARE" => return self.declare(),
            "FETCH" | "MOVE" => self.fetch(),
            "COPY" => return self.copy(),
            "LISTEN" | "NOTIFY" => refused("LISTEN and NOTIFY", "Ask again from time to time."),
            "PREPARE" | "EXECUTE" => {
                refused("PREPARE and EXECUTE in SQL", "Let the driver prepare statements, by the extended protocol.")
            }
            "LOCK" => refused("LOCK", "A query sees the lake as it was when it began, without a lock."),
            _ => return self.query(0, self.words.len()),
        };
        Statement { kind, before: 0 }
    }

    /// The text from one word up to another, as a query.
    fn query(&self, from: usize, until: usize) -> Statement {
        let (sql, before) = self.slice(from, until);
        Statement { kind: Kind::Query(sql), before }
    }

    fn slice(&self, from: usize, until: usize) -> (String, usize) {
        let (Some(first), Some(last)) = (self.words.get(from), self.words.get(until.saturating_sub(1))) else {
            return (String::new(), 0);
        };
        let (start, before) = self.places.of(self.text, first.span.start);
        let (end, _) = self.places.of(self.text, last.span.end);
        (self.text.get(start..end.max(start)).unwrap_or_default().to_owned(), before)
    }

    /// A word in capitals; empty if there is none.
    fn word(&self, place: usize) -> String {
        match self.words.get(place).map(|word| &word.token) {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_uppercase(),
            _ => String::new(),
        }
    }

    /// A name, as it is compared.
    fn name(&self, place: usize) -> String {
        match self.words.get(place).map(|word| &word.token) {
            Some(Token::Word(word)) if word.quote_style.is_some() => word.value.clone(),
            Some(Token::Word(word)) => word.value.to_lowercase(),
            _ => String::new(),
        }
    }

    fn has(&self, wanted: &str) -> bool {
        (1..self.words.len()).any(|place| self.word(place) == wanted)
    }

    /// What stands behind a word, without quotes around it.
    fn rest(&self, from: usize) -> String {
        let text = |token: &Token| match token {
            Token::SingleQuotedString(text) => text.clone(),
            token => token.to_string(),
        };
        match &self.words.get(from..).unwrap_or_default() {
            [one] => text(&one.token),
            [] => String::new(),
            _ => self.slice(from, self.words.len()).0,
        }
    }

    fn set(&self) -> Kind {
        let mut at = 1;
        if matches!(&*self.word(at), "SESSION" | "LOCAL")
            && !matches!(&*self.word(2), "CHARACTERISTICS" | "AUTHORIZATION")
        {
            at += 1;
        }
        let (name, value) = match (&*self.word(at), &*self.word(at + 1)) {
            ("TIME", "ZONE") => ("timezone".to_owned(), at + 2),
            ("TRANSACTION", _) => ("transaction".to_owned(), at + 1),
            ("SESSION", "CHARACTERISTICS") => ("session characteristics".to_owned(), at + 2),
            ("SESSION", "AUTHORIZATION") => ("session authorization".to_owned(), at + 2),
            ("NAMES", _) => ("names".to_owned(), at + 1),
            ("ROLE", _) => ("role".to_owned(), at + 1),
            _ => {
                // A name may have parts: everything up to the sign.
                let is_sign = |place: &usize| {
                    self.word(*place) == "TO" || matches!(self.words[*place].token, Token::Eq | Token::Assignment)
                };
                let Some(sign) = (at + 1..self.words.len()).find(is_sign) else {
                    return Kind::Query(self.slice(0, self.words.len()).0);
                };
                (self.slice(at, sign).0, sign + 1)
            }
        };
        Kind::Set { name, value: self.rest(value) }
    }

    fn show(&self) -> Kind {
        match (&*self.word(1), &*self.word(2)) {
            ("TIME", "ZONE") => Kind::Show("TimeZone".into()),
            ("TRANSACTION", "ISOLATION") => Kind::Show("transaction_isolation".into()),
            ("TABLES" | "COLUMNS" | "FUNCTIONS", _) => Kind::Query(self.slice(0, self.words.len()).0),
            _ => Kind::Show(self.slice(1, self.words.len()).0),
        }
    }

    fn declare(&self) -> Statement {
        let Some(body) = (2..self.words.len()).find(|place| self.word(*place) == "FOR") else {
            return self.query(0, self.words.len());
        };
        let (sql, before) = self.slice(body + 1, self.words.len());
        Statement { kind: Kind::Declare { cursor: self.name(1), sql }, before }
    }

    fn fetch(&self) -> Kind {
        let mut at = 1;
        let mut rows = Some(1);
        if matches!(&*self.word(at), "FORWARD" | "NEXT") {
            at += 1;
        }
        match self.words.get(at).map(|word| &word.token) {
            Some(Token::Number(number, _)) => {
                rows = number.parse().ok();
                at += 1;
            }
            _ if self.word(at) == "ALL" => {
                rows = None;
                at += 1;
            }
            _ => {}
        }
        if matches!(&*self.word(at), "FROM" | "IN") {
            at += 1;
        }
        if self.word(0) == "MOVE" || at + 1 != self.words.len() {
            return refused("moving a cursor but forward by FETCH", "Fetch rows in their order.");
        }
        Kind::Fetch { cursor: self.name(at), rows }
    }

    /// `COPY (query) TO STDOUT …` and `COPY table [(columns)] TO STDOUT …`.
    fn copy(&self) -> Statement {
        let refuse = |hint| Statement { kind: refused("COPY but to STDOUT", hint), before: 0 };
        let mut depth = 0;
        let to = (1..self.words.len()).find(|place| {
            match self.words[*place].token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(&*self.word(*place), "TO" | "FROM")
        });
        let Some(to) = to else { return self.query(0, self.words.len()) };
        if self.word(to) == "FROM" {
            return refuse("Events come in through a collector or `dewpond import`.");
        }
        if self.word(to + 1) != "STDOUT" {
            return refuse("Write COPY (SELECT …) TO STDOUT; psql's \\copy writes a file where psql runs.");
        }
        let (sql, before) = match self.words[1].token {
            Token::LParen => self.slice(2, to - 1),
            _ => {
                let (table, before) = self.slice(1, to);
                match table.split_once('(') {
                    Some((table, columns)) => {
                        (format!("SELECT {} FROM {table}", columns.trim_end().trim_end_matches(')')), before)
                    }
                    None => (format!("SELECT * FROM {table}"), before),
                }
            }
        };
        match copy_form(&self.slice(to + 2, self.words.len()).0) {
            Ok(form) => Statement { kind: Kind::Copy { sql, form }, before },
            Err(report) => Statement { kind: Kind::Refused(report), before: 0 },
        }
    }
}

fn refused(what: &str, hint: &'static str) -> Kind {
    Kind::Refused(advice("0A000", format!("{what} is not supported"), hint))
}

/// The form that stands behind `TO STDOUT`.
fn copy_form(options: &str) -> Result<CopyForm, Report> {
    let wrong = |what: &str| {
        advice(
            "0A000",
            format!("COPY … TO STDOUT does not understand {what}"),
            "It understands FORMAT text and csv, HEADER, DELIMITER, NULL, QUOTE, ESCAPE and FORCE_QUOTE *.",
        )
    };
    let parsed = Parser::new(&PostgreSqlDialect {})
        .try_with_sql(&format!("COPY t TO STDOUT {options}"))
        .and_then(|mut parser| parser.parse_statement());
    let Ok(Parsed::Copy { options, legacy_options, .. }) = parsed else { return Err(wrong(options)) };
    let mut form = CopyForm::default();
    let is_csv = options
        .iter()
        .any(|option| matches!(option, CopyOption::Format(format) if format.value.eq_ignore_ascii_case("csv")))
        || legacy_options.iter().any(|option| matches!(option, CopyLegacyOption::Csv(_)));
    if is_csv {
        form = CopyForm::csv();
    }
    for option in options {
        match option {
            CopyOption::Format(format) if matches!(&*format.value.to_lowercase(), "csv" | "text") => {}
            CopyOption::Header(header) => form.header = header,
            CopyOption::Delimiter(delimiter) => form.delimiter = delimiter,
            CopyOption::Null(null) => form.null = null,
            CopyOption::Quote(quote) => form.quote = quote,
            CopyOption::Escape(escape) => form.escape = escape,
            CopyOption::Encoding(encoding) if matches!(&*encoding.to_lowercase(), "utf8" | "utf-8") => {}
            other => return Err(wrong(&other.to_string())),
        }
    }
    for option in legacy_options {
        match option {
            CopyLegacyOption::Header => form.header = true,
            CopyLegacyOption::Delimiter(delimiter) => form.delimiter = delimiter,
            CopyLegacyOption::Null(null) => form.null = null,
            CopyLegacyOption::Csv(options) => {
                for option in options {
                    match option {
                        CopyLegacyCsvOption::Header => form.header = true,
                        CopyLegacyCsvOption::Quote(quote) => form.quote = quote,
                        CopyLegacyCsvOption::Escape(escape) => form.escape = escape,
                        other => return Err(wrong(&other.to_string())),
                    }
                }
            }
            other => return Err(wrong(&other.to_string())),
        }
    }
    Ok(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        split(text).into_iter().map(|statement| statement.kind).collect()
    }

    fn query(sql: &str) -> Kind {
        Kind::Query(sql.into())
    }

    #[test]
    fn a_text_is_cut_at_its_semicolons_and_not_in_quotes() {
        assert_eq!(
            kinds(" SELECT ';' ; -- one;\n SELECT $$;$$ /* ; */;;"),
            [query("SELECT ';'"), query("SELECT $$;$$")]
        );
        assert_eq!(kinds(" ; -- nothing"), []);
        assert_eq!(kinds("SELECT 'open"), [query("SELECT 'open")]);
        let second = &split("SELECT 'ä';\n  SELECT x")[1];
        assert_eq!((second.before, &second.kind), (14, &query("SELECT x")));
    }

    #[test]
    fn a_session_answers_a_few_statements_itself() {
        let set = |name: &str, value: &str| Kind::Set { name: name.into(), value: value.into() };
        let fetch = |cursor: &str, rows| Kind::Fetch { cursor: cursor.into(), rows };
        for (text, expected) in [
            ("begin read only", Kind::Begin),
            ("START TRANSACTION ISOLATION LEVEL READ COMMITTED", Kind::Begin),
            ("commit", Kind::Commit),
            ("ROLLBACK TO SAVEPOINT a", Kind::RollbackTo),
            ("rollback", Kind::Rollback),
            ("SET extra_float_digits = 3", set("extra_float_digits", "3")),
            ("set session timezone to 'Europe/Berlin'", set("timezone", "Europe/Berlin")),
            ("SET TIME ZONE 'UTC'", set("timezone", "UTC")),
            (
                "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
                set("session characteristics", "AS TRANSACTION READ ONLY"),
            ),
            ("SET datafusion.execution.batch_size = 1", set("datafusion.execution.batch_size", "1")),
            ("SHOW server_version", Kind::Show("server_version".into())),
            ("SHOW TRANSACTION ISOLATION LEVEL", Kind::Show("transaction_isolation".into())),
            ("SHOW TABLES", query("SHOW TABLES")),
            ("DEALLOCATE ALL", Kind::Deallocate(None)),
            ("DEALLOCATE PREPARE \"S_1\"", Kind::Deallocate(Some("S_1".into()))),
            (
                "DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT 1",
                Kind::Declare { cursor: "c".into(), sql: "SELECT 1".into() },
            ),
            ("FETCH FORWARD 100 FROM \"C\"", fetch("C", Some(100))),
            ("fetch all in c", fetch("c", None)),
            ("FETCH c", fetch("c", Some(1))),
            ("CLOSE c", Kind::CloseCursor(Some("c".into()))),
            ("INSERT INTO events VALUES (1)", query("INSERT INTO events VALUES (1)")),
        ] {
            assert_eq!(kinds(text), [expected], "{text}");
        }
    }

    #[test]
    fn copy_goes_to_the_client_and_nowhere_else() {
        let copy = |sql: &str, form| [Kind::Copy { sql: sql.into(), form }];
        let csv = CopyForm::csv();
        assert_eq!(kinds("COPY (SELECT (1) FROM a) TO STDOUT"), copy("SELECT (1) FROM a", CopyForm::default()));
        assert_eq!(
            kinds("copy ( select 1 ) to stdout csv header"),
            copy("select 1", CopyForm { header: true, ..csv.clone() })
        );
        assert_eq!(
            kinds("COPY events (name, url) TO STDOUT WITH (FORMAT csv, DELIMITER ';', NULL '-')"),
            copy("SELECT name, url FROM events ", CopyForm { delimiter: ';', null: "-".into(), ..csv })
        );
        for refused in [
            "COPY events FROM STDIN",
            "COPY (SELECT 1) TO '/tmp/x'",
            "COPY (SELECT 1) TO PROGRAM 'sh'",
            "COPY events FROM '/etc/passwd'",
            "COPY (SELECT 1) TO STDOUT (FORMAT binary)",
        ] {
            assert!(matches!(kinds(refused)[..], [Kind::Refused(_)]), "{refused}");
        }
    }
}
