//! Every metric and every recipe answers on Ballista as it does without it, and a good part of them is done there.

use std::path::Path;

use analytics::read_queries;
use chrono::{DateTime, TimeDelta, Utc};
use dewpond_ballista::ballista_exec::BallistaExec;
use dewpond_ballista::nodes::standalone;
use dewpond_ballista::planner::with_ballista;
use engine::{Engine, EngineSettings, Scope, params, to_json_rows};
use lake::{Event, Lake, Person, PersonId};
use tempfile::TempDir;

use crate::stored::{event_of, pend, publish};

#[path = "../../../engine/tests/stored/mod.rs"]
mod stored;

const COOKBOOK: &str = include_str!("../../../docs/SQL.md");

/// Queries whose events Ballista must count, with pending events or without.
const ON_BALLISTA: [&str; 5] = [
    "SELECT count(DISTINCT user_id), sum(revenue) FROM events",
    "SELECT name, count(*), count(DISTINCT visitor_id), sum(revenue) FROM events GROUP BY name",
    "SELECT date, path, count(DISTINCT user_id), min(occurred_at), max(country) FROM events WHERE is_bot IS NOT TRUE GROUP BY 1, 2",
    "SELECT json_get_str(properties, 'plan') AS plan, count(*) FROM events GROUP BY 1",
    "SELECT DISTINCT country FROM events WHERE path LIKE '/p%'",
];

const PUBLISHED: usize = 200;
const NEW: usize = 20;

/// The queries of the metrics and of the cookbook, by a name.
fn queries() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries");
    let metrics = read_queries(&dir).unwrap().into_iter().map(|query| (query.name, query.sql.unwrap()));
    let recipes = COOKBOOK.split("```sql\n").skip(1).enumerate();
    let recipes =
        recipes.map(|(number, part)| (format!("recipe {number}"), part.split("```").next().unwrap().to_owned()));
    let plain = ON_BALLISTA.iter().map(|sql| ((*sql).to_owned(), (*sql).to_owned()));
    metrics.chain(recipes).chain(plain).collect()
}

/// An event of a small shop.
fn event(number: usize) -> Event {
    let name = ["page_view", "page_view", "signup", "page_view", "purchase"][number % 5];
    let path = ["/", "/pricing", "/docs", "/buy"][number % 4];
    let revenue = (name == "purchase").then_some(number as i128 * 10_000);
    let plan = ["free", "pro", "team"][number % 3];
    let begin: DateTime<Utc> = "2026-03-01T00:30:00Z".parse().unwrap();
    let at = (begin + TimeDelta::hours(2 * number as i64)).to_rfc3339();
    Event {
        revenue_e4: revenue,
        country: ["DE", "FR", "US"].get(number % 4).map(|country| (*country).to_owned()),
        channel: Some(["Direct", "Email", "Paid Search"][number % 3].into()),
        properties: Some(format!(r#"{{"items":[{{"qty":{},"sku":"A"}}],"plan":"{plan}","tags":["new"]}}"#, number % 6)),
        ..event_of("shop", &format!("user{}", number % 17), &at, name, path)
    }
}

/// A lake with published events, and with pending ones: new ones, copies, and those of somebody who was erased since.
async fn lake_in(dir: &TempDir) -> Lake {
    let lake = Lake::open(dir.path().to_str().unwrap(), []).unwrap();
    lake.add_site("shop", Utc::now()).await.unwrap();
    for first in [0, 1] {
        publish(&lake, &(first..PUBLISHED).step_by(2).map(event).collect::<Vec<_>>()).await;
    }
    let mut pending: Vec<Event> = (PUBLISHED..PUBLISHED + NEW).chain((0..10).map(|copy| copy * 7)).map(event).collect();
    pending.extend((0..5).map(|hour| event_of("shop", "eve", &format!("2026-03-01T0{hour}:00:00Z"), "page_view", "/")));
    pend(&lake, &pending).await;
    let eve = Person { site_id: "shop".into(), id: PersonId::User("eve".into()) };
    lake.record_erasure(&eve, [], Utc::now()).await.unwrap();
    lake
}

async fn ask(engine: &Engine, sql: &str) -> Result<Vec<String>, String> {
    let params = params::of_period("2026-03-25T00:00:00Z".parse().unwrap(), None, "UTC");
    let session = engine.view().await.unwrap().session(&Scope::Lake).unwrap();
    let answer = session.query(sql, &params).await.map_err(|error| lake::whole_text(&error))?;
    let mut rows: Vec<String> = to_json_rows(&answer).unwrap().iter().map(|row| format!("{row:?}")).collect();
    rows.sort();
    Ok(rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_recipes_answer_on_ballista_as_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let lake = lake_in(&dir).await;
    let alone = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    let node = Engine::new(lake, &EngineSettings::default()).unwrap();
    let scheduler_url = standalone(&node, 2).await.unwrap();
    let on_ballista = with_ballista(alone.clone(), &scheduler_url, 1);
    let (mut wrong, mut asked) = (String::new(), 0);
    for (name, sql) in queries() {
        let (expected, answer) = (ask(&alone, &sql).await, ask(&on_ballista, &sql).await);
        asked += 1;
        assert!(expected.is_ok(), "{name}: {expected:?}");
        if answer != expected {
            wrong += &format!("\n{name}: {answer:?}\nand not {expected:?}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(asked > 50, "only {asked} queries");
    let submitted = BallistaExec::submitted();
    assert!(submitted >= 15, "Ballista did {submitted} parts of {asked} queries");
    // Each task of Ballista's would answer rows that find no other.
    let joined = "SELECT count(*) FROM (SELECT DISTINCT name FROM events) a LEFT JOIN (SELECT DISTINCT path FROM events) b \
                  ON a.name < b.path";
    let explained = ask(&on_ballista, &format!("EXPLAIN {joined}")).await.unwrap().join("\n");
    assert!(explained.contains("NestedLoopJoinExec"), "{explained}");
    assert_eq!(ask(&on_ballista, joined).await, ask(&alone, joined).await);
    for (sql, expected) in [
        // Copies count once, and nobody who was erased.
        ("SELECT count(*) FROM events", PUBLISHED + NEW),
        ("SELECT count(*) FROM events WHERE user_id = 'eve'", 0),
    ] {
        let rows = ask(&on_ballista, sql).await.unwrap();
        assert!(rows.len() == 1 && rows[0].contains(&expected.to_string()), "{sql}: {rows:?}");
    }
}
