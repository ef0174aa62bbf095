//! What an operator is told of a change to the registry is true, whatever the store says of its puts.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use lake::{Lake, LakeError};
use rand::SeedableRng;
use rand::rngs::StdRng;
use simulation::{FaultStore, Process, World};
use url::Url;

#[tokio::test(start_paused = true)]
async fn a_site_that_is_added_while_the_store_fails_is_not_said_to_have_been_there() {
    let mut added = 0;
    for seed in 0..40 {
        added += add_sites(seed).await;
    }
    assert!(added > 1_000, "{added} of 4 000 sites were added");
}

/// Adds a hundred sites, and returns how many were told to be there.
async fn add_sites(seed: u64) -> usize {
    let world = World::new(seed, DateTime::UNIX_EPOCH, 0.4);
    let store = FaultStore::new(world.clone(), Process::new(0, None, TimeDelta::zero()));
    let url = Url::parse("memory:///lake").expect("it is a URL");
    let lake = Lake::with_store(Arc::new(store), &url, StdRng::seed_from_u64(seed)).expect("any store can hold a lake");
    let mut told = Vec::new();
    for number in 0..100 {
        let name = format!("site-{number}");
        match lake.add_site(&name, DateTime::UNIX_EPOCH).await {
            Ok(issued) => told.push((name, issued.write_key)),
            // Nobody knows, and the command says so.
            Err(LakeError::Unavailable { .. }) => {}
            Err(wrong) => panic!("seed {seed}, {name}: {wrong}"),
        }
    }
    world.calm_down();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let directory = lake.sites().await.expect("the store has recovered");
    for (name, key) in &told {
        let found = directory.site_of_key(key).map(|site| site.site_id.to_string());
        assert_eq!(found.as_ref(), Some(name), "seed {seed}");
    }
    told.len()
}
