//! Lakes of organisations' own: where events go, and what happens while one is away.

use axum::http::StatusCode;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use lake::{Lakes, QUARANTINE, SiteSettings};
use object_store::path::Path;
use tempfile::TempDir;

use super::*;

/// A collector that reads the sites once, when it begins, beside a main lake with the site `shop`; and a place for another
/// lake.
struct TwoLakes {
    world: World,
    lakes: Lakes,
    dir: TempDir,
}

impl TwoLakes {
    async fn new(settings: Settings) -> Self {
        let world = World::with(Settings { directory_refresh: Duration::from_secs(3_600), ..settings }).await;
        let lakes = Lakes::from(world.lake.clone());
        Self { world, lakes, dir: tempfile::tempdir().unwrap() }
    }

    fn place(&self) -> std::path::PathBuf {
        self.dir.path().join("own")
    }

    /// Sets the lake, and adds a site that lies in it. Returns its key.
    async fn set(&self) -> String {
        self.lakes.set("acme", self.place().to_str().unwrap(), None).await.unwrap();
        let now = DateTime::UNIX_EPOCH;
        let added = self.lakes.main().add_site_of("acme-shop", Some("acme"), SiteSettings::default(), now).await;
        added.unwrap().write_key
    }

    async fn post(&self, key: &str, body: &str) -> StatusCode {
        self.world.post_with(&[("x-api-key", key)], body.to_owned()).await.status
    }

    /// The directories of the main lake that have objects, and how many.
    async fn main_objects(&self) -> HashMap<String, usize> {
        let objects: Vec<_> = self.world.lake.store().list(Some(&Path::default())).try_collect().await.unwrap();
        let mut counted = HashMap::new();
        for object in objects {
            *counted.entry(object.location.parts().next().unwrap().as_ref().to_owned()).or_default() += 1;
        }
        counted
    }
}

#[tokio::test]
async fn a_collector_that_read_the_sites_before_a_lake_was_set_sends_no_event_elsewhere() {
    let two = TwoLakes::new(Settings::default()).await;
    // It knows the sites as they were before.
    assert_eq!(two.world.post(EVENT).await.status, StatusCode::ACCEPTED);
    let before = two.main_objects().await;
    let key = two.set().await;
    for event in [EVENT, r#"{"event_id":"e2"}"#] {
        two.post(&key, event).await;
    }
    let own = two.lakes.of_site("acme-shop").await.unwrap();
    let snapshot = own.snapshot().await.unwrap();
    assert_eq!(snapshot.pending.len(), 1);
    assert_eq!(own.quarantine_files().await.unwrap().len(), 1, "what is refused lies there, too");
    assert!(two.place().join("registry/salts").is_dir(), "and the salts of its visitors");

    let after = two.main_objects().await;
    assert_eq!((before.get("raw"), before.get(QUARANTINE)), (Some(&1), None));
    assert_eq!((after.get("raw"), after.get(QUARANTINE)), (Some(&1), None));
}

#[tokio::test]
async fn a_lake_that_is_away_answers_503_for_its_own_sites_alone() {
    let two = TwoLakes::new(Settings::default()).await;
    let key = two.set().await;
    std::fs::rename(two.place(), two.dir.path().join("away")).unwrap();
    assert_eq!(two.post(&key, EVENT).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(two.world.post(EVENT).await.status, StatusCode::ACCEPTED);
    assert!(!two.place().exists(), "an empty disk must not become a lake");
    assert_eq!(two.main_objects().await.get("raw"), Some(&1));

    std::fs::rename(two.dir.path().join("away"), two.place()).unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(two.post(&key, EVENT).await, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_lake_that_hangs_holds_up_nobody_of_another() {
    let two = TwoLakes::new(Settings { buffer_bytes: 20_000, ..Settings::default() }).await;
    let key = two.set().await;
    assert_eq!(two.post(&key, EVENT).await, StatusCode::ACCEPTED);
    two.world.faults.hold_puts.store(true, Ordering::SeqCst);
    let body = |number: u32| format!(r#"{{"event_id":"w{number}","name":"page_view"}}"#);
    let mut posts: FuturesUnordered<_> = (0..100).map(|number| two.world.post(body(number))).collect();
    let mut refused = 0;
    while let Ok(Some(answer)) = tokio::time::timeout(Duration::from_millis(500), posts.next()).await {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        refused += 1;
    }
    assert!(refused > 0 && !posts.is_empty(), "{refused} were refused, {} wait", posts.len());
    for number in 0..10 {
        let body = format!(r#"{{"event_id":"o{number}","name":"page_view"}}"#);
        assert_eq!(two.post(&key, &body).await, StatusCode::ACCEPTED);
    }
    two.world.faults.hold_puts.store(false, Ordering::SeqCst);
    while let Some(answer) = posts.next().await {
        assert_eq!(answer.status, StatusCode::ACCEPTED);
    }
}
