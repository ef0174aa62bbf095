//! A session that keeps rows of a site answers as one that reads the files does, whatever was kept before.

use std::sync::Arc;

use engine::{EngineSettings, Scope, SqlSession, to_json_rows};
use serde_json::Value as Json;

use crate::generated::query;
use crate::generated::random::Random;
use crate::harness::view_of;

const LAKES: usize = 12;

const QUERIES: usize = 25;

/// The tables that are made of events, which read them in another way.
const TABLES: [&str; 6] = [
    "SELECT * FROM sessions ORDER BY visitor_id, started_at, session_id",
    "SELECT site_id, entry_page, count(*), sum(duration_s) FROM sessions WHERE started_at >= '2026-03-01' GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT * FROM visitor_days ORDER BY visitor_id, date",
    "SELECT * FROM visitors ORDER BY visitor_id",
    "SELECT e.path, s.exit_page, count(*) FROM events e JOIN sessions s ON s.visitor_id = e.visitor_id GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT count(*), min(occurred_at), max(date) FROM events WHERE date >= '2026-03-01'",
];

#[tokio::test]
async fn rows_that_are_kept_are_those_of_the_files() {
    let mut random = Random::new(11);
    for _ in 0..LAKES {
        let view = view_of(&mut random, "shop blog", &EngineSettings::default()).await;
        let mut asked: Vec<String> = (0..QUERIES).map(|_| query(&mut random)).collect();
        asked.extend(TABLES.map(str::to_owned));
        random.shuffle(&mut asked);
        for sql in &asked {
            let site: Arc<str> = (*random.choose(&["shop", "blog"])).into();
            let expected = answer(&view.session(&Scope::Site(site.to_string())).unwrap(), sql).await;
            let sessions = [
                view.session(&Scope::Site(site.to_string())).unwrap(),
                view.confined_session(std::slice::from_ref(&site), None).unwrap(),
            ];
            for keeping in sessions.map(SqlSession::keeping_rows) {
                assert_eq!(answer(&keeping, sql).await, expected, "{sql}");
            }
        }
        let keeping = view.session(&Scope::Site("shop".into())).unwrap().keeping_rows();
        let plan = format!("{:?}", keeping.query("EXPLAIN SELECT count(path) FROM events", &[]).await.unwrap().batches);
        assert!(plan.contains("SiteRowsExec"), "{plan}");
        for sql in [
            "SELECT count(visitor_id) FROM events WHERE path LIKE '/%' AND revenue > 1",
            "SELECT count(*) FROM sessions WHERE entry_page = '/'",
        ] {
            keeping.query(sql, &[]).await.unwrap();
            let plan = format!("{:?}", keeping.query(&format!("EXPLAIN {sql}"), &[]).await.unwrap().batches);
            assert!(plan.contains("condition="), "{plan}");
        }
        let of_all = view.session(&Scope::Lake).unwrap().keeping_rows();
        let plan = format!("{:?}", of_all.query("EXPLAIN SELECT count(path) FROM events", &[]).await.unwrap().batches);
        assert!(!plan.contains("SiteRowsExec"), "{plan}");
    }
}

/// What events are told apart by, after the columns of the stats API.
const KEYS: [&str; 5] = [
    "",
    "e.path, ",
    "CAST(date_trunc('day', e.occurred_at AT TIME ZONE 'Europe/Berlin') AS DATE), ",
    "date_trunc('hour', e.occurred_at), e.name, ",
    "e.path IS NULL, ",
];

const COUNTS: [&str; 4] = [
    "count(*), count(DISTINCT e.visitor_id)",
    "count(*) FILTER (WHERE e.name = 'page_view'), sum(e.revenue), count(DISTINCT e.path)",
    "min(e.occurred_at), max(e.path), sum(e.visitor_id)",
    "count(DISTINCT coalesce(i.user_visitor_id, e.visitor_id)), count(i.user_id)",
];

const CONDITIONS: [&str; 5] =
    ["TRUE", "e.name = 'purchase'", "e.revenue > 2 AND NOT e.is_bot", "e.visitor_id <= 3", "e.path LIKE '%o%'"];

const TIMES: [&str; 5] = [
    "2026-02-27T00:00:00Z",
    "2026-02-28T00:00:00Z",
    "2026-03-01T11:30:00Z",
    "2026-03-02T00:00:00Z",
    "2026-03-09T00:00:00Z",
];

#[tokio::test]
async fn states_that_are_kept_of_files_are_those_of_their_rows() {
    let mut random = Random::new(12);
    let mut taken = 0;
    for _ in 0..LAKES {
        let view = view_of(&mut random, "shop blog", &EngineSettings::default()).await;
        let plain = view.session(&Scope::Site("shop".into())).unwrap();
        let keeping = view.session(&Scope::Site("shop".into())).unwrap().keeping_rows();
        let confined = view.confined_session(&["shop".into()], None).unwrap().keeping_rows();
        // Few, so that the same is asked of several ranges.
        let two = |of: &[&'static str], random: &mut Random| [*random.choose(of), *random.choose(of)];
        let (keys, counts, conditions) =
            (two(&KEYS, &mut random), two(&COUNTS, &mut random), two(&CONDITIONS, &mut random));
        for _ in 0..QUERIES {
            let (keys, counts) = (*random.choose(&keys), *random.choose(&counts));
            let (from, until) = (*random.choose(&TIMES[..3]), *random.choose(&TIMES[2..]));
            let condition = *random.choose(&conditions);
            let together = match keys {
                "" => "",
                keys if keys.contains("e.name") => "GROUP BY 1, 2 ORDER BY 1, 2",
                _ => "GROUP BY 1 ORDER BY 1",
            };
            let sql = format!(
                "SELECT {keys}{counts} FROM identities i RIGHT JOIN (SELECT * FROM events e WHERE {condition} \
                 AND occurred_at >= '{from}' AND occurred_at < '{until}') AS e \
                 ON i.anonymous_visitor_id = e.visitor_id AND e.user_id IS NULL {together}"
            );
            let analyzed = keeping.query(&format!("EXPLAIN ANALYZE {sql}"), &[]).await.unwrap();
            let analyzed = format!("{:?}", analyzed.batches);
            taken += usize::from(analyzed.contains("states_kept=") && !analyzed.contains("states_kept=0"));
            let expected = answer(&plain, &sql).await;
            for session in [&keeping, &keeping, &confined, &confined] {
                assert_eq!(answer(session, &sql).await, expected, "{sql}");
            }
        }
    }
    assert!(taken > 30, "{taken} queries took states");
}

async fn answer(session: &SqlSession, sql: &str) -> Result<Vec<Vec<Json>>, String> {
    let answer = session.query(sql, &[]).await.map_err(|error| error.to_string())?;
    Ok(to_json_rows(&answer).unwrap())
}
