//! JSON as programs write it, which is not always JSON.
//!
//! A text is read as it stands, and only one that cannot be read is searched for the faults that programs are known to
//! make ([`mended`]). So what is right costs nothing more, and one odd character costs itself and not the event.

use std::borrow::Cow;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error};
use serde_json::value::RawValue;

/// What stands for a character that cannot be read.
const REPLACEMENT: &str = "\\ufffd";

/// The most digits of an integer that surely fits into 64 bits.
const DIGITS_MAX: usize = 19;

/// The most faults of a text that are put right. With more it is something else, and mending it would take many times
/// its memory.
const FAULTS_MAX: usize = 10_000;

/// A body as text, without the byte order mark that some editors and one popular framework begin with. Bytes that are
/// not UTF-8 become U+FFFD, unless most of them are not.
pub(crate) fn text_of(body: &[u8]) -> Result<Cow<'_, str>, String> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body).trim_ascii();
    match std::str::from_utf8(body) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(_) if body.utf8_chunks().nth(FAULTS_MAX).is_none() => Ok(String::from_utf8_lossy(body)),
        Err(error) => Err(format!("it is not UTF-8 from byte {} on", error.valid_up_to())),
    }
}

/// Reads JSON of any shape. Integers too large for 64 bits become strings: as numbers they would lose digits.
pub(crate) fn read<T: DeserializeOwned>(json: &str) -> serde_json::Result<T> {
    if has_long_integer(json)
        && let Some(exact) = mended(json)
    {
        return serde_json::from_str(&exact);
    }
    serde_json::from_str(json).or_else(|error| match mended(json) {
        Some(mended) => serde_json::from_str(&mended),
        None => Err(error),
    })
}

/// Reads JSON without looking into it.
pub(crate) fn raw(json: Cow<'_, str>) -> serde_json::Result<Cow<'_, RawValue>> {
    let error = match json {
        Cow::Borrowed(json) => match serde_json::from_str(json) {
            Ok(raw) => return Ok(Cow::Borrowed(raw)),
            Err(error) => error,
        },
        Cow::Owned(ref json) => match serde_json::from_str::<&RawValue>(json) {
            Ok(raw) => return Ok(Cow::Owned(raw.to_owned())),
            Err(error) => error,
        },
    };
    mended(&json).and_then(|mended| RawValue::from_string(mended).ok()).map(Cow::Owned).ok_or(error)
}

/// Reads a string; borrowed if it has no escapes.
pub(crate) fn text(json: &RawValue) -> serde_json::Result<Cow<'_, str>> {
    serde_json::from_str(json.get()).map(|Text(text)| text).or_else(|error| match mended(json.get()) {
        Some(mended) => serde_json::from_str(&mended).map(Cow::Owned),
        None => Err(error),
    })
}

/// A JSON string, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A JSON string that may need to be mended.
pub(crate) struct MendedText<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for MendedText<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(<&RawValue>::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

impl<'a> From<Text<'a>> for Cow<'a, str> {
    fn from(Text(text): Text<'a>) -> Self {
        text
    }
}

impl<'a> From<MendedText<'a>> for Cow<'a, str> {
    fn from(MendedText(text): MendedText<'a>) -> Self {
        text
    }
}

