//! The job: runs every metric over one view of the lake and keeps the reports.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use engine::{Engine, EngineError, Param, RecurringQuery, Scope, View, column_names, params, to_json_rows};
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use schedule::{Cron, Schedule};

use crate::cache::{Cache, Login, MemcachedAddress};
use crate::history::{self, HistoryError};
use crate::latest::{LatestReports, Served};
use crate::queries::{QueryFile, read_queries};
use crate::report::{Metric, Report};

/// Settings of the analytics job.
#[derive(clap::Args, Clone, Debug)]
pub struct AnalyticsSettings {
    /// Directory of the metrics: one `.sql` file each, read anew at every run.
    #[arg(long, env = "DEWPOND_QUERIES", default_value = "queries", value_name = "DIR")]
    pub queries: PathBuf,

    /// When to run: a cron in UTC of second, minute, hour, day of month, month and day of week (1 is Monday; a day must match
    /// both day fields).
    #[arg(long, env = "DEWPOND_REPORT_CRON", default_value = "0 * * * * *", value_name = "CRON")]
    pub cron: Cron,

    /// The Memcached server that holds the latest reports: host:port, or the path of a Unix socket; this process's memory if
    /// not given.
    #[arg(long, env = "DEWPOND_MEMCACHED", value_name = "HOST:PORT|PATH")]
    pub memcached: Option<MemcachedAddress>,

    /// The login of a Memcached server with --auth-file. Use the variable, so that the password is not in the list of
    /// processes.
    #[arg(long, env = "DEWPOND_MEMCACHED_LOGIN", value_name = "USER:PASSWORD", hide_env_values = true)]
    pub memcached_login: Option<Login>,

    /// How long an operation of the cache may take.
    #[arg(long, env = "DEWPOND_MEMCACHED_TIMEOUT", default_value = "500ms", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub memcached_timeout: Duration,

    /// How long one metric may take before it is given up and reported as failed.
    #[arg(long, env = "DEWPOND_METRIC_TIMEOUT", default_value = "10m", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub metric_timeout: Duration,
}

/// The job, and the reports that it made.
pub struct Analytics {
    engine: Engine,
    settings: AnalyticsSettings,
    latest: LatestReports,
    /// What the job is at, for readers of its reports.
    state: Mutex<State>,
    clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
}

/// Whether the job makes reports.
#[derive(Default)]
struct State {
    /// When the run began that is going on.
    running_since: Option<DateTime<Utc>>,
    /// When the last run ended without a report, and why.
    failed: Option<(DateTime<Utc>, String)>,
}

/// Notes how a run ended, whichever way it did.
struct Ending<'a> {
    state: &'a Mutex<State>,
    /// When it began and why it failed, if it did.
    failed: Option<(DateTime<Utc>, String)>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        *self.state.lock() = State { running_since: None, failed: self.failed.take() };
    }
}

/// The zone of the whole lake's days.
const UTC: &str = "UTC";

/// Scopes that are measured concurrently. Most answers are small, and a thread does others while one waits.
const SCOPES_AT_ONCE: usize = 4;

/// A run that takes longer keeps readers waiting for their numbers.
const LONG_RUN: TimeDelta = TimeDelta::minutes(5);

impl Analytics {
    /// The job over the engine's lake.
    pub fn new(
        engine: Engine,
        settings: AnalyticsSettings,
        clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    ) -> Arc<Self> {
        let cache = match &settings.memcached {
            Some(address) => {
                Cache::memcached(address.clone(), settings.memcached_login.clone(), settings.memcached_timeout)
            }
            None => Cache::in_process(),
        };
        let latest = LatestReports::new(engine.lake().clone(), cache);
        Arc::new(Self { engine, settings, latest, state: Mutex::default(), clock })
    }

    /// Schedules the job. Warns if the cache cannot be used.
    pub async fn schedule(self: &Arc<Self>, schedule: &mut Schedule) -> anyhow::Result<()> {
        self.latest.probe().await;
        let this = self.clone();
        schedule
            .every("report", &self.settings.cron, move || {
                let this = this.clone();
                async move { this.run().await.map(drop) }
            })
            .await
    }

    /// The latest report of a site as JSON, or that of the whole lake for `None`, and where it was found. `None` if there is
    /// no report yet.
    ///
    /// Runs no SQL. Fails if the cache does not have it and history cannot be read.
    pub async fn latest(&self, site: Option<&str>) -> Result<Option<(Vec<u8>, Served)>, HistoryError> {
        self.latest.get(site).await
    }

    /// The names of the metrics as their directory is now. Fails if it cannot be read.
    pub fn metric_names(&self) -> anyhow::Result<Vec<String>> {
        Ok(read_queries(&self.settings.queries)?.into_iter().map(|query| query.name).collect())
    }

