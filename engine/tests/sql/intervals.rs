//! Joins of times with intervals have the rows that all pairs have for which the conditions hold.

use engine::{EngineSettings, Scope, SqlSession, to_json_rows};
use serde_json::Value as Json;

use crate::generated::random::Random;
use crate::harness::view_of;

/// Intervals of visitors, which overlap, have no end, or none of their own visitor's events in them.
const INTERVALS: &str = "i AS (SELECT visitor_id, name, user_id, occurred_at AS begin, \
    CASE WHEN items = 4 THEN NULL ELSE occurred_at + items * INTERVAL '5 hours' END AS end \
    FROM (SELECT *, (properties->>'items')::bigint AS items FROM events))";

/// Conditions, each with another form of the same that no rule takes for an interval.
const CONDITIONS: [(&str, &str); 5] = [
    (
        "e.occurred_at >= i.begin AND e.occurred_at <= i.end",
        "e.occurred_at - i.begin >= INTERVAL '0s' AND i.end - e.occurred_at >= INTERVAL '0s'",
    ),
    (
        "e.occurred_at > i.begin AND i.end > e.occurred_at",
        "e.occurred_at - i.begin > INTERVAL '0s' AND i.end - e.occurred_at > INTERVAL '0s'",
    ),
    (
        "e.occurred_at BETWEEN i.begin AND i.end AND e.name <> i.name",
        "e.occurred_at - i.begin >= INTERVAL '0s' AND i.end - e.occurred_at >= INTERVAL '0s' AND e.name <> i.name",
    ),
    (
        "i.begin < e.occurred_at AND i.end >= e.occurred_at AND coalesce(e.user_id, '') = coalesce(i.user_id, '')",
        "e.occurred_at - i.begin > INTERVAL '0s' AND i.end - e.occurred_at >= INTERVAL '0s' AND coalesce(e.user_id, '') = coalesce(i.user_id, '')",
    ),
    (
        "e.occurred_at >= i.begin AND e.occurred_at < i.end AND e.user_id = i.user_id",
        "e.occurred_at - i.begin >= INTERVAL '0s' AND i.end - e.occurred_at > INTERVAL '0s' AND e.user_id = i.user_id",
    ),
];

#[tokio::test]
async fn an_interval_is_joined_with_the_times_in_it_and_no_others() {
    let mut random = Random::new(5);
    let mut rows = 0;
    for _ in 0..12 {
        let view = view_of(&mut random, "shop", &EngineSettings::default()).await;
        let plain = view.session(&Scope::Site("shop".into())).unwrap();
        // Here one side of a join is read whole before the other, and not divided among threads.
        let keeping = view.session(&Scope::Site("shop".into())).unwrap().keeping_rows();
        for (condition, same) in CONDITIONS {
            for tables in ["events e JOIN i", "i JOIN events e"] {
                let sql = |condition: &str| {
                    format!(
                        "WITH {INTERVALS} SELECT e.occurred_at, e.name, e.path, i.begin, i.end, i.name, e.visitor_id FROM {tables} \
                         ON e.visitor_id = i.visitor_id AND {condition} ORDER BY 1, 2, 3, 4, 5, 6, 7"
                    )
                };
                for session in [&plain, &keeping] {
                    let expected = answer(session, &sql(same)).await;
                    assert_eq!(answer(session, &sql(condition)).await, expected, "{condition}");
                    rows += expected.len();
                    assert!(plan(session, &sql(condition)).await.contains("IntervalJoinExec"), "{condition}");
                    assert!(!plan(session, &sql(same)).await.contains("IntervalJoinExec"), "{same}");
                }
            }
        }
    }
    assert!(rows > 1_000, "{rows} rows say nothing");
}

#[tokio::test]
async fn an_interval_with_times_in_it_and_a_time_in_intervals_are_found_once() {
    let mut random = Random::new(6);
    let mut rows = 0;
    for _ in 0..12 {
        let view = view_of(&mut random, "shop", &EngineSettings::default()).await;
        let plain = view.session(&Scope::Site("shop".into())).unwrap();
        let keeping = view.session(&Scope::Site("shop".into())).unwrap().keeping_rows();
        for (condition, same) in CONDITIONS {
            for (columns, table, other) in [
                ("e.occurred_at, e.name, e.path, e.visitor_id", "events e", "i"),
                ("i.begin, i.end, i.name, i.visitor_id", "i", "events e"),
            ] {
                let exists = |condition: &str| {
                    format!(
                        "WITH {INTERVALS} SELECT {columns} FROM {table} WHERE EXISTS \
                         (SELECT 1 FROM {other} WHERE e.visitor_id = i.visitor_id AND {condition}) ORDER BY 1, 2, 3, 4"
                    )
                };
                let distinct = |condition: &str| {
                    format!(
                        "WITH {INTERVALS} SELECT DISTINCT {columns} FROM {table} JOIN {other} \
                         ON e.visitor_id = i.visitor_id AND {condition} ORDER BY 1, 2, 3, 4"
                    )
                };
                for session in [&plain, &keeping] {
                    for sql in [&exists as &dyn Fn(&str) -> String, &distinct] {
                        let expected = answer(session, &sql(same)).await;
                        assert_eq!(answer(session, &sql(condition)).await, expected, "{condition}");
                        rows += expected.len();
                        let plan = plan(session, &sql(condition)).await;
                        assert!(plan.contains("IntervalJoinExec") && plan.contains("alone,"), "{condition} {plan}");
                    }
                }
            }
        }
    }
    assert!(rows > 1_000, "{rows} rows say nothing");
}

#[tokio::test]
async fn other_joins_are_left_to_the_operators_that_know_them() {
    let view = view_of(&mut Random::new(1), "shop", &EngineSettings::default()).await;
    let session = view.session(&Scope::Lake).unwrap();
    for join in [
        "LEFT JOIN i ON e.visitor_id = i.visitor_id AND e.occurred_at BETWEEN i.begin AND i.end",
        "JOIN i ON e.visitor_id = i.visitor_id AND e.occurred_at >= i.begin",
        "JOIN i ON e.visitor_id = i.visitor_id AND e.occurred_at >= i.begin AND e.received_at <= i.end",
        "JOIN i ON e.revenue::float = i.visitor_id::float AND e.occurred_at BETWEEN i.begin AND i.end",
    ] {
        let sql = format!("WITH {INTERVALS} SELECT count(*), count(i.name) FROM events e {join}");
        assert!(!plan(&session, &sql).await.contains("IntervalJoinExec"), "{join}");
        answer(&session, &sql).await;
    }
}

async fn answer(session: &SqlSession, sql: &str) -> Vec<Vec<Json>> {
    to_json_rows(&session.query(sql, &[]).await.unwrap()).unwrap()
}

async fn plan(session: &SqlSession, sql: &str) -> String {
    format!("{:?}", session.query(&format!("EXPLAIN {sql}"), &[]).await.unwrap().batches)
}
