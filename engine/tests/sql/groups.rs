//! What is grouped or ordered once more, over a join that repeats rows, keeps all of its keys.

use crate::harness::check;

#[tokio::test]
async fn all_keys_of_group_by_count() {
    check(&[
        // Pages by people who were first seen on a day: a cohort.
        (
            "WITH f AS (SELECT visitor_id, min(date) AS d FROM events GROUP BY 1),
             v AS (SELECT f.visitor_id, e.path, e.date, count(*) AS n FROM f JOIN events e ON e.visitor_id = f.visitor_id GROUP BY 1, 2, 3),
             p AS (SELECT visitor_id, path, sum(n) FROM v GROUP BY 1, 2)
             SELECT count(*) FROM p",
            "8",
        ),
        // The same with DISTINCT, with a numbered WITH, with a nested query, and with an outer join.
        (
            "WITH f AS (SELECT DISTINCT visitor_id FROM events),
             v AS (SELECT f.visitor_id, e.path, e.name FROM f JOIN events e USING (visitor_id))
             SELECT count(*) FROM (SELECT visitor_id, path FROM v GROUP BY visitor_id, path)",
            "8",
        ),
        (
            "WITH f AS (SELECT visitor_id, row_number() OVER (ORDER BY visitor_id) AS r FROM (SELECT DISTINCT visitor_id FROM events)),
             v AS (SELECT f.r, e.path, count(*) AS n FROM f JOIN events e USING (visitor_id) GROUP BY 1, 2)
             SELECT count(*), sum(n) FROM (SELECT r, path, sum(n) AS n FROM v GROUP BY r, path)",
            "8 8",
        ),
        (
            "SELECT count(*) FROM (SELECT v, path, count(*) FROM (SELECT f.v, e.path, e.name, count(*) FROM (SELECT visitor_id AS v, count(*) FROM events GROUP BY 1) f LEFT JOIN events e ON e.visitor_id = f.v GROUP BY 1, 2, 3) GROUP BY 1, 2)",
            "8",
        ),
        (
            "SELECT DISTINCT v, path FROM (SELECT f.v, e.path FROM (SELECT visitor_id AS v, count(*) FROM events GROUP BY 1) f JOIN events e ON e.visitor_id = f.v) WHERE v < 3 ORDER BY 1, 2",
            "1 /; 1 /buy; 2 /; 2 /buy",
        ),
        // Rows that unnest repeats.
        (
            "SELECT count(*) FROM (SELECT v, p FROM (SELECT visitor_id AS v, unnest(array_agg(path)) AS p FROM events GROUP BY 1) GROUP BY v, p)",
            "8",
        ),
        // A cross join, and one with a LATERAL.
        (
            "SELECT count(*) FROM (SELECT v, name FROM (SELECT v, e.name FROM (SELECT DISTINCT visitor_id AS v FROM events) CROSS JOIN events e) GROUP BY v, name)",
            "12",
        ),
        // Sets of keys whose types are mended.
        (
            "SELECT visitor_id + 1, count(*) FROM events GROUP BY ROLLUP (visitor_id + 1) ORDER BY 1",
            "2 2; 3 2; 4 2; 5 2; null 8",
        ),
        (
            "SELECT revenue::int, count(*) FROM events GROUP BY GROUPING SETS ((revenue::int), ()) ORDER BY 2, 1",
            "1 1; 10 1; null 6; null 8",
        ),
        // A key that is the whole of a grouped query groups on.
        ("SELECT count(*) FROM (SELECT name, n FROM (SELECT name, count(*) AS n FROM events GROUP BY 1) GROUP BY 1, 2)", "3"),
        ("SELECT v, sum(n) FROM (SELECT f.v, e.path, count(*) AS n FROM (SELECT visitor_id AS v, min(date) FROM events GROUP BY 1) f JOIN events e ON e.visitor_id = f.v GROUP BY 1, 2) GROUP BY v ORDER BY v", "1 2; 2 2; 3 2; 4 2"),
    ])
    .await;
}