    /// Why the latest report is older than it should be, in words for its readers; `None` while runs make reports.
    pub fn trouble(&self) -> Option<String> {
        let state = self.state.lock();
        let time = |at: &DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        if let Some(began) = state.running_since.filter(|began| (self.clock)() - began > LONG_RUN) {
            return Some(format!("the run that began at {} is still going", time(&began)));
        }
        let (at, reason) = state.failed.as_ref()?;
        Some(format!("the run of {} failed: {reason}", time(at)))
    }

    /// Runs all metrics once, for the whole lake and for each site, and keeps and caches the reports.
    ///
    /// All reports of a run are of the same events. Returns the report of the whole lake. A metric that
    /// fails is null in its report, with its error; a cache that fails is a warning. Fails if the lake or the
    /// directory of the metrics cannot be read, or the history not be written: then nothing is cached either,
    /// so that readers never see what history does not have.
    pub async fn run(&self) -> anyhow::Result<Report> {
        let generated_at = truncate_to_micros((self.clock)());
        self.state.lock().running_since = Some(generated_at);
        // Also if the run panics or is dropped.
        let mut ending =
            Ending { state: &self.state, failed: Some((generated_at, "it ended without an answer".into())) };
        let outcome = self.report(generated_at).await;
        ending.failed = outcome.as_ref().err().map(|error| (generated_at, format!("{error:#}")));
        outcome
    }

    async fn report(&self, generated_at: DateTime<Utc>) -> anyhow::Result<Report> {
        let started = Instant::now();
        let queries = read_queries(&self.settings.queries)?;
        for query in &queries {
            if let Err(reason) = &query.sql {
                tracing::warn!(metric = query.name, "{}: {reason}", file_name(query));
            }
        }
        let view = self.engine.view().await?;
        let lake_version = view.snapshot().events.version.map_or(-1, |version| version as i64);
        let sites = self.engine.lake().sites().await?;

        let mut scopes = vec![Scope::Lake];
        scopes.extend(sites.sites().iter().map(|site| Scope::Site(site.site_id.to_string())));
        let mut reports: Vec<Report> = scopes
            .iter()
            .map(|scope| Report {
                generated_at,
                complete_until: generated_at,
                lake_version,
                site: match scope {
                    Scope::Lake => None,
                    Scope::Site(site) => Some(site.clone()),
                },
                metrics: Default::default(),
            })
            .collect();
        // Days begin with the site's zone, so that sites of one zone ask the same.
        let mut zones: BTreeMap<&str, Vec<usize>> = BTreeMap::from([(UTC, vec![0])]);
        for (number, site) in sites.sites().iter().enumerate() {
            zones.entry(&site.settings.time_zone).or_default().push(number + 1);
        }
        let view = Arc::new(view);
        let mut prepared = Vec::new();
        for (zone, numbers) in &zones {
            let params = params::of_period(generated_at, None, zone);
            let mut of_zone = Vec::new();
            for query in &queries {
                of_zone.push(self.prepare(&view, query, &params).await);
            }
            prepared.push((numbers, of_zone));
        }
        let of_all_zones = prepared.iter().flat_map(|(_, of_zone)| of_zone.iter().flatten().cloned());
        self.pass_over_sessions(&view, of_all_zones.collect()).await;
        // Query by query: what one made of the events serves all scopes, and is gone before the next begins.
        for (number, query) in queries.iter().enumerate() {
            for (reported, of_zone) in &mut prepared {
                let prepared = std::mem::replace(&mut of_zone[number], Err(String::new()));
                let of_reports = reported.iter().map(|number| scopes[*number].clone()).collect::<Vec<Scope>>();
                let metrics = self.measure(query, prepared, &of_reports).await;
                for (report, metric) in reported.iter().zip(metrics) {
                    reports[*report].metrics.insert(query.name.clone(), metric);
                }
            }
        }

        history::append(self.engine.lake(), &reports).await?;
        self.latest.set(&reports).await;
        let failed = reports[0].metrics.values().filter(|metric| metric.error.is_some()).count();
        metrics::gauge!("dewpond_analytics_report_timestamp_seconds").set(generated_at.timestamp() as f64);
        metrics::gauge!("dewpond_analytics_metrics_failed").set(failed as f64);
        tracing::info!(
            metrics = queries.len(),
            failed,
            reports = reports.len(),
            lake.version = lake_version,
            seconds = started.elapsed().as_secs_f64(),
            "reported"
        );
        Ok(reports.swap_remove(0))
    }

