//! The messages of protocol 3.0: those of clients, read from bytes that anybody may have sent, and those of a server.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The longest message of somebody who has not shown a key yet.
const GREETING_BYTES_MAX: usize = 10_000;

/// The longest message of a client: a statement, or the values of its parameters.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// Bytes that are no message. Nothing more can be read from this client.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// A message that is longer than it may be.
    #[error("a message of {bytes} bytes is longer than {bytes_max}: send less at a time")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A message that does not say what its kind has to say.
    #[error("a message is not as the protocol has it")]
    Invalid,
}

/// The first message of a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// Wants to go on encrypted.
    Tls,
    /// Wants GSSAPI, which there is not.
    Gss,
    /// Wants the query of another connection to end.
    Cancel { process: i32, secret: i32 },
    /// Begins a session.
    Startup { major: u16, minor: u16, settings: Vec<(String, String)> },
}

/// A message of a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Query(String),
    Parse {
        statement: String,
        sql: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    Describe(Target),
    Execute {
        portal: String,
        rows_max: usize,
    },
    Close(Target),
    Flush,
    Sync,
    Terminate,
    /// An answer to a question about the password; what it means depends on the question.
    Password(Bytes),
    /// Rows for the server, which takes none.
    CopyIn,
}

/// Values for a statement's parameters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) portal: String,
    pub(crate) statement: String,
    pub(crate) formats: Vec<Format>,
    pub(crate) values: Vec<Option<Bytes>>,
    pub(crate) result_formats: Vec<Format>,
}

/// What a message is about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Statement(String),
    Portal(String),
}

/// How values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Text,
    Binary,
}

/// One format for each of so many values: a message gives none, one for all, or one for each.
pub(crate) fn format_of(formats: &[Format], place: usize) -> Option<Format> {
    match formats {
        [] => Some(Format::Text),
        [format] => Some(*format),
        formats => formats.get(place).copied(),
    }
}

/// Takes a client's first message, once all of it is there.
pub(crate) fn take_greeting(bytes: &mut BytesMut) -> Result<Option<Greeting>, Malformed> {
    let Some(mut fields) = take_frame(bytes, 0, GREETING_BYTES_MAX)? else { return Ok(None) };
    let greeting = match fields.u32()? {
        SSL_REQUEST => Greeting::Tls,
        GSS_REQUEST => Greeting::Gss,
        // Longer keys belong to protocol 3.2, which is not offered.
        CANCEL_REQUEST => Greeting::Cancel { process: fields.u32()? as i32, secret: fields.u32()? as i32 },
        version => {
            let mut settings = Vec::new();
            loop {
                let name = fields.text()?;
                if name.is_empty() {
                    break;
                }
                settings.push((name, fields.text()?));
            }
            Greeting::Startup { major: (version >> 16) as u16, minor: version as u16, settings }
        }
    };
    fields.end()?;
    Ok(Some(greeting))
}

/// Takes a client's next message, once all of it is there.
///
/// - `known`: whether the client has shown who it is; if not, messages are short.
pub(crate) fn take_request(bytes: &mut BytesMut, known: bool) -> Result<Option<Request>, Malformed> {
    let Some(&kind) = bytes.first() else { return Ok(None) };
    let bytes_max = if known { MESSAGE_BYTES_MAX } else { GREETING_BYTES_MAX };
    let Some(mut fields) = take_frame(bytes, 1, bytes_max)? else { return Ok(None) };
    let request = match kind {
        b'Q' => Request::Query(fields.text()?),
        b'P' => {
            let (statement, sql) = (fields.text()?, fields.text()?);
            Request::Parse { statement, sql, types: fields.list(4, Fields::u32)? }
        }
        b'B' => Request::Bind(Bind {
            portal: fields.text()?,
            statement: fields.text()?,
            formats: fields.list(2, Fields::format)?,
            values: fields.list(4, Fields::value)?,
            result_formats: fields.list(2, Fields::format)?,
        }),
        b'D' => Request::Describe(fields.target()?),
        b'C' => Request::Close(fields.target()?),
        // A negative number is no limit, like zero.
        b'E' => {
            Request::Execute { portal: fields.text()?, rows_max: usize::try_from(fields.u32()? as i32).unwrap_or(0) }
        }
        b'H' => Request::Flush,
        b'S' => Request::Sync,
        b'X' => Request::Terminate,
        b'p' => Request::Password(fields.rest()),
        b'd' | b'c' | b'f' => {
            fields.rest();
            Request::CopyIn
        }
        _ => return Err(Malformed::Invalid),
    };
    fields.end()?;
    Ok(Some(request))
}

