//! Numbers, ids and what is cast.

use crate::harness::{check, check_refused};

#[tokio::test]
async fn a_number_is_rounded_and_not_cut() {
    check(&[
        ("SELECT 3.7::int, (-3.7)::int, 3.2::int, 2.5::int, 0.5::bigint", "4 -4 3 3 1"),
        ("SELECT 3.75::numeric(10,2)::int, '3.75'::numeric(10,2)::int, try_cast(3.7 AS int)", "4 4 4"),
        ("SELECT avg(visitor_id)::int FROM events", "3"),
        ("SELECT sum(revenue)::bigint FROM events", "11"),
        (
            "SELECT 3.7::float, arrow_typeof(1::float), arrow_typeof(2::float(53)), arrow_typeof(3::real)",
            "3.7 Float64 Float64 Float32",
        ),
        ("SELECT (properties->>'items')::int FROM events WHERE properties->>'items' = '7'", "7"),
        ("SELECT sum((properties->'items')::int) FROM events", "13"),
    ])
    .await;
}

#[tokio::test]
async fn a_share_has_all_of_its_places() {
    check(&[
        ("SELECT count(*) FILTER (WHERE name = 'page_view') / count(*)::numeric FROM events", "0.375"),
        ("SELECT count(*) FILTER (WHERE name = 'purchase')::numeric / 3 FROM events", "0.6666666666666666"),
        ("SELECT round(100 * count(*) FILTER (WHERE name = 'purchase') / count(*)::numeric, 1) FROM events", "25.0"),
        ("SELECT sum(revenue) / 3 FROM events", "3.6633333333333336"),
        ("SELECT sum(revenue) / nullif(count(*) FILTER (WHERE name = 'x'), 0) FROM events", "null"),
        (
            "SELECT path, sum(revenue), count(DISTINCT visitor_id) FROM events GROUP BY 1 HAVING sum(revenue) > 2.5",
            "/buy 10.9900 2",
        ),
        ("SELECT path, count(DISTINCT visitor_id) FROM events GROUP BY 1 HAVING sum(revenue) + 1 > 2.5", "/buy 2"),
        ("SELECT 7 / 2, -7 / 2, 7 % 3", "3 -3 1"),
        (
            "SELECT name, count(*)::numeric / 7 AS share FROM events GROUP BY name ORDER BY share DESC, name LIMIT 1",
            "page_view 0.42857142857142855",
        ),
    ])
    .await;
    check_refused(&[("SELECT sum(revenue) / 0 FROM events", &["nullif(x, 0)"])]).await;
}

#[tokio::test]
async fn a_number_beyond_its_type_is_an_error() {
    let largest = "9223372036854775807";
    check(&[
        (&format!("SELECT sum({largest} - value) FROM generate_series(1, 1)"), "9223372036854775806"),
        (&format!("SELECT sum(x) FROM (VALUES ({largest}), (1), (-1)) AS t(x)"), largest),
        (&format!("SELECT g, sum(x) FROM (VALUES (1, {largest}), (1, 1), (1, -1), (2, 3)) AS t(g, x) GROUP BY g ORDER BY g"), &format!("1 {largest}; 2 3")),
        (&format!("SELECT sum(x::numeric) FROM (VALUES ({largest}), (1)) AS t(x)"), "9223372036854775808.0000000000"),
        ("SELECT sum(visitor_id), sum(DISTINCT visitor_id), sum(visitor_id) FILTER (WHERE visitor_id > 3) FROM events", "20 10 8"),
        ("SELECT visitor_id, sum(visitor_id) OVER (ORDER BY occurred_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM events ORDER BY occurred_at LIMIT 3", "1 1; 1 2; 2 3"),
        ("SELECT sum(x) FROM (SELECT 1 AS x WHERE false)", "null"),
        (
            "SELECT min(d) FROM (SELECT rank() OVER (ORDER BY occurred_at) - rank() OVER (ORDER BY occurred_at DESC) AS d FROM events)",
            "-7",
        ),
        ("SELECT sum(visitor_id + 1), sum(visitor_id * 2), sum(-visitor_id), visitor_id + 1 AS n FROM events GROUP BY visitor_id + 1 ORDER BY n LIMIT 1", "4 4 -2 2"),
        ("SELECT arrow_typeof(sum(visitor_id)), arrow_typeof(sum(revenue)) FROM events", "Int64 Decimal128(28, 4)"),
    ])
    .await;
    check_refused(&[
        (&format!("SELECT sum(x) FROM (VALUES ({largest}), (1)) AS t(x)"), &["sum(x::numeric)"]),
        (&format!("SELECT g, sum(x) FROM (VALUES (1, {largest}), (1, 1)) AS t(g, x) GROUP BY g"), &["sum(x::numeric)"]),
        (
            &format!("SELECT sum(DISTINCT x), count(DISTINCT y) FROM (VALUES ({largest}, 1), (1, 2)) AS t(x, y)"),
            &["sum(x::numeric)"],
        ),
        (&format!("SELECT visitor_id + {largest} FROM events"), &["cast to numeric"]),
        (&format!("SELECT visitor_id * {largest} FROM events WHERE visitor_id > 1"), &["cast to numeric"]),
        (&format!("SELECT -2 - {largest}"), &["cast to numeric"]),
    ])
    .await;
}

