//! Runs many seeds of the simulation: `simulation --seeds 100000`.

use std::time::Instant;

use anyhow::bail;
use clap::Parser;
use simulation::{Sabotage, run, run_all};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Simulates small installations under faults, one for each seed, and checks the lake's promises at every read.
#[derive(Parser)]
struct Flags {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    seeds: u64,

    /// The first seed.
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    from: u64,

    /// How many seeds to run at the same time [default: the number of cores].
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,

    /// Break the protocol on purpose; the command succeeds if the simulation notices.
    #[arg(long, value_enum)]
    sabotage: Option<Sabotage>,
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let jobs = flags.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |cores| cores.get()));
    let (end, started) = (flags.from + flags.seeds, Instant::now());
    let runs = run_all(flags.from..end, jobs, flags.sabotage, |done| {
        if done.is_multiple_of(5_000) {
            eprintln!("{done} seeds in {:.0} s", started.elapsed().as_secs_f64());
        }
    });
    let total = runs.total;
    println!(
        "{} reads and {} recurring queries and {} checks, {} events acknowledged, {} publishes, {} merges, {} passes over sessions, {} files deleted, {} runs kept, {} people erased, \
         {} rows removed, {} processes killed, {} store operations in {:.0} s",
        total.reads,
        total.recurring_reads,
        total.checks,
        total.acknowledged,
        total.publishes,
        total.merges,
        total.passes,
        total.deleted,
        total.runs,
        total.erasures,
        total.removed,
        total.kills,
        total.operations,
        started.elapsed().as_secs_f64()
    );
    match (runs.failure, flags.sabotage) {
        (None, None) => println!("seeds {}..{end}: no promise was broken", flags.from),
        (None, Some(sabotage)) => bail!("{sabotage:?} was not noticed in seeds {}..{end}", flags.from),
        (Some((seed, failure)), sabotage) => {
            // The same run again, because a seed is one run, this time with every operation listed.
            if let Err(again) = run(seed, sabotage, true) {
                again.log.iter().for_each(|line| println!("{line}"));
            }
            match sabotage {
                Some(sabotage) => println!("{sabotage:?} was noticed at seed {seed}: {}", failure.violation),
                None => bail!("seed {seed}: {}", failure.violation),
            }
        }
    }
    Ok(())
}
