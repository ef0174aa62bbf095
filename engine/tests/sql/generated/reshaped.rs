//! Clauses of other engines that make other rows of the rows there are: ASOF joins, PIVOT and LIMIT … BY.

use engine::to_json_rows;
use serde_json::Value as Json;

use crate::generated::random::Random;
use crate::generated::{duckdb, export, is_same, python};
use crate::harness::{check, session_of};

/// Two tables with nulls in keys and times, a time that both have, and two rows of one time on the left.
const SIDES: &str = "WITH l (id, k, t) AS (VALUES (1, 1, 10), (2, 1, 50), (3, 2, 50), (4, NULL, 50), (5, 1, NULL), (6, 1, 50)), \
     r (k, t, v) AS (VALUES (1, 20, 'a'), (1, 50, 'b'), (1, 90, 'z'), (NULL, 10, 'n'), (1, NULL, 'm'), (2, 60, 'q'), (1, 30, NULL))";

#[tokio::test]
async fn an_asof_join_takes_the_nearest_row_of_the_key_and_no_null() {
    let of = |from: &str| format!("{SIDES} SELECT id, r.t, v FROM l {from} ORDER BY id");
    let on = |op: &str| of(&format!("ASOF JOIN r ON l.k = r.k AND l.t {op} r.t"));
    let or_none = |op: &str| of(&format!("ASOF LEFT JOIN r ON l.k = r.k AND l.t {op} r.t"));
    check(&[
        (&on(">="), "2 50 b; 6 50 b"),
        (&on(">"), "2 30 null; 6 30 null"),
        (&on("<="), "1 20 a; 2 50 b; 3 60 q; 6 50 b"),
        (&on("<"), "1 20 a; 2 90 z; 3 60 q; 6 90 z"),
        (&or_none(">="), "1 null null; 2 50 b; 3 null null; 4 null null; 5 null null; 6 50 b"),
        (&or_none("<"), "1 20 a; 2 90 z; 3 60 q; 4 null null; 5 null null; 6 90 z"),
        // The same as other engines write it.
        (&of("ASOF JOIN r ON r.t <= l.t AND r.k = l.k"), "2 50 b; 6 50 b"),
        (&of("GLOBAL ASOF INNER JOIN r ON (l.k = r.k AND (l.t > r.t))"), "2 30 null; 6 30 null"),
        (
            &of("ASOF JOIN r MATCH_CONDITION (l.t >= r.t) ON l.k = r.k"),
            "1 null null; 2 50 b; 3 null null; 4 null null; 5 null null; 6 50 b",
        ),
        // Without a key, and with more than one.
        (&of("ASOF JOIN r ON l.t > r.t"), "2 30 null; 3 30 null; 4 30 null; 6 30 null"),
        (&of("ASOF JOIN r ON l.k = r.k AND l.k + 1 = r.k + 1 AND l.t >= r.t"), "2 50 b; 6 50 b"),
        // What the right side must be, it must be before the nearest is taken.
        (&of("ASOF JOIN r ON l.k = r.k AND l.t >= r.t AND v = 'a'"), "2 20 a; 6 20 a"),
        (
            &of("ASOF LEFT JOIN r ON l.k = r.k AND l.t >= r.t AND v = 'a' WHERE l.k = 1"),
            "1 null null; 2 20 a; 5 null null; 6 20 a",
        ),
        // Numbers of two types are compared as numbers are.
        (&of("ASOF JOIN r ON l.k = r.k AND l.t - 0.5 >= r.t"), "2 30 null; 6 30 null"),
    ])
    .await;
}

