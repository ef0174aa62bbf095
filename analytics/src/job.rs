//! The job: runs every metric over one view of the lake and keeps the reports.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};
use engine::{
    Engine, EngineError, LimitFlags, QueryLimits, RecurringQuery, Scope, View, column_names, floors, params,
    to_json_rows,
};
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use schedule::{Cron, Schedule};

use crate::alerts;
use crate::alerts::poster::Poster;
use crate::alerts::webhook::{Webhook, WebhookSecret, WebhookUrl};
use crate::cache::{Cache, CachedJson, Login, MemcachedAddress};
use crate::header::Incremental;
use crate::history::{self, HistoryError, IfTaken, Recorded, Slot};
use crate::last_answers::{details_of, last_answer};
use crate::latest::{LatestReports, Served};
use crate::queries::{QueryFile, read_queries};
use crate::rebuild::{PastDays, PastRuns, rules_hash};
use crate::report::{Details, Metric, Report};

/// How many rows a metric may have where nobody says otherwise.
pub const METRIC_ROWS_MAX: u64 = 100_000;

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
    #[arg(long, env = "DEWPOND_METRIC_TIMEOUT", default_value = "10m", value_parser = floors::timeout, value_name = "TIME")]
    pub metric_timeout: Duration,

    /// How many rows one metric may have. History keeps all of them with each run.
    #[arg(long, env = "DEWPOND_METRIC_ROWS_MAX", default_value_t = METRIC_ROWS_MAX, value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    pub metric_rows_max: u64,

    /// Post every alert that begins or ends to this address, as JSON.
    #[arg(long, env = "DEWPOND_ALERT_WEBHOOK", hide_env_values = true, value_name = "URL")]
    pub alert_webhook: Option<WebhookUrl>,

    /// The secret by which a receiver of alerts knows that they come from here: posts carry the HMAC-SHA256 of their body. Use
    /// the variable, so that it is not in the list of processes.
    #[arg(long, env = "DEWPOND_ALERT_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub alert_secret: Option<WebhookSecret>,
}

/// The flags of a metric's limits.
const METRIC_FLAGS: LimitFlags = LimitFlags { timeout: "--metric-timeout", rows_max: "--metric-rows-max" };

/// The job, and the reports that it made.
pub struct Analytics {
    engine: Engine,
    settings: AnalyticsSettings,
    latest: LatestReports,
    alerts: Arc<Poster>,
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

/// The reports of a time in the past: of the whole lake, and of each site.
#[derive(Debug)]
pub enum Past {
    /// Just made, and kept in history.
    Made(Vec<Report>),
    /// As history has them.
    InHistory(Vec<Report>),
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

/// Queries that are prepared, and scopes that are measured, concurrently. Most answers are small, and a thread does others
/// while one waits.
const AT_ONCE: usize = 4;

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
        let webhook = settings.alert_webhook.clone().and_then(|url| {
            let webhook = Webhook::new(url, settings.alert_secret.clone());
            webhook.inspect_err(|error| tracing::error!(%error, "alerts cannot be posted")).ok()
        });
        let alerts = Poster::new(engine.lake().clone(), webhook);
        Arc::new(Self { engine, settings, latest, alerts, state: Mutex::default(), clock })
    }

    /// The same job over the lake of another engine.
    pub(crate) fn beside(&self, engine: Engine) -> Arc<Self> {
        Self::new(engine, self.settings.clone(), self.clock.clone())
    }

    /// Schedules the job. Warns if the cache cannot be used.
    pub async fn schedule(self: &Arc<Self>, schedule: &mut Schedule) -> anyhow::Result<()> {
        self.latest.probe().await;
        let this = self.clone();
        schedule
            .every("report", &self.settings.cron, move || {
                let this = this.clone();
                async move { this.run_keeping(IfTaken::Keep).await.map(drop) }
            })
            .await
    }

    /// The latest report of a site as JSON, or that of the whole lake for `None`, and where it was found. `None` if there is
    /// no report yet.
    ///
    /// Runs no SQL. Fails if the cache does not have it and history cannot be read.
    pub async fn latest(&self, site: Option<&str>) -> Result<Option<(Arc<CachedJson>, Served)>, HistoryError> {
        self.latest.get(site).await
    }

