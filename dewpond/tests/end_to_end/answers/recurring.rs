//! Recurring queries: whatever happens to the lake, what is kept of its files answers as the events do.

use std::path::Path;
use std::sync::Arc;

use analytics::read_queries;
use chrono::{TimeDelta, Utc};
use engine::{Engine, EngineSettings, How, Scope, StateSettings, params, to_json_rows};
use lake::{CheckSettings, EVENTS, Person, PersonId};
use serde_json::{Value as Json, json};

use crate::harness::clients::{client, post_accepted};
use crate::harness::world::World;

/// An engine that keeps a state of every file, however small, and has nothing in memory.
fn engine_of(world: &World) -> Engine {
    let states = StateSettings { state_file_bytes_min: 0, state_share_max: f64::MAX };
    Engine::new(world.lake.clone(), &EngineSettings { states, ..EngineSettings::default() }).unwrap()
}

fn event(id: &str, user: &str, name: &str, hours_ago: i64) -> Json {
    let at = Utc::now() - TimeDelta::hours(hours_ago);
    json!({"event_id": id, "name": name, "user_id": user, "timestamp": at.to_rfc3339(), "path": format!("/{id}")})
}

const COUNTS: &str =
    "SELECT date, name, count(*) AS n, count(DISTINCT user_id) AS u FROM events GROUP BY 1, 2 ORDER BY 1, 2";

/// Compares the recurring answer with the full one, from memory and by a process that has nothing in memory. Returns how
/// the latter was made.
async fn check(world: &World, engine: &Engine, step: &str) -> (Vec<Vec<Json>>, How) {
    let full = engine.view().await.unwrap().session(&Scope::Lake).unwrap().query(COUNTS, &[]).await.unwrap();
    let expected = to_json_rows(&full).unwrap();
    let mut made = None;
    for engine in [engine, &engine_of(world)] {
        let view = Arc::new(engine.view().await.unwrap());
        let (answer, how) = view.recurring(COUNTS, &[]).await.unwrap().answer(&Scope::Lake).await.unwrap();
        assert_eq!(to_json_rows(&answer).unwrap(), expected, "{step}");
        made = Some(how);
    }
    (expected, made.unwrap())
}

fn rows_read(how: &How) -> u64 {
    match how {
        How::Incremental(used) => used.rows_read,
        How::InFull { why } => panic!("in full: {why}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recurring_answer_follows_publishes_copies_late_events_and_merges() {
    let world = World::start(1).await;
    let (client, url) = (client(), &world.collectors[0]);
    let engine = engine_of(&world);
    assert_eq!(check(&world, &engine, "nothing").await.0.len(), 0);
    for (id, hours_ago) in [("a", 1), ("b", 2), ("c", 30)] {
        post_accepted(&client, url, &world.key, &event(id, "ada", "page_view", hours_ago)).await;
    }
    let (_, how) = check(&world, &engine, "pending").await;
    assert_eq!(rows_read(&how), 3);
    world.compactor.publish().await.unwrap();
    check(&world, &engine, "published").await;
    // What the first made is there for the other.
    assert_eq!(rows_read(&check(&world, &engine, "kept").await.1), 0);

    // A copy of what is published, and an event that comes two days late.
    for event in [event("a", "ada", "page_view", 1), event("late", "bob", "signup", 50)] {
        post_accepted(&client, url, &world.key, &event).await;
    }
    assert_eq!(rows_read(&check(&world, &engine, "late and pending").await.1), 1);
    world.compactor.publish().await.unwrap();
    check(&world, &engine, "late and published").await;
    for number in 0..20 {
        post_accepted(&client, url, &world.key, &event(&format!("n{number}"), "bob", "signup", 1)).await;
        world.compactor.publish().await.unwrap();
    }
    check(&world, &engine, "many files").await;
    let before = world.lake.table(&EVENTS).load().await.unwrap().files.len();
    world.compactor.merge().await.unwrap();
    assert!(world.lake.table(&EVENTS).load().await.unwrap().files.len() < before);
    check(&world, &engine, "merged").await;
    world.compactor.vacuum().await.unwrap();
    check(&world, &engine, "vacuumed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn states_go_with_the_erasure_of_their_events() {
    let world = World::start(1).await;
    let (client, url) = (client(), &world.collectors[0]);
    for (id, user) in [("a", "ada"), ("b", "bob")] {
        post_accepted(&client, url, &world.key, &event(id, user, "page_view", 1)).await;
    }
    world.compactor.publish().await.unwrap();
    let engine = engine_of(&world);
    let (rows, _) = check(&world, &engine, "before").await;
    assert_eq!((&rows[0][2], &rows[0][3]), (&json!(2), &json!(2)));
    let kept = world.lake.states_size().await.unwrap();
    assert!(kept.states > 0);

    let ada = Person { site_id: "shop".into(), id: PersonId::User("ada".into()) };
    world.compactor.erase(&ada).await.unwrap();
    // The only file was rewritten, so no state is left of it.
    assert_eq!(world.lake.states_size().await.unwrap().states, 0);
    let (rows, _) = check(&world, &engine, "after").await;
    assert_eq!((&rows[0][2], &rows[0][3]), (&json!(1), &json!(1)));
    let spill = tempfile::tempdir().unwrap();
    let settings = CheckSettings { now: Utc::now(), spill_dir: spill.path().to_owned(), repair: false };
    let checked = world.lake.check(&[&EVENTS], &settings).await.unwrap();
    assert_eq!((checked.states.files, checked.findings), (kept.states as u64, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_answers_the_same_from_states_as_from_events() {
    let world = World::start(1).await;
    let (client, url) = (client(), &world.collectors[0]);
    for number in 0..40_i64 {
        let name = ["page_view", "object_in_view", "signup", "page_ping"][number as usize % 4];
        let event = event(&format!("e{number}"), &format!("u{}", number % 7), name, number % 60);
        post_accepted(&client, url, &world.key, &event).await;
        if number % 10 == 9 && number < 35 {
            world.compactor.publish().await.unwrap();
        }
    }
    let now = Utc::now();
    let expected = world.answers(now).await;
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries");
    let engine = engine_of(&world);
    for turn in ["first", "from memory", "from states"] {
        let view =
            Arc::new(if turn == "from states" { engine_of(&world) } else { engine.clone() }.view().await.unwrap());
        for (query, (name, expected)) in read_queries(&dir).unwrap().into_iter().zip(&expected) {
            let recurring = view.recurring(&query.sql.unwrap(), &params::of_period(now, None, "UTC")).await.unwrap();
            let (answer, _) = recurring.answer(&Scope::Lake).await.unwrap();
            assert_eq!(to_json_rows(&answer).unwrap(), *expected, "{name}, {turn}");
        }
    }
}
