//! Intervals count by their length: 24 hours are a day, and 30 days a month.

use crate::harness::{check, check_refused};

/// Spans of three lengths, two of them written in two ways, and one that is not known.
const SPANS: &str = "(VALUES (1, INTERVAL '1 day'), (2, INTERVAL '24 hours'), (3, INTERVAL '36 hours'), (4, NULL), (5, INTERVAL '30 days'), (6, INTERVAL '1 month')) AS t(n, i)";

fn over_spans(sql: &str) -> String {
    sql.replace("FROM t", &format!("FROM {SPANS}"))
}

async fn check_over_spans(cases: &[(&str, &str)]) {
    let asked: Vec<(String, &str)> = cases.iter().map(|(sql, rows)| (over_spans(sql), *rows)).collect();
    check(&asked.iter().map(|(sql, rows)| (sql.as_str(), *rows)).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_span_of_time_is_compared_by_its_length() {
    check(&[
        ("SELECT TIMESTAMP '2026-03-03' - TIMESTAMP '2026-03-01' > INTERVAL '1 day', INTERVAL '47 hours' < TIMESTAMP '2026-03-03' - TIMESTAMP '2026-03-01'", "true true"),
        ("SELECT INTERVAL '24 hours' = INTERVAL '1 day', INTERVAL '30 days' = INTERVAL '1 month', INTERVAL '36 hours' > INTERVAL '1 day'", "true true true"),
        ("SELECT count(*) FROM events WHERE TIMESTAMP '2026-03-02 12:00' - occurred_at < INTERVAL '1 day'", "5"),
        ("SELECT count(*) FROM events WHERE TIMESTAMP '2026-03-02 12:00' - occurred_at >= INTERVAL '1 day'", "3"),
        ("SELECT count(*) FROM events WHERE TIMESTAMP '2026-03-02 12:00' - occurred_at BETWEEN INTERVAL '0s' AND INTERVAL '1 day'", "6"),
        (
            "SELECT count(*) FILTER (WHERE last - first > INTERVAL '1 hour'), count(*) FILTER (WHERE last - first > INTERVAL '1 week')
             FROM (SELECT visitor_id, min(occurred_at) AS first, max(occurred_at) AS last FROM events GROUP BY 1)",
            "3 0",
        ),
        ("SELECT i FROM (VALUES (INTERVAL '1 day'), (INTERVAL '36 hours'), (INTERVAL '2 minutes')) AS t(i) WHERE i NOT IN (INTERVAL '24 hours') AND i < INTERVAL '1 month' ORDER BY i DESC LIMIT 1", "36 hours"),
        ("SELECT (INTERVAL '1 day' IS DISTINCT FROM INTERVAL '24 hours'), NULL::interval > INTERVAL '1 day'", "false null"),
        ("SELECT max(occurred_at - TIMESTAMP '2026-03-01') > INTERVAL '1 day' FROM events", "true"),
        ("SELECT count(*) FROM events a JOIN events b ON a.visitor_id = b.visitor_id AND b.occurred_at - a.occurred_at > INTERVAL '1 minute' AND b.occurred_at - a.occurred_at < INTERVAL '1 day'", "4"),
    ])
    .await;
    check_refused(&[
        ("SELECT max(i) FROM (VALUES (INTERVAL '1 day'), (INTERVAL '36 hours')) AS t(i)", &["extract(epoch FROM x)"]),
        ("SELECT greatest(INTERVAL '1 day', INTERVAL '36 hours')", &["extract(epoch FROM x)"]),
    ])
    .await;
}

#[tokio::test]
async fn intervals_of_one_length_are_one_group() {
    let cases = [
        (
            "SELECT i IS NULL, count(*), sum(n) FROM t GROUP BY i ORDER BY i",
            "false 2 3; false 1 3; false 2 11; true 1 4",
        ),
        (
            "SELECT extract(epoch FROM i) / 3600, count(*) FROM t GROUP BY i HAVING i > INTERVAL '1 hour' ORDER BY i DESC",
            "720.0 2; 36.0 1; 24.0 2",
        ),
        ("SELECT i + i, count(*) FROM t WHERE n < 3 GROUP BY i + i", "2 days 2"),
        ("SELECT i AS span, count(*) FROM t WHERE n IN (1, 3) GROUP BY span ORDER BY span", "1 days 1; 36 hours 1"),
        (
            "SELECT i, n > 2, count(*) FROM t GROUP BY GROUPING SETS ((i), (n > 2)) ORDER BY 1, 2",
            "1 days null 2; 36 hours null 1; 1 mons null 2; null false 2; null true 4; null null 1",
        ),
        (
            "SELECT i, grouping(i), count(*) FROM t GROUP BY ROLLUP (i) ORDER BY 2, 1",
            "1 days 0 2; 36 hours 0 1; 1 mons 0 2; null 0 1; null 1 6",
        ),
        (
            "SELECT grouping(i + i) AS g, count(*) FROM t GROUP BY ROLLUP (i + i) ORDER BY 1, 2",
            "0 1; 0 1; 0 2; 0 2; 1 6",
        ),
        (
            "SELECT count(*) = count(DISTINCT k) FROM (SELECT CASE WHEN random() < 0.5 THEN INTERVAL '1 day' ELSE INTERVAL '36 hours' END AS k, count(*) FROM t GROUP BY 1)",
            "true",
        ),
        ("SELECT count(*) FROM (SELECT DISTINCT i FROM t)", "4"),
        ("SELECT count(*), count(n) FROM (SELECT DISTINCT i, n / 3 AS n FROM t)", "5 5"),
        ("SELECT n FROM (SELECT DISTINCT ON (i) i, n FROM t ORDER BY i, n DESC) ORDER BY n", "2; 3; 4; 6"),
        ("SELECT count(DISTINCT i), count(i), count(*) FROM t", "3 5 6"),
        ("SELECT count(DISTINCT i) FILTER (WHERE n > 2) FROM t", "2"),
        ("SELECT n, count(*) OVER (PARTITION BY i) FROM t ORDER BY n", "1 2; 2 2; 3 1; 4 1; 5 2; 6 2"),
        (
            "SELECT n, rank() OVER (ORDER BY i NULLS FIRST), dense_rank() OVER (ORDER BY i) FROM t ORDER BY n",
            "1 2 1; 2 2 1; 3 4 2; 4 1 4; 5 5 3; 6 5 3",
        ),
        ("SELECT n, sum(n) OVER (PARTITION BY n > 4 ORDER BY i) FROM t ORDER BY n", "1 3; 2 3; 3 6; 4 10; 5 11; 6 11"),
        ("SELECT string_agg(n::text, ',' ORDER BY i DESC NULLS LAST, n) FROM t", "5,6,3,1,2,4"),
        ("SELECT first_value(n ORDER BY i DESC NULLS LAST, n) FROM t", "5"),
        ("SELECT count(*) FROM (SELECT i FROM t UNION SELECT INTERVAL '720 hours')", "4"),
        ("SELECT count(*) FROM (SELECT i FROM t INTERSECT SELECT INTERVAL '720 hours')", "1"),
        ("SELECT count(*) FROM (SELECT i FROM t EXCEPT SELECT INTERVAL '720 hours')", "3"),
    ];
    check_over_spans(&cases).await;
}

#[tokio::test]
async fn intervals_are_looked_for_and_joined_by_length() {
    let cases = [
        (
            "SELECT n, CASE i WHEN INTERVAL '1 day' THEN 'day' WHEN NULL THEN 'none' WHEN INTERVAL '1 month' THEN 'month' ELSE '' END FROM t ORDER BY n",
            "1 day; 2 day; 3 ; 4 ; 5 month; 6 month",
        ),
        ("SELECT n FROM t WHERE i IN (INTERVAL '720 hours', NULL) ORDER BY n", "5; 6"),
        ("SELECT n FROM t WHERE i NOT BETWEEN INTERVAL '1 hour' AND INTERVAL '25 hours' ORDER BY n", "3; 5; 6"),
        ("SELECT n FROM t WHERE i IN (SELECT INTERVAL '720 hours') ORDER BY n", "5; 6"),
        (
            "SELECT n FROM t WHERE i NOT IN (SELECT TIMESTAMP '2026-03-02' - TIMESTAMP '2026-03-01') ORDER BY n",
            "3; 5; 6",
        ),
        (
            "SELECT n FROM t WHERE TIMESTAMP '2026-03-02' - TIMESTAMP '2026-03-01' IN (SELECT i FROM t WHERE n = 1) AND n = 1",
            "1",
        ),
        ("SELECT n FROM t WHERE i = ANY (SELECT INTERVAL '720 hours') ORDER BY n", "5; 6"),
        (
            "SELECT n FROM t WHERE i > ALL (SELECT TIMESTAMP '2026-03-02' - TIMESTAMP '2026-03-01') ORDER BY n",
            "3; 5; 6",
        ),
        (
            "SELECT n, nullif(i, INTERVAL '24 hours') IS NULL FROM t ORDER BY n",
            "1 true; 2 true; 3 false; 4 true; 5 false; 6 false",
        ),
        (
            "SELECT a.n, b.n FROM (SELECT n, i FROM t) AS a JOIN (SELECT n, i FROM t) AS b USING (i) WHERE a.n < b.n ORDER BY 1",
            "1 2; 5 6",
        ),
        (
            "SELECT a.n, b.n FROM (SELECT n, i FROM t) AS a JOIN (SELECT n, i FROM t) AS b ON a.i = b.i AND a.n < b.n ORDER BY 1",
            "1 2; 5 6",
        ),
        ("SELECT DISTINCT a.n / 10 FROM (SELECT n, i FROM t) AS a JOIN (SELECT n, i FROM t) AS b USING (i)", "0"),
        ("SELECT count(*) FROM (SELECT n AS m, i FROM t) AS a NATURAL JOIN (SELECT n, i FROM t) AS b", "9"),
        ("SELECT n FROM t WHERE i = '24 hours' OR i IN ('30 days') OR i > '2 months' ORDER BY n", "1; 2; 5; 6"),
        ("SELECT n FROM t WHERE i BETWEEN '23 hours' AND '25 hours' ORDER BY n", "1; 2"),
        ("SELECT n, CASE i WHEN '24 hours' THEN 1 END FROM t WHERE n < 3 ORDER BY n", "1 1; 2 1"),
    ];
    check_over_spans(&cases).await;
}

#[tokio::test]
async fn what_cannot_compare_intervals_by_length_says_what_to_write() {
    let words: &[&str] = &["extract(epoch FROM x)"];
    let cases = [
        "SELECT max(i) FROM t",
        "SELECT n, min(i) OVER (ORDER BY n) FROM t",
        "SELECT mode(i) FROM t",
        "SELECT greatest(i, INTERVAL '36 hours') FROM t",
        "SELECT array_agg(DISTINCT i) FROM t",
        "SELECT [i] = [INTERVAL '24 hours'] FROM t",
        "SELECT n FROM t WHERE [i] IN (SELECT [i] FROM t)",
        "SELECT map_extract(MAP {INTERVAL '1 day': 1}, INTERVAL '24 hours') FROM t",
        "SELECT n FROM t WHERE [i] IN ([INTERVAL '24 hours'])",
        "SELECT array_has(array_agg(i), INTERVAL '24 hours') FROM t",
        "SELECT list_distinct(array_agg(i)) FROM t",
        "SELECT [i], count(*) FROM t GROUP BY 1",
        "SELECT DISTINCT [i] FROM t",
        "SELECT n FROM t ORDER BY [i]",
        "SELECT count(DISTINCT [i]) FROM t",
        "SELECT rank() OVER (PARTITION BY [i] ORDER BY n) FROM t",
        "SELECT count(*) OVER (ORDER BY i RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW) FROM t",
        "WITH RECURSIVE r AS (SELECT INTERVAL '1 day' AS i UNION SELECT INTERVAL '24 hours' FROM r) SELECT count(*) FROM r",
    ];
    check_refused(&cases.map(over_spans).each_ref().map(|sql| (sql.as_str(), words))).await;
}
