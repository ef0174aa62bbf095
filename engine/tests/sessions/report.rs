//! The files of `queries/`, each with numbers that were counted by hand.

use std::sync::Arc;

use engine::{Engine, EngineSettings, Param, Scope, StateSettings, params, to_json_rows};
use lake::Event;

use crate::{event, lake, rows, session};

/// Ada comes anonymously in February and in March, the second time over midnight in Berlin, where clocks go forward that
/// night, and signs in. Bob comes on the evening of that short day and again past midnight. Carl buys something two days
/// later. A robot and somebody without any id come, too.
fn events() -> Vec<Event> {
    let from_search = |event| Event { referrer_host: Some("google.com".into()), ..event };
    let of_carl =
        |at, name| Event { browser: Some("Firefox".into()), country: Some("DE".into()), ..event("~c", at, name, "/") };
    vec![
        event("~x", "2026-02-10T10:00:00Z", "page_view", "/"),
        from_search(event("~x", "2026-03-28T22:50:00Z", "page_view", "/a")),
        event("~x", "2026-03-28T23:05:00Z", "page_view", "/b"),
        event("ada~x", "2026-03-28T23:06:00Z", "login", "/b"),
        event("bob", "2026-03-29T21:30:00Z", "page_view", "/"),
        event("bob", "2026-03-29T21:30:03Z", "page_ping", "/"),
        event("bob", "2026-03-29T22:30:00Z", "page_view", "/b"),
        of_carl("2026-03-31T09:00:00Z", "page_view"),
        Event { object: Some("banner".into()), ..of_carl("2026-03-31T09:00:05Z", "object_in_view") },
        of_carl("2026-03-31T09:00:10Z", "page_ping"),
        of_carl("2026-03-31T09:00:20Z", "page_ping"),
        Event {
            revenue_e4: Some(100_000),
            currency: Some("EUR".into()),
            channel: Some("Direct".into()),
            ..of_carl("2026-03-31T09:10:00Z", "purchase")
        },
        Event {
            is_bot: true,
            bot_kind: Some("search".into()),
            ..event("~robot", "2026-03-31T08:00:00Z", "page_view", "/")
        },
        event("", "2026-03-31T08:30:00Z", "page_view", "/"),
    ]
}

const NOW: &str = "2026-03-31T10:00:00Z";

#[tokio::test]
async fn single_numbers() {
    check("unique_users", &["3"]).await;
    check("unique_users_object_in_view", &["1"]).await;
    check("events", &["10"]).await;
    check("page_views", &["7"]).await;
    check("sessions", &["5"]).await;
}

#[tokio::test]
async fn users_by_period_and_day() {
    check("active_users", &["1 3 3 3"]).await;
    let mut days: Vec<String> = (2..=27).map(|day| format!("2026-03-{day:02} 0 0 0")).collect();
    days.extend(["2026-03-28 1 1 1", "2026-03-29 2 1 3", "2026-03-30 1 1 1", "2026-03-31 1 1 4"].map(String::from));
    check("daily_active_users", &days).await;
    // Ada's tenth of February is among 28 days until the ninth of March.
    let mut days: Vec<String> = (2..=9).map(|day| format!("2026-03-{day:02} 0 0 1 0.0")).collect();
    days.extend((10..=27).map(|day| format!("2026-03-{day:02} 0 0 0 -")));
    days.extend(
        ["2026-03-28 1 1 1 1.0", "2026-03-29 2 2 2 1.0", "2026-03-30 1 2 2 0.5", "2026-03-31 1 3 3 0.3333333333333333"]
            .map(String::from),
    );
    check("active_users_by_day", &days).await;
    check("new_and_returning", &["2 1 3"]).await;
    // Bob comes on a Sunday and on the Monday after it, Carl on the Tuesday.
    check("retention_by_week", &["2026-03-23 0 1 1 1.0", "2026-03-23 1 1 1 1.0", "2026-03-30 0 1 1 1.0"]).await;
    // Ada came first before the days of the report.
    let days = ["2026-03-29 0 1 1 1.0", "2026-03-29 1 1 1 1.0", "2026-03-29 2 0 1 0.0", "2026-03-31 0 1 1 1.0"];
    check("retention_by_day", &days).await;
    check("retention_by_month", &["2026-02-01 0 1 1 1.0", "2026-02-01 1 1 1 1.0", "2026-03-01 0 2 2 1.0"]).await;
}

#[tokio::test]
async fn sessions_by_what_they_are() {
    // Ada's 960 s, Bob's 3 s and 0 s, Carl's 600 s; Bob bounces twice.
    check("engagement", &["4 0.5 0.5 390.75 301.5 5.0 1.25"]).await;
    check("entry_pages", &["shop.example / 2 2 2", "shop.example /a 1 1 2", "shop.example /b 1 1 1"]).await;
    check("exit_pages", &["shop.example / 2 2 2", "shop.example /b 2 2 3"]).await;
    check("referrers", &["- 3 2 3", "google.com 1 1 2"]).await;
    check("browsers", &["- 3 2 4", "Firefox 1 1 1"]).await;
    check("countries", &["- 3 2 4", "DE 1 1 1"]).await;
    // What Carl's last event says is not where the session came from.
    check("channels", &["- 4 3 5"]).await;
    check("systems", &["- 4 3 5"]).await;
    check("devices", &["- 4 3 5"]).await;
    check("languages", &["- 4 3 5"]).await;
    check("campaigns", &[] as &[&str]).await;
}

