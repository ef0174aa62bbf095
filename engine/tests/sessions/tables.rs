//! The tables as a query sees them: their scope, what they read, and filters.

use engine::Scope;
use lake::{Event, visitor_id};

use crate::{event, lake, rows, session};

/// A session over three midnights with a client's id, and one event of another visitor, of another site.
fn events() -> Vec<Event> {
    let of_id = |at| Event { session_id: Some("s".into()), ..event("ada", at, "page_view", "/") };
    let mut other = event("eve", "2026-03-02T12:00:00Z", "page_view", "/eve");
    other.site_id = "blog".into();
    other.visitor_id = Some(visitor_id("blog", "eve"));
    vec![
        of_id("2026-03-01T23:00:00Z"),
        of_id("2026-03-02T22:59:59Z"),
        of_id("2026-03-02T23:00:00Z"),
        of_id("2026-03-04T01:00:00Z"),
        other,
    ]
}

#[tokio::test]
async fn a_session_of_a_site_sees_no_other_sites_sessions() {
    let lake = lake(&events(), &[], "UTC").await;
    for table in ["sessions", "visitor_days", "visitors"] {
        let sql = format!("SELECT DISTINCT site_id FROM {table} ORDER BY 1");
        assert_eq!(rows(&session(&lake, Scope::Lake).await, &sql, &[]).await, ["blog", "shop"]);
        assert_eq!(rows(&session(&lake, Scope::Site("blog".into())).await, &sql, &[]).await, ["blog"]);
        assert!(rows(&session(&lake, Scope::Site("none".into())).await, &sql, &[]).await.is_empty());
        let plan = format!("EXPLAIN SELECT count(*) FROM {table}");
        let plan = rows(&session(&lake, Scope::Site("blog".into())).await, &plan, &[]).await.join("\n");
        // The other files are not even opened.
        assert!(plan.contains("site=blog, inputs=1,"), "{plan}");
    }
}

#[tokio::test]
async fn a_count_of_sessions_reads_nothing_but_the_columns_of_the_order() {
    let lake = lake(&events(), &[], "UTC").await;
    let session = session(&lake, Scope::Lake).await;
    let plan = rows(&session, "EXPLAIN SELECT count(*) FROM sessions", &[]).await.join("\n");
    assert!(plan.contains("reads=[site_id, occurred_at, visitor_id, session_id, is_bot]"), "{plan}");
    let plan = rows(&session, "EXPLAIN SELECT count(*) FROM visitor_days WHERE date = '2026-03-04'", &[]).await;
    // One file of three: in other zones the day may reach into the dates beside it, which have none.
    assert!(plan.join("\n").contains("inputs=1,"), "{plan:?}");
}

#[tokio::test]
async fn bounds_change_no_session_that_they_leave() {
    let lake = lake(&events(), &[], "UTC").await;
    let session = session(&lake, Scope::Site("shop".into())).await;
    let columns = "started_at, ended_at, page_views, is_cut FROM sessions";
    let all = rows(&session, &format!("SELECT {columns} ORDER BY 1"), &[]).await;
    let expected = [
        "2026-03-01T23:00:00Z 2026-03-02T22:59:59Z 2 true",
        "2026-03-02T23:00:00Z 2026-03-02T23:00:00Z 1 true",
        // After a pause of more than 24 hours.
        "2026-03-04T01:00:00Z 2026-03-04T01:00:00Z 1 false",
    ];
    assert_eq!(all, expected);
    // The first event alone would not tell that its session is longer than the cap.
    let first = rows(&session, "SELECT is_cut FROM sessions WHERE started_at < '2026-03-01T23:30:00Z'", &[]).await;
    assert_eq!(first, ["true"]);
    let plan = "EXPLAIN SELECT count(*) FROM sessions WHERE started_at < '2026-03-01T23:30:00Z'";
    assert!(rows(&session, plan, &[]).await.join("\n").contains("inputs=2,"));
    let plan = "EXPLAIN SELECT count(*) FROM sessions WHERE started_at >= '2026-03-04T00:00:00Z'";
    // Those of the first of March are too old for a session of the fourth to have begun with them.
    assert!(rows(&session, plan, &[]).await.join("\n").contains("inputs=2,"));
    for (filter, which) in [
        ("started_at < '2026-03-02T00:00:00Z'", &expected[..1]),
        ("date = '2026-03-01'", &expected[..1]),
        ("started_at >= '2026-03-02T23:00:00Z'", &expected[1..]),
        ("date > '2026-03-01' AND date <= '2026-03-02'", &expected[1..2]),
        ("date = '2026-03-03'", &[]),
    ] {
        let some = rows(&session, &format!("SELECT {columns} WHERE {filter} ORDER BY 1"), &[]).await;
        assert_eq!(some, which, "{filter}");
    }
}

#[tokio::test]
async fn a_site_has_its_own_gap_cap_and_zone_and_history_follows() {
    let visits = ["2026-03-01T23:00:00Z", "2026-03-01T23:40:00Z", "2026-03-02T00:20:00Z"];
    let lake = lake(&visits.map(|at| event("ada", at, "page_view", "/")), &[], "UTC").await;
    let days = "SELECT date, count(*) FROM sessions GROUP BY date ORDER BY date";
    let of_site = async || rows(&session(&lake, Scope::Site("shop".into())).await, days, &[]).await;
    assert_eq!(of_site().await, ["2026-03-01 2", "2026-03-02 1"]);
    lake.change_site("shop", |settings| settings.session_gap_s = 2_400).await.unwrap();
    assert_eq!(of_site().await, ["2026-03-01 1"]);
    lake.change_site("shop", |settings| settings.session_cap_s = 4_800).await.unwrap();
    assert_eq!(of_site().await, ["2026-03-01 1", "2026-03-02 1"]);
    lake.change_site("shop", |settings| settings.time_zone = "Europe/Berlin".into()).await.unwrap();
    assert_eq!(of_site().await, ["2026-03-02 2"]);
    let refused = lake.change_site("shop", |settings| settings.session_cap_s = 60).await.unwrap_err();
    assert!(refused.to_string().contains("cap not shorter than its gap"), "{refused}");
}

#[tokio::test]
async fn an_anonymous_id_belongs_to_the_last_user_who_was_seen_with_it() {
    let published = [
        event("~x", "2026-03-01T10:00:00Z", "page_view", "/"),
        event("ada~x", "2026-03-01T10:05:00Z", "login", "/"),
        event("~x", "2026-03-03T10:00:00Z", "page_view", "/"),
    ];
    let who = "SELECT user_id, sessions, events FROM visitors ORDER BY user_id";
    let before = lake(&published, &[], "UTC").await;
    let session_before = session(&before, Scope::Lake).await;
    assert_eq!(rows(&session_before, who, &[]).await, ["ada 2 3"]);
    assert_eq!(
        rows(&session_before, "SELECT site_id, anonymous_id, user_id, last_seen_at FROM identities", &[]).await,
        ["shop x ada 2026-03-01T10:05:00Z"]
    );
    // A later user of the same browser gets what was done anonymously in it, and nothing of what Ada did by name.
    let pending = [event("bob~x", "2026-03-04T10:00:00Z", "login", "/")];
    let after = lake(&published, &pending, "UTC").await;
    assert_eq!(rows(&session(&after, Scope::Lake).await, who, &[]).await, ["ada 1 1", "bob 3 3"]);
}