/// JSON with the faults put right that programs make; `None` if it has none of them, or too many.
///
/// - Half a surrogate pair, which JavaScript writes of a text cut within an emoji, becomes U+FFFD.
/// - A control character within a string is escaped, but for line ends, which separate events.
/// - `NaN` and the infinities of Python become null: nothing was measured.
/// - Numbers that 64 bits do not hold become strings, with all their digits.
pub(crate) fn mended(json: &str) -> Option<String> {
    let bytes = json.as_bytes();
    let (mut mended, mut copied, mut at, mut is_string, mut faults) = (String::new(), 0, 0, false, 0);
    while at < bytes.len() {
        let (length, instead) = match (is_string, bytes[at]) {
            (_, b'"') => {
                is_string = !is_string;
                (1, None)
            }
            (true, b'\n' | b'\r') => {
                is_string = false;
                (1, None)
            }
            (true, b'\\') => escape(&json[at..]),
            (true, control @ ..0x20) => (1, Some(Cow::Owned(format!("\\u{control:04x}")))),
            (false, b'N' | b'I' | b'-' | b'0'..=b'9') => number(&json[at..]),
            _ => (1, None),
        };
        if let Some(instead) = instead {
            mended.push_str(&json[copied..at]);
            mended.push_str(&instead);
            copied = at + length;
            faults += 1;
            if faults > FAULTS_MAX {
                return None;
            }
        }
        at += length;
    }
    (copied > 0).then(|| mended + &json[copied..])
}

