//! What operators do: add sites, say how long they keep their events, erase people.

use std::sync::Arc;
use std::time::Duration;

use lake::{Person, PersonId};
use rand::Rng;
use tokio::time::sleep;

use super::compactors::compactor_of;
use super::{dies_after, pause};
use crate::history::{Erasure, user_of};
use crate::setup::Setup;

/// The site that keeps its events for some days.
pub(super) const RETENTION_SITE: &str = "two";

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
