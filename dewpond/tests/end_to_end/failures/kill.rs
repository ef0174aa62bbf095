//! Processes are killed at random moments: nothing acknowledged is lost, and nothing is duplicated.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::Utc;
use engine::{Engine, EngineSettings, Scope};
use lake::{EVENTS, Lake};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::StatusCode;
use serde_json::Value as Json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::harness::clients::{client, events, post};
use crate::harness::role::{Role, run_well};
use crate::harness::s3_server;

/// How many rounds a test run has; a campaign sets more with `DEWPOND_KILL_ROUNDS`.
fn rounds() -> u64 {
    std::env::var("DEWPOND_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(30)
}

/// Once in this many rounds a compactor is left undisturbed. The others live for a few seconds, which on a busy machine is too
/// short for what several rounds leave behind: nothing would be published any more.
const UNDISTURBED_EVERY: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_on_a_local_disk_when_processes_are_killed() {
    let dir = tempfile::tempdir().unwrap();
    kill_loop(dir.path().join("lake").to_str().unwrap(), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_on_an_s3_api_when_processes_are_killed() {
    let dir = tempfile::tempdir().unwrap();
    let env = s3_server::start(dir.path()).await;
    kill_loop("s3://bucket/lake", &env).await;
}

/// What the clients know.
#[derive(Default)]
struct Known {
    acknowledged: Mutex<HashSet<String>>,
    /// Sent but not acknowledged: they may or may not be in the lake, and are sent again in the next round.
    open: Mutex<Vec<Vec<String>>>,
    next_id: AtomicU64,
}

async fn kill_loop(location: &str, env: &[(String, String)]) {
    let lake = Lake::open(location, env.iter().cloned()).unwrap();
    let key = lake.add_site("shop", Utc::now()).await.unwrap().write_key;
    let known = Arc::new(Known::default());
    let seed = std::env::var("DEWPOND_KILL_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| rand::rng().random());
    println!("DEWPOND_KILL_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let version = async || lake.table(&EVENTS).load().await.unwrap().version.unwrap_or(0);
    let (mut rounds_with_commits, mut commits) = (0, 0);
    for round in 0..rounds() {
        let before = version().await;
        run_round(location, env, &key, &known, &mut rng, round % 2 == 1).await;
        let committed = version().await - before;
        (rounds_with_commits, commits) = (rounds_with_commits + u64::from(committed > 0), commits + committed);
        check(&lake, &known, round).await;
        if round % UNDISTURBED_EVERY == UNDISTURBED_EVERY - 1 {
            run_well(&["compactor", "--lake", location, "--once"], env).await;
            println!("{location}: {} rounds", round + 1);
        }
    }
    // The published table by itself, once everything is in it: nothing twice, nothing missing.
    run_well(&["compactor", "--lake", location, "--once"], env).await;
    assert!(lake.snapshot().await.unwrap().pending.is_empty());
    check(&lake, &known, rounds()).await;
    let acknowledged = known.acknowledged.lock().len();
    println!(
        "{acknowledged} events acknowledged in {} rounds, {commits} commits in {rounds_with_commits} of them",
        rounds()
    );
    assert!(acknowledged > 100, "the clients got hardly anything through: {acknowledged}");
    // A compactor killed before it has done anything would prove nothing.
    assert!(rounds_with_commits > 0, "no compactor that was killed has committed anything");
}

/// Starts all processes, sends, kills them one by one at random moments.
async fn run_round(
    location: &str,
    env: &[(String, String)],
    key: &str,
    known: &Arc<Known>,
    rng: &mut StdRng,
    two_compactors: bool,
) {
    let collector = ["collector", "--lake", location, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let compactor = [
        "compactor",
        "--lake",
        location,
        "--admin-listen",
        "127.0.0.1:0",
        "--publish-cron",
        "* * * * * *",
        "--merge-cron",
        "* * * * * *",
        "--vacuum-cron",
        "* * * * * *",
        "--raw-grace",
        "0s",
    ];
    let (first, second) =
        tokio::join!(Role::start(&collector, env, "collector"), Role::start(&collector, env, "collector"),);
    let urls = Arc::new([first.url("collector"), second.url("collector")]);
    let mut victims = vec![first, second];
    for _ in 0..if two_compactors { 2 } else { 1 } {
        victims.push(Role::start(&compactor, env, "compactor").await);
    }

    let stopped = Arc::new(AtomicBool::new(false));
    let mut senders = JoinSet::new();
    for _ in 0..4 {
        let (urls, key, known, stopped) = (urls.clone(), key.to_owned(), known.clone(), stopped.clone());
        let mut rng = StdRng::seed_from_u64(rng.random());
        senders.spawn(async move { send_until(&stopped, &urls[..], &key, &known, &mut rng).await });
    }
    while !victims.is_empty() {
        // A compactor needs a second or two for its first commit. Some must live long enough to be killed in the middle of one.
        sleep(Duration::from_millis(rng.random_range(50..1_200))).await;
        let victim = victims.swap_remove(rng.random_range(0..victims.len()));
        victim.kill().await;
    }
    stopped.store(true, Ordering::Relaxed);
    senders.join_all().await;
}

async fn send_until(stopped: &AtomicBool, urls: &[String], key: &str, known: &Known, rng: &mut StdRng) {
    let client = client();
    while !stopped.load(Ordering::Relaxed) {
        let again = known.open.lock().pop();
        let ids = again.unwrap_or_else(|| {
            let count = rng.random_range(1..20);
            let first = known.next_id.fetch_add(count, Ordering::Relaxed);
            (first..first + count).map(|id| format!("event-{id}")).collect()
        });
        let body = Json::Array(events(ids.clone()));
        match post(&client, &urls[rng.random_range(0..urls.len())], key, &body).await {
            Ok(response) if response.status() == StatusCode::ACCEPTED => known.acknowledged.lock().extend(ids),
            Ok(response) if response.status().is_client_error() => {
                panic!("{}: {}", response.status(), response.text().await.unwrap_or_default())
            }
            _ => {
                known.open.lock().push(ids);
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Every acknowledged id is there exactly once, and no id is there twice.
async fn check(lake: &Lake, known: &Known, round: u64) {
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    let session = engine.view().await.unwrap().session(&Scope::Lake).unwrap();
    let answer = session.query("SELECT event_id FROM events", &[]).await.unwrap();
    let mut found: HashMap<[u8; 16], u64> = HashMap::new();
    for batch in &answer.batches {
        let ids = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Binary).unwrap();
        let ids = arrow::array::AsArray::as_binary::<i32>(&*ids);
        for id in ids.iter().flatten() {
            *found.entry(id.try_into().unwrap()).or_default() += 1;
        }
    }
    let doubled = found.values().filter(|&&times| times > 1).count();
    assert_eq!(doubled, 0, "round {round}: ids that are there more than once");
    let acknowledged = known.acknowledged.lock();
    let lost: Vec<&String> =
        acknowledged.iter().filter(|id| !found.contains_key(&lake::EventId::from_client(id).0)).collect();
    assert!(
        lost.is_empty(),
        "round {round}: {} of {} acknowledged events are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    let sent = known.next_id.load(Ordering::Relaxed) as usize;
    assert!(found.len() <= sent, "round {round}: {} events, {sent} sent", found.len());
}
