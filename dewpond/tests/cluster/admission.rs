//! Who may run plans on a worker: the same build, over the same lake, who shows who he is unless both are on one machine.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use crate::nodes::{Coordinator, certificates, place, worker, workers};
use crate::role::{DEWPOND, Role, run};
use crate::shop::{PUBLISHED, TestLake};

/// Checks how many of the workers a coordinator uses, and that its answers are right whether it uses any.
async fn check(lake: &TestLake, workers: &[String], more: &[&str], usable: u64) {
    let coordinator = Coordinator::start(lake.path(), &workers.join(","), more).await;
    assert_eq!(coordinator.usable().await, Some(usable));
    assert_eq!(
        coordinator.ask("SELECT count(DISTINCT event_id) FROM events").await,
        Ok(vec![format!("[{PUBLISHED}]")])
    );
    assert_eq!(coordinator.parts_by_workers().await, u64::from(usable > 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_another_build_is_not_used() {
    let lake = TestLake::published().await;
    let dir = tempfile::tempdir().unwrap();
    // A byte behind its end changes nothing that the program does.
    let other = dir.path().join("dewpond");
    fs::copy(DEWPOND, &other).unwrap();
    fs::OpenOptions::new().append(true).open(&other).unwrap().write_all(b"\n").unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    let args = ["worker", "--lake", lake.path(), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    // The shell becomes the other program, with all words but the first, which names the one under test.
    let outer = ["sh", "-c", "shift; exec \"$0\" \"$@\"", other.to_str().unwrap()];
    let other = Role::start_under(&outer, &args, &[], "worker").await;
    let same = workers(lake.path(), 2).await;
    let places: Vec<String> = same.iter().chain([&other]).map(place).collect();
    check(&lake, &places, &[], 2).await;
    check(&lake, &places[2..], &[], 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_another_lake_is_not_used() {
    let (lake, other) = (TestLake::published().await, TestLake::published().await);
    let mixed = [worker(lake.path(), &[]).await, worker(other.path(), &[]).await];
    check(&lake, &mixed.iter().map(place).collect::<Vec<_>>(), &[], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_loopback_a_worker_does_not_start_without_tls() {
    let lake = TestLake::published().await;
    let open = ["worker", "--lake", lake.path(), "--listen", "0.0.0.0:0", "--admin-listen", "127.0.0.1:0"];
    let (succeeded, _, error) = run(&open, &[]).await;
    assert!(!succeeded && error.contains("give --cluster-tls-cert"), "{error}");
    let half = certificates("ours", "ours");
    let (succeeded, _, error) = run(&[&open[..], &[&half[0]]].concat(), &[]).await;
    assert!(!succeeded && error.contains("give all three"), "{error}");
    let wrong = ["query", "--lake", lake.path(), "-e", "SELECT 1", "--workers", "workers.example"];
    let (succeeded, _, error) = run(&wrong, &[]).await;
    assert!(!succeeded && error.contains("HOST:PORT"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tls_each_side_takes_the_other_by_its_authority_and_name() {
    let lake = TestLake::published().await;
    let (ours, theirs) = (certificates("ours", "ours"), certificates("theirs", "theirs"));
    // Who trusts us, and is somebody else.
    let strangers = certificates("theirs", "ours");
    let started = [worker(lake.path(), &words(&ours)).await, worker(lake.path(), &words(&ours)).await];
    let by_name: Vec<String> = started.iter().map(|role| place(role).replace("127.0.0.1", "localhost")).collect();
    let by_address: Vec<String> = started.iter().map(place).collect();
    check(&lake, &by_name, &words(&ours), 2).await;
    // The certificate is for the name.
    check(&lake, &by_address, &words(&ours), 0).await;
    check(&lake, &by_name, &words(&theirs), 0).await;
    check(&lake, &by_name, &words(&strangers), 0).await;
    check(&lake, &by_name, &[], 0).await;
}

fn words(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}
