//! The actors of a run: each is the code that ships, in a simulated process, with somebody who makes it work.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use chrono::{DateTime, TimeDelta, Utc};
use collector::Batcher;
use compactor::{Compactor, CompactorSettings};
use engine::{Engine, EngineSettings, Scope};
use futures::TryStreamExt;
use lake::{
    CheckSettings, EVENTS, Event, EventId, Lake, LakeError, Person, PersonId, Severity, VacuumSettings, read_batches,
};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::fault_store::{Process, atomically};
use crate::history::{Expectation, History, Id, Violation, check_chain};
use crate::run::Setup;

type Live = (Arc<Process>, Batcher);

/// The live collectors, behind what a load balancer would be.
#[derive(Clone, Default)]
pub(crate) struct Collectors {
    live: Arc<Mutex<Vec<Live>>>,
}

impl Collectors {
    /// Two collectors, each of which dies at a random operation and is started again.
    pub(crate) fn start(setup: &Arc<Setup>, crashes: Option<u64>, tasks: &mut Vec<JoinHandle<()>>) -> Self {
        let collectors = Self::default();
        for _ in 0..2 {
            let (setup, collectors) = (setup.clone(), collectors.clone());
            tasks.push(tokio::spawn(async move {
                let mut rng = setup.rng();
                loop {
                    let (process, lake) = setup.start_process(dies_after(&mut rng, crashes));
                    let settings = collector::Settings {
                        flush_after: Some(Duration::from_millis(rng.random_range(1..100))),
                        lanes: rng.random_range(1..3).try_into().expect("it is not zero"),
                        ..collector::Settings::default()
                    };
                    let batcher = Batcher::start(&lake, &settings, setup.clock_of(&process));
                    collectors.live.lock().push((process.clone(), batcher));
                    process.death().await;
                    setup.summary.lock().kills += 1;
                    collectors.live.lock().retain(|(live, _)| !Arc::ptr_eq(live, &process));
                    sleep(pause(&mut rng)).await;
                }
            }));
        }
        collectors
    }

    fn choose(&self, rng: &mut StdRng) -> Option<Live> {
        self.live.lock().choose(rng).cloned()
    }
}

fn dies_after(rng: &mut StdRng, crashes: Option<u64>) -> Option<u64> {
    crashes.map(|mean| rng.random_range(1..2 * mean))
}

/// Mostly short, sometimes long: what is usually far apart must sometimes meet.
fn pause(rng: &mut StdRng) -> Duration {
    let longest_ms = [20, 300, 300, 2_000, 2_000, 15_000][rng.random_range(0..6)];
    Duration::from_millis(rng.random_range(1..longest_ms))
}

/// For those who run all the time.
fn short_pause(rng: &mut StdRng) -> Duration {
    let longest_ms = [20, 200, 500, 1_500][rng.random_range(0..4)];
    Duration::from_millis(rng.random_range(1..longest_ms))
}

/// How an event's time comes about; copies of one event differ in it.
#[derive(Clone, Copy)]
enum Timing {
    /// The client's own time.
    Client,
    /// No time: that of arrival.
    Arrival,
    /// A body with its time of sending, sent again as it is: corrected by how long the client has tried.
    SentAgain,
}

/// Which person caused an event: the same of two clients for some of their events.
fn user_of(id: &Id) -> &'static str {
    match id.name.len() % 2 {
        0 => "ada",
        _ => "bob",
    }
}

/// Whose events are being or were erased.
pub(crate) struct Erasure {
    site: &'static str,
    user: &'static str,
    /// Acknowledged before it began.
    theirs: Vec<Id>,
    /// An event made after it is not taken for an earlier one by any clock; `None` while the erasure is under way.
    until: Option<DateTime<Utc>>,
}

impl Erasure {
    fn is_of(&self, id: &Id) -> bool {
        id.site == self.site && user_of(id) == self.user
    }