    /// The metrics as their directory has them now. Fails if it cannot be read.
    pub fn queries(&self) -> anyhow::Result<Vec<QueryFile>> {
        read_queries(&self.settings.queries)
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

    /// Waits until no alert is being posted.
    pub async fn finish_posts(&self) {
        self.alerts.finish().await;
    }

    /// Runs all metrics once, for the whole main lake and for each site of this one, and keeps and caches the reports, in the place of those
    /// that history has of this time: from one tick of the schedule to the next.
    ///
    /// All reports of a run are of the same events. Returns the report of the whole lake. A metric that
    /// fails is null in its report, with its error; a cache that fails is a warning. Fails if the lake or the
    /// directory of the metrics cannot be read, or the history not be written: then nothing is cached either,
    /// so that readers never see what history does not have.
    pub async fn run(&self) -> anyhow::Result<Report> {
        self.run_keeping(IfTaken::Replace).await
    }

    async fn run_keeping(&self, if_taken: IfTaken) -> anyhow::Result<Report> {
        let generated_at = truncate_to_micros((self.clock)());
        self.state.lock().running_since = Some(generated_at);
        // Also if the run panics or is dropped.
        let mut ending =
            Ending { state: &self.state, failed: Some((generated_at, "it ended without an answer".into())) };
        let outcome = self.report(generated_at, if_taken).await;
        ending.failed = outcome.as_ref().err().map(|error| (generated_at, format!("{error:#}")));
        outcome
    }

    async fn report(&self, generated_at: DateTime<Utc>, if_taken: IfTaken) -> anyhow::Result<Report> {
        let (started, lake) = (Instant::now(), self.engine.lake());
        let slot = Slot::of(&self.settings.cron, generated_at);
        // Another process may have been quicker: readers of this one get its reports.
        if if_taken == IfTaken::Keep
            && let Some(report) = self.adopt(&slot).await?
        {
            return Ok(report);
        }
        let queries = self.read_queries()?;
        let newest = match queries.iter().any(|query| query.header.schedule.is_some()) {
            true => history::newest(lake).await?,
            false => vec![],
        };
        let reports = self.measure_all(&queries, generated_at, &newest).await?;
        let alerts: Vec<_> =
            queries.iter().filter_map(|query| Some((query.name.as_str(), query.header.alert.as_ref()?))).collect();
        let judge = |reports: &mut Vec<Report>, newest: &[Report]| {
            for report in reports {
                let before = newest.iter().find(|before| before.site == report.site);
                alerts::judge(report, alerts.iter().copied(), before);
            }
        };
        let reports = match history::record(lake, &slot, if_taken, &reports, judge, !alerts.is_empty()).await? {
            Recorded::Kept(reports) => reports,
            Recorded::Taken => return self.adopt(&slot).await?.context("the report of another process is gone"),
        };
        self.alerts.post_due(&reports);
        self.latest.set(&reports).await;
        let Some(first) = reports.first() else { return Ok(Report { generated_at, ..Report::default() }) };
        let failed = first.metrics.values().filter(|metric| metric.error.is_some()).count();
        let labels: Vec<_> = lake.organisation().map(|id| ("organisation", id.to_string())).into_iter().collect();
        metrics::gauge!("dewpond_analytics_report_timestamp_seconds", &labels).set(generated_at.timestamp() as f64);
        metrics::gauge!("dewpond_analytics_metrics_failed", &labels).set(failed as f64);
        tracing::info!(
            metrics = queries.len(),
            failed,
            reports = reports.len(),
            lake.version = first.lake_version,
            lake.organisation = lake.organisation().map(|id| &**id),
            seconds = started.elapsed().as_secs_f64(),
            "reported"
        );
        Ok(of_whole_lake(&reports))
    }

    /// Makes the run that history has of a slot the latest of this process. Returns its report of the whole lake; `None` if
    /// there is no such run.
    async fn adopt(&self, slot: &Slot) -> anyhow::Result<Option<Report>> {
        let reports = history::run_of(self.engine.lake(), slot).await?;
        self.latest.set(&reports).await;
        if !reports.is_empty() {
            tracing::debug!(reports = reports.len(), "another process has reported");
        }
        Ok((!reports.is_empty()).then(|| of_whole_lake(&reports)))
    }

    /// The reports as they would have been at a time in the past: `$until` and `$now` are that time, and the events are those
    /// that are in the lake now. They are kept in history under that time; no cache and no alert is touched.
    ///
    /// - `replace`: make them anew if history has them.
    ///
    /// Fails as [`run`](Self::run) does, and for a time that is not past.
    pub async fn report_at(&self, at: DateTime<Utc>, replace: bool) -> anyhow::Result<Past> {
        let at = truncate_to_micros(at);
        if at > (self.clock)() {
            bail!("{} has not come yet", at.to_rfc3339_opts(SecondsFormat::AutoSi, true));
        }
        let (lake, slot) = (self.engine.lake(), Slot::of(&self.settings.cron, at));
        let if_taken = if replace { IfTaken::Replace } else { IfTaken::Keep };
        if !replace {
            let reports = history::run_of(lake, &slot).await?;
            if !reports.is_empty() {
                return Ok(Past::InHistory(reports));
            }
        }
        let queries = self.read_queries()?;
        let rules = self.rules_hash(&queries).await?;
        let mut reports = self.measure_all(&queries, at, &[]).await?;
        for metric in reports.iter_mut().flat_map(|report| report.metrics.values_mut()) {
            metric.details.rules_hash = Some(rules.clone());
        }
        match history::record(lake, &slot, if_taken, &reports, |_, _| {}, false).await? {
            Recorded::Kept(reports) => Ok(Past::Made(reports)),
            Recorded::Taken => Ok(Past::InHistory(history::run_of(lake, &slot).await?)),
        }
    }

    /// Which runs of past days to make by [`report_at`](Self::report_at), for history to be of the present queries and rules of
    /// sites. Those that already are, also of an earlier call that ended too soon, are only counted.
    pub async fn past_runs(&self, past: &PastDays) -> anyhow::Result<PastRuns> {
        let begin = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        let times = begin(past.days.start)..begin(past.days.end);
        let (lake, rules) = (self.engine.lake(), self.rules_hash(&self.read_queries()?).await?);
        let known = history::runs_between(lake, &times, &rules).await?;
        let newest = history::newest(lake).await?;
        let is_of_job =
            newest.iter().flat_map(|report| report.metrics.values()).all(|m| m.details.rules_hash.is_none());
        let newest = newest.first().map(|report| report.generated_at).filter(|_| is_of_job);
        Ok(PastRuns::new(past, &known, newest, (self.clock)()))
    }

    async fn rules_hash(&self, queries: &[QueryFile]) -> anyhow::Result<String> {
        let sites = self.engine.lake().sites_here().await?;
        Ok(rules_hash(queries, sites.iter().map(AsRef::as_ref)))
    }

    fn read_queries(&self) -> anyhow::Result<Vec<QueryFile>> {
        let queries = read_queries(&self.settings.queries)?;
        for query in &queries {
            if let Err(reason) = &query.sql {
                tracing::warn!(metric = query.name, "{}: {reason}", file_name(query));
            }
        }
        Ok(queries)
    }

    /// Answers all metrics over one view: for the whole lake, then for each site.
    ///
    /// - `newest`: the newest run in history, for metrics with a schedule of their own.
    async fn measure_all(
        &self,
        queries: &[QueryFile],
        generated_at: DateTime<Utc>,
        newest: &[Report],
    ) -> anyhow::Result<Vec<Report>> {
        let view = self.engine.view().await?;
        let lake_version = view.snapshot().events.version.map_or(-1, |version| version as i64);
        let lake = self.engine.lake();
        let directory = lake.sites().await?;
        let sites = directory.sites_in(lake.organisation());
        // A lake of an organisation's own has no report of its whole: nobody would know it from that of the main lake.
        let whole = lake.organisation().is_none().then_some(Scope::Lake);
        let before_sites = usize::from(whole.is_some());
        let mut scopes: Vec<Scope> = whole.into_iter().collect();
        scopes.extend(sites.iter().map(|site| Scope::Site(site.site_id.to_string())));
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
        let mut zones: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        zones.entry(UTC).or_default().extend(0..before_sites);
        for (number, site) in sites.iter().enumerate() {
            zones.entry(&site.settings.time_zone).or_default().push(number + before_sites);
        }

        let view = Arc::new(view);
        let mut asked = Vec::new();
        for query in queries {
            for (zone, of_zone) in &zones {
                let mut due = Vec::new();
                for number in of_zone {
                    let report = &mut reports[*number];
                    if !query.header.is_of(report.site.as_deref()) {
                        continue;
                    }
                    match last_answer(query, report.site.as_deref(), newest, generated_at) {
                        Some(metric) => drop(report.metrics.insert(query.name.clone(), metric)),
                        None => due.push(*number),
                    }
                }
                if !due.is_empty() {
                    asked.push((query, due, *zone));
                }
            }
        }
        let preparing: Vec<_> =
            asked.iter().map(|(query, _, zone)| self.prepare(&view, query, generated_at, zone)).collect();
        let prepared: Vec<_> = stream::iter(preparing).buffered(AT_ONCE).collect().await;
        let of_sessions = prepared.iter().filter_map(|prepared| prepared.as_ref().ok());
        self.pass_over_sessions(&view, of_sessions.cloned().collect()).await;
        // Query by query: what one made of the events serves all scopes, and is gone before the next begins.
        for ((query, due, _), prepared) in asked.into_iter().zip(prepared) {
            let of_due: Vec<Scope> = due.iter().map(|number| scopes[*number].clone()).collect();
            let metrics = self.measure(query, prepared, &of_due).await;
            for (number, metric) in due.into_iter().zip(metrics) {
                let details = Details { how: metric.details.how, ..details_of(query, generated_at) };
                reports[number].metrics.insert(query.name.clone(), Metric { details, ..metric });
            }
        }
        if before_sites > 0 {
            let elsewhere = (directory.sites().len() - sites.len()) as u64;
            for metric in reports[0].metrics.values_mut() {
                metric.details.sites_elsewhere = Some(elsewhere).filter(|sites| *sites > 0);
            }
        }
        Ok(reports)
    }

    fn limits(&self) -> QueryLimits {
        QueryLimits {
            timeout: self.settings.metric_timeout,
            rows_max: Some(self.settings.metric_rows_max),
            flags: METRIC_FLAGS,
        }
    }

    /// Takes a query apart, for the days of a zone. Fails in words for its author.
    async fn prepare(
        &self,
        view: &Arc<View>,
        query: &QueryFile,
        generated_at: DateTime<Utc>,
        zone: &str,
    ) -> Result<Arc<RecurringQuery>, String> {
        let sql = match &query.sql {
            Ok(sql) => sql.clone(),
            Err(reason) => return Err(format!("{}: {reason}", file_name(query))),
        };
        let mut params = params::of_period(generated_at, None, zone);
        query.header.complete(&mut params);
        let (view, never) = (view.clone(), query.header.incremental == Incremental::Never);
        let work = async move {
            match never {
                true => Ok(view.in_full(&sql, &params, "its file says so".into())),
                false => view.recurring(&sql, &params).await,
            }
        };
        let recurring = self.limits().run(work).await.map_err(|error| describe(query, &error));
        let recurring = recurring.and_then(|recurring| match recurring.why_in_full() {
            Some(why) if query.header.incremental == Incremental::Require => {
                Err(format!("{}: it says incremental: require, and cannot be: {why}", file_name(query)))
            }
            _ => Ok(Arc::new(recurring)),
        });
        recurring.inspect_err(|error| tracing::warn!(metric = query.name, "{error}"))
    }

    /// Makes what all queries need of sessions and visitors, at once. If that fails, each query makes it for itself.
    async fn pass_over_sessions(&self, view: &Arc<View>, queries: Vec<Arc<RecurringQuery>>) {
        let view = view.clone();
        let pass = async move {
            let queries: Vec<&RecurringQuery> = queries.iter().map(Arc::as_ref).collect();
            view.prepare(&queries).await
        };
        if let Err(error) = self.limits().run(pass).await {
            tracing::warn!(%error, "the pass over all sessions failed; each metric makes its own");
        }
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
            Err(error) => return vec![Metric::failed(query.header.title.clone(), error, 0); scopes.len()],
        };
        // The first makes what all of them need.
        let mut metrics = vec![self.measure_scope(query, &recurring, &scopes[0]).await];
        let others: Vec<_> = scopes[1..].iter().map(|scope| self.measure_scope(query, &recurring, scope)).collect();
        metrics.extend(stream::iter(others).buffered(AT_ONCE).collect::<Vec<Metric>>().await);
        metrics
    }

