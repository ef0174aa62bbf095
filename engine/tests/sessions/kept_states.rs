//! What is kept of files for whoever asks the same again.

use engine::{Engine, EngineSettings, Scope, SqlSession};

use crate::{event, lake, pend, rows};

const PEOPLE: &str = "SELECT count(DISTINCT coalesce(i.user_visitor_id, e.visitor_id)), count(*) \
     FROM identities i RIGHT JOIN events e ON i.anonymous_visitor_id = e.visitor_id AND e.user_id IS NULL \
     WHERE e.occurred_at >= '2026-02-01' AND e.occurred_at < ";

async fn session(engine: &Engine) -> SqlSession {
    engine.view().await.unwrap().session(&Scope::Site("shop".into())).unwrap().keeping_rows()
}

/// How many files' states a question takes.
async fn taken(engine: &Engine, until: &str) -> usize {
    let plan = rows(&session(engine).await, &format!("EXPLAIN ANALYZE {PEOPLE}'{until}'"), &[]).await.join(" ");
    let counts =
        plan.split("states_kept=").skip(1).filter_map(|rest| rest.split([',', ']']).next()?.trim().parse().ok());
    counts.max().unwrap_or_else(|| panic!("{plan}"))
}

#[tokio::test]
async fn states_of_files_hold_for_other_ranges_and_until_somebody_signs_in() {
    let published = [
        event("~x", "2026-03-01T10:00:00Z", "page_view", "/"),
        event("~y", "2026-03-01T11:00:00Z", "page_view", "/"),
        event("~x", "2026-03-02T10:00:00Z", "page_view", "/"),
        event("bob", "2026-03-03T10:00:00Z", "page_view", "/"),
    ];
    let lake = lake(&published, &[], "UTC").await;
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    let people = async |until: &str| rows(&session(&engine).await, &format!("{PEOPLE}'{until}'"), &[]).await;
    assert_eq!(taken(&engine, "2026-03-09").await, 0);
    assert_eq!(people("2026-03-09").await, ["3 4"]);
    assert_eq!(taken(&engine, "2026-03-08").await, 3, "another range around the same files");
    assert_eq!(people("2026-03-02T12:00:00Z").await, ["2 3"]);
    assert_eq!(people("2026-03-02T08:00:00Z").await, ["2 2"], "a bound within a file");

    // New events leave the states of files as they are.
    pend(&lake, &[event("~z", "2026-03-03T12:00:00Z", "page_view", "/")]).await;
    assert_eq!(taken(&engine, "2026-03-09").await, 3);
    assert_eq!(people("2026-03-09").await, ["4 5"]);

    // Who signs in is one person with whoever was there before.
    pend(&lake, &[event("ada~x", "2026-03-04T10:00:00Z", "login", "/")]).await;
    pend(&lake, &[event("ada~y", "2026-03-04T11:00:00Z", "login", "/")]).await;
    assert_eq!(people("2026-03-09").await, ["3 7"]);
    assert_eq!(people("2026-03-09").await, ["3 7"]);
    assert_eq!(people("2026-03-02T08:00:00Z").await, ["1 2"]);
}

#[tokio::test]
async fn states_are_taken_for_no_other_question() {
    let published = [
        event("~x", "2026-03-01T10:00:00Z", "page_view", "/docs"),
        event("ada~x", "2026-03-01T11:00:00Z", "login", "7"),
        event("~y", "2026-03-02T10:00:00Z", "page_view", "/"),
        event("bob~y", "2026-03-02T11:00:00Z", "login", "2"),
        event("~z", "2026-03-02T12:00:00Z", "page_view", "/"),
    ];
    let lake = lake(&published, &[], "UTC").await;
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    let view = engine.view().await.unwrap();
    let plain = view.session(&Scope::Site("shop".into())).unwrap();
    // The same numbers in other columns, by a time that is not in the condition of a row.
    let halves = |time: &str| {
        format!(
            "SELECT count(i.late), count(i.early) FROM (SELECT anonymous_visitor_id AS v, \
             CASE WHEN last_seen_at >= '{time}' THEN user_visitor_id END AS late, \
             CASE WHEN last_seen_at < '{time}' THEN user_visitor_id END AS early FROM identities) i \
             RIGHT JOIN events e ON i.v = e.visitor_id"
        )
    };
    let questions = [
        halves("2026-03-01"),
        halves("2026-03-02"),
        halves("2026-03-03"),
        "SELECT count(*) FILTER (WHERE occurred_at >= '2026-03-01T10:30:00Z') FROM events".to_owned(),
        "SELECT count(*) FILTER (WHERE occurred_at >= '2026-03-02T10:30:00Z') FROM events".to_owned(),
        "SELECT count(*) FROM events WHERE path = (SELECT max(path) FROM events WHERE name = 'login')".to_owned(),
        "SELECT count(*) FROM events WHERE path = (SELECT max(path) FROM events WHERE name <> 'login')".to_owned(),
        "SELECT count(DISTINCT path), count(path), count(*) FROM events".to_owned(),
        "SELECT count(path), count(DISTINCT path), count(*) FROM events".to_owned(),
        // Halves of other names, and the condition of a join that would fail of rows without a partner.
        "SELECT v, count(*) FROM (SELECT path AS v FROM events UNION ALL (SELECT DISTINCT name FROM events)) u \
         GROUP BY v ORDER BY v"
            .to_owned(),
        "SELECT count(*), count(i.user_id) FROM identities i RIGHT JOIN events e \
         ON i.user_visitor_id = e.visitor_id AND CAST(e.path AS BIGINT) > 3"
            .to_owned(),
    ];
    for sql in questions.iter().chain(&questions) {
        assert_eq!(rows(&session(&engine).await, sql, &[]).await, rows(&plain, sql, &[]).await, "{sql}");
    }
    let drawn = "SELECT count(i.user_id) FROM identities i RIGHT JOIN events e \
                 ON i.anonymous_visitor_id = e.visitor_id AND random() < 0.5";
    let mut counts = Vec::new();
    for _ in 0..24 {
        counts.push(rows(&session(&engine).await, drawn, &[]).await);
    }
    counts.dedup();
    assert!(counts.len() > 1, "each query draws for itself: {counts:?}");
}