/// What an answer to the list of SASL mechanisms says: the mechanism, and the client's first message of it.
pub(crate) fn sasl_initial(bytes: Bytes) -> Result<(String, Bytes), Malformed> {
    let mut fields = Fields(bytes);
    let mechanism = fields.text()?;
    let first = fields.value()?.ok_or(Malformed::Invalid)?;
    fields.end()?;
    Ok((mechanism, first))
}

/// Takes the fields of a message whose length stands at `offset`, once all of it is there.
fn take_frame(bytes: &mut BytesMut, offset: usize, bytes_max: usize) -> Result<Option<Fields>, Malformed> {
    let Some(mut length) = bytes.get(offset..offset + 4) else { return Ok(None) };
    // The length counts itself.
    let length = length.get_u32() as usize;
    if length < 4 {
        return Err(Malformed::Invalid);
    }
    if length > bytes_max {
        return Err(Malformed::TooLong { bytes: length, bytes_max });
    }
    if bytes.len() < offset + length {
        bytes.reserve(offset + length - bytes.len());
        return Ok(None);
    }
    let mut frame = bytes.split_to(offset + length);
    frame.advance(offset + 4);
    Ok(Some(Fields(frame.freeze())))
}

/// What is left of one message. Reading never goes beyond it.
struct Fields(Bytes);

impl Fields {
    fn u16(&mut self) -> Result<u16, Malformed> {
        self.0.try_get_u16().map_err(|_| Malformed::Invalid)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.0.try_get_u32().map_err(|_| Malformed::Invalid)
    }

    /// Text up to a zero.
    fn text(&mut self) -> Result<String, Malformed> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(Malformed::Invalid)?;
        let text = self.0.split_to(end);
        self.0.advance(1);
        String::from_utf8(text.into()).map_err(|_| Malformed::Invalid)
    }

    fn format(&mut self) -> Result<Format, Malformed> {
        match self.u16()? {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            _ => Err(Malformed::Invalid),
        }
    }

    /// A value behind its length; a negative length stands for null.
    fn value(&mut self) -> Result<Option<Bytes>, Malformed> {
        match usize::try_from(self.u32()? as i32) {
            Err(_) => Ok(None),
            Ok(length) if length <= self.0.len() => Ok(Some(self.0.split_to(length))),
            Ok(_) => Err(Malformed::Invalid),
        }
    }

    /// Items behind their number.
    ///
    /// - `item_bytes`: the fewest that an item has, so that no number makes room for more than there can be.
    fn list<T>(&mut self, item_bytes: usize, item: fn(&mut Self) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        let count = usize::from(self.u16()?);
        if count * item_bytes > self.0.len() {
            return Err(Malformed::Invalid);
        }
        (0..count).map(|_| item(self)).collect()
    }

    fn target(&mut self) -> Result<Target, Malformed> {
        let kind = self.0.try_get_u8().map_err(|_| Malformed::Invalid)?;
        match kind {
            b'S' => Ok(Target::Statement(self.text()?)),
            b'P' => Ok(Target::Portal(self.text()?)),
            _ => Err(Malformed::Invalid),
        }
    }

    fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Invalid) }
    }
}

/// Whether a session is between transactions, in one, or in one that has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Transaction {
    #[default]
    None,
    Open,
    Failed,
}

/// One column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnHeader {
    pub(crate) name: String,
    pub(crate) type_oid: u32,
    pub(crate) type_bytes: i16,
    pub(crate) format: Format,
}

/// What a client is told when something went wrong, or to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// The character of the statement at which it is wrong, counted from 1.
    pub(crate) position: Option<usize>,
}

/// Writes messages of a server.
pub(crate) struct Answers<'a>(pub(crate) &'a mut BytesMut);

