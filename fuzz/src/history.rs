//! Records of exports and lines of logs, in every format.
//!
//! The first byte chooses the format; the rest is a record as JSON, or a line.

use std::sync::LazyLock;

use intake::history::{Format, Header, Row, Told};
use intake::{Client, Context, Ids, Window};

const RECORDS: [&str; 7] = [
    r#"{"event_timestamp":"1772366400123456","event_name":"page_view","event_params":[{"key":"page_location","value":{"string_value":"https://shop.example/"}},{"key":"ga_session_id","value":{"int_value":"7"}}],"user_pseudo_id":"1.2","geo":{"country":"Germany"},"items":[{"item_id":"hat"}]}"#,
    r#"{"event":"page_view","event_id":"e","collector_tstamp":"2026-03-01 12:00:01.000","contexts":"{\"data\":[]}","useragent":"x","user_ipaddress":"192.0.2.1"}"#,
    r#"{"type":"track","event":"a","messageId":"m","userId":"u","timestamp":"2026-03-01T12:00:00Z","context":{"ip":"192.0.2.1"}}"#,
    r#"{"uuid":"u","event":"$pageview","distinct_id":"d","properties":"{\"$current_url\":\"/\"}","timestamp":"2026-03-01T12:00:00Z"}"#,
    r#"{"event_id":"e","session_id":"s","url_path":"/","created_at":"2026-03-01 12:00:00","device":"laptop","os":"Windows 10","event_data":{"n":1}}"#,
    r#"{"ts":1772366400.25,"request":{"remote_ip":"192.0.2.1","method":"GET","host":"shop.example","uri":"/","headers":{"User-Agent":["x"]}},"status":200}"#,
    r#"192.0.2.1 - - [01/Mar/2026:13:00:00 +0100] "GET /caf\xc3\xa9?a=1 HTTP/1.1" 200 5120 "-" "x\"y""#,
];

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let formats = 0..Format::shipped().len() as u8;
    formats.flat_map(|format| RECORDS.map(|record| [&[format], record.as_bytes()].concat())).collect()
}

/// Must end, and an event that is read has a time that the lake takes and keeps no address.
pub(crate) fn read(input: &[u8]) {
    static CONTEXT: LazyLock<Context> = LazyLock::new(|| Context {
        site_id: "shop".into(),
        received_at_us: 1_772_366_400_000_000,
        window: Window::History,
        client: Client::default(),
        ids: Ids::seeded(1),
    });
    let Some((chosen, rest)) = input.split_first() else { return };
    let format = &Format::shipped()[usize::from(*chosen) % Format::shipped().len()];
    let text = String::from_utf8_lossy(rest);
    let record = match format.is_log() {
        true => format.record(&text, &Header::default()),
        false => intake::history::object(&text).ok(),
    };
    let Some(record) = record else { return };
    let _ = intake::history::kept_of_record(record.clone());
    if let Ok(Row::Event(event, _)) = format.read(record, &Told::default(), &CONTEXT, Some(&[7; 32])) {
        assert!((0..4_133_980_800_000_000).contains(&event.occurred_at_us), "{event:?}");
        assert!(!event.name.trim().is_empty(), "{event:?}");
    }
}