    /// The first erasure of a person was completed, perhaps by a later one, or never was.
    fn check_whole(&self, rows: &[Id], history: &History) -> Result<(), Violation> {
        let theirs = self.theirs.iter().filter(|id| !history.is_expired(id));
        let (left, gone): (Vec<_>, Vec<_>) = theirs.partition(|id| rows.contains(id));
        match (left.first(), gone.first()) {
            (Some(left), Some(_)) => Err(Violation::Returned((*left).clone())),
            _ => Ok(()),
        }
    }
}

/// What a client has to send.
#[derive(Clone)]
struct Draft {
    id: Id,
    timing: Timing,
    made_at_us: i64,
    /// Made days ago.
    is_old: bool,
}

impl Draft {
    /// The event as a collector would make it of this try.
    ///
    /// - `by_us`: by how much the collector corrects the client's clock.
    fn event(&self, now_us: i64, by_us: i64) -> Event {
        let (occurred_at_us, corrected_by_us) = match self.timing {
            Timing::Client => (self.made_at_us + by_us, Some(by_us)),
            Timing::Arrival => (now_us, None),
            Timing::SentAgain => (now_us, Some(now_us - self.made_at_us)),
        };
        Event {
            event_id: EventId::from_client(&self.id.name),
            site_id: self.id.site.as_str().into(),
            name: self.id.name.clone(),
            occurred_at_us,
            received_at_us: now_us,
            corrected_by_us,
            visitor_id: Some((self.id.name.len() % 3) as i64),
            user_id: Some(user_of(&self.id).to_owned()),
            protocol: "native",
            ..Event::default()
        }
    }
}

/// A client: sends each of its batches until it is acknowledged, perhaps through another collector, perhaps
/// while its first try is still under way, and sometimes once more.
pub(crate) async fn client(setup: Arc<Setup>, collectors: Collectors, number: usize) {
    let mut rng = setup.rng();
    let mut left = rng.random_range(4..24);
    let mut made = 0;
    while left > 0 {
        let size = rng.random_range(1..4).min(left);
        left -= size;
        let drafts: Vec<Draft> = (0..size)
            .map(|_| {
                made += 1;
                let now_us = setup.world.now().timestamp_micros();
                // Some were made a week ago: a date in which any two files are merged. Some are too old from midnight on.
                let [now, lately, long_ago] = [TimeDelta::zero(), TimeDelta::hours(3 * 24 + 1), TimeDelta::days(7)];
                let age = [now, now, now, lately, long_ago, long_ago][rng.random_range(0..6)];
                let timing = [Timing::Client, Timing::Client, Timing::Arrival, Timing::SentAgain];
                let timing = *timing.choose(&mut rng).expect("there are four");
                let is_old = matches!(timing, Timing::Client) && !age.is_zero();
                Draft {
                    id: Id {
                        site: ["one", "two"][rng.random_range(0..2)].to_owned(),
                        name: format!("event {made} of client {number}"),
                    },
                    timing,
                    made_at_us: if is_old { now_us - age.num_microseconds().unwrap_or(0) } else { now_us },
                    is_old,
                }
            })
            .collect();
        let ids = || drafts.iter().map(|draft| draft.id.clone());
        setup.history.lock().send(ids());
        let is_expired = |draft: &&Draft| setup.with_retention && draft.is_old && draft.id.site == RETENTION_SITE;
        setup.history.lock().expire(drafts.iter().filter(is_expired).map(|draft| draft.id.clone()));
        // What happened before the end of an erasure and is sent after its beginning may be left out.
        for erasure in &*setup.erasures.lock() {
            let until_us = erasure.until.map_or(i64::MAX, |until| until.timestamp_micros());
            let is_erased = |draft: &&Draft| erasure.is_of(&draft.id) && draft.made_at_us <= until_us;
            setup.history.lock().fade(drafts.iter().filter(is_erased).map(|draft| draft.id.clone()));
        }
        let mut again = if rng.random_bool(0.2) { 1 } else { 0 };
        loop {
            if let Some((process, batcher)) = collectors.choose(&mut rng) {
                let now_us = process.now(&setup.world).timestamp_micros();
                // The network's delay and the collector's own clock move the correction of a clock.
                let by_us = rng.random_range(0..300_000_000) + now_us - setup.world.now().timestamp_micros();
                let events = drafts.iter().map(|draft| draft.event(now_us, by_us)).collect();
                let answer = process.while_alive(batcher.append(events));
                let patience = Duration::from_millis([50, 500, 60_000][rng.random_range(0..3)]);
                if let Ok(Some(Ok(_))) = timeout(patience, answer).await {
                    let mut history = setup.history.lock();
                    history.acknowledge(ids());
                    drop(history);
                    setup.world.note(|| format!("acknowledged {:?}", ids().map(|id| id.name).collect::<Vec<_>>()));
                    if again == 0 {
                        break;
                    }
                    again -= 1;
                }
            }
            sleep(pause(&mut rng)).await;
        }
        sleep(pause(&mut rng)).await;
    }
    setup.summary.lock().acknowledged += made;
}

