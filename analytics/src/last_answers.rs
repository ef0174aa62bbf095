//! Metrics with a schedule of their own: between its ticks, a report has the last answer. Pure.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::queries::QueryFile;
use crate::report::{Details, Metric, Report};

/// The last answer of a metric that has a schedule and is not due; `None` if it must run.
///
/// - `newest`: the newest run in history.
pub(crate) fn last_answer(
    query: &QueryFile,
    site: Option<&str>,
    newest: &[Report],
    now: DateTime<Utc>,
) -> Option<Metric> {
    query.header.schedule.as_ref()?;
    let report = newest.iter().find(|report| report.site.as_deref() == site)?;
    let metric = report.metrics.get(&query.name)?;
    let is_same_query = metric.details.query_hash.is_some() && metric.details.query_hash == hash_of(query);
    let as_of = metric.details.as_of.filter(|_| is_same_query)?;
    (!query.header.is_due(Some(as_of), now)).then(|| metric.clone())
}

/// What a metric that ran at `now` has besides its answer.
pub(crate) fn details_of(query: &QueryFile, now: DateTime<Utc>) -> Details {
    let has_schedule = query.header.schedule.is_some();
    Details {
        description: query.header.description.clone(),
        unit: query.header.unit.clone(),
        as_of: has_schedule.then_some(now),
        query_hash: hash_of(query).filter(|_| has_schedule),
        ..Details::default()
    }
}

fn hash_of(query: &QueryFile) -> Option<String> {
    let hash = Sha256::digest(query.sql.as_ref().ok()?.as_bytes());
    Some(hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::header::Header;

    const HOURLY: &str = "-- schedule: 0 0 * * * *\nSELECT 1";

    #[test]
    fn between_its_ticks_a_metric_has_its_last_answer() {
        check(HOURLY, "12:00:00.5", HOURLY, "12:59:59", true);
        check(HOURLY, "12:00:00.5", HOURLY, "13:00:00", false);
    }

    #[test]
    fn a_metric_without_a_schedule_always_runs() {
        check("SELECT 1", "12:00:00", "SELECT 1", "12:00:01", false);
    }

    #[test]
    fn another_query_is_not_answered_by_the_last() {
        check(HOURLY, "12:00:00", "-- schedule: 0 0 * * * *\nSELECT 2", "12:01:00", false);
        check("SELECT 1", "12:00:00", HOURLY, "12:01:00", false);
    }

    #[test]
    fn another_site_has_no_answer_yet() {
        let newest = run(&query(HOURLY), "12:00:00");
        assert_eq!(last_answer(&query(HOURLY), Some("shop"), &newest, at("12:01:00")), None);
    }

    /// Runs a query, and asks for its last answer when the file says `now_sql`.
    #[track_caller]
    fn check(sql: &str, ran_at: &str, now_sql: &str, now: &str, expected: bool) {
        let newest = run(&query(sql), ran_at);
        let found = last_answer(&query(now_sql), None, &newest, at(now));
        assert_eq!(found, expected.then(|| newest[0].metrics["m"].clone()));
    }

    fn query(sql: &str) -> QueryFile {
        QueryFile { name: "m".into(), header: Header::parse(sql).unwrap(), sql: Ok(sql.into()), path: "m.sql".into() }
    }

    fn run(query: &QueryFile, ran_at: &str) -> Vec<Report> {
        let mut metric = Metric::answered(None, vec!["n".into()], vec![vec![json!(1)]], 0);
        metric.details = details_of(query, at(ran_at));
        vec![Report { metrics: [("m".to_owned(), metric)].into(), ..Report::default() }]
    }

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-01T{text}Z").parse().unwrap()
    }
}
