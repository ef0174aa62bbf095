//! What programs really send, in every protocol: odd characters, null for "absent", numbers too large for a double, money
//! for people. Each table says who writes a line of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::sync::Arc;

use bytes::Bytes;
use intake::protocol::amplitude::Amplitude;
use intake::protocol::ga4::Ga4;
use intake::protocol::jitsu::Jitsu;
use intake::protocol::mixpanel::MIXPANEL;
use intake::protocol::native::Native;
use intake::protocol::otlp::OTLP_JSON;
use intake::protocol::pixel::Pixel;
use intake::protocol::plausible::Plausible;
use intake::protocol::posthog::PostHog;
use intake::protocol::segment::{Segment, SegmentPixel};
use intake::protocol::snowplow::{Snowplow, SnowplowPixel};
use intake::protocol::umami::{Umami, UmamiBatch};
use intake::protocol::visits::Visits;
use intake::protocol::{Message, Parsed, Protocol, Sender};
use intake::{Client, Context, Ids, Window};
use lake::Event;

const SNOWPLOW: &str = "/com.snowplowanalytics.snowplow/tp2";
const GA4: &str = "/mp/collect?api_secret=k";

/// An event in the body of each protocol, with a text `TEXT` in a property that is called `NAME`.
const BODIES: [(&dyn Protocol, &str, &str); 13] = [
    (&Native, "/v1/events", r#"{"key":"k","name":"a","user_id":"u","properties":{"NAME":"TEXT"}}"#),
    (&Native, "/v1/events", r#"{"key":"k","events":[{"name":"a","user_id":"u","p":{"NAME":["TEXT"]}}]}"#),
    (&Segment, "/v1/track", r#"{"writeKey":"k","type":"track","event":"a","userId":"u","properties":{"NAME":"TEXT"}}"#),
    (
        &Segment,
        "/v1/batch",
        r#"{"writeKey":"k","batch":[{"type":"track","event":"a","userId":"u","properties":{"NAME":"TEXT"}}]}"#,
    ),
    (&PostHog, "/e", r#"[{"event":"a","distinct_id":"u","properties":{"token":"k","NAME":"TEXT"}}]"#),
    (&Plausible, "/api/event", r#"{"n":"a","u":"https://a.example/","d":"k","p":{"NAME":"TEXT"}}"#),
    (&Umami, "/api/send", r#"{"type":"event","payload":{"website":"k","name":"a","data":{"NAME":"TEXT"}}}"#),
    (&Ga4, GA4, r#"{"client_id":"c","events":[{"name":"a","params":{"NAME":"TEXT"}}]}"#),
    (&Snowplow, SNOWPLOW, r#"{"data":[{"e":"se","aid":"k","se_ac":"a","se_la":"TEXT"}]}"#),
    (
        &Amplitude,
        "/2/httpapi",
        r#"{"api_key":"k","events":[{"event_type":"a","user_id":"u","event_properties":{"NAME":"TEXT"}}]}"#,
    ),
    (&MIXPANEL, "/track", r#"[{"event":"a","properties":{"token":"k","distinct_id":"u","NAME":"TEXT"}}]"#),
    (&Jitsu, "/api/s/track", r#"{"writeKey":"k:***","event":"a","userId":"u","properties":{"NAME":"TEXT"}}"#),
    (
        &OTLP_JSON,
        "/v1/logs",
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"attributes":[{"key":"NAME","value":{"stringValue":"TEXT"}}]}]}]}]}"#,
    ),
];

#[test]
fn an_odd_character_is_one_odd_character_in_every_protocol() {
    for (sent, kept, sender) in [
        (&br"cut \ud83d"[..], "cut \u{fffd}", "JavaScript: JSON.stringify of an emoji cut by slice"),
        (br"\ude00 cut", "\u{fffd} cut", "JavaScript: the other half of it"),
        (br"\uD83D\uD83D\uDE00", "\u{fffd}\u{1f600}", "C#: half a pair before a whole one"),
        (br"\ud83d\n", "\u{fffd}\n", "Python: json.dumps of a surrogateescape"),
        (b"M\xfcller", "M\u{fffd}ller", "a shell or PHP in Latin-1"),
        (b"cut \xe2\x82", "cut \u{fffd}", "PHP: a sign cut by substr"),
        (b"\xed\xa0\xbd", "\u{fffd}\u{fffd}\u{fffd}", "Java: half a pair in modified UTF-8"),
        (b"a\tb", "a\tb", "SQL or a shell that joins texts to JSON"),
        (br"\u0000", "\0", "C: a text with its end"),
    ] {
        for (protocol, path, body) in BODIES {
            for name in [&b"p"[..], br"\ud83d", b"\xff"] {
                let body = replaced(replaced(body.as_bytes().to_vec(), b"TEXT", sent), b"NAME", name);
                let event = event(protocol, path, &body);
                let properties = event.properties.unwrap();
                let texts = texts_of(&serde_json::from_str(&properties).unwrap());
                assert!(texts.contains(&kept.to_owned()), "{sender}, {path}: {properties}");
                // The sender is found, and the same body is the same event. Two protocols have none in their bodies.
                if ![GA4, "/v1/logs"].contains(&path) {
                    let found = protocol.sender_of_body(&message(path, &body), 10).unwrap();
                    assert!(matches!(found, Some(Sender::Key(k) | Sender::Domain(k)) if k == "k"), "{sender}, {path}");
                }
                if !event.id_assigned {
                    assert_eq!(self::event(protocol, path, &body).event_id, event.event_id);
                }
            }
        }
    }
}

#[test]
fn half_a_pair_in_a_name_an_id_or_json_within_json_keeps_the_event() {
    for (protocol, path, body, expected) in [
        (
            &Native as &dyn Protocol,
            "/v1/events",
            r#"{"name":"\ud83d","title":"\ud83d"}"#,
            "\u{fffd} | - | - | - | - | - | -",
        ),
        (
            &Visits,
            "/visits",
            r#"{"identifier":"v\ud83d","pageUrl":"https://a.example/","visitedAt":1772366400}"#,
            "page_view | - | v\u{fffd} | - | https://a.example/ | - | -",
        ),
        (
            &Segment,
            "/v1/track",
            r#"{"\udc00":1,"event":"\udc00","userId":"\udc00"}"#,
            "\u{fffd} | \u{fffd} | - | - | - | - | -",
        ),
        (&PostHog, "/e", r#"{"event":"a","distinct_id":"\ud83d"}"#, "a | \u{fffd} | - | - | - | - | -"),
        // The props of Plausible's older script are JSON in a string, and so are events of Snowplow.
        (
            &Plausible,
            "/api/event",
            r#"{"n":"a","u":"/","d":"d","p":"{\"k\":\"\\ud83d\"}"}"#,
            "a | - | - | - | / | - | {\"k\":\"\u{fffd}\"}",
        ),
        (
            &Snowplow,
            SNOWPLOW,
            r#"{"data":[{"e":"ue","ue_pr":"{\"data\":{\"schema\":\"iglu:x/a/y/1\",\"data\":{\"k\":\"\\ud83d\"}}}"}]}"#,
            "a | - | - | - | - | - | {\"k\":\"\u{fffd}\"}",
        ),
        (
            &Umami,
            "/api/send",
            r#"{"type":"event","payload":{"website":"s","name":"\ud83d","id":"\ud83d"}}"#,
            "\u{fffd} | \u{fffd} | - | - | - | - | -",
        ),
        (
            &Ga4,
            GA4,
            r#"{"client_id":"\ud83d","events":[{"name":"\ud83d"}]}"#,
            "\u{fffd} | - | \u{fffd} | - | - | - | -",
        ),
        // A script that cuts an emoji within its escapes, in an address.
        (&Pixel, "/v1/pixel.gif?name=a&title=%F0%9F&x=%E4", "", "a | - | - | - | - | - | {\"x\":\"\u{fffd}\"}"),
        (&SnowplowPixel, "/i?e=pv&uid=%ED%A0&url=%FF", "", "page_view | \u{fffd}\u{fffd} | - | - | \u{fffd} | - | -"),
    ] {
        check(protocol, path, body, expected);
    }
}

#[test]
fn a_number_that_python_calls_one_is_null() {
    for (protocol, path, body) in BODIES {
        let body = body.replace("\"TEXT\"", "NaN").replace("NAME", "p");
        assert_eq!(parse(protocol, path, body.as_bytes()).rejected, [], "{path}");
    }
    check(&Native, "/v1/events", "{\"name\":\"a\"}\n", "a | - | - | - | - | - | -");
    let lines =
        parse(&Native, "/v1/events", b"\xef\xbb\xbf{\"name\":\"a\"}\n\xef\xbb\xbf{\"name\":\"b\",\"p\":-Infinity}\n");
    assert_eq!(lines.events.len(), 2, "files with byte order marks, joined");
}

#[test]
fn null_is_absent_everywhere() {
    for (protocol, path, body, expected) in [
        // Go and Kotlin write every field of a struct.
        (
            &Segment as &dyn Protocol,
            "/v1/identify",
            r#"{"userId":"u","anonymousId":null,"traits":null,"context":{"traits":{"plan":"pro"}},"messageId":null,"timestamp":null,"sentAt":null,"originalTimestamp":null,"integrations":null}"#,
            r#"identify | u | - | - | - | - | {"plan":"pro"}"#,
        ),
        (
            &Segment,
            "/v1/track",
            r#"{"event":"a","type":null,"userId":null,"anonymousId":"x","properties":null,"context":null}"#,
            "a | - | x | - | - | - | -",
        ),
        (
            &Segment,
            "/v1/track",
            r#"{"event":"a","userId":"u","properties":{"revenue":null,"currency":null,"n":null},"traits":null}"#,
            r#"a | u | - | - | - | - | {"n":null}"#,
        ),
        (
            &Segment,
            "/v1/track",
            r#"{"event":"a","userId":"u","context":{"page":null,"campaign":null,"library":null,"screen":null,"sessionId":null,"ip":null,"locale":null}}"#,
            "a | u | - | - | - | - | -",
        ),
        // The context of the batch holds where that of the call has null.
        (
            &Segment,
            "/v1/batch",
            r#"{"context":{"page":{"url":"https://a.example/"}},"batch":[{"type":"track","event":"a","userId":"u","context":{"page":null}}]}"#,
            "a | u | - | - | https://a.example/ | - | -",
        ),
        (
            &Segment,
            "/v1/group",
            r#"{"userId":"u","groupId":"g","traits":null,"name":null,"category":null}"#,
            r#"group | u | - | - | - | - | {"group_id":"g"}"#,
        ),
        (
            &PostHog,
            "/capture",
            r#"{"batch":null,"event":"a","distinct_id":null,"timestamp":null,"uuid":null,"offset":null,"properties":{"distinct_id":"u","$session_id":null,"$current_url":null,"$referrer":null,"$set":null,"$device_id":null,"revenue":null},"$set":null,"$set_once":null}"#,
            r#"a | u | - | - | - | - | {"$set":null}"#,
        ),
        (
            &PostHog,
            "/batch",
            r#"{"api_key":"k","sent_at":null,"batch":[{"event":"a","distinct_id":"u","properties":null}]}"#,
            "a | u | - | - | - | - | -",
        ),
        (
            &Plausible,
            "/api/event",
            r#"{"name":"a","n":null,"url":"https://a.example/","domain":"d","referrer":null,"props":null,"p":{"k":"v"},"revenue":null,"$":{"amount":5,"currency":null},"interactive":null,"i":false}"#,
            r#"a | - | - | - | https://a.example/ | 50000 | {"interactive":false,"k":"v"}"#,
        ),
        (
            &Umami,
            "/api/send",
            r#"{"type":"event","payload":{"website":"s","name":null,"url":"https://a.example/","referrer":null,"data":null,"id":null,"timestamp":null,"tag":null,"ip":null}}"#,
            "page_view | - | - | - | https://a.example/ | - | -",
        ),
        (
            &Ga4,
            GA4,
            r#"{"client_id":null,"app_instance_id":"i","user_id":null,"user_properties":null,"timestamp_micros":null,"events":[{"name":"purchase","params":{"value":null,"currency":null,"session_id":null}}]}"#,
            "purchase | - | i | - | - | - | -",
        ),
        (
            &Ga4,
            GA4,
            r#"{"client_id":"c","events":[{"name":"a","params":null,"timestamp_micros":null}]}"#,
            "a | - | c | - | - | - | -",
        ),
        (
            &Snowplow,
            SNOWPLOW,
            r#"{"data":[{"e":"se","se_ac":"a","se_la":null,"se_va":null,"uid":null,"duid":null,"nuid":"n","sid":null,"dtm":null,"stm":null,"ttm":null,"eid":null,"co":null,"cx":null,"ue_pr":null}]}"#,
            "a | - | n | - | - | - | -",
        ),
        (
            &Native,
            "/v1/events",
            r#"{"name":"a","events":null,"user_id":null,"anonymous_id":"x","timestamp":null,"sent_at":null,"revenue":null,"properties":null,"ip":null,"event_id":null}"#,
            r#"a | - | x | - | - | - | {"events":null}"#,
        ),
    ] {
        check(protocol, path, body, expected);
    }
}

#[test]
fn a_value_is_found_in_every_place_where_its_protocol_allows_it() {
    for (protocol, path, body, expected) in [
        (
            &Plausible as &dyn Protocol,
            "/api/event",
            r#"{"n":"engagement","u":"https://a.example/","d":"d","e":4200,"sd":75,"p":{},"v":36}"#,
            r#"page_ping | - | - | - | https://a.example/ | - | {"engagement_time_msec":4200,"scroll_depth":75}"#,
        ),
        (
            &Plausible,
            "/api/event",
            r#"{"n":"Signup","u":"https://a.example/","d":"d","e":1,"sd":2}"#,
            "Signup | - | - | - | https://a.example/ | - | -",
        ),
        (
            &Segment,
            "/beacon/v1/batch?writeKey=k",
            r#"{"batch":[{"type":"page","anonymousId":"x","context":{"page":{"url":"https://a.example/","referrer":"$direct","initial_referrer":"$direct"},"sessionId":1772366400000}}]}"#,
            "page_view | - | x | 1772366400000 | https://a.example/ | - | -",
        ),
        (
            &SegmentPixel,
            "/pixel/v1/track?writeKey=k&anonymousId=%22x%22&event=opened&properties.revenue=9.99&properties.mail=may&context.page.url=https%3A%2F%2Fa.example%2F&context.ip=192.0.2.7",
            "",
            r#"opened | - | x | - | https://a.example/ | 99900 | {"mail":"may"}"#,
        ),
        (
            &SegmentPixel,
            "/pixel/v1/page?writeKey=k&anonymousId=x&name=Home&context.page.referrer=%24direct",
            "",
            r#"page_view | - | x | - | - | - | {"name":"Home"}"#,
        ),
        // {"writeKey":"k","userId":"u","event":"opened","properties":{"mail":"may"}}
        (
            &SegmentPixel,
            "/v1/pixel/track?data=eyJ3cml0ZUtleSI6ImsiLCJ1c2VySWQiOiJ1IiwiZXZlbnQiOiJvcGVuZWQiLCJwcm9wZXJ0aWVzIjp7Im1haWwiOiJtYXkifX0",
            "",
            r#"opened | u | - | - | - | - | {"mail":"may"}"#,
        ),
        (
            &PostHog,
            "/e",
            r#"{"event":"$pageview","distinct_id":"u","properties":{"$referrer":"$direct"}}"#,
            "page_view | u | - | - | - | - | -",
        ),
        (&Native, "/v1/events", r#"{"name":"a","referrer":"$direct"}"#, "a | - | - | - | - | - | -"),
        (
            &Snowplow,
            SNOWPLOW,
            r#"{"data":[{"e":"ue","ue_pr":{"data":{"schema":"iglu:com.snowplowanalytics.mobile/screen_view/jsonschema/1-0-0","data":{"name":"Home","id":"i"}}}}]}"#,
            r#"screen_view | - | - | - | - | - | {"id":"i"}"#,
        ),
    ] {
        check(protocol, path, body, expected);
        let message = message(path, body.as_bytes());
        if path.contains("pixel") || path.contains("writeKey") {
            assert_eq!(protocol.sender_of_address(&message).unwrap(), Some(Sender::Key("k".into())), "{path}");
        }
    }
    let referred = event(&Native, "/v1/events", br#"{"name":"a","url":"https://a.example/","referrer":"$direct"}"#);
    assert_eq!((referred.referrer, referred.channel.as_deref()), (None, Some("Direct")));
    let (once, again) = ("/pixel/v1/page?writeKey=k&anonymousId=x", "/pixel/v1/page?anonymousId=x&writeKey=other");
    let id = |path| event(&SegmentPixel, path, b"").event_id;
    assert_eq!(id(once), id(again), "an image that is fetched again counts once, and a key is no part of it");
}

#[test]
fn ids_keep_all_their_digits() {
    for (number, id) in [
        ("9007199254740993", "9007199254740993"),         // a snowflake id of a database
        ("18446744073709551615", "18446744073709551615"), // ClickHouse, MySQL: UInt64
        ("-9223372036854775808", "-9223372036854775808"), // a hash in Java
        ("12345678901234567890123456789", "12345678901234567890123456789"), // Python, Java's BigInteger
        ("42.0", "42"),                                   // pandas, a column with gaps; Lua
        ("4.2E1", "42"),                                  // Java's Double
    ] {
        for (protocol, path, body) in [
            (&Native as &dyn Protocol, "/v1/events", r#"{"name":"a","user_id":ID}"#),
            (&Segment, "/v1/track", r#"{"event":"a","userId":ID}"#),
            (&Segment, "/v1/batch", r#"{"batch":[{"type":"track","event":"a","anonymousId":ID}]}"#),
            (&PostHog, "/e", r#"{"event":"a","distinct_id":ID}"#),
            (&PostHog, "/batch", r#"{"batch":[{"event":"a","properties":{"distinct_id":ID}}]}"#),
            (&Umami, "/api/send", r#"{"type":"event","payload":{"website":"s","id":ID}}"#),
            (&UmamiBatch, "/api/batch", r#"[{"type":"event","payload":{"website":"s","id":ID}}]"#),
            (&Ga4, GA4, r#"{"client_id":ID,"events":[{"name":"a"}]}"#),
            (&Ga4, GA4, r#"{"user_id":ID,"events":[{"name":"a"}]}"#),
            (&Snowplow, SNOWPLOW, r#"{"data":[{"e":"pv","uid":ID}]}"#),
            (&Amplitude, "/2/httpapi", r#"{"events":[{"event_type":"a","user_id":ID}]}"#),
            (&MIXPANEL, "/track", r#"{"event":"a","properties":{"distinct_id":ID}}"#),
            (&Jitsu, "/api/s/track", r#"{"event":"a","userId":ID}"#),
            (&Visits, "/visits", r#"{"identifier":ID,"pageUrl":"https://a.example/","visitedAt":1772366400}"#),
        ] {
            let event = event(protocol, path, body.replace("ID", number).as_bytes());
            assert_eq!(event.user_id.or(event.anonymous_id).as_deref(), Some(id), "{path}: {body}");
        }
        // Within properties, too: as a number or, where no number holds it, as a text.
        for (protocol, path, body) in BODIES.into_iter().filter(|_| number == id) {
            let body = body.replace("\"TEXT\"", id).replace("NAME", "p");
            let properties = event(protocol, path, body.as_bytes()).properties.unwrap();
            assert!(properties.contains(id), "{path}: {properties}");
        }
    }
}

#[test]
fn money_is_read_in_every_protocol() {
    for (amount, expected) in [
        ("9.99", "99900"),
        ("\"9.99\"", "99900"),
        ("\"9,99\"", "99900"),
        ("\"$9.99\"", "99900"),
        ("\"9,99 €\"", "99900"),
        ("\"1.234,50\"", "12345000"),
        ("1e2", "1000000"),
        ("\"1,234\"", "-"),
        ("\"much\"", "-"),
    ] {
        for (protocol, path, body) in [
            (&Segment as &dyn Protocol, "/v1/track", r#"{"event":"a","userId":"u","properties":{"revenue":REVENUE}}"#),
            (&PostHog, "/e", r#"{"event":"a","distinct_id":"u","properties":{"revenue":REVENUE}}"#),
            (&Plausible, "/api/event", r#"{"n":"a","u":"/","d":"d","revenue":{"amount":REVENUE,"currency":"EUR"}}"#),
            (&Plausible, "/api/event", r#"{"n":"a","u":"/","d":"d","$":{"amount":REVENUE}}"#),
            (&Umami, "/api/send", r#"{"type":"event","payload":{"website":"s","data":{"revenue":REVENUE}}}"#),
            (&Ga4, GA4, r#"{"client_id":"c","events":[{"name":"purchase","params":{"value":REVENUE}}]}"#),
            (&Snowplow, SNOWPLOW, r#"{"data":[{"e":"tr","tr_tt":REVENUE}]}"#),
            (&Amplitude, "/2/httpapi", r#"{"events":[{"event_type":"a","user_id":"u","revenue":REVENUE}]}"#),
            (&MIXPANEL, "/track", r#"{"event":"a","properties":{"distinct_id":"u","revenue":REVENUE}}"#),
            (&MIXPANEL, "/engage", r#"{"$distinct_id":"u","$append":{"$transactions":{"$amount":REVENUE}}}"#),
            (
                &Snowplow,
                SNOWPLOW,
                r#"{"data":[{"e":"ue","ue_pr":{"data":{"schema":"iglu:x/a/y/1","data":{"revenue":REVENUE}}}}]}"#,
            ),
        ] {
            let event = event(protocol, path, body.replace("REVENUE", amount).as_bytes());
            let revenue = event.revenue_e4.map_or("-".to_owned(), |amount| amount.to_string());
            assert_eq!(revenue, expected, "{amount} in {path}: {body}");
        }
        let body = format!(r#"{{"name":"a","revenue":{amount}}}"#);
        assert_eq!(parse(&Native, "/v1/events", body.as_bytes()).rejected.is_empty(), expected != "-", "{amount}");
    }
}

#[test]
fn an_amount_that_is_not_understood_stays_and_its_sender_is_told() {
    let parsed = parse(
        &Segment,
        "/v1/batch",
        br#"{"batch":[{"type":"track","event":"a","userId":"u","properties":{"revenue":"9,99"}},
                      {"type":"track","event":"a","userId":"u","properties":{"revenue":"1,234"}}]}"#,
    );
    assert_eq!(parsed.events[1].properties.as_deref(), Some(r#"{"revenue":"1,234"}"#));
    assert_eq!(parsed.warnings.iter().map(|warning| warning.index).collect::<Vec<_>>(), [1]);
    assert!(parsed.warnings[0].reason.starts_with("`revenue` is no clear amount"), "{}", parsed.warnings[0].reason);
}

fn message(path: &str, body: &[u8]) -> Message {
    Message { uri: path.parse().unwrap(), body: Bytes::copy_from_slice(body) }
}

fn parse(protocol: &dyn Protocol, path: &str, body: &[u8]) -> Parsed {
    let context = Context {
        site_id: Arc::from("shop"),
        // 2026-03-01T12:00:00Z.
        received_at_us: 1_772_366_400_000_000,
        window: Window::Live,
        client: Client::default(),
        ids: Ids::seeded(1),
    };
    let parsed = protocol.parse(&message(path, body), &context, 10);
    parsed.unwrap_or_else(|error| panic!("{path}, {}: {error}", String::from_utf8_lossy(body)))
}

/// The one event of a body.
#[track_caller]
fn event(protocol: &dyn Protocol, path: &str, body: &[u8]) -> Event {
    let parsed = parse(protocol, path, body);
    assert_eq!(parsed.rejected, [], "{path}, {}", String::from_utf8_lossy(body));
    let [event] = <[Event; 1]>::try_from(parsed.events).unwrap();
    event
}

/// Compares `name | user | anonymous | session | url | revenue | properties`.
#[track_caller]
fn check(protocol: &dyn Protocol, path: &str, body: &str, expected: &str) {
    let Event { name, user_id, anonymous_id, session_id, url, revenue_e4, properties, .. } =
        event(protocol, path, body.as_bytes());
    let revenue = revenue_e4.map(|amount| amount.to_string());
    let others = [user_id, anonymous_id, session_id, url, revenue, properties].map(|text| text.unwrap_or("-".into()));
    assert_eq!(format!("{name} | {}", others.join(" | ")), expected, "{path}, {body}");
}

/// All texts within a value.
fn texts_of(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::String(text) => vec![text.clone()],
        serde_json::Value::Array(values) => values.iter().flat_map(texts_of).collect(),
        serde_json::Value::Object(fields) => fields.values().flat_map(texts_of).collect(),
        _ => vec![],
    }
}

fn replaced(body: Vec<u8>, placeholder: &[u8], by: &[u8]) -> Vec<u8> {
    match body.windows(placeholder.len()).position(|window| window == placeholder) {
        Some(at) => [&body[..at], by, &body[at + placeholder.len()..]].concat(),
        None => body,
    }
}