#[tokio::test]
async fn what_comes_from_several_branches_has_the_type_of_all_before_it_is_counted_with() {
    let ranks = "SELECT row_number() OVER (ORDER BY occurred_at) AS n FROM events";
    check(&[
        ("SELECT sum(x + 1), sum(x * 2), sum(1 - x) FROM (SELECT 1 AS x UNION ALL SELECT 2.5)", "5.5 7.0 -1.5"),
        ("SELECT sum(x / 2) FROM (SELECT 1 AS x UNION ALL SELECT 2.5)", "1.75"),
        ("SELECT sum(x / 8) FROM (SELECT 1 AS x UNION ALL SELECT 2.5::numeric(4, 1))", "0.4375"),
        (
            &format!("SELECT sum(n + 1), sum(n - 10), sum(DISTINCT n) FROM ({ranks} UNION ALL SELECT 3::bigint)"),
            "48 -51 36",
        ),
        (
            &format!("SELECT sum(n + 1), arrow_typeof(min(n)) FROM (SELECT -3::bigint AS n UNION ALL {ranks})"),
            "42 Int64",
        ),
        (
            &format!("SELECT sum(n * 2), max(n) FROM ({ranks} UNION SELECT 8 UNION SELECT visitor_id FROM events)"),
            "72 8",
        ),
        ("SELECT (CASE WHEN visitor_id > 100 THEN 1 ELSE 2.5 END) + 1 AS n FROM events GROUP BY 1", "3.5"),
        ("SELECT sum(2 * CASE visitor_id WHEN 1 THEN 1 ELSE 0.5 END) FROM events WHERE visitor_id <= 1", "4.0"),
        ("SELECT sum((CASE WHEN visitor_id > 100 THEN 1 ELSE 3::numeric(4, 1) END) / 8) FROM events", "3.0"),
        ("SELECT DISTINCT (CASE WHEN visitor_id > 100 THEN NULL ELSE 3 END) + 1 FROM events", "4"),
        ("SELECT count(*) FROM (SELECT 1 AS x, NULL AS y UNION ALL SELECT NULL, 'a') WHERE x + 1 = 2 OR y = 'a'", "2"),
        ("SELECT x, x::int + 1 FROM (SELECT '1' AS x, 1 AS x2 UNION ALL SELECT 2, 2.0) ORDER BY 1", "1 2; 2 3"),
    ])
    .await;
    check_refused(&[
        ("SELECT 1 UNION ALL SELECT 2, 3", &["number of columns"]),
        ("SELECT x + 9223372036854775807 FROM (SELECT 1 AS x UNION ALL SELECT 2)", &["cast to numeric"]),
    ])
    .await;
}