#[tokio::test]
async fn events_by_what_they_are() {
    check("events_by_name", &["page_view 7 3", "page_ping 3 2", "login 1 1", "object_in_view 1 1", "purchase 1 1"])
        .await;
    check("top_pages", &["shop.example / 3 2", "shop.example /b 2 2", "shop.example /a 1 1"]).await;
    check("objects", &["banner 1 0 1"]).await;
    check("revenue", &["EUR 10.0000 1 1"]).await;
    check("bots", &["search 1"]).await;
}

#[tokio::test]
async fn the_long_day_and_the_leap_day_are_days() {
    let of = async |events: &[Event], now: &str| {
        let lake = lake(events, &[], "Europe/Berlin").await;
        let all = answer(&lake, Scope::Site("shop".into()), "daily_active_users", now, "Europe/Berlin").await;
        assert_eq!(all.len(), 30);
        all.into_iter().filter(|row| !row.ends_with(" 0 0 0")).collect::<Vec<_>>()
    };
    let long = [
        event("ada", "2026-10-24T21:59:59Z", "page_view", "/"),
        event("bob", "2026-10-24T22:00:00Z", "page_view", "/"),
        event("bob", "2026-10-25T22:59:59Z", "page_view", "/"),
        event("bob", "2026-10-25T23:00:00Z", "page_view", "/"),
    ];
    let days = of(&long, "2026-10-26T12:00:00Z").await;
    assert_eq!(days, ["2026-10-24 1 1 1", "2026-10-25 1 2 2", "2026-10-26 1 0 1"]);
    let leap = [
        event("ada", "2028-02-28T22:59:59Z", "page_view", "/"),
        event("ada", "2028-02-28T23:30:00Z", "page_view", "/"),
        event("ada", "2028-02-29T23:00:00Z", "page_view", "/"),
    ];
    let days = of(&leap, "2028-03-01T12:00:00Z").await;
    assert_eq!(days, ["2028-02-28 1 1 1", "2028-02-29 1 1 1", "2028-03-01 1 1 1"]);
}

#[tokio::test]
async fn retention_by_month_has_twelve_months_of_whatever_length() {
    let events = [
        event("ada", "2023-02-28T22:59:59Z", "page_view", "/"),
        // Already March in Berlin.
        event("bob", "2023-02-28T23:00:00Z", "page_view", "/"),
        event("bob", "2023-12-31T22:59:59Z", "page_view", "/"),
        event("bob", "2024-02-29T22:59:59Z", "page_view", "/"),
    ];
    let lake = lake(&events, &[], "Europe/Berlin").await;
    let of = async |now: &str| {
        let all = answer(&lake, Scope::Site("shop".into()), "retention_by_month", now, "Europe/Berlin").await;
        let count = all.len();
        (count, all.into_iter().filter(|row| !row.ends_with(" 0 1 0.0")).collect::<Vec<_>>())
    };
    let kept = ["2023-03-01 0 1 1 1.0", "2023-03-01 9 1 1 1.0", "2023-03-01 11 1 1 1.0"].map(String::from);
    assert_eq!(of("2024-02-29T22:59:59Z").await, (12, kept.to_vec()), "Ada's month is over");
    let january = of("2024-01-31T12:00:00Z").await;
    assert_eq!(january.0, 12 + 11, "Ada's February and Bob's March");
}

#[test]
fn every_file_has_numbers_that_were_counted_by_hand() {
    let tests = include_str!("report.rs");
    for file in std::fs::read_dir(queries()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(tests.contains(&format!("\"{name}\"")), "{name} has no test");
        }
    }
}

fn queries() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries")
}

async fn answer(lake: &lake::Lake, scope: Scope, name: &str, now: &str, time_zone: &str) -> Vec<String> {
    let sql = std::fs::read_to_string(queries().join(format!("{name}.sql"))).unwrap();
    let site = match &scope {
        Scope::Lake => None,
        Scope::Site(site) => Some(site.clone()),
    };
    let params = params::of_period(now.parse().unwrap(), site.as_deref(), time_zone);
    check_recurring(lake, &scope, &sql, &params).await;
    rows(&session(lake, scope).await, &sql, &params).await
}

/// Compares what the job answers, twice and by two processes, with the query's answer.
async fn check_recurring(lake: &lake::Lake, scope: &Scope, sql: &str, params: &[(String, Param)]) {
    let states = StateSettings { state_file_bytes_min: 0, state_share_max: f64::MAX };
    let settings = EngineSettings { states, ..EngineSettings::default() };
    for _ in 0..2 {
        let view = Arc::new(Engine::new(lake.clone(), &settings).unwrap().view().await.unwrap());
        let recurring = view.recurring(sql, params).await.unwrap();
        view.prepare(&[&recurring]).await.unwrap();
        let (answer, how) = recurring.answer(scope).await.unwrap();
        let full = view.session(scope).unwrap().query(sql, params).await.unwrap();
        assert_eq!(to_json_rows(&answer).unwrap(), to_json_rows(&full).unwrap(), "{how:?}: {sql}");
    }
}

/// Runs a file for the site, with all events published, with all pending, and with every other one.
async fn check(name: &str, expected: &[impl AsRef<str>]) {
    let expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
    let events = events();
    let (odd, even): (Vec<_>, Vec<_>) = events.iter().cloned().enumerate().partition(|(number, _)| number % 2 == 1);
    let of = |half: Vec<(usize, Event)>| half.into_iter().map(|(_, event)| event).collect::<Vec<_>>();
    for (published, pending) in [(events.clone(), vec![]), (vec![], events), (of(odd), of(even))] {
        let lake = lake(&published, &pending, "Europe/Berlin").await;
        let found = answer(&lake, Scope::Site("shop".into()), name, NOW, "Europe/Berlin").await;
        assert_eq!(found, expected, "{name}, {} events published", published.len());
    }
}
