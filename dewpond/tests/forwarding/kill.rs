//! A forwarder that is killed at random while events are published, merged and vacuumed.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use axum::http::StatusCode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::harness::{Receiver, World, event};

/// The largest batch of a webhook.
const BATCH_MAX: usize = 1_000;

/// Events of a round.
const EVENTS: usize = 1_500;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_it_loses_nothing_repeats_a_batch_at_most_and_keeps_the_order() {
    let rounds: usize = std::env::var("DEWPOND_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    let (world, receiver) = (World::new(), Receiver::default());
    let url = receiver.start().await;
    world.add("crm", &["--webhook", &url]);
    receiver.answer(|_, count| match count % 7 {
        0 => (StatusCode::SERVICE_UNAVAILABLE, ""),
        _ => (StatusCode::OK, ""),
    });
    let mut random = StdRng::seed_from_u64(7);
    for round in 0..rounds {
        let forward = world.forward();
        let events: Vec<_> =
            (0..EVENTS).map(|n| event(round * EVENTS + n, &format!("visitor-{}", n % 5), "a")).collect();
        // Publishes, and merges what was published before.
        world.publish("shop", &events);
        tokio::time::sleep(Duration::from_millis(random.random_range(0..600))).await;
        drop(forward);
    }
    let _forward = world.forward();
    receiver.wait_for(rounds * EVENTS).await;
    let started = std::time::Instant::now();
    let all: HashSet<u64> = (0..(rounds * EVENTS) as u64).collect();
    loop {
        let got: HashSet<u64> = receiver.numbers().into_iter().collect();
        if got == all {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{} of {} came", got.len(), all.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let numbers = receiver.numbers();
    assert!(numbers.len() <= all.len() + rounds * BATCH_MAX, "{} of {} came", numbers.len(), all.len());
    // Of each visitor, events come in the order in which they happened, but for a batch that comes again.
    let (mut seen, mut last) = (HashSet::new(), HashMap::new());
    for number in numbers {
        if seen.insert(number) {
            let visitor = number as usize % EVENTS % 5;
            let before = last.insert(visitor, number);
            assert!(before.is_none_or(|before| before < number), "{number} came after {before:?}");
        }
    }
}
