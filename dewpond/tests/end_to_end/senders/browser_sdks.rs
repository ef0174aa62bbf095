//! Unmodified SDKs for browsers, in Chromium, with nothing but this collector to reach: each event is stored once, and what
//! each SDK does while the collector is away is what `docs/PROTOCOLS.md` says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tokio::time::sleep;

use super::real_clients::{add_open_site, node, query, visit};
use crate::harness::role::Role;

/// What becomes of an event that is tracked while the collector is away for a few seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WhileAway {
    /// The SDK keeps it and sends it again.
    Kept,
    /// The SDK gives it up.
    Lost,
}

#[tokio::test(flavor = "multi_thread")]
async fn segment_in_a_browser() {
    check("segment", WhileAway::Kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rudderstack_in_a_browser() {
    check("rudderstack", WhileAway::Kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn posthog_in_a_browser() {
    check("posthog", WhileAway::Kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snowplow_in_a_browser() {
    check("snowplow", WhileAway::Kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plausible_in_a_browser() {
    check("plausible", WhileAway::Lost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn umami_in_a_browser() {
    check("umami", WhileAway::Lost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amplitude_in_a_browser() {
    check("amplitude", WhileAway::Kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mixpanel_in_a_browser() {
    check("mixpanel", WhileAway::Lost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jitsu_in_a_browser() {
    check("jitsu", WhileAway::Lost).await;
}

async fn check(sdk: &str, while_away: WhileAway) {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let lake = lake.to_str().unwrap();
    let key = add_open_site(lake, "shop.example").await;
    let start = async |listen: &str| {
        let flags = ["collector", "--lake", lake, "--listen", listen, "--admin-listen", "127.0.0.1:0"];
        Role::start(&flags, &[], "collector").await
    };
    let mut collector = Some(start("127.0.0.1:0").await);
    let url = collector.as_ref().unwrap().url("collector");
    let listen = url.strip_prefix("http://").unwrap().to_owned();

    let browser = node("dewpond/tests/browser_sdks", &["visit.js", sdk, &url, &key, "shop.example"]);
    let mut last_event = "before";
    let last = visit(browser, Duration::from_secs(240), async |line| match line {
        "SENT" => {
            wait_for_event(lake, sdk, last_event).await;
            if last_event == "after" && while_away == WhileAway::Kept {
                wait_for_event(lake, sdk, "away").await;
            }
            last_event = "after";
        }
        "DOWN" => collector.take().unwrap().kill().await,
        _ => collector = Some(start(&listen).await),
    })
    .await;
    let said: Json = serde_json::from_str(&last).unwrap();
    assert_eq!(said["errors"], Json::Array(vec![]), "{sdk}: errors in the page's console");

    let away = u64::from(while_away == WhileAway::Kept);
    let expected = [("after", 1), ("away", away), ("before", 1), ("page_view", 1)];
    let expected: BTreeMap<String, u64> =
        expected.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count)).collect();
    assert_eq!(counts(lake).await, expected, "{sdk}");
    assert_eq!(query(lake, "SELECT * FROM quarantine").await, Vec::<Json>::new(), "{sdk}");
    collector.unwrap().stop().await;
}

/// How many events of each name there are; page pings are left out, as in every metric.
async fn counts(lake: &str) -> BTreeMap<String, u64> {
    let rows = query(lake, "SELECT name, count(*) AS n FROM events WHERE name <> 'page_ping' GROUP BY name").await;
    rows.iter().map(|row| (row["name"].as_str().unwrap().to_owned(), row["n"].as_u64().unwrap())).collect()
}

async fn wait_for_event(lake: &str, sdk: &str, name: &str) {
    let started = Instant::now();
    while !counts(lake).await.contains_key(name) {
        assert!(started.elapsed() < Duration::from_secs(90), "{sdk}: {name} has not arrived");
        sleep(Duration::from_millis(500)).await;
    }
}