fn engine_of(lake: Lake) -> Engine {
    let settings = EngineSettings { query_threads: Some(1), ..EngineSettings::default() };
    Engine::new(lake, &settings).expect("an engine without a spill directory needs nothing")
}

const MERGE_TARGET_BYTES: u64 = 256 << 20;

fn compactor_of(setup: &Setup, process: &Arc<Process>, lake: Lake) -> Compactor {
    compactor_with(setup, process, lake, MERGE_TARGET_BYTES)
}

fn compactor_with(setup: &Setup, process: &Arc<Process>, lake: Lake, merge_target_bytes: u64) -> Compactor {
    let settings = CompactorSettings {
        merge_target_bytes,
        // Small, so that one publish takes several commits.
        publish_bytes_max: 60_000,
        raw_grace: Duration::ZERO,
        replaced_grace: Duration::ZERO,
    };
    Compactor::new(engine_of(lake), settings, setup.clock_of(process))
}

/// The site that keeps its events for some days.
const RETENTION_SITE: &str = "two";

/// Makes a site, without which a lake with events has lost its list, however often the store fails.
pub(crate) async fn add_site(setup: &Setup) {
    let (_, lake) = setup.start_process(None);
    while lake.ensure_site("one", setup.world.now()).await.is_err() {
        sleep(Duration::from_millis(100)).await;
    }
}

