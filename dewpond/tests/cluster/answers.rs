//! Every metric and every recipe answers on workers as it does without them, and a good part of them is done there.

use chrono::Utc;

use crate::nodes::{Coordinator, place, workers};
use crate::questions::{ELSEWHERE, queries};
use crate::role::{queries_dir, run_well};
use crate::shop::{NEW, PUBLISHED, TestLake};

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_recipes_answer_on_two_and_four_workers_as_on_none() {
    let lake = TestLake::with_pending().await;
    let workers = workers(lake.path(), 4).await;
    let places: Vec<String> = workers.iter().map(place).collect();
    let alone = Coordinator::start(lake.path(), "", &[]).await;
    let on_two = Coordinator::start(lake.path(), &places[..2].join(","), &[]).await;
    let on_four = Coordinator::start(lake.path(), &places.join(","), &[]).await;
    let (mut wrong, mut asked) = (String::new(), 0);
    for (name, sql) in queries(&queries_dir()) {
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
        for sql in ELSEWHERE {
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
    coordinator.ask(ELSEWHERE[0]).await.unwrap();
    assert_eq!(coordinator.parts_by_workers().await, 1);
}
