//! User agents read per second, new ones and ones that were read before.

use std::fs;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use intake::agent;

/// What to measure.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Flags {
    /// A file of user agents, one a line, such as `benches/agents/run` leaves. Without it, variations of a few.
    #[arg(long, value_name = "FILE")]
    agents: Option<PathBuf>,

    /// How often each is read.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

impl Flags {
    /// What `all` measures.
    pub(crate) fn of(short: bool) -> Self {
        Self { agents: None, rounds: if short { 1 } else { 5 } }
    }
}

/// Agents of different kinds; `{}` is a version.
const KINDS: [&str; 8] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{}.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:{}.0) Gecko/20100101 Firefox/{}.0",
    "Mozilla/5.0 (Linux; Android 14; SM-S918B Build/UP1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/{}.0.0.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/450.0;]",
    "Mozilla/5.0 (compatible; Googlebot/{}.1; +http://www.google.com/bot.html)",
    "python-requests/2.{}.3",
    "Opera/9.80 (Windows NT 5.1; U; en) Presto/2.10.229 Version/11.{}",
];

/// Agents that a site sees again and again.
const FREQUENT: usize = 500;

/// Prints the table.
pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    let agents: Vec<String> = match &flags.agents {
        Some(file) => {
            let text = fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
            text.lines().map(str::to_owned).collect()
        }
        None => (0..2_000).map(|n| KINDS[n % KINDS.len()].replace("{}", &n.to_string())).collect(),
    };
    ensure!(!agents.is_empty(), "there is no user agent to read");
    // The first reading makes the tables.
    let begin = Instant::now();
    black_box(agent::read(&agents[0]));
    let start = begin.elapsed();
    let new = time(&agents, flags.rounds, |user_agent| drop(black_box(agent::read(user_agent))));
    let frequent = &agents[..agents.len().min(FREQUENT)];
    for user_agent in frequent {
        agent::remembered(user_agent);
    }
    let again = time(frequent, flags.rounds * 100, |user_agent| drop(black_box(agent::remembered(user_agent))));

    println!("### User agents\n\n| {} agents | µs an agent | agents/s | aim µs |\n|---|--:|--:|--:|", agents.len());
    for (what, took, aim) in [("new", new, 15.0), ("read before", again, 0.3)] {
        println!("| {what} | {:.2} | {:.0} | {aim} |", took.as_secs_f64() * 1e6, 1.0 / took.as_secs_f64());
    }
    println!("\nThe first took {} ms, because it makes the tables.\n", start.as_millis());
    Ok(())
}

/// The time per agent in the fastest round.
fn time(agents: &[String], rounds: u32, read: impl Fn(&str)) -> Duration {
    let round = || {
        let begin = Instant::now();
        agents.iter().for_each(|user_agent| read(user_agent));
        begin.elapsed() / u32::try_from(agents.len()).expect("there are fewer than four billion agents")
    };
    (0..rounds.max(1)).map(|_| round()).min().unwrap_or_default()
}