#[tokio::test]
async fn all_keys_of_order_by_count() {
    check(&[
        (
            "WITH days AS (SELECT DISTINCT date AS day FROM events)
             SELECT days.day, e.name, count(*) AS n FROM days LEFT JOIN events e ON e.date = days.day
             GROUP BY 1, 2 ORDER BY 1 DESC, n DESC, name LIMIT 3",
            "2026-03-02 page_view 1; 2026-03-02 signup 1; 2026-03-01 page_view 2",
        ),
        (
            "SELECT f.v, e.path FROM (SELECT visitor_id AS v, count(*) FROM events GROUP BY 1) f JOIN events e ON e.visitor_id = f.v ORDER BY v, path DESC LIMIT 3",
            "1 /buy; 1 /; 2 /buy",
        ),
        (
            "SELECT v, path, row_number() OVER (PARTITION BY v ORDER BY path DESC) FROM (SELECT f.v, e.path FROM (SELECT DISTINCT visitor_id AS v FROM events) f JOIN events e ON e.visitor_id = f.v) ORDER BY v, path LIMIT 2",
            "1 / 2; 1 /buy 1",
        ),
        // The running sum of rows that are equal in the order has them all, as RANGE wants it.
        (
            "SELECT v, sum(1) OVER (ORDER BY v) FROM (SELECT f.v FROM (SELECT DISTINCT visitor_id AS v FROM events) f JOIN events e ON e.visitor_id = f.v) ORDER BY 1, 2 LIMIT 3",
            "1 2; 1 2; 2 4",
        ),
    ])
    .await;
}