    /// Takes a query apart. Fails in words for its author.
    async fn prepare(
        &self,
        view: &Arc<View>,
        query: &QueryFile,
        params: &[(String, Param)],
    ) -> Result<Arc<RecurringQuery>, String> {
        let sql = match &query.sql {
            Ok(sql) => sql.clone(),
            Err(reason) => return Err(format!("{}: {reason}", file_name(query))),
        };
        let (view, params) = (view.clone(), params.to_vec());
        let recurring = self.limited(query, async move { view.recurring(&sql, &params).await }).await;
        recurring.map(Arc::new).inspect_err(|error| tracing::warn!(metric = query.name, "{error}"))
    }

    /// Makes what all queries need of sessions and visitors, at once. If that fails, each query makes it for itself.
    async fn pass_over_sessions(&self, view: &Arc<View>, queries: Vec<Arc<RecurringQuery>>) {
        let view = view.clone();
        let mut pass = tokio::spawn(async move {
            let queries: Vec<&RecurringQuery> = queries.iter().map(Arc::as_ref).collect();
            view.prepare(&queries).await
        });
        let failed = match tokio::time::timeout(self.settings.metric_timeout, &mut pass).await {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(panic)) => panic.to_string(),
            Err(_) => {
                pass.abort();
                format!("it took longer than {}", humantime::format_duration(self.settings.metric_timeout))
            }
        };
        tracing::warn!(error = failed, "the pass over all sessions failed; each metric makes its own");
    }

    /// One metric of each scope, in their order.
    async fn measure(
        &self,
        query: &QueryFile,
        prepared: Result<Arc<RecurringQuery>, String>,
        scopes: &[Scope],
    ) -> Vec<Metric> {
        let recurring = match prepared {
            Ok(recurring) => recurring,
            Err(error) => return vec![Metric::failed(query.title.clone(), error, 0); scopes.len()],
        };
        // The first makes what all of them need.
        let mut metrics = vec![self.measure_scope(query, &recurring, &scopes[0]).await];
        let others: Vec<_> = scopes[1..].iter().map(|scope| self.measure_scope(query, &recurring, scope)).collect();
        metrics.extend(stream::iter(others).buffered(SCOPES_AT_ONCE).collect::<Vec<Metric>>().await);
        metrics
    }

    async fn measure_scope(&self, query: &QueryFile, recurring: &Arc<RecurringQuery>, scope: &Scope) -> Metric {
        let started = Instant::now();
        let (recurring, of) = (recurring.clone(), scope.clone());
        let answer = self.limited(query, async move { recurring.answer(&of).await }).await;
        let rows = answer.and_then(|(answer, how)| {
            let rows = to_json_rows(&answer).map_err(|error| format!("{}: {error}", file_name(query)))?;
            Ok((column_names(&answer), rows, how))
        });
        let duration_ms = started.elapsed().as_millis() as i64;
        metrics::histogram!("dewpond_analytics_metric_seconds", "metric" => query.name.clone())
            .record(started.elapsed());
        match rows {
            Ok((columns, rows, how)) => {
                let metric = Metric::answered(query.title.clone(), columns, rows, duration_ms);
                Metric { how: Some(how.into()), ..metric }
            }
            Err(error) => {
                tracing::warn!(metric = query.name, "{error}");
                Metric::failed(query.title.clone(), error, duration_ms)
            }
        }
    }

    /// Waits for work on a query up to the limit of a metric. Fails in words for the query's author.
    async fn limited<T: Send + 'static>(
        &self,
        query: &QueryFile,
        work: impl Future<Output = Result<T, EngineError>> + Send + 'static,
    ) -> Result<T, String> {
        let limit = self.settings.metric_timeout;
        // In a task of its own, so that a query that keeps its thread busy cannot keep the clock from being seen.
        let mut task = tokio::spawn(work);
        match tokio::time::timeout(limit, &mut task).await {
            Ok(Ok(done)) => done.map_err(|error| describe(query, &error)),
            Ok(Err(panic)) => Err(format!("{}: the query crashed: {panic}", file_name(query))),
            Err(_) => {
                task.abort();
                Err(format!("{}: gave up after {}", file_name(query), humantime::format_duration(limit)))
            }
        }
    }
}

/// The time in whole microseconds, as history keeps it.
fn truncate_to_micros(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}

fn describe(query: &QueryFile, error: &EngineError) -> String {
    match error {
        EngineError::Query { message, line: Some(line), .. } => format!("{}:{line}: {message}", file_name(query)),
        error => format!("{}: {error}", file_name(query)),
    }
}

fn file_name(query: &QueryFile) -> String {
    query.path.file_name().map_or_else(|| query.name.clone(), |name| name.to_string_lossy().into_owned())
}
