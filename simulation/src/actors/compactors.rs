//! Compactors that publish, merge, remove and vacuum, and that die and are restarted.

use std::sync::Arc;
use std::time::Duration;

use compactor::{Compactor, CompactorSettings};
use futures::TryStreamExt;
use lake::{EVENTS, Lake, VacuumSettings};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use rand::Rng;
use tokio::time::sleep;

use super::{dies_after, engine_of, pause, short_pause};
use crate::fault_store::Process;
use crate::setup::Setup;

const MERGE_TARGET_BYTES: u64 = 256 << 20;

pub(super) fn compactor_of(setup: &Setup, process: &Arc<Process>, lake: Lake) -> Compactor {
    compactor_with(setup, process, lake, MERGE_TARGET_BYTES)
}

fn compactor_with(setup: &Setup, process: &Arc<Process>, lake: Lake, merge_target_bytes: u64) -> Compactor {
    let settings = CompactorSettings {
        merge_target_bytes,
        // Small, so that one publish needs several commits.
        publish_bytes_max: 60_000,
        raw_grace: Duration::ZERO,
        replaced_grace: Duration::ZERO,
        followed_grace: Duration::ZERO,
        reports: compactor::ReportsKept::default(),
    };
    Compactor::new(engine_of(lake), settings, setup.clock_of(process))
}

/// Removes expired events over and over. It never dies, so it remembers which files have none.
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

/// Publishes, merges and removes. Dies at a random operation and is restarted.
pub(crate) async fn compactor(setup: Arc<Setup>, crashes: Option<u64>) {
    let mut rng = setup.rng();
    loop {
        let (process, lake) = setup.start_process(dies_after(&mut rng, crashes));
        // Usually one commit takes all removals, sometimes each has a commit of its own.
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

/// Keeps the sessions of days that are over, again and again. Dies at a random operation and is restarted.
pub(crate) async fn keeper(setup: Arc<Setup>, crashes: Option<u64>) {
    let mut rng = setup.rng();
    loop {
        let (process, lake) = setup.start_process(dies_after(&mut rng, crashes));
        let compactor = compactor_of(&setup, &process, lake);
        let work = async {
            loop {
                sleep(pause(&mut rng)).await;
                let done = compactor.keep_sessions().await;
                setup.world.note(|| format!("keep sessions: {done:?}"));
                setup.summary.lock().passes += u64::from(done.is_ok_and(|done| done.days_written > 0));
            }
        };
        process.while_alive(work).await;
        setup.summary.lock().kills += 1;
        sleep(pause(&mut rng)).await;
    }
}

/// Vacuums with a short grace or none.
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

/// Vacuums all the time, without grace.
pub(crate) async fn eager_vacuum(setup: Arc<Setup>) {
    let (_, lake) = setup.start_process(None);
    loop {
        sleep(Duration::from_millis(1)).await;
        // A failed vacuum is simply tried again.
        let _ = lake.vacuum(&[&EVENTS], vacuum_settings(Duration::ZERO)).await;
    }
}

fn vacuum_settings(grace: Duration) -> VacuumSettings {
    VacuumSettings {
        raw_grace: grace,
        replaced_grace: grace,
        // Longer than any commit takes here, retries included.
        orphan_grace: Duration::from_secs(1_000),
        ..VacuumSettings::default()
    }
}

/// Deletes log entries before the last checkpoint, which must never be done.
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
