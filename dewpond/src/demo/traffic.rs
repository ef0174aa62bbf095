//! Generates the events of one visit. Pure: randomness and time are passed in.

use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value as Json, json};

/// The events of one visit, and the browser they come from.
pub(crate) struct Visit {
    pub(crate) events: Vec<Json>,
    pub(crate) user_agent: &'static str,
    pub(crate) is_robot: bool,
}

/// The pages of a shop with their titles, the most visited first.
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

/// Referrers, with the query string that a campaign adds to the first page.
const SOURCES: [(Option<&str>, &str); 6] = [
    (None, ""),
    (Some("https://www.google.com/"), ""),
    (Some("https://www.google.com/"), "?utm_source=google&utm_medium=cpc&utm_campaign=winter"),
    (None, "?utm_source=newsletter&utm_medium=email&utm_campaign=november"),
    (Some("https://news.ycombinator.com/"), ""),
    (Some("https://www.instagram.com/"), "?utm_source=instagram&utm_medium=social"),
];

const AGENTS: [&str; 5] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
];

const ROBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// How many days back visits may begin. A collector accepts events up to three days old.
const DAYS_BACK: i64 = 3;

/// How many visitors a site has. A few come often, most once or twice.
const VISITORS: f64 = 4_000.0;

pub(crate) fn visit(rng: &mut StdRng, now: DateTime<Utc>, site: usize) -> Visit {
    let host = format!("shop-{}.example", site + 1);
    // Cubing a uniform number makes low visitor numbers frequent.
    let visitor = (rng.random::<f64>().powi(3) * VISITORS) as u64;
    let is_robot = rng.random_bool(0.02);
    let mut at = start(rng, now);
    let (referrer, campaign) = SOURCES[rng.random_range(0..SOURCES.len())];
    let mut previous = referrer.map(str::to_owned);
    let mut events = Vec::new();
    let pages = 1 + (rng.random::<f64>().powi(2) * 8.0) as usize;
    for page in 0..pages {
        let (path, title) = PAGES[(rng.random::<f64>().powi(2) * PAGES.len() as f64) as usize];
        let url = format!("https://{host}{path}{}", if page == 0 { campaign } else { "" });
        let mut event = |rng: &mut StdRng, name: &str, after_ms: i64, more: Json| {
            at += TimeDelta::milliseconds(after_ms);
            let mut event = json!({
                "event_id": uuid_v7(rng, at),
                "name": name,
                "timestamp": at.to_rfc3339(),
                "anonymous_id": format!("visitor-{visitor}"),
                "url": url,
                "title": title,
                "language": "en",
            });
            if visitor.is_multiple_of(5) {
                event["user_id"] = json!(format!("customer-{visitor}"));
            }
            if let Some(previous) = &previous {
                event["referrer"] = json!(previous);
            }
            for (key, value) in more.as_object().into_iter().flatten() {
                event[key] = value.clone();
            }
            events.push(event);
        };
        event(rng, "page_view", 0, Json::Null);
        if rng.random_bool(0.6) {
            let after = rng.random_range(1_000..5_000);
            event(rng, "object_in_view", after, json!({"object": "newsletter-banner"}));
        }
        if rng.random_bool(0.2) {
            let after = rng.random_range(2_000..20_000);
            event(rng, "object_interaction", after, json!({"object": "add-to-cart"}));
        }
        if page + 1 == pages && pages > 3 && rng.random_bool(0.3) {
            let cents = rng.random_range(900..9_900);
            let money = json!({"revenue": f64::from(cents) / 100.0, "currency": "EUR", "properties": {"items": pages}});
            event(rng, "purchase", 30_000, money);
        }
        previous = Some(url);
        // Now and then a long pause begins a new session.
        let pause_ms = if rng.random_bool(0.03) { 45 * 60_000 } else { rng.random_range(3_000..90_000) };
        at += TimeDelta::milliseconds(pause_ms);
    }
    // Drop events in the future.
    events.retain(|event| event["timestamp"].as_str().is_some_and(|at| at <= now.to_rfc3339().as_str()));
    Visit { events, user_agent: if is_robot { ROBOT } else { AGENTS[visitor as usize % AGENTS.len()] }, is_robot }
}

/// A moment in the last days, less often at night.
fn start(rng: &mut StdRng, now: DateTime<Utc>) -> DateTime<Utc> {
    loop {
        let back_s = rng.random_range(60..(DAYS_BACK * 24 - 1) * 3_600);
        let at = now - TimeDelta::seconds(back_s);
        let hour = f64::from(at.format("%H").to_string().parse::<u32>().unwrap_or(12));
        let busy = 0.15 + 0.85 * (std::f64::consts::PI * hour / 24.0).sin();
        if rng.random_bool(busy.clamp(0.0, 1.0)) {
            return at;
        }
    }
}

/// A UUIDv7 with the event's time, as the tracker makes them.
fn uuid_v7(rng: &mut StdRng, at: DateTime<Utc>) -> String {
    uuid::Builder::from_unix_timestamp_millis(at.timestamp_millis().max(0) as u64, &rng.random())
        .into_uuid()
        .to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng;

    use super::*;

    #[test]
    fn visits_lie_in_the_window_that_a_collector_accepts_and_ids_are_unique() {
        let now: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
        let mut rng = StdRng::seed_from_u64(7);
        let mut ids = HashSet::new();
        for _ in 0..500 {
            for event in visit(&mut rng, now, 0).events {
                let at: DateTime<Utc> = event["timestamp"].as_str().unwrap().parse().unwrap();
                assert!(at <= now && at > now - TimeDelta::hours(72), "{at}");
                assert!(ids.insert(event["event_id"].as_str().unwrap().to_owned()));
            }
        }
        assert!(ids.len() > 1_000);
    }
}