#[tokio::test]
async fn rows_put_in_order_for_a_window_are_sorted_once_more() {
    // All groups have the same count, so the first key decides nothing.
    let groups = "(SELECT path AS k, count(DISTINCT user_id) FILTER (WHERE revenue < -1) AS n FROM events GROUP BY ROLLUP (path))";
    check(&[
        (
            &format!("SELECT n, l, k FROM (SELECT k, n, lag(n) OVER (PARTITION BY n ORDER BY k NULLS FIRST) AS l FROM {groups} w) ORDER BY n, l NULLS LAST, k"),
            "0 0 /; 0 0 /buy; 0 0 /docs; 0 0 /docs/sql; 0 null null",
        ),
        // Grouped by what a window has put in order.
        (
            &format!("SELECT n, l, count(*) FROM (SELECT k, n, row_number() OVER (PARTITION BY n ORDER BY k NULLS FIRST) % 2 AS l FROM {groups} w) GROUP BY n, l ORDER BY 1, 2"),
            "0 0 2; 0 1 3",
        ),
        (
            &format!("SELECT DISTINCT n, l FROM (SELECT k, n, row_number() OVER (PARTITION BY n ORDER BY k NULLS FIRST) % 2 AS l FROM {groups} w) ORDER BY 1, 2"),
            "0 0; 0 1",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_union_of_what_is_never_null_for_different_reasons_is_grouped() {
    check(&[
        (
            "WITH f AS (SELECT min(name) AS n FROM events)
             SELECT coalesce(a.n, '-') AS k, 1 AS c FROM f a
             UNION SELECT * FROM (SELECT coalesce(b.n, '-') AS k, count(a.n) FILTER (WHERE b.n IS NOT NULL) AS c FROM f a RIGHT JOIN f b ON a.n = b.n GROUP BY 1) p",
            "page_view 1",
        ),
        (
            "WITH f AS (SELECT min(name) AS n FROM events), u AS (SELECT coalesce(a.n, '-') AS k, 2 AS c FROM f a
             UNION ALL SELECT * FROM (SELECT coalesce(b.n, '-') AS k, count(a.n) FILTER (WHERE b.n IS NOT NULL) AS c FROM f a RIGHT JOIN f b ON a.n = b.n GROUP BY 1) p)
             SELECT x.k, sum(y.c), max(x.k) FROM u x JOIN u y ON x.k = y.k GROUP BY 1",
            "page_view 6 page_view",
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_was_constant_is_none_where_an_outer_join_has_filled_in_nulls() {
    let joined = "(SELECT DISTINCT path FROM events) p LEFT JOIN (SELECT 'x' AS k, path FROM events WHERE name = 'signup' GROUP BY 2) u ON u.path = p.path";
    check(&[
        (&format!("SELECT p.path, k FROM {joined} ORDER BY k NULLS FIRST, p.path"), "/buy null; /docs/sql null; / x; /docs x"),
        (&format!("SELECT p.path, k FROM {joined} ORDER BY k, p.path DESC LIMIT 3"), "/docs x; / x; /docs/sql null"),
        (&format!("SELECT p.path, rank() OVER (ORDER BY k NULLS FIRST) AS r FROM {joined} ORDER BY r, p.path"), "/buy 1; /docs/sql 1; / 3; /docs 3"),
        (&format!("SELECT k, count(*) FROM {joined} GROUP BY k ORDER BY 1"), "x 2; null 2"),
        // The same as the right side, and as one of two.
        (
            "SELECT p.path, k FROM (SELECT path, name AS k FROM events WHERE name = 'signup' GROUP BY 1, 2) u RIGHT JOIN (SELECT DISTINCT path FROM events) p ON u.path = p.path ORDER BY k NULLS FIRST, p.path",
            "/buy null; /docs/sql null; / signup; /docs signup",
        ),
        (
            "SELECT k, l, u.v, w.v FROM (SELECT 'x' AS k, visitor_id AS v FROM events WHERE name = 'purchase' GROUP BY 2) u FULL JOIN (SELECT 'y' AS l, visitor_id AS v FROM events WHERE name = 'page_view' GROUP BY 2) w ON u.v = w.v ORDER BY l, k, 3, 4",
            "null y null 3; null y null 4; x null 1 null; x null 2 null",
        ),
        // Joined by something else than equality.
        (
            "SELECT p.v, k FROM (SELECT DISTINCT visitor_id AS v FROM events) p LEFT JOIN (SELECT 'x' AS k, max(visitor_id) AS v FROM events WHERE name = 'signup') u ON u.v <= p.v ORDER BY k NULLS FIRST, 1 LIMIT 3",
            "1 null; 2 null; 3 null",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_key_and_the_same_cast_are_two_keys() {
    check(&[
        ("SELECT visitor_id::int, visitor_id::text, count(*) FROM events GROUP BY visitor_id::int, visitor_id::text ORDER BY visitor_id::text DESC LIMIT 1", "4 4 2"),
        ("SELECT visitor_id::int AS i, CAST(events.visitor_id AS integer) AS j, count(*) FROM events GROUP BY visitor_id, 1, 2 HAVING visitor_id::int4 > 3", "4 4 2"),
        ("SELECT max(user_id), max(user_id::text), max(user_id::bigint::text) FROM events WHERE user_id IN ('7', '007')", "7 7 7"),
        ("SELECT count(DISTINCT occurred_at) AS times, count(DISTINCT occurred_at::date) AS days FROM events", "8 2"),
        ("SELECT sum(visitor_id::float) OVER () AS f, sum(visitor_id) OVER () AS i FROM events LIMIT 1", "20.0 20"),
        ("SELECT name, name::text AS t FROM events WHERE visitor_id = 1 UNION ALL SELECT max(name), max(name::text) FROM events ORDER BY 1, 2", "purchase purchase; signup signup; signup signup"),
        ("SELECT abs(visitor_id::int) AS i, abs(visitor_id::float) AS f, count(*) FROM events GROUP BY 1, 2 ORDER BY 1 LIMIT 1", "1 1.0 2"),
        // A query within is one by itself.
        ("SELECT visitor_id, (SELECT max(e.visitor_id::text) FROM events e) AS m, count(*) FROM events GROUP BY visitor_id ORDER BY 1 LIMIT 1", "1 4 2"),
        // A cast of a single row's column.
        ("SELECT CAST(o.d AS date) AS c0, o.d AS c1, min(o.d) AS c2, min(o.d) AS c3 FROM (SELECT max(e.occurred_at) AS d, min(e.path) FROM events e RIGHT JOIN (SELECT n, n % 3, min(d) AS d FROM (SELECT min(occurred_at) AS d, count(DISTINCT visitor_id) AS n FROM events) GROUP BY 1, 2) b ON e.occurred_at = b.d) o GROUP BY 1, 2", "2026-03-01 2026-03-01T09:00:00Z 2026-03-01T09:00:00Z 2026-03-01T09:00:00Z"),
        ("SELECT visitor_id, visitor_id::text, count(*) FROM events GROUP BY visitor_id, visitor_id::text ORDER BY 1 LIMIT 1", "1 1 2"),
        ("SELECT visitor_id AS v, visitor_id::text AS t, count(*) FROM events GROUP BY 1, 2 ORDER BY 1 LIMIT 1", "1 1 2"),
        ("SELECT a.visitor_id AS v, CAST(a.visitor_id AS text) AS t, count(DISTINCT a.name) FROM events a GROUP BY 1, 2 ORDER BY 1 LIMIT 1", "1 1 2"),
        ("SELECT occurred_at, occurred_at::date, count(*) FROM events GROUP BY occurred_at, occurred_at::date ORDER BY 1 LIMIT 1", "2026-03-01T09:00:00Z 2026-03-01 1"),
        ("SELECT DISTINCT visitor_id, visitor_id::text FROM events ORDER BY 1 LIMIT 1", "1 1"),
        ("SELECT visitor_id, visitor_id::text FROM events ORDER BY 1 LIMIT 1", "1 1"),
        ("SELECT visitor_id::int, visitor_id::text FROM events ORDER BY 1 LIMIT 1", "1 1"),
    ])
    .await;
}

#[tokio::test]
async fn an_order_by_the_columns_of_a_single_row_holds() {
    let one = "WITH o AS (SELECT min(name) FILTER (WHERE name <> '') AS a, min(name) AS b, count(*) AS n FROM events)";
    check(&[
        (&format!("{one} SELECT a.b, b.a, rank() OVER (ORDER BY b.b NULLS LAST, b.b NULLS FIRST) AS r FROM o a RIGHT JOIN o b ON a.b = b.a ORDER BY 2 DESC NULLS LAST, 1, 3"), "page_view page_view 1"),
        (&format!("{one}, m AS (SELECT n, a, row_number() OVER (PARTITION BY n ORDER BY b, a) AS r FROM o WHERE n = 8 OR a = '') SELECT b.n, a.a, rank() OVER (ORDER BY a.r, a.a NULLS FIRST) FROM m a FULL JOIN m b ON a.n = b.n WHERE a.n > 0 ORDER BY 1, 2, 3"), "8 page_view 1"),
    ])
    .await;
}

#[tokio::test]
async fn a_subquery_compares_with_what_case_and_union_make_of_several_types() {
    check(&[
        (
            "WITH w AS (SELECT CASE WHEN name LIKE 's%' THEN 's' ELSE name END AS k FROM events)
             SELECT count(*) FROM w a WHERE EXISTS (SELECT 1 FROM (SELECT DISTINCT 's' AS n FROM events) x WHERE x.n = a.k)",
            "3",
        ),
        (
            "WITH w AS (SELECT CASE WHEN name LIKE 's%' THEN 's' ELSE name END AS k, count(*) AS n FROM events GROUP BY 1)
             SELECT k, n FROM w a WHERE NOT EXISTS (SELECT 1 FROM (SELECT DISTINCT 's' AS n FROM events) x WHERE x.n = a.k) ORDER BY 1",
            "page_view 3; purchase 2",
        ),
        (
            "WITH w AS (SELECT CASE WHEN name = 'signup' THEN 1 ELSE 2.5 END AS k FROM events)
             SELECT (SELECT count(*) FROM w a WHERE EXISTS (SELECT 1 FROM (VALUES (1), (2)) AS x(n) WHERE x.n = a.k)) AS same,
                    (SELECT count(*) FROM w a WHERE EXISTS (SELECT 1 FROM (VALUES (1), (2)) AS x(n) WHERE x.n < a.k)) AS less",
            "3 5",
        ),
        (
            "WITH w AS (SELECT 1 AS k UNION ALL SELECT 2.5 UNION ALL SELECT 4)
             SELECT k FROM w a WHERE EXISTS (SELECT 1 FROM events x WHERE x.visitor_id = a.k) ORDER BY 1",
            "1.0; 4.0",
        ),
        // Through two levels, and with LATERAL.
        (
            "WITH w AS (SELECT CASE WHEN name LIKE 's%' THEN 's' ELSE name END AS k FROM events)
             SELECT count(*) FROM w a WHERE EXISTS (
                 SELECT 1 FROM (SELECT DISTINCT 's' AS n FROM events) x
                 WHERE x.n = a.k AND EXISTS (SELECT 1 FROM (SELECT DISTINCT 's' AS m FROM events) y WHERE y.m = x.n))",
            "3",
        ),
        (
            "WITH w AS (SELECT CASE WHEN name LIKE 's%' THEN 's' ELSE name END AS k FROM events)
             SELECT count(*) FROM w a, LATERAL (SELECT 1 FROM (SELECT DISTINCT 's' AS n FROM events) x WHERE x.n = a.k) y",
            "3",
        ),
    ])
    .await;
}

/// What a projection computes has the name of a column below it.
#[tokio::test]
async fn a_limit_of_distinct_values_is_of_the_values_that_are_asked() {
    let numbers = "(SELECT x AS k FROM generate_series(1, 30) t(x) GROUP BY 1)";
    check(&[
        (&format!("SELECT DISTINCT k % 3 AS k FROM {numbers} ORDER BY 1 LIMIT 2"), "0; 1"),
        (&format!("SELECT DISTINCT -k AS k FROM {numbers} ORDER BY 1 LIMIT 2"), "-30; -29"),
        (&format!("SELECT k % 3 AS k, max(k) AS m FROM {numbers} GROUP BY 1 ORDER BY m DESC LIMIT 1"), "0 30"),
        (
            "SELECT DISTINCT b.k % 3 AS k FROM (SELECT DISTINCT visitor_id AS k FROM events) b ORDER BY 1 LIMIT 2",
            "0; 1",
        ),
    ])
    .await;
}

/// A key of GROUP BY is unique, and no other column that stands in its place after a projection.
#[tokio::test]
async fn an_order_holds_behind_a_window_over_groups() {
    let groups = "(SELECT x AS v, x % 2 AS n, 's' AS k FROM generate_series(1, 6) t(x) GROUP BY 1, 2)";
    let sizes = "(SELECT v, count(*) OVER (PARTITION BY m ORDER BY k) AS n FROM (SELECT x AS v, 's' AS k, max(x % 2) AS m FROM generate_series(1, 6) t(x) GROUP BY 1, 2))";
    check(&[
        (
            &format!("SELECT n, v, count(*) OVER (PARTITION BY n) AS c FROM {groups} ORDER BY 1, 3, 2 DESC"),
            "0 6 3; 0 4 3; 0 2 3; 1 5 3; 1 3 3; 1 1 3",
        ),
        (
            &format!("SELECT n, v, count(*) OVER (PARTITION BY n) AS c FROM {sizes} ORDER BY 1, 3, 2 DESC"),
            "3 6 6; 3 5 6; 3 4 6; 3 3 6; 3 2 6; 3 1 6",
        ),
        (
            &format!("SELECT n, v, count(*) OVER (PARTITION BY n ORDER BY k) AS c FROM (SELECT n, v, 's' AS k FROM {sizes}) ORDER BY 1, 3, 2 DESC LIMIT 2"),
            "3 6 6; 3 5 6",
        ),
        // The first rows of the first rows.
        (
            "SELECT n, v FROM (SELECT v, n FROM (SELECT x AS v, max(x % 2) AS n FROM generate_series(1, 6) t(x) GROUP BY 1) ORDER BY n LIMIT 5) ORDER BY n, v DESC LIMIT 2",
            "0 6; 0 4",
        ),
    ])
    .await;
}

/// The keys of ROLLUP are null where a group leaves them out, however constant they were.
#[tokio::test]
async fn an_order_by_the_keys_of_grouping_sets_holds() {
    let same = "(SELECT 's' AS k, path, visitor_id FROM events ORDER BY path, visitor_id LIMIT 2) s";
    check(&[
        (&format!("SELECT k, count(*) AS n FROM {same} GROUP BY ROLLUP (k) ORDER BY n, k DESC NULLS LAST"), "s 2; null 2"),
        (&format!("SELECT k, count(*) AS n FROM {same} GROUP BY ROLLUP (k) ORDER BY n, k NULLS FIRST"), "null 2; s 2"),
        (&format!("SELECT k, path, rank() OVER (ORDER BY k NULLS FIRST) AS r FROM {same} GROUP BY CUBE (k, path) ORDER BY r, k, path"), "null / 1; null null 1; s / 3; s null 3"),
        ("SELECT name, count(*) AS n FROM events WHERE name = 'signup' GROUP BY GROUPING SETS ((name), ()) ORDER BY n, name NULLS FIRST", "null 3; signup 3"),
    ])
    .await;
}

/// What is skipped is decided by the order inside, however the rest is sorted outside.
#[tokio::test]
async fn an_offset_skips_the_rows_of_its_own_order() {
    let ranked = "(SELECT x AS v, rank() OVER (ORDER BY x % 2, x) AS r FROM generate_series(1, 6) t(x))";
    let plain = "(SELECT x AS v, x % 2 AS r FROM generate_series(1, 6) t(x))";
    check(&[
        (&format!("SELECT * FROM (SELECT r, v FROM {ranked} ORDER BY r, v LIMIT 2 OFFSET 2) ORDER BY r, v"), "3 6; 4 1"),
        (&format!("SELECT * FROM (SELECT r, v FROM {ranked} ORDER BY r, v LIMIT 3 OFFSET 2) ORDER BY r, v LIMIT 2"), "3 6; 4 1"),
        (&format!("SELECT * FROM (SELECT r, v FROM {ranked} ORDER BY r, v LIMIT 4 OFFSET 1) ORDER BY r, v LIMIT 2 OFFSET 1"), "3 6; 4 1"),
        (&format!("SELECT * FROM (SELECT r, v FROM {ranked} ORDER BY r, v OFFSET 4) ORDER BY r, v"), "5 3; 6 5"),
        (&format!("SELECT v FROM (SELECT v FROM {plain} ORDER BY v DESC OFFSET 3) ORDER BY v"), "1; 2; 3"),
        (&format!("SELECT r, v FROM (SELECT v, r FROM {plain} ORDER BY v DESC OFFSET 3) ORDER BY r, v LIMIT 2"), "0 2; 1 1"),
        (&format!("SELECT r, v FROM (SELECT v, r FROM {plain} ORDER BY v DESC LIMIT 2 OFFSET 3) ORDER BY r DESC, v"), "1 3; 0 2"),
        (&format!("SELECT v, row_number() OVER (ORDER BY v) AS n FROM (SELECT v FROM {plain} ORDER BY v DESC OFFSET 3) ORDER BY v LIMIT 2 OFFSET 1"), "2 2; 3 3"),
        (&format!("SELECT r, sum(v) FROM (SELECT v, r FROM {plain} ORDER BY v OFFSET 1) GROUP BY r ORDER BY r"), "0 12; 1 8"),
        // Of an order that is not read any more.
        (&format!("SELECT r, count(*) FROM (SELECT v, r FROM {plain} ORDER BY r, v OFFSET 2) GROUP BY r ORDER BY r"), "0 1; 1 3"),
        (&format!("SELECT sum(r), count(*) FROM (SELECT v, r FROM {plain} ORDER BY v % 3, v OFFSET 3)"), "1 3"),
    ])
    .await;
}

/// A repartition by what is constant is left out, and has to be there when the constant is no longer known.
#[tokio::test]
async fn distinct_values_are_counted_by_a_constant_and_by_themselves() {
    let skipped = "(SELECT * FROM (SELECT 's' AS k, min(path) AS p FROM events GROUP BY 1) ORDER BY 1, 2 LIMIT 8";
    let counted = "SELECT 's' AS c, coalesce(k, '-') AS d, count(DISTINCT k) AS n FROM";
    check(&[
        (&format!("{counted} {skipped} OFFSET 1) GROUP BY 1, 2"), ""),
        (&format!("{counted} {skipped} OFFSET 0) GROUP BY 1, 2"), "s s 1"),
    ])
    .await;
}

/// Rows of the side of a join that lies in memory begin anew with each row of the other side.
#[tokio::test]
async fn a_join_of_windows_is_sorted_for_the_next_window() {
    let numbered = "WITH w AS (SELECT k AS c, k, row_number() OVER (PARTITION BY k ORDER BY x) AS n FROM (SELECT x, x % 2 AS k FROM generate_series(1, 4) t(x))) SELECT";
    let joined = "FROM w a JOIN w b USING (k)";
    check(&[
        (
            &format!("{numbered} b.c, a.n, b.n, row_number() OVER (PARTITION BY b.c ORDER BY a.n, b.n) AS r {joined} ORDER BY 1, 4"),
            "0 1 1 1; 0 1 2 2; 0 2 1 3; 0 2 2 4; 1 1 1 1; 1 1 2 2; 1 2 1 3; 1 2 2 4",
        ),
        (&format!("{numbered} a.n, b.n, b.c {joined} ORDER BY b.c, a.n, b.n LIMIT 3"), "1 1 0; 1 2 0; 2 1 0"),
        (&format!("{numbered} a.n, b.n, b.c {joined} ORDER BY b.c, b.n, a.n LIMIT 3"), "1 1 0; 2 1 0; 1 2 0"),
        (&format!("{numbered} b.c, a.n, count(*) {joined} GROUP BY b.c, a.n ORDER BY 1, 2"), "0 1 2; 0 2 2; 1 1 2; 1 2 2"),
    ])
    .await;
}
