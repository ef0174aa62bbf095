//! Builds requests once and patches them in place, so that sending one costs the generator almost nothing.

use chrono::{DateTime, TimeDelta, Utc};

/// The last hexadecimal digit of a UUID's third group, then the last three of its fourth, then its fifth:
/// sixteen digits, in which every value of 64 bits is a different id. Offsets from the id's start.
const ID_DIGITS: [usize; 16] = [17, 20, 21, 22, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35];

/// Distinct visitors of a run.
const VISITORS: u64 = 100_000;

const PAGES: [(&str, &str); 8] = [
    ("/", "Home"),
    ("/hats", "Hats"),
    ("/hats/panama", "Panama hat"),
    ("/hats/beanie", "Beanie"),
    ("/scarves", "Scarves"),
    ("/about", "About us"),
    ("/blog/winter", "What to wear in winter"),
    ("/contact", "Contact"),
];

const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
];

/// One connection's request, sent again and again with new events in it.
pub(crate) struct Request {
    bytes: Vec<u8>,
    events: Vec<Places>,
    /// High half: the connection; low half: events made so far. So no two events of a run share a number.
    next: u64,
}

/// The offsets of an event's changing parts.
struct Places {
    id: usize,
    milliseconds: usize,
    visitor: usize,
}

impl Request {
    /// A request with `batch` events, of one connection among many.
    ///
    /// - `now`: the events' times lie in the minute before it.
    pub(crate) fn new(connection: u32, batch: usize, write_key: &str, now: DateTime<Utc>) -> Self {
        let mut body = String::new();
        let mut events = Vec::with_capacity(batch);
        for index in 0..batch {
            body.push(if index == 0 { '[' } else { ',' });
            events.push(push_event(&mut body, connection as usize + index, now));
        }
        body.push(']');
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {write_key}\r\nContent-Type: \
             application/json\r\nUser-Agent: {}\r\nContent-Length: {}\r\n\r\n",
            AGENTS[connection as usize % AGENTS.len()],
            body.len()
        );
        for places in &mut events {
            places.id += head.len();
            places.milliseconds += head.len();
            places.visitor += head.len();
        }
        Self { bytes: (head + &body).into_bytes(), events, next: u64::from(connection) << 32 }
    }

    /// The request, with events never sent before.
    pub(crate) fn renewed(&mut self) -> &[u8] {
        for places in &self.events {
            let number = mix(self.next);
            self.next += 1;
            for (digit, at) in ID_DIGITS.iter().enumerate() {
                self.bytes[places.id + at] = b"0123456789abcdef"[(number >> (digit * 4)) as usize & 15];
            }
            write_decimal(&mut self.bytes[places.milliseconds..][..3], number % 1_000);
            // Cubing a uniform number makes a few visitors come often and most seldom.
            let uniform = (number >> 32) as f64 / (1_u64 << 32) as f64;
            write_decimal(&mut self.bytes[places.visitor..][..6], (uniform.powi(3) * VISITORS as f64) as u64);
        }
        &self.bytes
    }
}

fn push_event(body: &mut String, variant: usize, now: DateTime<Utc>) -> Places {
    let (path, title) = PAGES[variant * 7 % PAGES.len()];
    let at = now - TimeDelta::seconds(1 + (variant * 13 % 60) as i64);
    body.push_str(r#"{"event_id":""#);
    let id = body.len();
    let uuid = uuid::Builder::from_unix_timestamp_millis(at.timestamp_millis().max(0) as u64, &[0; 10]).into_uuid();
    body.push_str(&uuid.to_string());
    let name = if variant.is_multiple_of(3) { "object_in_view" } else { "page_view" };
    body.push_str(&format!(r#"","name":"{name}","timestamp":"{}."#, at.format("%Y-%m-%dT%H:%M:%S")));
    let milliseconds = body.len();
    body.push_str(r#"000Z","anonymous_id":"visitor-"#);
    let visitor = body.len();
    body.push_str(&format!(
        r#"000000","url":"https://shop.example{path}?utm_source=newsletter&utm_medium=email","title":"{title}","language":"en","referrer":"https://www.google.com/""#
    ));
    if name == "object_in_view" {
        body.push_str(r#","object":"newsletter-banner""#);
    }
    body.push('}');
    Places { id, milliseconds, visitor }
}

/// A bijection of 64-bit numbers that looks random (splitmix64's last steps): ids that do not compress.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn write_decimal(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use intake::protocol::native;
    use intake::{Client, Context, Ids, Window};

    use super::*;

    #[test]
    fn every_event_is_good_and_new() {
        let now: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
        let mut ids = HashSet::new();
        for connection in 0..3 {
            let mut request = Request::new(connection, 10, "dpw_key", now);
            for _ in 0..5 {
                let text = String::from_utf8(request.renewed().to_vec()).unwrap();
                let (head, body) = text.split_once("\r\n\r\n").unwrap();
                assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
                let context = Context {
                    site_id: "s".into(),
                    received_at_us: now.timestamp_micros(),
                    window: Window::Live,
                    client: Client::default(),
                    ids: Ids::seeded(1),
                };
                let parsed = native::parse(body.as_bytes(), &context, 10).unwrap();
                assert_eq!((parsed.events.len(), parsed.rejected), (10, vec![]));
                ids.extend(parsed.events.into_iter().map(|event| event.event_id));
            }
        }
        assert_eq!(ids.len(), 150);
    }
}
