//! Collectors that die and are restarted, behind a stand-in for a load balancer.

use std::sync::Arc;
use std::time::Duration;

use collector::Batcher;
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{dies_after, pause};
use crate::fault_store::Process;
use crate::setup::Setup;

type Live = (Arc<Process>, Batcher);

/// The live collectors, from which a client picks one at random.
#[derive(Clone, Default)]
pub(crate) struct Collectors {
    live: Arc<Mutex<Vec<Live>>>,
}

impl Collectors {
    /// Starts two collectors. Each dies at a random operation and is restarted.
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

    pub(super) fn choose(&self, rng: &mut StdRng) -> Option<Live> {
        self.live.lock().choose(rng).cloned()
    }
}
