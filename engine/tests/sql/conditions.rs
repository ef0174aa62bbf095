//! A condition decides about what it stands over, wherever it would be cheaper to decide.

use crate::harness::{check, check_refused};

/// An aggregate without keys has a row even of no rows.
#[tokio::test]
async fn a_condition_without_columns_leaves_no_row_of_a_total() {
    let nothing = "(SELECT c FROM (SELECT count(*) AS c FROM events) WHERE c IS NULL) b";
    let joined = |rows: &str| format!("{rows} FULL JOIN {nothing} ON a.n = b.c WHERE coalesce(b.c, 0) + 1 IS NULL");
    check(&[
        ("SELECT count(*) FROM events HAVING random() < -1", ""),
        ("SELECT count(*) FROM events HAVING random() > -1", "8"),
        ("SELECT n FROM (SELECT count(*) AS n FROM events) WHERE random() < -1", ""),
        ("SELECT name, count(*) FROM events GROUP BY ROLLUP (name) HAVING random() < -1", ""),
        ("SELECT name, count(*) FROM events GROUP BY CUBE (name) HAVING random() < -1", ""),
        ("SELECT name, count(*) FROM events GROUP BY GROUPING SETS ((name), ()) HAVING random() < -1", ""),
        // The condition is about a column that turns out to be constant.
        (&joined("SELECT a.n FROM (SELECT count(*) AS n FROM events) a"), ""),
        (&joined("SELECT a.n FROM (SELECT name, count(*) AS n FROM events GROUP BY ROLLUP (name)) a"), ""),
        (
            "WITH w AS (SELECT count(*) AS n FROM events), none AS (SELECT n AS c FROM w WHERE n IS NULL),
             j AS (SELECT coalesce(b.c, 0) + 1 AS k, min(b.c) AS m FROM w a FULL JOIN none b ON a.n = b.c GROUP BY 1)
             SELECT m, k FROM j WHERE k IS NULL",
            "",
        ),
    ])
    .await;
}

/// Each is decided so often that it would not pass by chance.
#[tokio::test]
async fn a_condition_that_draws_decides_about_what_it_stands_over() {
    let pairs = "generate_series(1, 200) t(g), generate_series(1, 20) u(k)";
    let by_g = format!("SELECT g, count(*) AS n FROM {pairs} GROUP BY g");
    check(&[
        // Groups, not rows.
        (&format!("SELECT count(*) BETWEEN 50 AND 150, min(n), max(n) FROM ({by_g} HAVING random() < 0.5)"), "true 20 20"),
        (&format!("SELECT count(*) BETWEEN 50 AND 150, min(n), max(n) FROM ({by_g}) WHERE random() < 0.5 AND g > 0"), "true 20 20"),
        // Pairs, not rows of one side.
        ("SELECT count(*) FROM (SELECT g, count(*) AS n FROM generate_series(1, 100) t(g) JOIN generate_series(1, 100) u(k) ON g + k > 0 AND random() < 0.5 GROUP BY g) WHERE n > 90", "0"),
        ("SELECT count(*) FROM (SELECT g, count(*) AS n FROM generate_series(1, 100) t(g), generate_series(1, 100) u(k) WHERE random() < 0.5 GROUP BY g) WHERE n > 90", "0"),
        // Rows behind a window, and behind DISTINCT.
        (&format!("SELECT min(n) FROM (SELECT count(*) OVER (PARTITION BY g) AS n FROM {pairs}) WHERE random() < 0.5"), "20"),
        ("SELECT count(*) BETWEEN 50 AND 150 FROM (SELECT DISTINCT g FROM generate_series(1, 200) t(g), generate_series(1, 20) u(k)) WHERE random() < 0.5", "true"),
        // A key that is drawn.
        ("SELECT count(*), min(d) FROM (SELECT floor(random() * 3) AS d FROM generate_series(1, 2000) t(g) GROUP BY 1) WHERE d >= 1", "2 1.0"),
    ])
    .await;
}

