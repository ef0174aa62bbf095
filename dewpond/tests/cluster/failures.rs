//! A worker that is killed, hangs or never answers: the query ends, and its answer is right.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::process::Command;

use crate::nodes::{Coordinator, place, worker, workers};
use crate::role::Role;
use crate::shop::TestLake;

/// Takes a worker some seconds, and answers one number.
const LONG: &str = "SELECT sum(length(regexp_replace(repeat(path || user_id, 60000), '[a-m]+', 'x', 'g'))) FROM events";

/// One text of all rows, half a megabyte of each: it stays in memory until the last row has come.
const LARGE: &str = "SELECT length(string_agg(repeat(path || user_id, 60000), '')) FROM events";

/// What is done to a worker in the middle of a query.
enum Loss {
    Kill,
    Stop,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_in_the_middle_costs_no_answer() {
    check(3, Loss::Kill).await;
    check(2, Loss::Kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_hangs_in_the_middle_costs_no_answer() {
    check(2, Loss::Stop).await;
}

async fn check(count: usize, loss: Loss) {
    let lake = TestLake::with_pending().await;
    let mut workers = workers(lake.path(), count).await;
    let places: Vec<String> = workers.iter().map(place).collect();
    let coordinator = Coordinator::start(lake.path(), &places.join(","), &[]).await;
    let alone = Coordinator::start(lake.path(), "", &[]).await;
    let lost = workers.pop().unwrap();
    let asking = coordinator.ask(LONG);
    let losing = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        match loss {
            Loss::Kill => {
                lost.kill().await;
                None
            }
            Loss::Stop => {
                signal(&lost, "STOP").await;
                // Dropped when the query is over: a killed process would be noticed at once.
                Some(lost)
            }
        }
    };
    let (answer, _stopped) = tokio::join!(asking, losing);
    assert_eq!(answer, alone.ask(LONG).await);
    assert_eq!(coordinator.metric("dewpond_cluster_failures_total").await, 1, "it was over before the worker was lost");
    assert_eq!(coordinator.usable().await, Some(count as u64 - 1));
}

async fn signal(role: &Role, name: &str) {
    let pid = role.pid().to_string();
    assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_accepts_and_never_answers_keeps_nobody_waiting() {
    let lake = TestLake::with_pending().await;
    let workers = workers(lake.path(), 2).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut places: Vec<String> = workers.iter().map(place).collect();
    places.push(silent.local_addr().unwrap().to_string());
    let begin = Instant::now();
    let coordinator = Coordinator::start(lake.path(), &places.join(","), &[]).await;
    coordinator.ask("SELECT count(*) FROM events").await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert_eq!(coordinator.usable().await, Some(2));
    assert_eq!(coordinator.parts_by_workers().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_query_is_the_one_that_it_has_without_workers() {
    let lake = TestLake::with_pending().await;
    let workers = workers(lake.path(), 2).await;
    let places: Vec<String> = workers.iter().map(place).collect();
    let coordinator = Coordinator::start(lake.path(), &places.join(","), &[]).await;
    let alone = Coordinator::start(lake.path(), "", &[]).await;
    let wrong = "SELECT sum(1 / (length(path) - 1)) FROM events";
    let (error, expected) = (coordinator.ask(wrong).await, alone.ask(wrong).await);
    assert!(expected.as_ref().is_err_and(|error| error.contains("400")), "{expected:?}");
    assert_eq!(error, expected);
    assert_eq!(coordinator.usable().await, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_keeps_within_its_memory_and_the_coordinator_does_what_does_not_fit() {
    let lake = TestLake::with_pending().await;
    let mut small = Vec::new();
    for _ in 0..2 {
        small.push(worker(lake.path(), &["--memory-bytes=67108864"]).await);
    }
    let places: Vec<String> = small.iter().map(place).collect();
    let coordinator = Coordinator::start(lake.path(), &places.join(","), &[]).await;
    let alone = Coordinator::start(lake.path(), "", &[]).await;
    let answer = coordinator.ask(LARGE).await;
    assert_eq!(answer, alone.ask(LARGE).await);
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(coordinator.metric("dewpond_cluster_failures_total").await, 1, "a worker used more than it has");
    // What it held is free again.
    let count = "SELECT path, count(*) FROM events GROUP BY path";
    assert_eq!(coordinator.ask(count).await, alone.ask(count).await);
    assert_eq!((coordinator.usable().await, coordinator.parts_by_workers().await), (Some(2), 1));

    // Where it fits nowhere, the error is that of one process.
    let less = ["--memory-bytes=67108864"];
    let coordinator = Coordinator::start(lake.path(), &places.join(","), &less).await;
    let alone = Coordinator::start(lake.path(), "", &less).await;
    for asked in [&coordinator, &alone] {
        let error = asked.ask(LARGE).await.unwrap_err();
        assert!(error.starts_with("503") && error.contains("--memory-bytes") && error.contains("64.0 MB"), "{error}");
    }
}
