//! What the author of a query hears who wrote what another engine reads.

use crate::harness::check_refused;

#[tokio::test]
async fn a_mistake_is_answered_with_what_to_write() {
    check_refused(&[
        // MySQL, ClickHouse, BigQuery, DuckDB, Snowflake, SQL Server.
        ("SELECT avg(is_bot) FROM events", &["count(*) FILTER (WHERE"]),
        ("SELECT lowr(name) FROM events", &["did you mean lower?"]),
        ("SELECT count(*) FROM events WHERE name = \"purchase\"", &["single quotes: 'purchase'"]),
        ("SELECT visiter_id FROM events", &["did you mean visitor_id?"]),
        ("SELECT count(*) FROM evnts", &["events, sessions, visitor_days", "reports, imported_days and quarantine"]),
        ("SELECT name, count(*) FROM events", &["name it in GROUP BY, or write min(name)"]),
        ("SELECT name FROM events e JOIN events f ON e.visitor_id = f.visitor_id", &["write one of them before it"]),
        ("SELECT * FROM events PIVOT (count(*) FOR name IN (ANY))", &["FOR name IN ('signup', 'purchase')"]),
        ("SELECT * FROM events PIVOT (count(*) FOR name IN (SELECT name FROM events))", &["FOR name IN ('signup',"]),
        ("SELECT * FROM events PIVOT (count(*) FOR (name, path) IN (('a', 'b')))", &["for one column"]),
        ("SELECT * FROM events PIVOT (count(*) FOR name IN (lower('A')))", &["IN ('signup', lower('A') AS other)"]),
        ("SELECT * FROM events PIVOT (lower(path) FOR name IN ('a'))", &["FILTER belongs to the aggregate"]),
        ("SELECT * FROM events PIVOT (count(*) OVER () FOR name IN ('a'))", &["PIVOT takes aggregates"]),
        ("PIVOT events ON name USING count(*)", &["ON name IN ('signup', 'purchase')"]),
        ("SELECT * FROM events UNPIVOT (x FOR y IN (name, path))", &["UNION ALL"]),
        (
            "SELECT 1 FROM events a ASOF RIGHT JOIN events b ON a.occurred_at >= b.occurred_at",
            &["write ASOF LEFT JOIN to keep its rows"],
        ),
        ("SELECT 1 FROM events a ASOF JOIN events b ON a.visitor_id = b.visitor_id", &["a.k = b.k AND a.t >= b.t"]),
        (
            "SELECT 1 FROM events a ASOF JOIN events b ON a.date > b.date AND a.occurred_at > b.occurred_at",
            &["one condition on the order"],
        ),
        (
            "SELECT 1 FROM events a ASOF JOIN events b ON a.occurred_at > b.occurred_at AND a.name = 'x'",
            &["conditions on the left side into WHERE"],
        ),
        (
            "SELECT 1 FROM events a ASOF JOIN events b ON a.occurred_at > b.occurred_at AND a.name <> b.name",
            &["one column or expression of each side"],
        ),
        (
            "SELECT 1 FROM events a ASOF JOIN events b ON a.user_id = b.visitor_id AND a.date > b.date",
            &["types that are not compared: cast one of them"],
        ),
        ("SELECT DISTINCT name FROM events LIMIT 1 BY name", &["SELECT * FROM (…) ORDER BY t LIMIT 1 BY x"]),
        ("SELECT name FROM events UNION ALL SELECT path FROM events LIMIT 1 BY name", &["behind one SELECT"]),
        (
            "SELECT name, lag(name) OVER (ORDER BY date) AS before FROM events ORDER BY before LIMIT 1 BY name",
            &["no window functions: name them in a subquery"],
        ),
        ("SELECT * FROM events LIMIT 1 BY 1", &["no column 1 to take as a group"]),
        ("SELECT lower(1, 2) FROM events", &["there is no lower(Int64, Int64): there is lower(String)"]),
        (
            "SELECT name, path, name FROM events",
            &["two columns have the name of name: give one of them another with AS"],
        ),
        ("-- Nothing.", &["there is no query"]),
        ("SELECT properties #>> '{\"a,b\"}' FROM events", &["properties->'a, b'->>'c'"]),
        ("SELECT json_get_json() -> 'a'", &["json_get_json"]),
        ("SELECT to_char(occurred_at, 'SSSS') FROM events", &["to_char does not know"]),
        ("SELECT to_char(occurred_at, 'HH12:MI am') FROM events", &["to_char does not know"]),
    ])
    .await;
}