#[tokio::test]
async fn what_is_drawn_keeps_its_value() {
    check(&[
        ("SELECT max(r) < 0.5, count(*) > 0 FROM (SELECT random() AS r FROM generate_series(1, 1000) t(g)) WHERE r < 0.5", "true true"),
        ("SELECT count(*) FROM (SELECT r AS a, r AS b FROM (SELECT random() AS r FROM events)) WHERE a <> b", "0"),
        ("SELECT count(*) FROM (SELECT floor(random() * 10) AS r FROM generate_series(1, 1000) t(g)) d JOIN (SELECT 3.0::double precision AS three) o ON d.r = o.three WHERE d.r <> 3", "0"),
        // The bound that ORDER BY with a LIMIT finds while it runs.
        ("SELECT count(*) FROM (SELECT r, row_number() OVER (ORDER BY r) AS n FROM (SELECT r FROM (SELECT random() AS r FROM generate_series(1, 20000) t(g)) ORDER BY r LIMIT 10)) WHERE r > 0.01", "0"),
    ])
    .await;
}

#[tokio::test]
async fn what_a_with_draws_is_drawn_once_or_refused() {
    check_refused(&[
        ("WITH s AS (SELECT visitor_id FROM events WHERE random() < 0.1) SELECT * FROM s a JOIN s b USING (visitor_id)", &["s is named 2 times", "visitor_id % 100 = 0"]),
        ("WITH s AS (SELECT uuid() AS id), t AS (SELECT id FROM S) SELECT 1 FROM t WHERE id IN (SELECT id FROM t)", &["t is named 2 times"]),
        ("SELECT 1 FROM (WITH s AS (SELECT random() AS r) SELECT 1 FROM s, s AS t) x", &["s is named 2 times"]),
    ])
    .await;
    check(&[
        ("WITH s AS (SELECT random() AS r) SELECT r < 1 FROM s", "true"),
        ("WITH s AS (SELECT count(*) AS n FROM events) SELECT a.n, random() < 1 FROM s a, s b", "8 true"),
    ])
    .await;
}

/// The values of a column under a condition on it are not counted before any row is read.
#[tokio::test]
async fn distinct_values_are_of_rows_that_are_there() {
    let twice = "WITH w AS (SELECT count(*) AS c, count(*) AS d FROM events)";
    check(&[
        ("SELECT count(DISTINCT n) FROM (SELECT count(*) AS n FROM events) WHERE n = 1", "0"),
        ("SELECT count(DISTINCT n) FROM (SELECT count(*) AS n FROM events) WHERE n = 8", "1"),
        (&format!("{twice} SELECT count(DISTINCT b.d) FROM w a JOIN w b ON a.d = b.c WHERE b.d = 1"), "0"),
        (&format!("{twice} SELECT count(DISTINCT b.d) FROM w a JOIN w b ON a.d = b.c WHERE b.d = 8"), "1"),
    ])
    .await;
}

/// An aggregate over an aggregate is not answered with the inner one.
#[tokio::test]
async fn an_aggregate_with_filter_over_a_count_is_its_own() {
    let counts = "(SELECT count(*) AS n FROM events)";
    let none = "(SELECT count(*) AS n FROM events WHERE false)";
    check(&[
        (&format!("SELECT max(n), min(n) FILTER (WHERE n = 4) FROM {none}"), "0 null"),
        (&format!("SELECT max(n) FILTER (WHERE n = 0) AS m FROM {none}"), "0"),
        (&format!("SELECT max(n), min(n) FILTER (WHERE n = 4), min(n) FILTER (WHERE n = 8) FROM {counts}"), "8 null 8"),
        (
            "SELECT max(n) + 1, count(*) FILTER (WHERE n > 4) FROM (SELECT count(*) AS n FROM (VALUES (1), (2)) v(x))",
            "3 0",
        ),
    ])
    .await;
}