/// The length of the escape that a text begins with, and what to write instead.
fn escape(json: &str) -> (usize, Option<Cow<'static, str>>) {
    const HIGH: std::ops::RangeInclusive<u32> = 0xd800..=0xdbff;
    const LOW: std::ops::RangeInclusive<u32> = 0xdc00..=0xdfff;
    let code = |from: usize| {
        let digits = json.get(from..from + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    match (code(0), code(6)) {
        (Some(first), Some(second)) if HIGH.contains(&first) && LOW.contains(&second) => (12, None),
        (Some(first), _) if HIGH.contains(&first) || LOW.contains(&first) => (6, Some(Cow::Borrowed(REPLACEMENT))),
        // The next character may be a longer one, which is passed over by its bytes.
        _ => (json.len().min(2), None),
    }
}

/// The length of the number that a text begins with, and what to write instead.
fn number(json: &str) -> (usize, Option<Cow<'static, str>>) {
    if let Some(name) = ["NaN", "Infinity", "-Infinity"].iter().find(|name| json.starts_with(**name)) {
        return (name.len(), Some(Cow::Borrowed("null")));
    }
    let is_inside = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    let length = json.bytes().take_while(|byte| is_inside(byte)).count().max(1);
    let number = &json[..length.min(json.len())];
    let fits = match number.bytes().skip(1).all(|byte| byte.is_ascii_digit()) {
        true => number.len() <= DIGITS_MAX || number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok(),
        false => number.parse::<f64>().is_ok_and(f64::is_finite),
    };
    // What is no number at all is for the reader to refuse.
    let is_number = serde_json::from_str::<&RawValue>(number).is_ok();
    (length, (!fits && is_number).then(|| Cow::Owned(format!("\"{number}\""))))
}

/// Whether a text has more digits in a row than surely fit into 64 bits, in a number or a string.
fn has_long_integer(json: &str) -> bool {
    let bytes = json.as_bytes();
    let is_digit = |byte: &&u8| byte.is_ascii_digit();
    // So many digits in a row cannot lie between two of these places.
    (DIGITS_MAX..bytes.len()).step_by(DIGITS_MAX + 1).any(|at| {
        bytes[at].is_ascii_digit() && {
            let before = bytes[..at].iter().rev().take_while(is_digit).count();
            let after = bytes[at..].iter().take_while(is_digit).count();
            before + after > DIGITS_MAX
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn half_a_surrogate_pair_is_one_odd_character() {
        for (sent, kept, sender) in [
            (r#""cut \ud83d""#, "cut \u{fffd}", "JavaScript, an emoji cut by slice"),
            (r#""\ude00 cut""#, "\u{fffd} cut", "JavaScript, its other half"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}", "half a pair before a whole one"),
            (r#""\ud83d\u0041""#, "\u{fffd}A", "half a pair before an escaped letter"),
            (r#""\ud83dA""#, "\u{fffd}A", "half a pair before a letter"),
            (r#""\uD83D\\ude00""#, "\u{fffd}\\ude00", "half a pair before a backslash"),
            (r#""\\ud83d""#, "\\ud83d", "a backslash and five letters"),
            (r#""\ud83d\ude00""#, "\u{1f600}", "Python's ensure_ascii, a whole pair"),
            ("\"a\tb\u{1}\"", "a\tb\u{1}", "a shell or SQL that escapes no control characters"),
        ] {
            assert_eq!(read::<String>(sent).unwrap(), kept, "{sender}");
            // As one field of many, too, but for what makes JSON of it no JSON.
            if let Ok(raw) = serde_json::from_str::<&RawValue>(sent) {
                assert_eq!(text(raw).unwrap(), kept, "{sender}");
            }
        }
    }

    #[test]
    fn what_python_and_big_numbers_write_is_kept() {
        check(r#"{"a":NaN,"b":[-Infinity,Infinity]}"#, r#"{"a":null,"b":[null,null]}"#);
        check(r#"{"a":"NaN"}"#, r#"{"a":"NaN"}"#);
        check("9007199254740993", "9007199254740993");
        check("18446744073709551615", "18446744073709551615");
        check("-9223372036854775808", "-9223372036854775808");
        check(r#"{"a":12345678901234567890123}"#, r#"{"a":"12345678901234567890123"}"#);
        check("[-12345678901234567890123, 1]", r#"["-12345678901234567890123",1]"#);
        check("[1e400,0.5000000000000000000000]", r#"["1e400",0.5]"#);
        check(r#""12345678901234567890123""#, r#""12345678901234567890123""#);
    }

    #[test]
    fn what_is_no_json_at_all_is_refused() {
        for json in ["", "{", r#"{"a":}"#, "nonsense", "NaNa", r#""\ud83"#, "01", "-", "\"\\", "\"a\nb\"", "\"\\ä"] {
            assert!(read::<Value>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_body_is_text_whatever_its_bytes() {
        for (body, text, sender) in [
            (&b"\xef\xbb\xbf {} \r\n"[..], "{}", ".NET's UTF8Encoding, PowerShell"),
            (b"{\"a\":\"M\xfcller\"}", "{\"a\":\"M\u{fffd}ller\"}", "a shell in Latin-1"),
            (b"\"\xed\xa0\xbd\"", "\"\u{fffd}\u{fffd}\u{fffd}\"", "Java's modified UTF-8, half a pair"),
            (b"\"cut \xc3\"", "\"cut \u{fffd}\"", "PHP, a letter cut by substr"),
            (b"", "", "nobody"),
        ] {
            assert_eq!(text_of(body).unwrap(), text, "{sender}");
        }
    }

    #[test]
    fn what_is_mostly_faults_is_something_else() {
        let faults = |fault: &str, count: usize| format!("\"{}\"", fault.repeat(count));
        assert!(mended(&faults("\t", FAULTS_MAX)).is_some_and(|mended| mended.len() == 6 * FAULTS_MAX + 2));
        assert_eq!(mended(&faults("\t", FAULTS_MAX + 1)), None);
        let bytes = [&b"\"a"[..], &b"\xff".repeat(FAULTS_MAX + 1)].concat();
        assert_eq!(text_of(&bytes).unwrap_err(), "it is not UTF-8 from byte 2 on");
    }

    proptest::proptest! {
        #[test]
        fn what_can_be_read_is_never_changed(text in "\\PC{0,20}", number: i64) {
            let json = serde_json::json!([text, number, {"a": text}]).to_string();
            proptest::prop_assert_eq!(mended(&json), None);
        }

        #[test]
        fn any_text_is_mended_or_left(json in r#"[\[\]{}:,"\\0-9a-fNIu\n\t -]{0,40}"#) {
            let _ = mended(&json);
            let _ = read::<Value>(&json);
        }
    }

    #[track_caller]
    fn check(sent: &str, expected: &str) {
        assert_eq!(read::<Value>(sent).unwrap().to_string(), expected, "{sent}");
    }
}
