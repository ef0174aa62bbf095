//! Local days, hours and times.

use crate::harness::{check, check_refused};

#[tokio::test]
async fn a_day_in_a_zone_is_that_of_its_clocks() {
    // Events 4, 5 (23:30 and 23:45 on 1 March in UTC) and 7, 8 are on 2 March in Berlin; 3 at 22:30 is not.
    let days = "2026-03-01T00:00:00 4; 2026-03-02T00:00:00 4";
    let local = "occurred_at AT TIME ZONE 'Europe/Berlin'";
    let day = |expr: &str| format!("SELECT {expr} AS day, count(*) FROM events GROUP BY 1 ORDER BY 1");
    let cases = [
        // As in the manuals of PostgreSQL and Metabase.
        (day(&format!("date_trunc('day', {local})")), days),
        (day(&format!("date_trunc('day', ({local})::timestamp)")), days),
        // As Grafana and TimescaleDB's users write it.
        (day(&format!("date_bin('1 day', {local})")), days),
        (day(&format!("date_bin(INTERVAL '1 day', {local}, TIMESTAMP '2026-01-01')")), days),
        (day(&format!("({local})::date")), "2026-03-01 4; 2026-03-02 4"),
        (day(&format!("CAST({local} AS date)")), "2026-03-01 4; 2026-03-02 4"),
        (day("timezone('Europe/Berlin', occurred_at)::date"), "2026-03-01 4; 2026-03-02 4"),
        (day("date_trunc('day', occurred_at, 'Europe/Berlin')"), "2026-02-28T23:00:00Z 4; 2026-03-01T23:00:00Z 4"),
        (day(&format!("to_char({local}, 'YYYY-MM-DD')")), "2026-03-01 4; 2026-03-02 4"),
        (day(&format!("extract(day FROM {local})")), "1 4; 2 4"),
        (day(&format!("date_part('dow', {local})")), "0 4; 1 4"),
        // Without a zone a day is a day of UTC.
        (day("date_trunc('day', occurred_at)"), "2026-03-01T00:00:00Z 6; 2026-03-02T00:00:00Z 2"),
        (day("date_bin('1 day', occurred_at)"), "2026-03-01T00:00:00Z 6; 2026-03-02T00:00:00Z 2"),
    ];
    check(&cases.each_ref().map(|(sql, expected)| (sql.as_str(), *expected))).await;
}

#[tokio::test]
async fn a_local_time_is_an_instant_and_an_instant_a_local_time() {
    check(&[
        ("SELECT TIMESTAMP '2026-07-01 00:00:00' AT TIME ZONE 'Europe/Berlin'", "2026-06-30T22:00:00Z"),
        ("SELECT TIMESTAMPTZ '2026-06-30T22:00:00Z' AT TIME ZONE 'Europe/Berlin'", "2026-07-01T00:00:00"),
        ("SELECT TIMESTAMPTZ '2026-07-01T12:00:00Z' AT TIME ZONE 'America/New_York'", "2026-07-01T08:00:00"),
        ("SELECT extract(hour FROM TIMESTAMPTZ '2026-07-01T12:00:00Z' AT TIME ZONE 'America/New_York')", "8"),
        ("SELECT occurred_at AT TIME ZONE 'UTC' FROM events ORDER BY 1 LIMIT 1", "2026-03-01T09:00:00"),
        (
            "SELECT (occurred_at AT TIME ZONE 'UTC') AT TIME ZONE 'Asia/Tokyo' FROM events ORDER BY 1 LIMIT 1",
            "2026-03-01T00:00:00Z",
        ),
        ("SELECT count(*) FROM events WHERE occurred_at >= TIMESTAMP '2026-03-02' AT TIME ZONE 'Europe/Berlin'", "4"),
        ("SELECT (now() AT TIME ZONE 'UTC') - (now() AT TIME ZONE 'Asia/Kolkata') = INTERVAL '-330 minutes'", "true"),
        (
            "SELECT occurred_at AT TIME ZONE zone FROM events, (VALUES ('Asia/Tokyo')) AS z(zone) ORDER BY 1 LIMIT 1",
            "2026-03-01T18:00:00",
        ),
        ("SELECT now() - INTERVAL '1 hour' < now(), now() > TIMESTAMPTZ '2026-01-01'", "true true"),
        ("SELECT arrow_typeof(now())", "Timestamp(ns, \"UTC\")"),
    ])
    .await;
    check_refused(&[
        ("SELECT occurred_at AT TIME ZONE 'Mars/Olympus' FROM events", &["no time zone", "Europe/Berlin"]),
        ("SELECT occurred_at AT TIME ZONE '+02:00' FROM events", &["no time zone", "Europe/Berlin"]),
        ("SELECT name AT TIME ZONE 3 FROM events", &["the name of a zone"]),
    ])
    .await;
}

#[tokio::test]
async fn a_pattern_of_to_char_is_read_as_in_postgresql() {
    check(&[
        ("SELECT to_char(TIMESTAMP '2026-03-01 09:05:07', 'YYYY-MM')", "2026-03"),
        ("SELECT to_char(TIMESTAMP '2026-03-01 09:05:07', 'YYYY-MM-DD HH24:MI:SS')", "2026-03-01 09:05:07"),
        ("SELECT to_char(TIMESTAMP '2026-03-01 09:05:07', 'DD Mon YYYY')", "01 Mar 2026"),
        ("SELECT to_char(TIMESTAMP '2026-03-01 09:05:07', 'IYYY-IW')", "2026-09"),
        ("SELECT to_char(TIMESTAMP '2026-03-01 09:05:07', 'FMDD.FMMM.')", "1.3."),
        ("SELECT to_char(occurred_at, 'yyyy-mm'), count(*) FROM events GROUP BY 1", "2026-03 8"),
        ("SELECT to_char(DATE '2026-03-01', '%d/%m')", "01/03"),
    ])
    .await;
    check_refused(&[
        ("SELECT to_char(occurred_at, 'Month') FROM events", &["FMMonth"]),
        ("SELECT to_char(occurred_at, 'Q') FROM events", &["to_char does not know", "YYYY"]),
    ])
    .await;
}
