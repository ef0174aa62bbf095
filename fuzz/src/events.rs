//! The native protocol on its own: every field of an event, its time, its addresses, its user agent.
//!
//! The first line of an input is the user agent of the request; the rest is the body.

use std::collections::HashMap;

use intake::protocol::imported::{self, Imported};
use intake::protocol::native::{find_sender, parse};
use intake::{Client, Context, Ids, Window};
use lake::{EventId, RawBatch};
use serde_json::value::RawValue;

const EVENTS_MAX: usize = 50;
const NOON_US: i64 = 1_772_366_400_000_000;
const HOUR_US: i64 = 3_600_000_000;

pub(crate) fn read(input: &[u8]) {
    let line_end = input.iter().position(|&byte| byte == b'\n').unwrap_or(0);
    let (user_agent, body) = input.split_at(line_end);
    for window in [Window::Live, Window::History] {
        let user_agent = Some(String::from_utf8_lossy(user_agent).into_owned());
        let client = Client { user_agent, ..Client::default() };
        let context = Context { site_id: "shop".into(), received_at_us: NOON_US, window, client, ids: Ids::seeded(1) };
        if let (Window::History, Ok(row)) = (window, std::str::from_utf8(body)) {
            match imported::parse(row.trim(), &context, || EventId([7; 16])) {
                Ok(Imported::Event(event)) => {
                    assert!((0..=NOON_US * 3).contains(&event.occurred_at_us) && !event.id_assigned, "{event:?}");
                    RawBatch::default().push(&event);
                }
                Ok(Imported::OfOtherSite) => {}
                Err(reason) => assert!(!reason.is_empty()),
            }
        }
        let sender = find_sender(body, EVENTS_MAX);
        let Ok(parsed) = parse(body, &context, EVENTS_MAX) else {
            assert!(sender.is_err(), "a body that has no events has a sender");
            continue;
        };
        assert!(sender.is_ok());
        assert!(parsed.events.len() + parsed.rejected.len() <= EVENTS_MAX);
        assert!(parsed.rejected.iter().all(|rejection| !rejection.reason.is_empty()));
        let mut batch = RawBatch::default();
        for event in &parsed.events {
            assert!(!event.name.trim().is_empty());
            let age_us = NOON_US - event.occurred_at_us;
            assert!(window == Window::History || (-HOUR_US / 12..=72 * HOUR_US).contains(&age_us), "{age_us}");
            assert!(window == Window::Live || (0..=NOON_US * 3).contains(&event.occurred_at_us), "{event:?}");
            assert!(event.revenue_e4.is_none_or(|money| money.abs() < 1_000_000_000_000_000_000));
            if let Some(properties) = &event.properties {
                // Numbers may exceed every numeric type: they keep their digits.
                let fields: HashMap<String, &RawValue> = serde_json::from_str(properties).unwrap();
                assert!(!fields.is_empty() && properties.len() <= 32 << 10);
            }
            batch.push(event);
        }
        let length = batch.len();
        assert_eq!(batch.into_batch().num_rows(), length);
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let agents = [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile/15E148 Safari/604.1",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "DoCoMo/2.0 P903i(c100;TB;W24H12)",
        "",
    ];
    let bodies = [
        r#"{"event_id":"4be2b2dd-4a59-4b91-b39d-2db84cdf31c5","name":"purchase","timestamp":"2026-03-01T11:59:00.5+02:00",
            "sent_at":1772366400000.25,"user_id":42,"anonymous_id":"a1","session_id":"s1","url":"https://shop.example/cart?utm_source=n%2B1&q=ä",
            "referrer":"//search.example/","title":"\ud83e\udd80","object":"buy","revenue":"-19.995e2","currency":"EUR","language":"de",
            "screen":"1920x1080","viewport":"1200x800","country":"DE","region":"BE","city":"Berlin","sdk":"web/1","properties":{"a":{"b":[1,2]}}}"#,
        r#"{"key":"k","sent_at":"2026-03-01 12:00:00","events":[{"name":"a","timestamp":1772366400000},{"name":7},[],null,{"name":"b","x":1e400}]}"#,
        "\u{feff}{\"name\":\"a\"}\r\n\r\n{\"name\":\"b\",\"user_agent\":\"curl/8\"}\r\nnot json\r\n",
        r#"{"event_id":"4be2b2dd4a594b91b39d2db84cdf31c5","site_id":"shop","name":"a","occurred_at":"2024-01-01T00:00:00Z",
            "received_at":"2024-01-01T00:00:07Z","is_bot":"t","protocol":"segment","visitor_id":"-7","revenue":-1.5,"path":null,
            "properties":"{\"a\":1.0}","corrected_by":5,"date":"2024-01-01"}"#,
        r#"[{"name":"a","url":"/a/b?q=1#/top","revenue":99999999999999.9999},{"name":"a","ip":"::1","key":"k"}]"#,
    ];
    agents.iter().flat_map(|agent| bodies.iter().map(move |body| format!("{agent}\n{body}").into_bytes())).collect()
}
