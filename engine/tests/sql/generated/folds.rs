//! Recurring queries: the answer from what is kept of files is the answer from the events.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{
    Engine, EngineError, EngineSettings, FoldUse, How, Param, QueryResult, Scope, StateSettings, View, to_json_rows,
};
use serde_json::Value as Json;

use crate::generated::random::Random;
use crate::generated::{is_same, query};
use crate::harness::view_of;

/// How many generated queries a test run has; a campaign sets more with `DEWPOND_FOLD_QUERIES`.
fn queries() -> usize {
    std::env::var("DEWPOND_FOLD_QUERIES").ok().and_then(|queries| queries.parse().ok()).unwrap_or(40)
}

/// A state of every file, however small.
pub(crate) fn every_file() -> EngineSettings {
    let states = StateSettings { state_file_bytes_min: 0, state_share_max: f64::MAX };
    EngineSettings { states, ..EngineSettings::default() }
}

fn scopes() -> [Scope; 3] {
    [Scope::Lake, Scope::Site("shop".into()), Scope::Site("blog".into())]
}

pub(crate) fn rows(answer: &QueryResult) -> Vec<Vec<Json>> {
    to_json_rows(answer).unwrap()
}

/// Whether answers are the same, but for the order of rows where the query gives none, and for what doubles lose.
pub(crate) fn same(mut one: Vec<Vec<Json>>, mut other: Vec<Vec<Json>>) -> bool {
    for rows in [&mut one, &mut other] {
        rows.sort_by_key(|row| Json::from(row.clone()).to_string());
    }
    let same_row = |one: &Vec<Json>, other: &Vec<Json>| one.iter().zip(other).all(|(one, other)| is_same(one, other));
    one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| same_row(one, other))
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_queries_answer_the_same_from_states_as_from_events() {
    const QUERIES_A_LAKE: usize = 20;
    let (mut asked, mut incremental, mut wrong) = (0, 0, Vec::new());
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    while asked < queries() {
        let mut random = Random::new(1_000_000 + asked as u64);
        let first = Arc::new(view_of(&mut random, "shop blog shop", &every_file()).await);
        for _ in 0..QUERIES_A_LAKE {
            let sql = query(&mut random);
            asked += 1;
            let full = match first.session(&Scope::Lake).unwrap().query(&sql, &[]).await {
                Ok(answer) => answer,
                // The generator's queries are not all understood; what is refused is refused either way.
                Err(EngineError::Query { .. }) => continue,
                Err(error) => panic!("{sql}: {error}"),
            };
            drop(full);
            // The second time from memory, and by another process from the lake.
            let other = Engine::new(first.engine().lake().clone(), &every_file()).unwrap().view().await.unwrap();
            let other = Arc::new(other);
            for (turn, view) in [&first, &first, &other].into_iter().enumerate() {
                let recurring = view.recurring(&sql, &[]).await.unwrap();
                for scope in scopes() {
                    let expected = rows(&view.session(&scope).unwrap().query(&sql, &[]).await.unwrap());
                    match recurring.answer(&scope).await {
                        Ok((answer, how)) => {
                            let answer = rows(&answer);
                            if !same(answer.clone(), expected.clone()) {
                                wrong.push(format!("turn {turn}, {scope:?}: {sql}\n  {answer:?}\n  {expected:?}"));
                            }
                            match how {
                                How::Incremental(_) => incremental += 1,
                                How::InFull { why } => *reasons.entry(why).or_default() += 1,
                            }
                        }
                        Err(error) => wrong.push(format!("turn {turn}, {scope:?}: {sql}\n  {error}")),
                    }
                }
            }
        }
    }
    println!("{incremental} incremental answers of {asked} queries; else {reasons:#?}");
    let shown = wrong.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} wrong of {asked} queries:\n{shown}", wrong.len());
    assert!(incremental > asked, "only {incremental} answers of {asked} queries were incremental");
}