#[tokio::test]
async fn an_asof_join_is_a_table_like_others() {
    let with = |sql: &str| format!("{SIDES} {sql}");
    check(&[
        // The columns of USING are there once, and are those of the left side.
        (&with("SELECT * FROM l ASOF JOIN r USING (k, t) ORDER BY id"), "2 1 50 b; 6 1 50 b"),
        (&with("SELECT id, t FROM l ASOF JOIN (SELECT k, t - 5 AS t FROM r) r USING (k, t) ORDER BY id"), "2 50; 6 50"),
        (&with("SELECT count(*) FROM l ASOF LEFT JOIN r USING (t)"), "6"),
        // Behind other joins and before them, twice, and in parentheses.
        (
            &with("SELECT l.id, r.v, s.v FROM l ASOF LEFT JOIN r ON l.k = r.k AND l.t > r.t ASOF LEFT JOIN r s ON l.k = s.k AND r.t > s.t ORDER BY 1"),
            "1 null null; 2 null a; 3 null null; 4 null null; 5 null null; 6 null a",
        ),
        (
            &with("SELECT l.id, v, o.id FROM l ASOF JOIN r ON l.k = r.k AND l.t >= r.t JOIN l o ON o.id = l.id + 1 ORDER BY 1"),
            "2 b 3",
        ),
        (
            &with("SELECT l.id, o.id, v FROM l JOIN l o ON o.id = l.id + 1 ASOF JOIN r ON o.k = r.k AND l.t <= r.t ORDER BY 1"),
            "1 2 a; 2 3 q; 4 5 b",
        ),
        (&with("SELECT j.id, j.v FROM (l ASOF JOIN r ON l.k = r.k AND l.t >= r.t) AS j ORDER BY 1"), "2 b; 6 b"),
        (&with("SELECT count(*), min(v) FROM l, r ASOF JOIN l m ON r.t > m.t"), "30 a"),
        // Grouped, limited, and in a subquery.
        (&with("SELECT v, count(*) FROM l ASOF JOIN r ON l.k = r.k AND l.t <= r.t GROUP BY v ORDER BY v"), "a 1; b 2; q 1"),
        (&with("SELECT id FROM l ASOF JOIN r ON l.k = r.k AND l.t <= r.t ORDER BY v DESC, id DESC LIMIT 2"), "3; 6"),
        (
            &with("SELECT id FROM l WHERE EXISTS (SELECT 1 FROM r a ASOF JOIN r b ON a.k = b.k AND a.t < b.t WHERE a.t = l.t) ORDER BY id"),
            "2; 3; 4; 6",
        ),
        // Events, of which some are pending.
        (
            "SELECT p.path, s.name, s.path FROM events p ASOF JOIN (SELECT * FROM events WHERE name = 'signup') s \
             ON p.visitor_id = s.visitor_id AND p.occurred_at > s.occurred_at ORDER BY p.occurred_at",
            "/buy signup /",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_pivot_groups_by_all_other_columns_and_keeps_every_group() {
    let rows = "(SELECT * FROM (VALUES (1, 'a', 1), (1, 'b', 2), (1, 'a', 3), (2, 'z', 9), (NULL, 'a', 5), (2, NULL, 7)) AS v (k, n, r))";
    let of = |pivot: &str| format!("SELECT * FROM {rows} PIVOT ({pivot}) ORDER BY 1");
    check(&[
        (&of("sum(r) FOR n IN ('a', 'b')"), "1 4 2; 2 null null; null 5 null"),
        (&of("sum(r) FOR n IN ('a', NULL)"), "1 4 null; 2 null 7; null 5 null"),
        (&of("count(r) FOR n IN ('a', 'b')"), "1 2 1; 2 0 0; null 1 0"),
        // What no aggregate reads is a group.
        (&format!("SELECT * FROM {rows} PIVOT (count(*) FOR n IN ('a', 'z')) ORDER BY 1, 2"), "1 1 1 0; 1 2 0 0; 1 3 1 0; 2 7 0 0; 2 9 0 1; null 5 1 0"),
        (&of("sum(r) AS s, count(r) AS c FOR n IN ('a' AS x, 'b')"), "1 4 2 2 1; 2 null 0 null 0; null 5 1 null 0"),
        (&of("sum(r) FILTER (WHERE r > 1) FOR n IN ('a')"), "1 3; 2 null; null 5"),
        (&of("count_if(r > 1) FOR n IN ('a')"), "1 1; 2 0; null 1"),
        (&of("sum(r) FOR n IN ('a', 'b') DEFAULT ON NULL (0)"), "1 4 2; 2 0 0; null 5 0"),
        (&format!("SELECT * FROM (SELECT n, r FROM {rows}) PIVOT (sum(r) FOR n IN ('a', 'b'))"), "9 2"),
        // Names are those of the values and of the aggregates.
        (&format!("SELECT k, a, x_most FROM {rows} PIVOT (max(r) FOR n IN ('a')) JOIN (SELECT k AS j, x_most FROM {rows} PIVOT (max(r) AS most FOR n IN ('b' AS x))) ON j = k ORDER BY 1"), "1 3 2; 2 null null"),
        (&format!("SELECT p.\"2\", p.\"-1\" FROM {rows} PIVOT (min(n) FOR r IN (2, -1)) AS p WHERE k = 1"), "b null"),
        // One after the other.
        (&format!("SELECT * FROM {rows} PIVOT (sum(r) FOR n IN ('a', 'b')) PIVOT (max(b) FOR a IN (4, 5)) ORDER BY 1"), "1 2 null; 2 null null; null null null"),
        ("PIVOT events ON name IN ('signup', 'purchase') GROUP BY path ORDER BY path", "/ 2 0; /buy 0 2; /docs 1 0; /docs/sql 0 0"),
        ("PIVOT events ON date IN (DATE '2026-03-01', DATE '2026-03-02') USING count(DISTINCT visitor_id) GROUP BY name ORDER BY name", "page_view 1 1; purchase 2 0; signup 2 1"),
        ("SELECT * FROM (SELECT path, properties FROM events) e PIVOT (count(properties.items) FOR properties.plan IN ('pro', 'free')) ORDER BY path", "/ 1 1; /buy 1 0; /docs 0 1; /docs/sql 0 0"),
    ])
    .await;
}

#[tokio::test]
async fn limit_by_takes_the_first_rows_of_each_group() {
    check(&[
        ("SELECT name, path FROM events ORDER BY name, occurred_at LIMIT 1 BY name", "page_view /docs; purchase /buy; signup /"),
        ("SELECT name, path FROM events ORDER BY name, occurred_at DESC LIMIT 2 BY name", "page_view /; page_view /docs/sql; purchase /buy; purchase /buy; signup /docs; signup /"),
        ("SELECT name, path FROM events ORDER BY occurred_at LIMIT 1 BY name LIMIT 2", "signup /; purchase /buy"),
        ("SELECT user_id, count(*) AS n FROM events GROUP BY user_id, path ORDER BY n DESC, user_id LIMIT 1 BY user_id", "007 1; 2026 1; 7 1; Ann 1; ann 1; null 1"),
        // By columns of the answer: an alias, also of what has the name of another column, and a place.
        ("SELECT lower(user_id) AS user_id, name FROM events WHERE user_id LIKE '_nn' ORDER BY occurred_at LIMIT 1 BY user_id", "ann purchase"),
        ("SELECT path AS name, count(*) FROM events GROUP BY path ORDER BY 2 DESC, name LIMIT 1 BY 2", "/ 3; /buy 2; /docs/sql 1"),
        ("SELECT date AS day, name FROM events ORDER BY day DESC, occurred_at LIMIT 1 BY day", "2026-03-02 page_view; 2026-03-01 signup"),
        ("SELECT count(*) FROM (SELECT name FROM events LIMIT 2 BY name)", "6"),
        ("SELECT name, path FROM events ORDER BY event_id LIMIT 1 BY name", "signup /; purchase /buy; page_view /docs"),
        ("SELECT name FROM events ORDER BY name LIMIT 1 BY name, date", "page_view; page_view; purchase; signup; signup"),
    ])
    .await;
}

/// A query, and the same in DuckDB's words.
fn query(random: &mut Random) -> (String, String) {
    let same = |sql: String| (sql.clone(), sql);
    match random.below(3) {
        0 => {
            let join = random.choose(&["ASOF JOIN", "ASOF LEFT JOIN"]);
            let op = random.choose(&[">=", ">", "<=", "<"]);
            // One row of the right side at a time: of several, any may be taken.
            let (right, key) = random.choose(&[
                (
                    "SELECT visitor_id, path, occurred_at, count(*) AS n FROM events GROUP BY ALL",
                    "a.visitor_id = b.visitor_id AND a.path = b.path AND",
                ),
                (
                    "SELECT visitor_id, occurred_at, max(path) AS path, count(*) AS n FROM events GROUP BY ALL",
                    "a.visitor_id = b.visitor_id AND",
                ),
                ("SELECT occurred_at, max(path) AS path, count(*) AS n FROM events GROUP BY ALL", ""),
            ]);
            let condition = random.choose(&["", "AND b.n > 1", "AND b.path <> '/docs'"]);
            same(format!(
                "SELECT a.visitor_id, a.name, extract(epoch FROM a.occurred_at) AS at, b.path, b.n, extract(epoch FROM b.occurred_at) AS nearest \
                 FROM events a {join} ({right}) b ON {key} a.occurred_at {op} b.occurred_at {condition} \
                 ORDER BY 1 NULLS FIRST, 2 NULLS FIRST, 3 NULLS FIRST, 4 NULLS FIRST, 5 NULLS FIRST"
            ))
        }
        1 => {
            let aggregates = random.choose(&[
                "sum(revenue)",
                "count(revenue) AS n, max(revenue) AS most",
                "count(DISTINCT revenue)",
            ]);
            let values = random.choose(&["'signup', 'purchase'", "'purchase', 'nothing', NULL", "'page_view' AS view"]);
            let filter = random.choose(&["", "WHERE revenue > 20", "WHERE visitor_id IS NULL"]);
            let columns = random.choose(&["visitor_id, path", "path, user_id", "date, visitor_id"]);
            let shown = if columns.starts_with("date") { "* EXCLUDE (date)" } else { "*" };
            let order = if columns.starts_with("date") {
                "date, 1 NULLS FIRST, 2 NULLS FIRST"
            } else {
                "1 NULLS FIRST, 2 NULLS FIRST"
            };
            same(format!(
                "SELECT {shown} FROM (SELECT {columns}, name, revenue FROM events {filter}) PIVOT ({aggregates} FOR name IN ({values})) ORDER BY {order}"
            ))
        }
        _ => {
            let by = random.choose(&["visitor_id", "name, path", "date, name"]);
            let count = 1 + random.below(3);
            let order =
                "occurred_at DESC, visitor_id NULLS FIRST, name, path NULLS LAST, revenue NULLS FIRST, event_id";
            let columns = "visitor_id, name, path, revenue";
            (
                format!("SELECT {columns} FROM events ORDER BY {order} LIMIT {count} BY {by} LIMIT 20"),
                format!(
                    "SELECT {columns} FROM events QUALIFY row_number() OVER (PARTITION BY {by} ORDER BY {order}) <= {count} ORDER BY {order} LIMIT 20"
                ),
            )
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reshaped_rows_are_those_of_duckdb() {
    const LAKES: u64 = 4;
    const QUERIES_A_LAKE: usize = 40;
    let Some(python) = python() else { return };
    let mut wrong = Vec::new();
    for number in 0..LAKES {
        let mut random = Random::new(7_000 + number);
        let session = session_of(&mut random).await;
        let (ours, theirs): (Vec<String>, Vec<String>) = (0..QUERIES_A_LAKE).map(|_| query(&mut random)).unzip();
        let file = export(&session, 7_000 + number).await;
        for (sql, theirs) in ours.iter().zip(duckdb(&python, &file, &theirs, "")) {
            let answer = session.query(sql, &[]).await.map(|answer| to_json_rows(&answer).unwrap());
            let (Ok(ours), Json::Array(theirs)) = (&answer, &theirs) else {
                wrong.push(format!("{sql}\n  ours   {answer:?}\n  theirs {theirs}"));
                continue;
            };
            let same = ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(ours, theirs)| {
                    let theirs = theirs.as_array().unwrap();
                    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| is_same(ours, theirs))
                });
            if !same {
                wrong.push(format!("{sql}\n  ours   {ours:?}\n  theirs {theirs:?}"));
            }
        }
        std::fs::remove_file(file).unwrap();
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n"));
}
