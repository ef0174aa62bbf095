//! What DataFusion reads and then ignores or mistakes is refused, in words that say what to write.

use crate::harness::{check, check_refused};

#[tokio::test]
async fn a_clause_that_would_be_ignored_is_refused() {
    check_refused(&[
        // MySQL, ClickHouse, PostgreSQL, BigQuery, Snowflake, SQL Server.
        ("SELECT name, count(*) FROM events GROUP BY name WITH ROLLUP", &["GROUP BY ROLLUP (a, b)"]),
        ("SELECT name, count(*) FROM events GROUP BY name WITH TOTALS", &["GROUP BY ROLLUP"]),
        ("SELECT count(*) FROM events PREWHERE name = 'signup'", &["into WHERE"]),
        ("SELECT count(*) FROM events FORMAT JSON", &["--format"]),
        ("SELECT count(*) FROM events SETTINGS max_threads = 1", &["flags"]),
        ("SELECT count(*) FROM events TABLESAMPLE BERNOULLI (10)", &["visitor_id % 100 = 0"]),
        ("SELECT count(*) FROM (SELECT * FROM events) TABLESAMPLE (10 PERCENT)", &["visitor_id % 100 = 0"]),
        ("SELECT lower(name) FILTER (WHERE path = '/') FROM events", &["FILTER belongs to the aggregate"]),
        ("SELECT lower(DISTINCT name) FROM events", &["DISTINCT belongs to the aggregate"]),
        ("SELECT abs(visitor_id) OVER (PARTITION BY name) FROM events", &["OVER belongs to the aggregate"]),
        ("SELECT 1; SELECT 2", &["one query"]),
    ])
    .await;
}

#[tokio::test]
async fn an_outer_join_that_keeps_the_right_side_needs_on() {
    let tables = "(SELECT 1 AS x) a";
    for join in ["RIGHT JOIN", "RIGHT OUTER JOIN", "NATURAL RIGHT JOIN"] {
        let using = if join.starts_with("NATURAL") { "" } else { "USING (x)" };
        let sql = format!("SELECT x FROM {tables} {join} (SELECT 2 AS x) b {using}");
        check_refused(&[(&sql, &["write LEFT JOIN"])]).await;
    }
    check_refused(&[
        (
            "SELECT x FROM (SELECT 1 AS x) a FULL JOIN (SELECT 2 AS x) b USING (x)",
            &["FULL JOIN b ON a.x = b.x", "coalesce(a.x, b.x)"],
        ),
        ("SELECT x FROM (SELECT 1 AS x) a NATURAL FULL JOIN (SELECT 2 AS x) b", &["coalesce"]),
        ("SELECT 1 FROM events c, ((SELECT 1 AS x) a FULL JOIN (SELECT 2 AS x) b USING (x))", &["coalesce"]),
    ])
    .await;
    check(&[
        ("SELECT x FROM (SELECT 1 AS x) a LEFT JOIN (SELECT 2 AS x) b USING (x)", "1"),
        ("SELECT x FROM (SELECT 1 AS x) a JOIN (SELECT 1 AS x) b USING (x)", "1"),
        ("SELECT count(a.x), count(*) FROM (SELECT 1 AS x) a FULL JOIN (SELECT 2 AS x) b ON a.x = b.x", "1 2"),
    ])
    .await;
}

#[tokio::test]
async fn similar_to_is_about_the_whole_text() {
    check(&[
        ("SELECT 'abc' SIMILAR TO 'abc'", "true"),
        ("SELECT 'abc' SIMILAR TO 'a'", "false"),
        ("SELECT 'abc' SIMILAR TO '%(b|d)%'", "true"),
        ("SELECT 'abc' SIMILAR TO '(b|c)%'", "false"),
        ("SELECT 'abc' SIMILAR TO 'a_c'", "true"),
        ("SELECT 'axc' SIMILAR TO 'a.c'", "false"),
        ("SELECT 'a%' SIMILAR TO 'a\\%'", "true"),
        ("SELECT 'ab' SIMILAR TO 'a#%' ESCAPE '#'", "false"),
        ("SELECT 'abc' NOT SIMILAR TO 'b'", "true"),
        ("SELECT count(*) FROM events WHERE path SIMILAR TO '/(docs|buy)'", "4"),
    ])
    .await;
    check_refused(&[("SELECT name FROM events WHERE path SIMILAR TO name", &["pattern in quotes"])]).await;
}
