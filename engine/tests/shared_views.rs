//! Views that requests share: how many are made, and that none is older than a request.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use engine::{Engine, EngineError, EngineSettings, Scope, SharedViews, View};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use lake::{Event, EventId, Lake, LakeError, Lane, LaneId, LaneSettings, RawBatch};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult,
};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};

/// A store whose listings of the raw tier are counted, and handed out only once the gate lets them.
#[derive(Debug)]
struct Gated {
    inner: Arc<InMemory>,
    listings: AtomicUsize,
    gate: Arc<Semaphore>,
    is_down: Arc<AtomicBool>,
}

impl fmt::Display for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gated")
    }
}

#[async_trait]
impl ObjectStore for Gated {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        if prefix.and_then(|prefix| prefix.filename()) != Some("raw") {
            return self.inner.list(prefix);
        }
        self.listings.fetch_add(1, SeqCst);
        let (inner, gate, is_down) = (self.inner.clone(), self.gate.clone(), self.is_down.clone());
        let prefix = prefix.cloned();
        async move {
            // The listing is taken now and handed over once the gate opens.
            let listed: Vec<_> = inner.list(prefix.as_ref()).collect().await;
            gate.acquire().await.unwrap().forget();
            match is_down.load(SeqCst) {
                true => vec![Err(object_store::Error::Generic { store: "Gated", source: "SlowDown".into() })],
                false => listed,
            }
        }
        .map(stream::iter)
        .flatten_stream()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

struct World {
    store: Arc<Gated>,
    lake: Lake,
    views: SharedViews,
}

type Asked = JoinHandle<Result<Arc<View>, Arc<EngineError>>>;

impl World {
    /// A lake whose listings wait for permits.
    fn new(permits: usize) -> Self {
        let store = Arc::new(Gated {
            inner: Arc::default(),
            listings: AtomicUsize::new(0),
            gate: Arc::new(Semaphore::new(permits)),
            is_down: Arc::default(),
        });
        let memory = Lake::open("memory:///lake", []).unwrap();
        let lake = Lake::with_store(store.clone(), memory.url(), memory.new_rng()).unwrap();
        let views = SharedViews::new(Engine::new(lake.clone(), &EngineSettings::default()).unwrap());
        Self { store, lake, views }
    }

    fn ask(&self) -> Asked {
        let views = self.views.clone();
        tokio::spawn(async move { views.view().await })
    }

    fn listings(&self) -> usize {
        self.store.listings.load(SeqCst)
    }

    async fn listing_begins(&self, number: usize) {
        let begun = async {
            while self.listings() < number {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), begun).await.unwrap();
    }
}

/// Lets tasks that were spawned begin.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// Makes one event durable.
async fn append(lake: &Lake, number: i64) {
    let mut batch = RawBatch::default();
    batch.push(&Event {
        event_id: EventId::from_client(&number.to_string()),
        site_id: "shop".into(),
        name: "page_view".into(),
        occurred_at_us: noon().timestamp_micros() + number,
        received_at_us: noon().timestamp_micros() + number,
        protocol: "native",
        ..Event::default()
    });
    let lane = Lane::start(lake.clone(), LaneId(uuid::Uuid::now_v7()), LaneSettings::default());
    lane.append(batch.encode(), noon()).await.unwrap();
}

async fn count(view: &View) -> i64 {
    let session = view.session(&Scope::Lake).unwrap();
    let answer = session.query("SELECT count(*) FROM events", &[]).await.unwrap();
    answer.batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test]
async fn twelve_requests_at_a_time_take_two_listings_instead_of_twelve() {
    let world = World::new(12);
    let engine = world.views.engine();
    futures::future::join_all((0..12).map(|_| engine.view())).await.into_iter().for_each(|view| drop(view.unwrap()));
    assert_eq!(world.listings(), 12);

    let world = World::new(0);
    append(&world.lake, 1).await;
    let asked: Vec<Asked> = (0..12).map(|_| world.ask()).collect();
    world.listing_begins(1).await;
    settle().await;
    world.store.gate.add_permits(12);
    for asked in asked {
        assert_eq!(count(&asked.await.unwrap().unwrap()).await, 1);
    }
    assert_eq!(world.listings(), 2);
}

#[tokio::test]
async fn a_request_never_gets_a_view_that_began_before_it_came() {
    let world = World::new(0);
    let before = world.ask();
    world.listing_begins(1).await;
    settle().await;
    append(&world.lake, 1).await;
    let after = world.ask();
    settle().await;
    world.store.gate.add_permits(2);
    let (before, after) = (before.await.unwrap().unwrap(), after.await.unwrap().unwrap());
    assert_eq!((count(&before).await, count(&after).await), (0, 1));
}

#[tokio::test]
async fn a_request_that_goes_away_takes_no_view_from_the_others() {
    let world = World::new(0);
    let running = world.ask();
    world.listing_begins(1).await;
    let (leader, follower) = (world.ask(), world.ask());
    settle().await;
    running.abort();
    // The first view was nobody's any more, so the second began, and now loses the one who asked first.
    world.listing_begins(2).await;
    leader.abort();
    settle().await;
    world.store.gate.add_permits(2);
    follower.await.unwrap().unwrap();
    assert_eq!(world.listings(), 2);
}

#[tokio::test]
async fn a_store_that_fails_is_told_to_all_who_share_the_view_and_forgotten_by_the_next() {
    let world = World::new(0);
    let running = world.ask();
    world.listing_begins(1).await;
    let shared = [world.ask(), world.ask()];
    settle().await;
    world.store.is_down.store(true, SeqCst);
    world.store.gate.add_permits(2);
    for asked in [running].into_iter().chain(shared) {
        let error = asked.await.unwrap().map(drop).unwrap_err();
        assert!(matches!(&*error, EngineError::Lake(LakeError::Unavailable { .. })), "{error:?}");
    }
    world.store.is_down.store(false, SeqCst);
    world.store.gate.add_permits(1);
    world.views.view().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_is_seen_by_everyone_who_asks_after() {
    let world = Arc::new(World::new(Semaphore::MAX_PERMITS));
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let clients = (0..8).map(|client| {
        let (world, acknowledged) = (world.clone(), acknowledged.clone());
        tokio::spawn(async move {
            for number in 0..6 {
                append(&world.lake, client * 100 + number).await;
                acknowledged.fetch_add(1, SeqCst);
                let before = acknowledged.load(SeqCst);
                let view = world.views.view().await.unwrap();
                assert!(count(&view).await >= before as i64, "an acknowledged event is missing");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let last = world.views.view().await.unwrap();
    assert_eq!(count(&last).await, 48);
}

#[tokio::test]
async fn a_view_without_reports_needs_no_log_of_them_and_keeps_those_it_has_read() {
    let world = World::new(Semaphore::MAX_PERMITS);
    let view = world.views.view().await.unwrap();
    let objects = || async { world.store.inner.list(None).try_collect::<Vec<_>>().await.unwrap().len() };
    let before = objects().await;
    let count = async |view: &View| {
        let session = view.session(&Scope::Lake).unwrap();
        let answer = session.query("SELECT count(*) FROM reports WHERE site_id = 'shop'", &[]).await.unwrap();
        answer.batches[0].column(0).as_primitive::<Int64Type>().value(0)
    };
    assert_eq!((count(&view).await, count(&view).await, objects().await), (0, 0, before));
}
