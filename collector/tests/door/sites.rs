//! What a site's settings do: origins, cookies, opting out, limits, days without an id, the quarantine.

use std::num::NonZeroU32;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use axum::http::StatusCode;
use collector::Settings;
use futures::TryStreamExt;
use lake::{SiteSettings, read_batches};
use serde_json::json;

use super::{EVENT, World};

const PAGE: (&str, &str) = ("origin", "https://shop.example");
const CHROME: (&str, &str) = (
    "user-agent",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
);

async fn world_of(change: impl Fn(&mut SiteSettings)) -> World {
    let world = World::with(Settings { directory_refresh: Duration::from_millis(20), ..Settings::default() }).await;
    world.lake.change_site("shop", change).await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    world
}

impl World {
    /// `(visitor, user id, anonymous id)` of every event, in the order of the files.
    async fn visitors(&self) -> Vec<(Option<i64>, Option<String>, Option<String>)> {
        let mut found = Vec::new();
        for file in self.lake.snapshot().await.unwrap().pending {
            let columns = ["visitor_id", "user_id", "anonymous_id"];
            let rows = read_batches(self.lake.store(), &file.path, file.size_bytes, &columns).await.unwrap();
            for batch in rows.try_collect::<Vec<_>>().await.unwrap() {
                let visitors = batch["visitor_id"].as_primitive::<Int64Type>().iter();
                let users = batch["user_id"].as_string::<i32>().iter().map(|id| id.map(str::to_owned));
                let anonymous = batch["anonymous_id"].as_string::<i32>().iter().map(|id| id.map(str::to_owned));
                found.extend(visitors.zip(users).zip(anonymous).map(|((visitor, user), id)| (visitor, user, id)));
            }
        }
        found
    }
}

#[tokio::test]
async fn client_hints_and_ids_say_whose_an_event_is() {
    let chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
    let named = r#"{"name":"a","user_id":"u"}"#;
    let visitors_own = json!({"name": "a", "user_id": "u", "user_agent": chrome}).to_string();
    let windows = [("sec-ch-ua-platform", "\"Windows\""), ("sec-ch-ua-platform-version", "\"15.0.0\"")];
    for (headers, body, expected) in [
        (vec![("user-agent", chrome)], EVENT, "- Chrome Windows 10"),
        (vec![("user-agent", chrome), windows[0], windows[1]], EVENT, "- Chrome Windows 11"),
        // A server that sends for a visitor, with the visitor's agent and without; and a script.
        (vec![("user-agent", "axios/1.7.2")], &visitors_own, "- Chrome Windows 10"),
        (vec![("user-agent", "axios/1.7.2")], named, "- - - -"),
        (vec![("user-agent", "axios/1.7.2")], EVENT, "library - - -"),
        // A robot's agent is a robot's, whomever it names.
        (
            vec![("user-agent", "Mozilla/5.0 (compatible; GPTBot/1.2; +https://openai.com/gptbot)")],
            named,
            "ai-crawler - - -",
        ),
    ] {
        let world = World::new().await;
        let key = world.write_key.clone();
        let headers: Vec<_> = [("x-api-key", key.as_str())].into_iter().chain(headers).collect();
        assert_eq!(world.post_with(&headers, body.to_owned()).await.status, StatusCode::ACCEPTED);
        let file = world.lake.snapshot().await.unwrap().pending.remove(0);
        let columns = ["bot_kind", "browser", "os", "os_version"];
        let rows = read_batches(world.lake.store(), &file.path, file.size_bytes, &columns).await.unwrap();
        let rows = rows.try_collect::<Vec<_>>().await.unwrap();
        let text = |column: &str| rows[0][column].as_string::<i32>().iter().next().unwrap().unwrap_or("-").to_owned();
        assert_eq!(columns.map(text).join(" "), expected, "{headers:?} {body}");
    }
}

#[tokio::test]
async fn pages_of_the_demo_site_ask_for_the_versions_that_browsers_keep_back() {
    let world = World::with(Settings { demo_site: true, ..Settings::default() }).await;
    let request = axum::http::Request::get("/demo/").body(axum::body::Body::empty()).unwrap();
    let answer = world.collector.routes().answer(request).await;
    assert!(answer.headers()["accept-ch"].to_str().unwrap().contains("Sec-CH-UA-Platform-Version"));
}

