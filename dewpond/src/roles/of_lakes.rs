//! Lakes of organisations' own in a role: what runs for the main lake runs for each of them, by itself, from when it is set.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lake::{Lakes, OwnLake, whole_text};
use schedule::Schedule;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// How often the registry is asked for lakes. Events of a new one are in answers before.
const REGISTRY_EVERY: Duration = Duration::from_secs(30);

/// The pause before one that cannot be opened is tried again.
const OPENING_PAUSE: Duration = Duration::from_secs(5);

/// Begins to run something for each lake, and ends it when the lake is taken back or the role stops. A lake that is away
/// keeps none of the others waiting.
///
/// - `start`: begins to run it. What it returns ends after the token is cancelled.
pub(super) fn follow<F, R>(lakes: Lakes, stop: CancellationToken, start: F) -> JoinHandle<()>
where
    F: Fn(Arc<OwnLake>, CancellationToken) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = anyhow::Result<JoinHandle<()>>> + Send + 'static,
{
    tokio::spawn(async move {
        let (mut running, mut tasks) = (HashMap::new(), JoinSet::new());
        while !stop.is_cancelled() {
            match lakes.main().sites().await {
                Ok(directory) => {
                    running.retain(|own, stop: &mut CancellationToken| {
                        let stays = directory.lakes().contains(own);
                        if !stays {
                            stop.cancel();
                        }
                        stays
                    });
                    for own in directory.lakes() {
                        if !running.contains_key(own) {
                            let stop = stop.child_token();
                            tasks.spawn(run(own.clone(), stop.clone(), start.clone()));
                            running.insert(own.clone(), stop);
                        }
                    }
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not read which lakes there are; trying again"
                ),
            }
            tokio::select! {
                () = tokio::time::sleep(REGISTRY_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
        while tasks.join_next().await.is_some() {}
    })
}

async fn run<F, R>(own: Arc<OwnLake>, stop: CancellationToken, start: F)
where
    F: Fn(Arc<OwnLake>, CancellationToken) -> R,
    R: Future<Output = anyhow::Result<JoinHandle<()>>>,
{
    let (lake, organisation) = (&own.url, &*own.organisation);
    let mut has_failed = false;
    let running = loop {
        let started = tokio::select! {
            started = start(own.clone(), stop.clone()) => started,
            () = stop.cancelled() => return,
        };
        match started {
            Ok(running) => break running,
            // Once per outage, not once per try.
            Err(error) if !std::mem::replace(&mut has_failed, true) => {
                tracing::error!(
                    lake,
                    organisation,
                    "cannot use the lake of an organisation's own; trying again: {}",
                    whole_text(error.as_ref())
                );
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(OPENING_PAUSE) => {}
            () = stop.cancelled() => return,
        }
    };
    tracing::info!(lake, organisation, "follows the lake of an organisation's own");
    if let Err(error) = running.await {
        tracing::error!(lake, organisation, %error, "what ran for the lake of an organisation's own died");
    }
}

/// A schedule as what runs for a lake.
pub(super) fn until(stop: CancellationToken, schedule: Schedule) -> JoinHandle<()> {
    tokio::spawn(async move {
        stop.cancelled().await;
        schedule.stop().await;
    })
}