impl Answers<'_> {
    fn message(&mut self, kind: u8, body: impl FnOnce(&mut BytesMut)) {
        self.0.put_u8(kind);
        let start = self.0.len();
        self.0.put_u32(0);
        body(self.0);
        let length = (self.0.len() - start) as u32;
        self.0[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    fn try_message<E>(&mut self, kind: u8, body: impl FnOnce(&mut BytesMut) -> Result<(), E>) -> Result<(), E> {
        let start = self.0.len();
        let mut written = Ok(());
        self.message(kind, |out| written = body(out));
        if written.is_err() {
            self.0.truncate(start);
        }
        written
    }

    fn empty(&mut self, kind: u8) {
        self.message(kind, |_| {});
    }

    pub(crate) fn authentication_ok(&mut self) {
        self.message(b'R', |out| out.put_u32(0));
    }

    pub(crate) fn sasl_mechanisms(&mut self, mechanisms: &[&str]) {
        self.message(b'R', |out| {
            out.put_u32(10);
            mechanisms.iter().for_each(|mechanism| put_text(out, mechanism));
            out.put_u8(0);
        });
    }

    pub(crate) fn sasl_continue(&mut self, message: &str) {
        self.message(b'R', |out| {
            out.put_u32(11);
            out.put_slice(message.as_bytes());
        });
    }

    pub(crate) fn sasl_final(&mut self, message: &str) {
        self.message(b'R', |out| {
            out.put_u32(12);
            out.put_slice(message.as_bytes());
        });
    }

    pub(crate) fn setting(&mut self, name: &str, value: &str) {
        self.message(b'S', |out| {
            put_text(out, name);
            put_text(out, value);
        });
    }

    pub(crate) fn cancel_key(&mut self, process: i32, secret: i32) {
        self.message(b'K', |out| {
            out.put_i32(process);
            out.put_i32(secret);
        });
    }

    /// That the protocol is 3.0, and which of the options of others are not known.
    pub(crate) fn older_protocol(&mut self, options: &[&str]) {
        self.message(b'v', |out| {
            out.put_u32(0);
            out.put_u32(options.len() as u32);
            options.iter().for_each(|option| put_text(out, option));
        });
    }

    pub(crate) fn ready(&mut self, transaction: Transaction) {
        let state = match transaction {
            Transaction::None => b'I',
            Transaction::Open => b'T',
            Transaction::Failed => b'E',
        };
        self.message(b'Z', |out| out.put_u8(state));
    }

    pub(crate) fn parsed(&mut self) {
        self.empty(b'1');
    }

    pub(crate) fn bound(&mut self) {
        self.empty(b'2');
    }

    pub(crate) fn closed(&mut self) {
        self.empty(b'3');
    }

    pub(crate) fn suspended(&mut self) {
        self.empty(b's');
    }

    pub(crate) fn no_rows(&mut self) {
        self.empty(b'n');
    }

    pub(crate) fn empty_query(&mut self) {
        self.empty(b'I');
    }

    pub(crate) fn done(&mut self, tag: &str) {
        self.message(b'C', |out| put_text(out, tag));
    }

    pub(crate) fn parameters(&mut self, type_oids: &[u32]) {
        self.message(b't', |out| {
            out.put_u16(type_oids.len() as u16);
            type_oids.iter().for_each(|oid| out.put_u32(*oid));
        });
    }

    pub(crate) fn columns(&mut self, columns: &[ColumnHeader]) {
        self.message(b'T', |out| {
            out.put_u16(columns.len() as u16);
            for column in columns {
                put_text(out, &column.name);
                // No table's column that could be written to.
                out.put_u32(0);
                out.put_u16(0);
                out.put_u32(column.type_oid);
                out.put_i16(column.type_bytes);
                out.put_i32(-1);
                out.put_u16(format_code(column.format));
            }
        });
    }

    /// A row whose values `write` puts, each behind its length. Nothing is left of one that fails.
    pub(crate) fn row<E>(
        &mut self,
        columns: usize,
        write: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<(), E> {
        self.try_message(b'D', |out| {
            out.put_u16(columns as u16);
            write(out)
        })
    }

    pub(crate) fn copy_out(&mut self, columns: usize) {
        self.message(b'H', |out| {
            out.put_u8(0);
            out.put_u16(columns as u16);
            (0..columns).for_each(|_| out.put_u16(0));
        });
    }

    /// A line of text that `write` puts. Nothing is left of one that fails.
    pub(crate) fn copy_data<E>(&mut self, write: impl FnOnce(&mut BytesMut) -> Result<(), E>) -> Result<(), E> {
        self.try_message(b'd', write)
    }

    pub(crate) fn copy_done(&mut self) {
        self.empty(b'c');
    }

    pub(crate) fn error(&mut self, severity: &str, report: &Report) {
        self.message(b'E', |out| {
            let mut field = |name: u8, value: &str| {
                out.put_u8(name);
                put_text(out, value);
            };
            field(b'S', severity);
            field(b'V', severity);
            field(b'C', report.code);
            field(b'M', &report.message);
            if let Some(hint) = &report.hint {
                field(b'H', hint);
            }
            if let Some(position) = report.position {
                field(b'P', &position.to_string());
            }
            out.put_u8(0);
        });
    }
}

fn format_code(format: Format) -> u16 {
    match format {
        Format::Text => 0,
        Format::Binary => 1,
    }
}

/// Text and a zero. A zero in the text would end it: it is left out.
fn put_text(out: &mut BytesMut, text: &str) {
    text.bytes().filter(|byte| *byte != 0).for_each(|byte| out.put_u8(byte));
    out.put_u8(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: &[u8], body: &[u8]) -> BytesMut {
        let length = (body.len() as u32 + 4).to_be_bytes();
        BytesMut::from(&[kind, &length, body].concat()[..])
    }

    #[test]
    fn a_request_is_taken_once_it_is_whole() {
        let whole = frame(b"Q", b"SELECT 1\0");
        for length in 0..whole.len() {
            let mut part = BytesMut::from(&whole[..length]);
            assert_eq!(take_request(&mut part, true), Ok(None), "{length} bytes");
            assert_eq!(part.len(), length, "nothing is taken of a part");
        }
        let mut two = BytesMut::from(&[&whole[..], &frame(b"S", b"")[..]].concat()[..]);
        assert_eq!(take_request(&mut two, true), Ok(Some(Request::Query("SELECT 1".into()))));
        assert_eq!(take_request(&mut two, true), Ok(Some(Request::Sync)));
        assert_eq!(take_request(&mut two, true), Ok(None));
    }

    #[test]
    fn the_values_of_a_statement_are_read() {
        let body = b"\0s\0\0\x01\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\0";
        let bind = Bind {
            portal: String::new(),
            statement: "s".into(),
            formats: vec![Format::Binary],
            values: vec![Some("ab".into()), None],
            result_formats: vec![],
        };
        assert_eq!(take_request(&mut frame(b"B", body), true), Ok(Some(Request::Bind(bind))));
    }

    #[test]
    fn what_is_no_message_is_refused_and_reads_nothing_of_the_next() {
        for (kind, body) in [
            (&b"Q"[..], &b"no end"[..]),
            (b"Q", b"more\0than one\0"),
            (b"Q", b"\xff\xfe\0"),
            (b"P", b"\0\0\xff\xff"),
            (b"B", b"\0\0\0\0\0\x01\0\0\0\x09short\0\0"),
            (b"B", b"\0\0\0\x01\0\x02\0\0\0\0"),
            (b"D", b"X\0"),
            (b"E", b"\0\0\0"),
            (b"?", b""),
        ] {
            let mut bytes = frame(kind, body);
            bytes.extend_from_slice(&[b'S', 0, 0, 0, 4].repeat(20));
            assert_eq!(take_request(&mut bytes, true), Err(Malformed::Invalid), "{kind:?} {body:?}");
        }
        assert_eq!(take_request(&mut BytesMut::from(&b"Q\0\0\0\x03"[..]), true), Err(Malformed::Invalid));
    }

    #[test]
    fn a_long_message_is_refused_before_it_is_there() {
        let long = |length: u32| BytesMut::from(&[&b"Q"[..], &length.to_be_bytes()].concat()[..]);
        assert!(matches!(take_request(&mut long(u32::MAX), true), Err(Malformed::TooLong { .. })));
        assert!(matches!(take_request(&mut long(10_001), false), Err(Malformed::TooLong { .. })));
        assert_eq!(take_request(&mut long(10_001), true), Ok(None));
        let mut greeting = BytesMut::from(&b"\0\xff\0\0"[..]);
        assert!(matches!(take_greeting(&mut greeting), Err(Malformed::TooLong { .. })));
    }

    #[test]
    fn a_greeting_is_read() {
        let take = |body: &[u8]| take_greeting(&mut frame(b"", body));
        assert_eq!(take(&SSL_REQUEST.to_be_bytes()), Ok(Some(Greeting::Tls)));
        assert_eq!(take(&GSS_REQUEST.to_be_bytes()), Ok(Some(Greeting::Gss)));
        let cancel = [&CANCEL_REQUEST.to_be_bytes()[..], &[0, 0, 0, 7, 0, 0, 0, 9]].concat();
        assert_eq!(take(&cancel), Ok(Some(Greeting::Cancel { process: 7, secret: 9 })));
        let startup = Greeting::Startup { major: 3, minor: 2, settings: vec![("user".into(), "a".into())] };
        assert_eq!(take(b"\0\x03\0\x02user\0a\0\0"), Ok(Some(startup)));
        assert_eq!(take(b"\0\x03\0\0user\0a\0"), Err(Malformed::Invalid));
        assert_eq!(take(b"\0\x03"), Err(Malformed::Invalid));
    }
}
