//! Recurring queries over a lake that grows, is merged, corrected and thinned: from run to run one process answers what
//! another one would that has just begun.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use engine::{Engine, EngineSettings, How, Param, Scope, params};
use lake::{Change, EVENTS, Event, EventId, Lake, Lane, LaneId, LaneSettings, TableFile, TableWriter, visitor_id};

use crate::generated::folds::{every_file, rows, same};
use crate::generated::query;
use crate::generated::random::Random;
use crate::harness::batch;

/// How many histories a test run has; a campaign sets more with `DEWPOND_GROWING_LAKES`.
fn histories() -> u64 {
    std::env::var("DEWPOND_GROWING_LAKES").ok().and_then(|count| count.parse().ok()).unwrap_or(4)
}

const STEPS: usize = 14;

const SITES: [&str; 2] = ["shop", "blog"];

/// Queries about users whose answers are kept as tallies.
const ABOUT_USERS: &[&str] = &[
    "SELECT count(DISTINCT visitor_id) FROM events WHERE NOT is_bot",
    "SELECT path, count(*) AS n, count(DISTINCT visitor_id) AS u, sum(revenue) AS r FROM events GROUP BY 1",
    "WITH v AS (SELECT visitor_id, min(occurred_at) AS first, max(date) AS last, sum(revenue) AS r, count(*) AS n FROM events GROUP BY 1)
     SELECT first::date AS day, n % 3 AS m, count(*) AS u, sum(r) AS r, count(r) AS c FROM v WHERE last >= DATE '2026-02-28' GROUP BY 1, 2",
    "WITH d AS (SELECT visitor_id, date, count(*) AS n FROM events GROUP BY 1, 2),
          w AS (SELECT date, n, lead(date) OVER (PARTITION BY visitor_id ORDER BY date) AS next FROM d)
     SELECT date, next, sum(n) AS n, count(*) AS users FROM w GROUP BY 1, 2",
    "WITH d AS (SELECT DISTINCT visitor_id, date FROM events),
          all_days AS (SELECT unnest(generate_series(DATE '2026-02-26', DATE '2026-03-06', INTERVAL '1 day'))::date AS date),
          n AS (SELECT date, 1 AS n FROM d UNION ALL SELECT date, 0 FROM all_days)
     SELECT date, sum(n) AS users, count(*) AS parts FROM n GROUP BY 1",
    "WITH a AS (SELECT visitor_id, count(*) AS n FROM events WHERE name = 'signup' GROUP BY 1),
          b AS (SELECT visitor_id, count(*) AS n FROM events WHERE name = 'purchase' GROUP BY 1)
     SELECT coalesce(a.n, 0) AS signups, b.n IS NULL AS none, count(*) AS users FROM a FULL JOIN b ON a.visitor_id = b.visitor_id GROUP BY 1, 2",
    "SELECT u.name, count(*) FROM (SELECT visitor_id, name FROM events GROUP BY 1, 2) u
     WHERE EXISTS (SELECT 1 FROM (SELECT visitor_id FROM events WHERE revenue > 20 GROUP BY 1) b WHERE b.visitor_id = u.visitor_id) GROUP BY 1",
    "WITH v AS (SELECT visitor_id, count(*) AS n FROM events GROUP BY 1) SELECT n, count(*) FILTER (WHERE visitor_id IS NULL) AS nobody, count(*) AS users FROM v GROUP BY 1",
];

/// A lake in which things happen.
struct World {
    lake: Lake,
    random: Random,
    /// What each file of the table has.
    files: Vec<(TableFile, Vec<Event>)>,
    /// Pending batches, with their lanes.
    pending: Vec<(LaneId, Vec<Event>)>,
    now: DateTime<Utc>,
    ids: u64,
}

impl World {
    async fn new(seed: u64) -> Self {
        let lake = Lake::open("memory:///", []).unwrap();
        for site in SITES {
            lake.add_site(site, DateTime::UNIX_EPOCH).await.unwrap();
        }
        let now = "2026-02-27T20:00:00Z".parse().unwrap();
        Self { lake, random: Random::new(seed), files: vec![], pending: vec![], now, ids: 0 }
    }

