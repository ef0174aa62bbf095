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
        ("SELECT * FROM events PIVOT (count(*) FOR name IN ('a', 'b'))", &["count(*) FILTER (WHERE name = 'a') AS a"]),
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
