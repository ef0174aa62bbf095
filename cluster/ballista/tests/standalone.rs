//! Every metric and every recipe answers on Ballista as it does without it, and a good part of them is done there.

use std::path::Path;

use dewpond_ballista::ballista_exec::BallistaExec;
use dewpond_ballista::nodes::standalone;
use dewpond_ballista::planner::with_ballista;
use engine::{Engine, EngineSettings, Scope, params, to_json_rows};

use crate::questions::queries;
use crate::shop::{NEW, PUBLISHED, TestLake};

#[path = "../../../dewpond/tests/cluster/questions.rs"]
mod questions;
#[path = "../../../dewpond/tests/cluster/shop.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod shop;
#[path = "../../../engine/tests/stored/mod.rs"]
mod stored;

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
    let shop = TestLake::with_pending().await;
    let lake = shop.open();
    let alone = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    let node = Engine::new(lake, &EngineSettings::default()).unwrap();
    let scheduler_url = standalone(&node, 2).await.unwrap();
    let on_ballista = with_ballista(alone.clone(), &scheduler_url, 1);
    let (mut wrong, mut asked) = (String::new(), 0);
    for (name, sql) in queries(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries")) {
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
