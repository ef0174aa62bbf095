//! Every metric and every recipe answers on workers as it does without them, and a good part of them is done there.

use analytics::read_queries;
use chrono::Utc;

use crate::nodes::{Coordinator, NEW, PUBLISHED, TestLake, place, workers};
use crate::role::{queries_dir, run_well};

const COOKBOOK: &str = include_str!("../../../docs/SQL.md");

/// Queries whose events workers must count, with pending events or without.
const ON_WORKERS: [&str; 5] = [
    "SELECT count(DISTINCT user_id), sum(revenue) FROM events",
    "SELECT name, count(*), count(DISTINCT visitor_id), sum(revenue) FROM events GROUP BY name",
    "SELECT date, path, count(DISTINCT user_id), min(occurred_at), max(country) FROM events WHERE is_bot IS NOT TRUE GROUP BY 1, 2",
    "SELECT json_get_str(properties, 'plan') AS plan, count(*) FROM events GROUP BY 1",
    "SELECT DISTINCT country FROM events WHERE path LIKE '/p%'",
];

/// The queries of the metrics and of the cookbook, by a name.
fn queries() -> Vec<(String, String)> {
    let metrics = read_queries(&queries_dir()).unwrap().into_iter().map(|query| (query.name, query.sql.unwrap()));
    let recipes = COOKBOOK.split("```sql\n").skip(1).enumerate();
    let recipes =
        recipes.map(|(number, part)| (format!("recipe {number}"), part.split("```").next().unwrap().to_owned()));
    let plain = ON_WORKERS.iter().map(|sql| ((*sql).to_owned(), (*sql).to_owned()));
    metrics.chain(recipes).chain(plain).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_recipes_answer_on_two_and_four_workers_as_on_none() {
    let lake = TestLake::with_pending().await;
    let workers = workers(lake.path(), 4).await;
    let places: Vec<String> = workers.iter().map(place).collect();
    let alone = Coordinator::start(lake.path(), "", &[]).await;
    let on_two = Coordinator::start(lake.path(), &places[..2].join(","), &[]).await;
    let on_four = Coordinator::start(lake.path(), &places.join(","), &[]).await;
    let (mut wrong, mut asked) = (String::new(), 0);
    for (name, sql) in queries() {
        let expected = alone.ask(&sql).await;
        asked += 1;
        for (coordinator, count) in [(&on_two, 2), (&on_four, 4)] {
            let answer = coordinator.ask(&sql).await;
            if answer != expected {
                wrong += &format!("\n{name} on {count}: {answer:?}\nand not {expected:?}\n");
            }
        }
        assert!(expected.is_ok(), "{name}: {expected:?}");
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(asked > 50, "only {asked} queries");
    for coordinator in [&on_two, &on_four] {
        let parts = coordinator.parts_by_workers().await;
        assert!(parts >= 15, "workers did {parts} parts of {asked} queries");
        assert_eq!(coordinator.metric("dewpond_cluster_failures_total").await, 0);
        // Copies count once, and nobody who was erased.
        let all = format!("[{}]", PUBLISHED + NEW);
        assert_eq!(coordinator.ask("SELECT count(*) FROM events").await, Ok(vec![all]));
        assert_eq!(coordinator.ask("SELECT count(*) FROM events WHERE user_id = 'eve'").await, Ok(vec!["[0]".into()]));
    }
    assert_eq!(alone.parts_by_workers().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_count_published_events_whatever_is_pending() {
    for lake in [TestLake::with_pending().await, TestLake::published().await] {
        let workers = workers(lake.path(), 2).await;
        let places: Vec<String> = workers.iter().map(place).collect();
        let coordinator = Coordinator::start(lake.path(), &places.join(","), &[]).await;
        for sql in ON_WORKERS {
            let explained = coordinator.ask(&format!("EXPLAIN ANALYZE {sql}")).await.unwrap().join("\n");
            assert!(explained.contains("WorkersExec"), "{sql} was done here: {explained}");
            assert!(explained.contains("Stage 1 ── tasks=2"), "{sql} has no stages: {explained}");
            // What is pending is read here, and by nobody else.
            let stages = &explained[explained.find("Stages on workers").unwrap()..];
            assert!(!stages.contains("/raw/") && stages.contains("/events/"), "{explained}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_with_a_key_is_answered_without_workers() {
    let lake = TestLake::with_pending().await;
    let workers = workers(lake.path(), 2).await;
    let places: Vec<String> = workers.iter().map(place).collect();
    let coordinator = Coordinator::start(lake.path(), &places.join(","), &[]).await;
    lake.open().add_site("blog", Utc::now()).await.unwrap();
    for (site, expected) in [("shop", PUBLISHED + NEW), ("blog", 0)] {
        let added = run_well(&["key", "add", "--site", site, "--lake", lake.path(), "--json"], &[]).await;
        let added: serde_json::Value = serde_json::from_str(&added).unwrap();
        let key = added["read_key"].as_str();
        let answer = coordinator.ask_with("SELECT count(*) FROM events", key).await;
        assert_eq!(answer, Ok(vec![format!("[{expected}]")]), "{site}");
    }
    assert_eq!(coordinator.parts_by_workers().await, 0);
    coordinator.ask(ON_WORKERS[0]).await.unwrap();
    assert_eq!(coordinator.parts_by_workers().await, 1);
}