#[tokio::test]
async fn an_id_is_compared_and_written_as_its_uuid() {
    let id = "00000000-0000-4000-8000-000000000003";
    check(&[
        (&format!("SELECT name FROM events WHERE event_id = '{id}'"), "signup"),
        (&format!("SELECT name FROM events WHERE '{id}' = event_id"), "signup"),
        (
            "WITH n AS (SELECT name, row_number() OVER (ORDER BY event_id) AS place,
                lag(path) OVER (PARTITION BY visitor_id ORDER BY event_id DESC) AS later FROM events)
             SELECT place, name, later FROM n WHERE place <= 2 ORDER BY place",
            "1 signup /buy; 2 purchase null",
        ),
        (&format!("SELECT count(*) FROM events WHERE event_id <> '{id}'"), "7"),
        (
            &format!("SELECT count(*) FROM events WHERE event_id IN ('{id}', '00000000-0000-4000-8000-000000000007')"),
            "2",
        ),
        (&format!("SELECT count(*) FROM events WHERE event_id NOT IN ('{id}')"), "7"),
        (&format!("SELECT count(*) FROM events WHERE event_id > '{id}'"), "5"),
        (
            &format!(
                "SELECT count(*) FROM events WHERE event_id BETWEEN '{id}' AND '00000000-0000-4000-8000-000000000005'"
            ),
            "3",
        ),
        (&format!("SELECT event_id::text FROM events WHERE event_id = '{}'", id.to_uppercase()), id),
        (&format!("SELECT count(*) FROM events WHERE event_id::text = '{id}'"), "1"),
        ("SELECT count(*) FROM events WHERE CAST(event_id AS varchar) LIKE '%000000003'", "1"),
        (&format!("SELECT name FROM events ORDER BY CASE event_id WHEN '{id}' THEN 0 ELSE 1 END LIMIT 1"), "signup"),
        (&format!("SELECT sum(CASE event_id WHEN '{id}' THEN 1 ELSE 0 END) FROM events"), "1"),
        (
            &format!(
                "SELECT CASE WHEN event_id = '{id}' THEN 'x' END FROM events WHERE name = 'signup' ORDER BY 1 LIMIT 1"
            ),
            "x",
        ),
    ])
    .await;
    check_refused(&[
        ("SELECT count(*) FROM events WHERE event_id = 'abc'", &["event_id holds UUIDs"]),
        ("SELECT count(*) FROM events WHERE event_id = user_id", &["event_id::text"]),
        ("SELECT count(*) FROM events WHERE event_id LIKE '0000%'", &["event_id::text LIKE"]),
        ("SELECT count(*) FROM events WHERE event_id IN (SELECT user_id FROM events)", &["event_id::text"]),
        (
            "SELECT count(*) FROM events e JOIN (SELECT '00000000-0000-4000-8000-000000000003' AS event_id) o USING (event_id)",
            &["event_id::text"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_text_is_not_compared_with_a_number() {
    check_refused(&[
        ("SELECT count(*) FROM events WHERE user_id = 7", &["user_id is text and 7 a number: write '7'"]),
        ("SELECT count(*) FROM events WHERE user_id <> 7", &["write '7'"]),
        ("SELECT count(*) FROM events WHERE user_id IN (7, 8)", &["write '7'"]),
        ("SELECT count(*) FROM events WHERE user_id BETWEEN 1 AND 7", &["write '1'"]),
        ("SELECT count(*) FROM events e WHERE e.user_id > 2.5", &["write '2.5'"]),
    ])
    .await;
    check(&[
        ("SELECT count(*) FROM events WHERE user_id = '7'", "1"),
        ("SELECT count(*) FROM events WHERE (properties->>'items')::int > 2", "2"),
        ("SELECT count(*) FROM events WHERE visitor_id = '3'", "2"),
    ])
    .await;
}

#[tokio::test]
async fn the_time_between_two_instants_has_fractions() {
    let span = "max(occurred_at) - min(occurred_at)";
    let first = "WHERE date = '2026-03-01' AND name = 'page_view'";
    check(&[
        ("SELECT extract(epoch FROM TIMESTAMPTZ '2026-03-01T00:00:01.5Z' - TIMESTAMPTZ '2026-03-01T00:00:00Z')", "1.5"),
        (&format!("SELECT extract(epoch FROM {span}) FROM events {first}"), "899.75"),
        (&format!("SELECT extract(epoch FROM {span}) / 60 FROM events"), "1380.0"),
        (&format!("SELECT extract(hour FROM {span}), extract(minute FROM {span}), extract(second FROM {span}) FROM events {first}"), "0 14 59.75"),
        ("SELECT extract(day FROM d), extract(hour FROM d) FROM (SELECT TIMESTAMP '2026-03-03 05:00:00' - TIMESTAMP '2026-03-01' AS d)", "2 5"),
        ("SELECT avg(extract(epoch FROM occurred_at - TIMESTAMPTZ '2026-03-01T00:00:00Z')) > 0 FROM events", "true"),
        ("SELECT extract(epoch FROM INTERVAL '1 hour 0.5 second')", "3600.5"),
    ])
    .await;
    check_refused(&[(
        "SELECT extract(month FROM now() - TIMESTAMPTZ '2026-01-01') FROM events",
        &["epoch for all of it"],
    )])
    .await;
}