    /// Some events up to now: of people who are anonymous, signed in, or both, and of nobody in particular.
    fn events(&mut self) -> Vec<Event> {
        (0..1 + self.random.below(12))
            .map(|_| {
                self.ids += 1;
                let random = &mut self.random;
                let site = *random.choose(&SITES);
                let anonymous_id = (random.below(4) > 0).then(|| format!("a{}", random.below(5)));
                let user_id = (random.below(3) == 0).then(|| format!("u{}", random.below(3)));
                let late_min = if random.below(4) == 0 { 3_000 } else { 300 };
                let at = self.now - TimeDelta::minutes(random.below(late_min) as i64);
                Event {
                    event_id: EventId::from_client(&self.ids.to_string()),
                    site_id: site.into(),
                    name: (*random.choose(&["signup", "page_view", "page_view", "purchase"])).into(),
                    occurred_at_us: at.timestamp_micros(),
                    received_at_us: at.timestamp_micros(),
                    visitor_id: user_id.as_ref().or(anonymous_id.as_ref()).map(|identity| visitor_id(site, identity)),
                    user_id,
                    anonymous_id,
                    hostname: Some("shop.example".into()),
                    path: (random.below(8) > 0).then(|| (*random.choose(&["/", "/docs", "/buy"])).into()),
                    revenue_e4: (random.below(3) == 0).then(|| 2_500 * random.below(200) as i128),
                    is_bot: random.below(10) == 0,
                    properties: Some(format!(r#"{{"plan":"pro","items":{}}}"#, random.below(5))),
                    protocol: "native",
                    ..Event::default()
                }
            })
            .collect()
    }

    async fn write(&self, events: &[Event]) -> Vec<(TableFile, Vec<Event>)> {
        let table = self.lake.table(&EVENTS);
        let mut dates: BTreeMap<NaiveDate, Vec<Event>> = BTreeMap::new();
        for event in events {
            let date = DateTime::from_timestamp_micros(event.occurred_at_us).unwrap().date_naive();
            dates.entry(date).or_default().push(event.clone());
        }
        let mut written = Vec::new();
        for (date, events) in dates {
            let mut writer = TableWriter::start(&table, date).unwrap();
            writer.write(&batch(events.clone()).into_batch()).await.unwrap();
            written.push((writer.finish().await.unwrap(), events));
        }
        written
    }

    async fn commit(&mut self, change: Change) {
        let table = self.lake.table(&EVENTS);
        table.commit(change, table.load().await.unwrap()).await.unwrap();
    }

    async fn step(&mut self) -> &'static str {
        self.now += TimeDelta::minutes(60 + self.random.below(600) as i64);
        match self.random.below(10) {
            0..3 => {
                let events = self.events();
                let lane = LaneId(uuid::Uuid::now_v7());
                let lanes = Lane::start(self.lake.clone(), lane, LaneSettings::default());
                lanes.append(batch(events.clone()).encode(), self.now).await.unwrap();
                self.pending.push((lane, events));
                "append"
            }
            3..7 => {
                // What is pending is published, or something that never was.
                let (lanes, events) = match self.pending.pop() {
                    Some((lane, events)) => (vec![(lane, 0)], events),
                    None => (vec![], self.events()),
                };
                let written = self.write(&events).await;
                let adds = written.iter().map(|(file, _)| file.clone()).collect();
                self.commit(Change::publish(adds, lanes, BTreeSet::new())).await;
                self.files.extend(written);
                "publish"
            }
            kind => {
                let Some((file, _)) = self.files.first() else { return "nothing" };
                let date = file.date;
                let (old, kept): (Vec<_>, Vec<_>) = self.files.drain(..).partition(|(file, _)| file.date == date);
                self.files = kept;
                let removed: Vec<TableFile> = old.iter().map(|(file, _)| file.clone()).collect();
                let mut events: Vec<Event> = old.into_iter().flat_map(|(_, events)| events).collect();
                let erased = kind == 9;
                if erased {
                    events.retain(|event| event.anonymous_id.as_deref() != Some("a1"));
                }
                let written = self.write(&events).await;
                let adds: Vec<TableFile> = written.iter().map(|(file, _)| file.clone()).collect();
                let change = if erased { Change::delete(adds, &removed) } else { Change::merge(adds, &removed) };
                self.commit(change).await;
                self.files.extend(written);
                if erased { "erase" } else { "merge" }
            }
        }
    }
}

/// The files of `queries/`.
fn report() -> Vec<String> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries");
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|kind| kind == "sql")).collect();
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_another_process_whatever_happened_to_the_lake_since_the_last() {
    let (mut asked, mut tallies, mut updated, mut wrong) = (0, 0, 0, Vec::new());
    for seed in 0..histories() {
        let mut world = World::new(seed).await;
        let engine = Engine::new(world.lake.clone(), &EngineSettings::default()).unwrap();
        let mut queries: Vec<String> = ABOUT_USERS.iter().map(|sql| (*sql).to_owned()).collect();
        let generated: Vec<String> = (0..4).map(|_| query(&mut world.random)).collect();
        // What DataFusion cannot plan over groups is answered in full.
        let is_generated = |sql: &String| generated.contains(sql);
        queries.extend(generated.iter().cloned());
        queries.extend(report());
        let mut happened = Vec::new();
        for _ in 0..STEPS {
            happened.push(world.step().await);
            let view = Arc::new(engine.view().await.unwrap());
            // Not of all at each run, so that more may have happened in between.
            for sql in queries.iter().filter(|_| world.random.below(3) == 0) {
                let of_lake = params::of_period(world.now, None, "Europe/Berlin");
                let Ok(recurring) = view.recurring(sql, &of_lake).await else { continue };
                for scope in [Scope::Lake, Scope::Site("shop".into()), Scope::Site("blog".into())] {
                    let site = if let Scope::Site(site) = &scope { Some(site.as_str()) } else { None };
                    let params: Vec<(String, Param)> = params::of_period(world.now, site, "Europe/Berlin");
                    let full = view.session(&scope).unwrap().query(sql, &params).await;
                    let (full, answer, how) = match (full, recurring.answer(&scope).await) {
                        (Ok(full), Ok((answer, how))) => (rows(&full), rows(&answer), how),
                        (Err(full), Err(answer))
                            if [&full, &answer].iter().all(|error| error.to_string().contains("a sum is beyond")) =>
                        {
                            continue;
                        }
                        (full, answer) => panic!(
                            "{seed} {happened:?} {scope:?} {sql}: {:?}, in full {:?}",
                            answer.map(|(answer, _)| rows(&answer)),
                            full.map(|full| rows(&full))
                        ),
                    };
                    asked += 1;
                    if !same(answer.clone(), full.clone()) {
                        wrong.push(format!("seed {seed}, {happened:?}, {scope:?}: {sql}\n  {answer:?}\n  {full:?}"));
                    }
                    match how {
                        How::Incremental(used) => {
                            tallies += used.tallies;
                            updated += used.updated_tallies;
                        }
                        How::InFull { why } => {
                            assert!(is_generated(sql), "{sql}: {why}");
                        }
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{} wrong of {asked}:\n{}", wrong.len(), wrong[..wrong.len().min(4)].join("\n"));
    }
    println!("{asked} answers of {tallies} tallies, {updated} of them updated");
    assert!(updated * 5 > tallies, "only {updated} of {tallies} tallies were updated");
}

/// With a state of every file, answers are the same, too.
#[tokio::test(flavor = "multi_thread")]
async fn another_process_begins_from_states_and_answers_the_same() {
    let mut world = World::new(77).await;
    for _ in 0..STEPS {
        world.step().await;
    }
    for _ in 0..2 {
        let view = Arc::new(Engine::new(world.lake.clone(), &every_file()).unwrap().view().await.unwrap());
        for sql in ABOUT_USERS {
            let (answer, _) = view.recurring(sql, &[]).await.unwrap().answer(&Scope::Lake).await.unwrap();
            let full = view.session(&Scope::Lake).unwrap().query(sql, &[]).await.unwrap();
            assert!(same(rows(&answer), rows(&full)), "{sql}");
        }
    }
}
