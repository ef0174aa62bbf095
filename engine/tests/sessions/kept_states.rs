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