    async fn measure_scope(&self, query: &QueryFile, recurring: &Arc<RecurringQuery>, scope: &Scope) -> Metric {
        let started = Instant::now();
        let (recurring, of, limits) = (recurring.clone(), scope.clone(), self.limits());
        let answer = limits.run(async move { recurring.answer(&of).await }).await;
        let answer = answer.and_then(|(answer, how)| limits.check_rows(&answer).map(|()| (answer, how)));
        let rows = answer.map_err(|error| describe(query, &error)).and_then(|(answer, how)| {
            let rows = to_json_rows(&answer).map_err(|error| format!("{}: {error}", file_name(query)))?;
            Ok((column_names(&answer), rows, how))
        });
        let duration_ms = started.elapsed().as_millis() as i64;
        metrics::histogram!("dewpond_analytics_metric_seconds", "metric" => query.name.clone())
            .record(started.elapsed());
        match rows {
            Ok((columns, rows, how)) => {
                let metric = Metric::answered(query.header.title.clone(), columns, rows, duration_ms);
                Metric { details: Details { how: Some(how.into()), ..Details::default() }, ..metric }
            }
            Err(error) => {
                tracing::warn!(metric = query.name, "{error}");
                Metric::failed(query.header.title.clone(), error, duration_ms)
            }
        }
    }
}

/// The report of the whole lake of a run that has reports. One without metrics if there is none: all may be of sites alone.
fn of_whole_lake(reports: &[Report]) -> Report {
    let whole = reports.iter().find(|report| report.site.is_none()).cloned();
    whole.unwrap_or_else(|| Report {
        site: None,
        metrics: BTreeMap::new(),
        ..reports.first().cloned().unwrap_or_default()
    })
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
