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
