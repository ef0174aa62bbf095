//! What operators do: add sites, set their retention, erase people.

use std::sync::Arc;
use std::time::Duration;

use lake::{Person, PersonId};
use rand::Rng;
use tokio::time::sleep;

use super::compactors::compactor_of;
use super::{dies_after, pause};
use crate::history::{Erasure, user_of};
use crate::setup::Setup;

/// The site that keeps its events only for some days.
pub(super) const RETENTION_SITE: &str = "two";

/// Adds a site, however often the store fails. A check takes a lake with events but without sites for damaged.
pub(crate) async fn add_site(setup: &Setup) {
    let (_, lake) = setup.start_process(None);
    while lake.ensure_site("one", setup.world.now()).await.is_err() {
        sleep(Duration::from_millis(100)).await;
    }
}

/// Sets a retention for two sites, however often the store fails. The name of one of them sorts between the others and it has
/// no events, which only reading the files can tell.
pub(crate) async fn set_retention(setup: &Setup) {
    let (_, lake) = setup.start_process(None);
    for (site, days) in [(RETENTION_SITE, 3), ("three", 1)] {
        while lake.set_retention(site, Some(days)).await.is_err() {
            let _ = lake.add_site(site, setup.world.now()).await;
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Erases one person. Dies at a random operation, and then either starts again or leaves the rest to the compactor.
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
        // The eraser's clock may be ahead while the clocks that date the events are behind.
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