/// Queries that can be answered from folds, with what they must be asked about.
const RECURRING: &[&str] = &[
    "SELECT count(*), count(DISTINCT visitor_id), count(DISTINCT path), min(occurred_at), max(user_id), sum(revenue), avg(revenue), avg(visitor_id) FROM events",
    "SELECT date, count(*) AS n, count(DISTINCT visitor_id) FILTER (WHERE name = 'signup') AS u FROM events WHERE occurred_at >= $from AND occurred_at < $until GROUP BY 1 ORDER BY 1",
    "SELECT site_id, path, count(*) AS n FROM events WHERE date BETWEEN DATE '2026-02-28' AND DATE '2026-03-02' GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY n DESC, 1, 2 LIMIT 5",
    "SELECT name, path, grouping(name), count(*), count(DISTINCT visitor_id) FROM events GROUP BY ROLLUP (name, path)",
    "SELECT DISTINCT name FROM events WHERE occurred_at < TIMESTAMP '2026-03-02 00:00:00'",
    "WITH days AS (SELECT unnest(generate_series($from::date, $until::date, INTERVAL '1 day')) AS day),
        n AS (SELECT date_trunc('day', occurred_at AT TIME ZONE 'Europe/Berlin') AS day, count(*) AS n FROM events WHERE occurred_at >= $from GROUP BY 1)
     SELECT days.day, coalesce(n, 0) FROM days LEFT JOIN n USING (day)",
    "SELECT (SELECT max(visitor_id) FROM events WHERE name = 'signup'), (SELECT count(*) FROM events WHERE occurred_at >= $until)",
    "SELECT count(*), bool_or(is_bot), count(DISTINCT user_id), sum(DISTINCT revenue) FROM events WHERE site_id = $site OR $site IS NULL",
    "WITH v AS (SELECT visitor_id, min(occurred_at) AS first_at FROM events GROUP BY 1) SELECT count(*) FILTER (WHERE first_at >= $from) FROM v",
    "SELECT count(*) FROM events e JOIN (SELECT visitor_id, count(*) AS n FROM events GROUP BY 1) v USING (visitor_id) WHERE false",
];

fn params(now: &str, site: Option<&str>) -> Vec<(String, Param)> {
    let time = |text: &str| Param::Time(text.parse().unwrap());
    let from = "2026-03-01T06:00:00Z";
    vec![
        ("from".to_owned(), time(from)),
        ("until".to_owned(), time(now)),
        ("now".to_owned(), time(now)),
        ("site".to_owned(), Param::Text(site.map(str::to_owned))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_of_time_cut_files_and_the_answer_is_the_same() {
    let mut random = Random::new(7);
    let view = Arc::new(view_of(&mut random, "shop blog shop", &every_file()).await);
    // The same questions at other times, from states that were made for the first.
    for now in ["2026-03-02T12:00:00Z", "2026-03-02T12:01:00Z", "2026-03-03T00:00:00Z", "2026-03-09T00:00:00Z"] {
        for sql in RECURRING {
            let recurring = view.recurring(sql, &params(now, None)).await.unwrap();
            for scope in scopes() {
                let site = if let Scope::Site(site) = &scope { Some(site.as_str()) } else { None };
                let full = view.session(&scope).unwrap().query(sql, &params(now, site)).await.unwrap();
                let (answer, how) = recurring.answer(&scope).await.unwrap();
                assert!(
                    same(rows(&answer), rows(&full)),
                    "{now} {scope:?} {sql}: {:?} for {:?}",
                    rows(&answer),
                    rows(&full)
                );
                let reads_all = sql.contains("JOIN (SELECT");
                assert_eq!(matches!(how, How::Incremental(_)), !reads_all, "{sql}: {how:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_is_not_read_again_and_a_reason_is_given_where_all_is_read() {
    let mut random = Random::new(8);
    let view = Arc::new(view_of(&mut random, "shop", &every_file()).await);
    let files = view.snapshot().events.files.len();
    let answer = async |view: &Arc<View>, sql: &str| {
        view.recurring(sql, &params("2026-03-09T00:00:00Z", None)).await.unwrap().answer(&Scope::Lake).await.unwrap().1
    };
    let sql = "SELECT count(*) FROM events WHERE NOT is_bot";
    let How::Incremental(first) = answer(&view, sql).await else { panic!("it is incremental") };
    assert_eq!((first.files, first.known_files), (files, 0));
    let pending = first.rows_read - view.snapshot().events.rows();
    assert!(pending > 0);
    // Another process reads the states, and the pending events.
    let other = Engine::new(view.engine().lake().clone(), &every_file()).unwrap();
    let again = Arc::new(other.view().await.unwrap());
    assert_eq!(
        answer(&again, sql).await,
        How::Incremental(FoldUse { files, known_files: files, rows_read: pending, ..FoldUse::default() })
    );
    // The text of the query may change as long as its meaning does not.
    let same = "select COUNT(*) as n from (select is_bot, name from events) where is_bot = false -- people";
    assert_eq!(
        answer(&again, same).await,
        How::Incremental(FoldUse { files, known_files: files, ..FoldUse::default() })
    );

    for (sql, reason) in [
        ("SELECT median(visitor_id) FROM events", "median needs all values"),
        ("SELECT name FROM events", "does not group"),
        ("SELECT count(*) FROM events WHERE random() < 2", "another value each time"),
        (
            "SELECT date_trunc('hour', now()) - occurred_at AS ago, count(*) FROM events GROUP BY 1",
            "the time of the run",
        ),
        ("SELECT count(p) FROM (SELECT *, lag(path) OVER (ORDER BY occurred_at) AS p FROM events)", "window function"),
        ("SELECT count(*) FROM reports", "reads no events"),
    ] {
        match answer(&view, sql).await {
            How::InFull { why } => assert!(why.contains(reason), "{sql}: {why}"),
            How::Incremental(_) => panic!("{sql} is incremental"),
        }
    }
}