/// Has sites keep their events for some days, however often the store fails. One of them is between the others and has no
/// events, so that files must be read to know that.
pub(crate) async fn set_retention(setup: &Setup) {
    let (_, lake) = setup.start_process(None);
    for (site, days) in [(RETENTION_SITE, 3), ("three", 1)] {
        while lake.set_retention(site, Some(days)).await.is_err() {
            let _ = lake.add_site(site, setup.world.now()).await;
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Removes what is too old, again and again, and remembers which files have nothing of it.
pub(crate) async fn janitor(setup: Arc<Setup>) {
    let mut rng = setup.rng();
    let (process, lake) = setup.start_process(None);
    let compactor = setup.janitor.get_or_init(|| compactor_of(&setup, &process, lake)).clone();
    loop {
        sleep(pause(&mut rng)).await;
        let done = compactor.remove().await;
        setup.world.note(|| format!("janitor: {done:?}"));
        setup.summary.lock().removed += done.map_or(0, |done| done.rows);
    }
}

/// Publishes and merges; dies at a random operation and is started again.
pub(crate) async fn compactor(setup: Arc<Setup>, crashes: Option<u64>) {
    let mut rng = setup.rng();
    loop {
        let (process, lake) = setup.start_process(dies_after(&mut rng, crashes));
        // Mostly all of a date's removals go into one commit, sometimes each into one of its own.
        let target_bytes = [MERGE_TARGET_BYTES, MERGE_TARGET_BYTES, 20_000][rng.random_range(0..3)];
        let compactor = compactor_with(&setup, &process, lake, target_bytes);
        let work = async {
            loop {
                sleep(short_pause(&mut rng)).await;
                if rng.random_bool(0.7) {
                    let done = compactor.publish().await;
                    setup.world.note(|| format!("publish: {done:?}"));
                    setup.summary.lock().publishes += u64::from(done.is_ok_and(|done| done.raw_files > 0));
                } else if rng.random_bool(0.2) {
                    let done = compactor.remove().await;
                    setup.world.note(|| format!("remove: {done:?}"));
                    setup.summary.lock().removed += done.map_or(0, |done| done.rows);
                } else {
                    let done = compactor.merge().await;
                    setup.world.note(|| format!("merge: {done:?}"));
                    setup.summary.lock().merges += u64::from(done.is_ok_and(|done| done.files_in > 0));
                }
            }
        };
        process.while_alive(work).await;
        setup.summary.lock().kills += 1;
        sleep(pause(&mut rng)).await;
    }
}

/// Vacuums with no grace at all or a short one.
pub(crate) async fn vacuum(setup: Arc<Setup>, crashes: Option<u64>) {
    let mut rng = setup.rng();
    loop {
        let (process, lake) = setup.start_process(dies_after(&mut rng, crashes));
        let work = async {
            loop {
                sleep(short_pause(&mut rng) * 3).await;
                let grace = Duration::from_secs([0, 5, 60][rng.random_range(0..3)]);
                let done = lake.vacuum(&[&EVENTS], vacuum_settings(grace)).await;
                setup.world.note(|| format!("vacuum: {done:?}"));
                if let Ok(done) = done {
                    setup.summary.lock().deleted += (done.raw_files + done.table_files) as u64;
                }
            }
        };
        process.while_alive(work).await;
        setup.summary.lock().kills += 1;
        sleep(pause(&mut rng)).await;
    }
}

/// Vacuums all the time, with no grace.
pub(crate) async fn eager_vacuum(setup: Arc<Setup>) {
    let (_, lake) = setup.start_process(None);
    loop {
        sleep(Duration::from_millis(1)).await;
        // What the store fails to do it is asked to do again.
        let _ = lake.vacuum(&[&EVENTS], vacuum_settings(Duration::ZERO)).await;
    }
}

fn vacuum_settings(grace: Duration) -> VacuumSettings {
    VacuumSettings {
        raw_grace: grace,
        replaced_grace: grace,
        // Longer than any commit takes here, with all its tries.
        orphan_grace: Duration::from_secs(1_000),
        ..VacuumSettings::default()
    }
}

/// Erases one person, once, until it has worked; dies at a random operation and is started again, or is left to the
/// compactor.
pub(crate) async fn eraser(setup: Arc<Setup>, crashes: Option<u64>) {
    let mut rng = setup.rng();
    sleep(Duration::from_millis(rng.random_range(1..20_000))).await;
    let (site, user) = (["one", "two"][rng.random_range(0..2)], ["ada", "bob"][rng.random_range(0..2)]);
    let person = Person { site_id: site.into(), id: PersonId::User(user.to_owned()) };
    loop {
        let (process, lake) = setup.start_process(dies_after(&mut rng, crashes));
        let compactor = compactor_of(&setup, &process, lake);
        let begun_at = setup.world.now();
        let theirs = setup.history.lock().begin_erasure(|id| id.site == site && user_of(id) == user);
        let number = {
            let mut erasures = setup.erasures.lock();
            erasures.push(Erasure { site, user, theirs: theirs.clone(), until: None });
            erasures.len() - 1
        };
        setup.world.note(|| format!("erasing {user} of {site}: {} events", theirs.len()));
        let done = process.while_alive(compactor.erase(&person)).await;
        setup.world.note(|| format!("erasing: {done:?}"));
        // By a clock that may be ahead, of what comes by clocks that may be behind.
        setup.erasures.lock()[number].until = Some(begun_at + 2 * setup.clock_error_max);
        if let Some(Ok(_)) = done {
            setup.history.lock().end_erasure(theirs);
            setup.summary.lock().erasures += 1;
            return;
        }
        if rng.random_bool(0.3) {
            return;
        }
        sleep(pause(&mut rng)).await;
    }
}

/// Reads as a query does, and checks what it sees.
pub(crate) async fn reader(setup: Arc<Setup>) {
    let mut rng = setup.rng();
    let (_, lake) = setup.start_process(None);
    let engine = engine_of(lake);
    loop {
        sleep(pause(&mut rng)).await;
        let expected = setup.history.lock().expectation();
        setup.world.note(|| "a read begins".to_owned());
        // A store that fails may fail a read; a read that answers must be right.
        match read(&engine).await {
            Ok(rows) => {
                setup.world.note(|| format!("a read has {}", rows.len()));
                setup.summary.lock().reads += 1;
                if let Err(violation) = setup.history.lock().check(&rows, &expected) {
                    setup.report(violation);
                    return;
                }
            }
            Err(error) => setup.world.note(|| format!("a read failed: {error:#}")),
        }
    }
}

async fn read(engine: &Engine) -> anyhow::Result<Vec<Id>> {
    let session = engine.view().await?.session(&Scope::Lake)?;
    let answer = session.query("SELECT site_id, name FROM events", &[]).await?;
    let mut rows = Vec::new();
    for batch in &answer.batches {
        let column = |index: usize| arrow::compute::cast(batch.column(index), &DataType::Utf8);
        let (sites, names) = (column(0)?, column(1)?);
        let (sites, names) = (sites.as_string::<i32>(), names.as_string::<i32>());
        rows.extend((0..sites.len()).map(|row| Id { site: sites.value(row).into(), name: names.value(row).into() }));
    }
    Ok(rows)
}

/// Looks at the whole store in one instant: the log is a chain, its files are there, the published table alone
/// has no event twice.
pub(crate) async fn auditor(setup: Arc<Setup>) {
    let mut rng = setup.rng();
    loop {
        sleep(pause(&mut rng) * 4).await;
        if let Err(violation) = atomically(|| futures::executor::block_on(audit(&setup))) {
            setup.report(violation);
            return;
        }
    }
}

async fn audit(setup: &Setup) -> Result<(), Violation> {
    let (_, lake) = setup.start_process(None);
    let stuck = |error: LakeError| Violation::Stuck(format!("an audit failed: {error:?}"));
    let log: Vec<_> = lake
        .store()
        .list(Some(&Path::from("lake/events/_delta_log")))
        .try_collect()
        .await
        .map_err(|error| Violation::Stuck(error.to_string()))?;
    let version = |path: &Path| path.filename()?.strip_suffix(".json")?.parse().ok();
    let versions: BTreeSet<u64> = log.iter().filter_map(|object| version(&object.location)).collect();
    check_chain(&versions)?;
    let table = lake.table(&EVENTS).load().await.map_err(stuck)?;
    let mut rows = Vec::new();
    for file in &table.files {
        if lake.store().head(&file.path).await.is_err() {
            return Err(Violation::MissingFile(file.path.to_string()));
        }
        let columns = ["site_id", "name"];
        let batches = read_batches(lake.store(), &file.path, file.size_bytes, &columns).await.map_err(stuck)?;
        for batch in batches.try_collect::<Vec<_>>().await.map_err(stuck)? {
            let (sites, names) = (batch["site_id"].as_string::<i32>(), batch["name"].as_string::<i32>());
            rows.extend(
                (0..sites.len()).map(|row| Id { site: sites.value(row).into(), name: names.value(row).into() }),
            );
        }
    }
    setup.summary.lock().version = table.version.unwrap_or(0);
    setup.history.lock().check(&rows, &Expectation::default())
}

/// Checks the lake as an operator does, beside everything else: whatever is under way, nothing is wrong.
pub(crate) async fn checker(setup: Arc<Setup>) {
    let mut rng = setup.rng();
    loop {
        sleep(pause(&mut rng) * 4).await;
        match check(&setup).await {
            Ok(None) => setup.summary.lock().checks += 1,
            Ok(Some(violation)) => {
                setup.report(violation);
                return;
            }
            // A store that fails may fail a check.
            Err(error) => setup.world.note(|| format!("a check failed: {error:?}")),
        }
    }
}

async fn check(setup: &Setup) -> Result<Option<Violation>, LakeError> {
    let (_, lake) = setup.start_process(None);
    let settings = CheckSettings { now: setup.world.now(), spill_dir: std::env::temp_dir(), repair: false };
    let checked = lake.check(&[&EVENTS], &settings).await?;
    let error = checked.findings.into_iter().find(|finding| finding.severity == Severity::Error);
    Ok(error.map(|finding| Violation::Wrong(format!("{}: {}", finding.object, finding.message))))
}

/// When all faults are over: what is pending can be published, and everything is there once.
pub(crate) async fn settle(setup: &Setup) -> Result<(), Violation> {
    let (process, lake) = setup.start_process(None);
    let compactor = compactor_of(setup, &process, lake.clone());
    let stuck = |what: &str, error: &dyn std::fmt::Debug| Violation::Stuck(format!("{what}: {error:?}"));
    compactor.publish().await.map_err(|error| stuck("a publish failed", &error))?;
    compactor.merge().await.map_err(|error| stuck("a merge failed", &error))?;
    // By whoever remembers most.
    let remover = setup.janitor.get().unwrap_or(&compactor);
    let removed = remover.remove().await.map_err(|error| stuck("a removal failed", &error))?;
    setup.summary.lock().removed += removed.rows;
    compactor.vacuum().await.map_err(|error| stuck("a vacuum failed", &error))?;
    let snapshot = lake.snapshot().await.map_err(|error| stuck("a snapshot failed", &error))?;
    if !snapshot.pending.is_empty() {
        return Err(Violation::Stuck(format!("{} files stay pending", snapshot.pending.len())));
    }
    let rows = read(&engine_of(lake)).await.map_err(|error| stuck("a read failed", &error))?;
    let history = setup.history.lock().clone();
    history.check(&rows, &history.expectation())?;
    history.check_expired(&rows)?;
    let mut persons = BTreeSet::new();
    for erasure in setup.erasures.lock().iter().filter(|erasure| persons.insert((erasure.site, erasure.user))) {
        erasure.check_whole(&rows, &history)?;
    }
    if let Some(violation) = check(setup).await.map_err(|error| stuck("a check failed", &error))? {
        return Err(violation);
    }
    atomically(|| futures::executor::block_on(audit(setup)))
}

/// Deletes log entries before the last checkpoint: what must never be done.
pub(crate) async fn log_cleanup(setup: Arc<Setup>) {
    let mut rng = setup.rng();
    let (_, lake) = setup.start_process(None);
    let dir = Path::from("lake/events/_delta_log");
    loop {
        sleep(pause(&mut rng)).await;
        let Ok(log) = lake.store().list(Some(&dir)).try_collect::<Vec<_>>().await else { continue };
        let version = |path: &Path| path.filename()?.split_once('.')?.0.parse::<u64>().ok();
        let is_checkpoint = |path: &Path| path.filename().is_some_and(|name| name.contains("checkpoint.parquet"));
        let last =
            log.iter().filter(|object| is_checkpoint(&object.location)).filter_map(|o| version(&o.location)).max();
        for object in &log {
            if version(&object.location) < last && object.location.extension() == Some("json") {
                let _ = lake.store().delete(&object.location).await;
            }
        }
    }
}