#[tokio::test]
async fn pages_of_other_origins_may_not_send_and_servers_may() {
    let origins = ["https://shop.example", "https://*.bücher.example", "capacitor://localhost"].map(str::to_owned);
    let world = world_of(|settings| settings.origins = origins.to_vec()).await;
    let key = world.write_key.clone();
    let with_key = |header: (&'static str, &'static str)| [("x-api-key", key.clone()), (header.0, header.1.to_owned())];
    for (header, status) in [
        (PAGE, StatusCode::ACCEPTED),
        (CHROME, StatusCode::ACCEPTED),
        (("origin", "https://a.xn--bcher-kva.example"), StatusCode::ACCEPTED),
        (("origin", "capacitor://localhost"), StatusCode::ACCEPTED),
        (("origin", "https://evil.example"), StatusCode::FORBIDDEN),
        (("origin", "https://evilxn--bcher-kva.example"), StatusCode::FORBIDDEN),
        (("origin", "null"), StatusCode::FORBIDDEN),
    ] {
        let headers = with_key(header);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = world.post_with(&headers, EVENT).await;
        assert_eq!(answer.status, status, "{header:?}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_visitor_keeps_the_id_of_the_cookie() {
    let world = world_of(|settings| {
        settings.origins = vec!["https://shop.example".into()];
        settings.cookie = true;
    })
    .await;
    let key = world.write_key.clone();
    let same_site = ("sec-fetch-site", "same-site");
    let first = world.post_with(&[("x-api-key", &key), PAGE, same_site], EVENT).await;
    assert_eq!(first.headers["access-control-allow-credentials"], "true");
    assert_eq!(first.headers["access-control-allow-origin"], PAGE.1);
    let cookie = first.headers["set-cookie"].to_str().unwrap().to_owned();
    for attribute in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap();
    let second = world.post_with(&[("x-api-key", &key), PAGE, ("cookie", pair)], r#"{"name":"b"}"#).await;
    assert_eq!(second.headers["set-cookie"], first.headers["set-cookie"], "renewed, and the same");
    let visitors = world.visitors().await;
    assert_eq!(visitors[0], visitors[1]);
    assert_eq!(visitors[0].2.as_deref(), pair.split('=').nth(1));
    // From elsewhere a cookie would not come back, and each event would be a new visitor.
    let cross_site = world.post_with(&[("x-api-key", &key), PAGE, ("sec-fetch-site", "cross-site")], EVENT).await;
    assert!(!cross_site.headers.contains_key("set-cookie"));
    // A server has no cookie jar, and an id of the client's own comes first.
    let server = world.post_with(&[("x-api-key", &key)], r#"{"name":"c","anonymous_id":"a"}"#).await;
    assert!(!server.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn other_sites_set_no_cookie_and_share_none() {
    let world = World::new().await;
    let key = world.write_key.clone();
    let answer = world.post_with(&[("x-api-key", &key), PAGE], EVENT).await;
    assert!(!answer.headers.contains_key("set-cookie"));
    assert!(!answer.headers.contains_key("access-control-allow-credentials"));
}

#[tokio::test]
async fn who_asks_not_to_be_tracked_stays_unnamed_where_the_site_follows() {
    let event = r#"{"name":"a","user_id":"u","anonymous_id":"a"}"#;
    for (honors, header, named) in [
        (true, ("sec-gpc", "1"), false),
        (true, ("dnt", "1"), false),
        (true, ("dnt", "0"), true),
        (false, ("sec-gpc", "1"), true),
    ] {
        let world = world_of(|settings| settings.honor_opt_out = honors).await;
        let key = world.write_key.clone();
        let answer = world.post_with(&[("x-api-key", &key), header], event).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
        let (visitor, user, anonymous) = world.visitors().await.remove(0);
        assert_eq!((visitor.is_some(), user.is_some(), anonymous.is_some()), (named, named, named), "{header:?}");
    }
}

#[tokio::test]
async fn settings_are_followed_without_a_restart() {
    let world = world_of(|_| {}).await;
    assert_eq!(world.post(EVENT).await.status, StatusCode::ACCEPTED);
    let slow = |settings: &mut SiteSettings| settings.events_per_second_max = NonZeroU32::new(1);
    world.lake.change_site("shop", slow).await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    let statuses = futures::future::join_all((0..20).map(|_| world.post(r#"{"name":"a"}"#))).await;
    let refused: Vec<_> = statuses.iter().filter(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS).collect();
    assert_eq!(refused.len(), 10, "a burst of ten seconds is allowed");
    let wait: u64 = refused[0].headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
}

#[tokio::test]
async fn refused_events_are_in_quarantine_when_the_sender_hears_of_it() {
    let world = World::with(Settings { quarantine_events_per_hour_max: 3, ..Settings::default() }).await;
    let body = json!({"key": world.write_key, "events": [{"name": "good"}, {"name": 7}, {"key": world.write_key}]});
    let answer = world.post(body.to_string()).await;
    assert_eq!(answer.body["rejected"].as_array().unwrap().len(), 2);
    let only_bad = world.post(r#"[{"mood":"bad"},{"mood":"worse"}]"#).await;
    assert_eq!(only_bad.status, StatusCode::BAD_REQUEST);
    let mut kept = Vec::new();
    for file in world.lake.quarantine_files().await.unwrap() {
        let columns = ["site_id", "protocol", "reason", "event"];
        let rows = read_batches(world.lake.store(), &file.path, file.size_bytes, &columns).await.unwrap();
        for batch in rows.try_collect::<Vec<_>>().await.unwrap() {
            let text = |name: &str, row: usize| batch[name].as_string::<i32>().value(row).to_owned();
            kept.extend((0..batch.num_rows()).map(|row| columns.map(|name| text(name, row))));
        }
    }
    kept.sort();
    assert_eq!(kept.len(), 3, "a site keeps three an hour here");
    assert!(kept.iter().all(|[site, protocol, ..]| site == "shop" && protocol == "native"));
    assert!(kept.iter().any(|[.., reason, event]| reason.starts_with("`name` must be") && event == r#"{"name":7}"#));
    assert!(kept.iter().all(|[.., event]| !event.contains(&world.write_key)), "{kept:?}");
}
