//! Runs jobs on cron schedules. A job never overlaps itself, and a stop waits for running jobs to end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::Mutex;
use tokio_cron_scheduler::{Job, JobScheduler};

mod cron;

pub use cron::{Cron, CronError};

type Run = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>> + Send + Sync>;

/// Jobs that run on their cron schedules until [`Schedule::stop`].
pub struct Schedule {
    scheduler: JobScheduler,
    /// One lock per job, held while the job runs.
    running: Vec<Arc<Mutex<()>>>,
}

impl Schedule {
    /// A running schedule without jobs.
    pub async fn start() -> anyhow::Result<Self> {
        let scheduler = JobScheduler::new().await.context("could not start the scheduler")?;
        scheduler.start().await.context("could not start the scheduler")?;
        Ok(Self { scheduler, running: vec![] })
    }

    /// Runs `run` at every instant of `cron`.
    ///
    /// - `name`: the job's name in logs and metrics.
    ///
    /// If a run is still going when the next one is due, the next one is skipped and counted (`dewpond_schedule_skipped_total`).
    /// A failure is logged and counted (`dewpond_schedule_failures_total`), and the job runs again at the next instant.
    pub async fn every<F>(
        &mut self,
        name: &'static str,
        cron: &Cron,
        run: impl Fn() -> F + Send + Sync + 'static,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let run: Run = Arc::new(move || Box::pin(run()));
        let running = Arc::new(Mutex::new(()));
        self.running.push(running.clone());
        let job = Job::new_async(cron.as_str(), move |_, _| {
            let (run, running) = (run.clone(), running.clone());
            Box::pin(async move {
                let Ok(_alone) = running.try_lock() else {
                    metrics::counter!("dewpond_schedule_skipped_total", "job" => name).increment(1);
                    tracing::warn!(job = name, "skipped a run: the previous one is still going");
                    return;
                };
                run_once(name, &run).await;
            })
        });
        self.scheduler.add(job?).await.with_context(|| format!("could not schedule {name}"))?;
        Ok(())
    }

    /// Starts no more runs, and waits until the current ones have ended.
    pub async fn stop(mut self) {
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::warn!(%error, "the scheduler did not shut down cleanly");
        }
        for running in self.running {
            // Never released: a job that is due at this very moment must not begin.
            std::mem::forget(running.lock_owned().await);
        }
    }
}

async fn run_once(name: &'static str, run: &Run) {
    let started = std::time::Instant::now();
    // In a task of its own, so that a panic fails the run and does not end the schedule.
    let outcome = match tokio::spawn(run()).await {
        Ok(outcome) => outcome,
        Err(panic) => Err(anyhow::anyhow!(panic)),
    };
    metrics::histogram!("dewpond_schedule_run_seconds", "job" => name).record(started.elapsed());
    metrics::counter!("dewpond_schedule_runs_total", "job" => name).increment(1);
    if let Err(error) = outcome {
        metrics::counter!("dewpond_schedule_failures_total", "job" => name).increment(1);
        let error = in_words(&error);
        tracing::error!(job = name, "a run failed and will be tried again when it is next due: {error}");
    }
}

/// An error and its causes, as `lake::whole_text` has them, which this crate does not know: a cause that the text has already
/// is left out.
fn in_words(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.contains(&cause) {
        true => text,
        false if text.is_empty() => cause,
        false => format!("{text}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn every_second() -> Cron {
        "* * * * * *".parse().unwrap()
    }

    #[tokio::test]
    async fn a_job_never_overlaps_itself() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut schedule = Schedule::start().await.unwrap();
        let counts = (now.clone(), most.clone());
        schedule
            .every("slow", &every_second(), move || {
                let (now, most) = counts.clone();
                async move {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(2_500)).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                }
            })
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(3_200)).await;
        schedule.stop().await;
        assert_eq!(now.load(Ordering::SeqCst), 0, "stopping waits for the run");
        assert_eq!(most.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_run_that_fails_or_panics_is_followed_by_the_next() {
        let runs = Arc::new(AtomicUsize::new(0));
        let mut schedule = Schedule::start().await.unwrap();
        let counted = runs.clone();
        schedule
            .every("failing", &every_second(), move || {
                let run = counted.fetch_add(1, Ordering::SeqCst);
                async move {
                    assert!(run > 0, "the first run panics");
                    anyhow::bail!("the others fail")
                }
            })
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(3_300)).await;
        schedule.stop().await;
        assert!(runs.load(Ordering::SeqCst) >= 2);
    }
}
