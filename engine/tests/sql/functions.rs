//! Functions of other engines and of ours: with FILTER, DISTINCT, OVER and groups, and where they are refused.

use engine::{Engine, EngineSettings, Scope};

use crate::generated::random::Random;
use crate::harness::{ask, check_refused, view_of};
use crate::published::shop;

/// Asks each query over the shop's events.
async fn check(cases: &[(&str, &str)]) {
    let session = shop().await;
    let mut wrong = String::new();
    for (sql, expected) in cases {
        match ask(&session, sql, &[]).await {
            Ok(answer) if answer == *expected => {}
            Ok(answer) => wrong += &format!("\n{sql}\n  is {answer}\n  not {expected}"),
            Err(error) => wrong += &format!("\n{sql}\n  is refused: {error}"),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn dates_and_intervals_are_computed() {
    check(&[
        ("SELECT INTERVAL '1 day' * 3 = INTERVAL '3 days', 2 * INTERVAL '90 minutes' = INTERVAL '3 hours'", "true true"),
        ("SELECT TIMESTAMP '2026-03-01 10:00' + INTERVAL '1 month' * 0.5", "2026-03-16T10:00:00"),
        ("SELECT DATE '2026-03-01' + INTERVAL '36 hours'", "2026-03-02T12:00:00"),
        ("SELECT DATE '2026-01-31' + INTERVAL '1 month'", "2026-02-28"),
        ("SELECT count(*) FROM events WHERE occurred_at BETWEEN '2026-03-02 09:05' AND '2026-03-02 09:10Z'", "2"),
        ("SELECT count(*) FROM events WHERE occurred_at >= TIMESTAMP '2026-03-16 09:00'", "2"),
        ("SELECT extract(year FROM age(DATE '2026-03-01', DATE '2020-05-01')), extract(month FROM age(DATE '2026-03-01', DATE '2020-05-01'))", "5 10"),
        ("SELECT last_day(DATE '2024-02-10'), last_day(DATE '2026-03-10', 'week')", "2024-02-29 2026-03-15"),
        ("SELECT date_add('hour', 2, TIMESTAMP '2026-03-01 23:30')::text", "2026-03-02T01:30:00"),
        ("SELECT date_add(DATE '2026-03-01', INTERVAL 1 MONTH), date_sub(DATE '2026-03-01', INTERVAL 1 DAY)", "2026-04-01 2026-02-28"),
        ("SELECT dateadd(day, visitor_id, DATE '2026-03-01') FROM events WHERE name = 'signup' ORDER BY 1 LIMIT 1", "2026-03-02"),
        ("SELECT date_trunc('month', DATE '2026-03-17')::date, date_trunc(month, DATE '2026-03-17')::date", "2026-03-01 2026-03-01"),
        ("SELECT mod(7, 3), div(7, 2), width_bucket(5.35, 0.024, 10.06, 5), if(1 > 2, 'a', 'b')", "1 3 3 b"),
        ("SELECT count(*) FROM events WHERE date_diff('day', occurred_at, TIMESTAMPTZ '2026-03-17 12:00:00Z') = 0", "1"),
        ("SELECT time_bucket('1 day', occurred_at, 'Europe/Berlin') AS day, count(*) FROM events WHERE visitor_id = 2 GROUP BY 1 ORDER BY 1 LIMIT 1", "2026-03-01T23:00:00Z 1"),
    ])
    .await;
    check_refused(&[
        ("SELECT date_diff(occurred_at, received_at) FROM events", &["date_diff('day', start, end)"]),
        ("SELECT date_diff('fortnight', occurred_at, received_at) FROM events", &["it needs a unit"]),
        ("SELECT timestampdiff(DAY, occurred_at, received_at) FROM events", &["MySQL", "Snowflake"]),
        ("SELECT dayofweek(occurred_at) FROM events", &["extract(dow FROM t)"]),
        ("SELECT year(occurred_at) FILTER (WHERE is_bot) FROM events", &["one value of one row"]),
    ])
    .await;
}

#[tokio::test]
async fn aggregates_hold_in_groups_with_filters_and_in_windows() {
    check(&[
        ("SELECT country, mode(name), mode(path) FILTER (WHERE name <> 'page_view') FROM events GROUP BY 1 ORDER BY 1",
         "DE page_view /buy; FR page_view /buy; US page_view /buy; null page_view null"),
        ("SELECT mode(revenue), mode(visitor_id) FROM events WHERE name = 'nothing'", "null null"),
        ("SELECT visitor_id, mode(name) OVER (PARTITION BY visitor_id ORDER BY occurred_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS m FROM events WHERE visitor_id = 5 ORDER BY occurred_at",
         "5 page_view; 5 page_view; 5 purchase"),
        ("SELECT count_if(name = 'signup') FILTER (WHERE country = 'DE'), count_if(name = 'signup') FROM events", "2 4"),
        ("SELECT date, count_if(name = 'signup') OVER (ORDER BY date RANGE UNBOUNDED PRECEDING) AS n FROM events ORDER BY date DESC LIMIT 1", "2026-03-17 4"),
        ("SELECT arg_max(path, occurred_at) FILTER (WHERE name = 'page_view'), min_by(name, occurred_at) FROM events", "/docs page_view"),
        ("SELECT count(DISTINCT country, device), count(DISTINCT country, name) FROM events", "0 9"),
        ("SELECT count(DISTINCT visitor_id, name) FILTER (WHERE country = 'DE'), count(DISTINCT name) FROM events", "5 3"),
        ("SELECT listagg(DISTINCT name, ',') WITHIN GROUP (ORDER BY name) FROM events", "page_view,purchase,signup"),
        ("SELECT json_agg(name ORDER BY occurred_at) FILTER (WHERE visitor_id = 5), json_agg(name) FILTER (WHERE visitor_id = 99) FROM events",
         "[\"page_view\",\"signup\",\"purchase\"] null"),
        ("SELECT to_json(revenue), to_json(name), to_json(NULL), to_json(visitor_id > 1), json_build_array(1, 'a', NULL) FROM events WHERE revenue = 30",
         "30.0000 \"purchase\" null false [1,\"a\",null]"),
        ("SELECT json_build_object('all', properties, 'tags', properties->'tags') FROM events WHERE revenue = 50",
         "{\"all\":{\"items\":[{\"qty\":1,\"sku\":\"A\"}],\"plan\":\"pro\",\"tags\":[\"vip\"]},\"tags\":[\"vip\"]}"),
        ("SELECT visitor_id, window_funnel(INTERVAL '7 days', occurred_at, name = 'page_view', name = 'signup', name = 'purchase') FILTER (WHERE country = 'DE') FROM events WHERE visitor_id <= 3 GROUP BY 1 ORDER BY 1",
         "1 3; 2 0; 3 1"),
        ("SELECT visitor_id, sequence_match('(?1)(?2)', occurred_at, path = '/pricing', name = 'signup') AS m FROM events WHERE visitor_id IS NOT NULL GROUP BY 1 HAVING sequence_match('(?1)(?2)', occurred_at, path = '/pricing', name = 'signup') ORDER BY 1",
         "1 true; 2 true; 3 true; 5 true"),
        ("SELECT retention(name = 'signup', name = 'purchase', name = 'refund') FROM events", "[1, 1, 0]"),
        ("SELECT country, quantile(0.5)(revenue::float) FROM events GROUP BY 1 HAVING quantile(0.5)(revenue::float) > 30 ORDER BY 1", "DE 40.0; US 100.0"),
    ])
    .await;
    check_refused(&[
        ("SELECT mode(DISTINCT name) FROM events", &["DISTINCT"]),
        ("SELECT arg_max(name, occurred_at) OVER (PARTITION BY visitor_id) FROM events", &["first_value(x) OVER"]),
        ("SELECT quantile_cont(revenue, 0.5) OVER () FROM events", &["group in a subquery"]),
        ("SELECT window_funnel(INTERVAL '1 month', occurred_at, is_bot) FROM events", &["30 days"]),
        ("SELECT sequence_match('(?1', occurred_at, is_bot) FROM events", &["no pattern"]),
        ("SELECT topK(3)(name) FROM events", &["ORDER BY count(*) DESC LIMIT 10"]),
        ("SELECT timestampdiff(MINUTE, a, b)", &["whole units"]),
    ])
    .await;
}

#[tokio::test]
async fn a_funnel_and_a_retention_are_tables() {
    check(&[
        ("SELECT step, name, users, of_first, of_previous FROM funnel(ARRAY['page_view', 'signup', 'purchase'], INTERVAL '7 days') ORDER BY step",
         "1 page_view 5 1.0 null; 2 signup 3 0.6 0.6; 3 purchase 3 0.6 1.0"),
        ("SELECT f.users FROM funnel(ARRAY['page_view', 'purchase'], INTERVAL '1 hour', '2026-03-04 00:00', '2026-03-10 23:00') f ORDER BY f.step", "5; 2"),
        ("SELECT cohort, period, users, cohort_users, retention FROM retention('week') ORDER BY 1, 2",
         "2026-03-02 0 3 3 1.0; 2026-03-02 1 2 3 0.6666666666666666; 2026-03-02 2 2 3 0.6666666666666666; 2026-03-09 0 2 2 1.0"),
        ("SELECT cohort, period, users, cohort_users FROM retention('week', 'signup', 'purchase') ORDER BY 1, 2",
         "2026-03-02 0 2 2; 2026-03-02 2 1 2; 2026-03-09 0 1 2"),
    ])
    .await;
    check_refused(&[
        ("SELECT * FROM funnel('page_view')", &["FROM funnel(ARRAY["]),
        ("SELECT * FROM retention('year')", &["retention('week')"]),
    ])
    .await;
}

/// Functions are SQL underneath, so what holds for SQL holds for them.
#[tokio::test]
async fn what_is_known_of_one_site_alone_stays_so_in_a_table_that_is_a_call() {
    let mut random = Random::new(7);
    let view = view_of(&mut random, "shop blog", &EngineSettings::default()).await;
    let one = view.confined_session(&["blog".into()], None).unwrap();
    let same = view.session(&Scope::Site("blog".into())).unwrap();
    let all = view.session(&Scope::Lake).unwrap();
    let sql = "SELECT step, users FROM funnel(ARRAY['page_view', 'purchase'], INTERVAL '30 days') ORDER BY step";
    let confined = ask(&one, sql, &[]).await.unwrap();
    assert_eq!(confined, ask(&same, sql, &[]).await.unwrap());
    assert_ne!(confined, ask(&all, sql, &[]).await.unwrap());
}

/// Whatever is new here, memory is bounded: a list of a visitor's events is counted as it grows.
#[tokio::test]
async fn a_list_of_too_many_events_is_beyond_the_memory() {
    let lake = lake::Lake::open("memory:///", []).unwrap();
    let settings = EngineSettings { memory_bytes: 24 << 20, query_threads: Some(1), ..EngineSettings::default() };
    let session = Engine::new(lake, &settings).unwrap().view().await.unwrap().session(&Scope::Lake).unwrap();
    for sql in [
        "SELECT mode(value) FROM generate_series(1, 3000000)",
        "SELECT window_funnel(INTERVAL '1 day', to_timestamp(value), value > 0) FROM generate_series(1, 5000000)",
    ] {
        match ask(&session, sql, &[]).await {
            Err(engine::EngineError::Limit { .. }) => {}
            other => panic!("{sql}: {other:?}"),
        }
    }
}
