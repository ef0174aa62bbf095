//! What the cache holds: reports and metrics as JSON, cut to what an item takes. Pure.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::report::{Metric, Report};

/// The key under which any client of the cache finds a report.
pub(crate) fn report_key(site: Option<&str>) -> String {
    match site {
        None => "dewpond:report".to_owned(),
        Some(site) => format!("dewpond:report:{site}"),
    }
}

/// The key of one metric of a report. A name's characters other than letters, digits, `_`, `-` and `.` are escaped as in an
/// address, because a key has no spaces and a colon parts site and metric.
pub(crate) fn metric_key(site: Option<&str>, metric: &str) -> String {
    let mut name = String::new();
    for byte in metric.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => name.push(byte.into()),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    match site {
        None => format!("dewpond:metric:{name}"),
        Some(site) => format!("dewpond:metric:{site}:{name}"),
    }
}

/// A report in the cache.
#[derive(Serialize)]
struct CachedReport<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// Whether a metric was cut.
    truncated: bool,
}

/// One metric of a report in the cache.
#[derive(Serialize)]
struct CachedMetric<'a> {
    generated_at: DateTime<Utc>,
    complete_until: DateTime<Utc>,
    lake_version: i64,
    site: Option<&'a str>,
    name: &'a str,
    #[serde(flatten)]
    metric: &'a Metric,
}

/// What tells whether a cached report can be served.
#[derive(Debug, Deserialize)]
pub(crate) struct Head {
    /// When its run began.
    pub(crate) generated_at: DateTime<Utc>,
    /// Whether a metric was cut: history has it whole.
    #[serde(default)]
    pub(crate) truncated: bool,
}

/// A whole report.
pub(crate) fn to_json(report: &Report) -> Vec<u8> {
    serde_json::to_vec(report).expect("a report is plain data")
}

/// The report in at most `bytes_max` bytes, so that every client of the cache can parse it. If needed, its largest metrics
/// keep only their first rows, and the number of all of them.
///
/// `None` if it does not fit without any rows.
pub(crate) fn report_to_json(report: &Report, bytes_max: usize) -> Option<Vec<u8>> {
    let whole = to_json(report);
    if whole.len() <= bytes_max {
        return Some(whole);
    }
    let mut report = report.clone();
    let row_bytes: Vec<usize> = report.metrics.values().map(rows_len).collect();
    // What a cut adds to each metric, and to the report.
    let marks_bytes = 64 * (row_bytes.len() + 1);
    let fixed_bytes = whole.len() - row_bytes.iter().sum::<usize>() + marks_bytes;
    let allowed_bytes = bytes_per_metric_max(&row_bytes, bytes_max.checked_sub(fixed_bytes)?);
    for metric in report.metrics.values_mut() {
        cut(metric, allowed_bytes);
    }
    let json = serde_json::to_vec(&CachedReport { report: &report, truncated: true }).expect("a report is plain data");
    (json.len() <= bytes_max).then_some(json)
}

/// One metric of a report, cut like those in [`report_to_json`].
pub(crate) fn metric_to_json(report: &Report, name: &str, metric: &Metric, bytes_max: usize) -> Option<Vec<u8>> {
    let to_json = |metric: &Metric| {
        let cached = CachedMetric {
            generated_at: report.generated_at,
            complete_until: report.complete_until,
            lake_version: report.lake_version,
            site: report.site.as_deref(),
            name,
            metric,
        };
        serde_json::to_vec(&cached).expect("a metric is plain data")
    };
    let whole = to_json(metric);
    if whole.len() <= bytes_max {
        return Some(whole);
    }
    let mut metric = metric.clone();
    let fixed_bytes = whole.len() - rows_len(&metric) + 64;
    cut(&mut metric, bytes_max.checked_sub(fixed_bytes)?);
    let json = to_json(&metric);
    (json.len() <= bytes_max).then_some(json)
}

/// The largest limit of a metric's size that keeps the sum of `sizes` within `budget`.
fn bytes_per_metric_max(sizes: &[usize], budget: usize) -> usize {
    let mut ascending = sizes.to_vec();
    ascending.sort_unstable();
    let mut left = budget;
    for (n, size) in ascending.iter().enumerate() {
        let share = left / (ascending.len() - n);
        if *size > share {
            return share;
        }
        left -= size;
    }
    usize::MAX
}

/// Keeps the first rows that take at most `bytes_max` bytes as JSON.
fn cut(metric: &mut Metric, bytes_max: usize) {
    let Some(rows) = &mut metric.rows else { return };
    let mut bytes = "[]".len();
    let kept = rows
        .iter()
        .take_while(|row| {
            bytes += json_len(row) + ",".len();
            bytes <= bytes_max
        })
        .count();
    if kept < rows.len() {
        metric.row_count = Some(rows.len() as u64);
        metric.truncated = true;
        rows.truncate(kept);
    }
}

fn rows_len(metric: &Metric) -> usize {
    metric.rows.as_ref().map_or(0, |rows| rows.iter().map(|row| json_len(row) + ",".len()).sum::<usize>() + "[]".len())
}

fn json_len(row: &[Json]) -> usize {
    serde_json::to_vec(row).expect("a row is plain data").len()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_report_that_fits_is_whole() {
        let report = report(&[("a", 3), ("b", 0)]);
        let json = report_to_json(&report, 1 << 20).unwrap();
        assert_eq!(serde_json::from_slice::<Report>(&json).unwrap(), report);
        assert!(!serde_json::from_slice::<Head>(&json).unwrap().truncated);
    }

    #[test]
    fn the_largest_metrics_keep_their_first_rows_and_the_number_of_all() {
        let whole = report(&[("small", 3), ("large", 5_000), ("huge", 90_000)]);
        let json = report_to_json(&whole, 100_000).unwrap();
        assert!(json.len() <= 100_000 && json.len() > 90_000, "{}", json.len());
        let head: Head = serde_json::from_slice(&json).unwrap();
        assert!(head.truncated);
        let cut: Report = serde_json::from_slice(&json).unwrap();
        assert_eq!(cut.metrics["small"], whole.metrics["small"]);
        for (name, rows) in [("large", 5_000), ("huge", 90_000)] {
            let (cut, whole) = (&cut.metrics[name], &whole.metrics[name]);
            let kept = cut.rows.as_ref().unwrap();
            assert!(!kept.is_empty() && kept.len() < rows);
            assert_eq!(kept[..], whole.rows.as_ref().unwrap()[..kept.len()]);
            assert_eq!((cut.truncated, cut.row_count), (true, Some(rows as u64)));
        }
    }

    #[test]
    fn a_metric_has_its_own_room() {
        let report = report(&[("a", 90_000)]);
        let json = metric_to_json(&report, "a", &report.metrics["a"], 50_000).unwrap();
        let cached: Json = serde_json::from_slice(&json).unwrap();
        assert!(json.len() <= 50_000);
        assert_eq!(
            (&cached["name"], &cached["row_count"], &cached["truncated"]),
            (&"a".into(), &90_000.into(), &true.into())
        );
        let json = metric_to_json(&report, "a", &report.metrics["a"], 50 << 20).unwrap();
        let cached: Json = serde_json::from_slice(&json).unwrap();
        assert_eq!((cached["rows"].as_array().unwrap().len(), cached.get("truncated")), (90_000, None));
    }

    #[test]
    fn a_report_that_does_not_fit_without_rows_is_none() {
        let names: Vec<String> = (0..100).map(|n| format!("metric_{n}")).collect();
        let metrics: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        assert_eq!(report_to_json(&report(&metrics), 5_000), None);
        assert_eq!(report_to_json(&report(&[("a", 9)]), 0), None);
    }

    proptest::proptest! {
        #[test]
        fn what_fits_is_never_larger_and_always_a_report(
            rows in proptest::collection::vec(0..200_usize, 0..6),
            bytes_max in 0..20_000_usize,
        ) {
            let names: Vec<String> = (0..rows.len()).map(|n| format!("m{n}")).collect();
            let metrics: Vec<(&str, usize)> = names.iter().map(String::as_str).zip(rows).collect();
            let report = report(&metrics);
            if let Some(json) = report_to_json(&report, bytes_max) {
                proptest::prop_assert!(json.len() <= bytes_max);
                serde_json::from_slice::<Report>(&json).unwrap();
            }
        }
    }

    #[test]
    fn a_key_has_no_spaces_and_tells_site_and_metric_apart() {
        assert_eq!(metric_key(None, "top_pages"), "dewpond:metric:top_pages");
        assert_eq!(metric_key(Some("shop"), "top pages"), "dewpond:metric:shop:top%20pages");
        assert_eq!(metric_key(None, "shop:é"), "dewpond:metric:shop%3A%C3%A9");
        assert_eq!(report_key(Some("shop")), "dewpond:report:shop");
    }

    fn report(metrics: &[(&str, usize)]) -> Report {
        let at = "2026-03-01T12:00:00Z".parse().unwrap();
        let metrics: BTreeMap<String, Metric> = metrics
            .iter()
            .map(|(name, rows)| {
                let rows = (0..*rows).map(|n| vec![Json::from(format!("/page/{n}")), Json::from(n)]).collect();
                let columns = vec!["path".to_owned(), "views".to_owned()];
                ((*name).to_owned(), Metric::answered(Some("Pages".to_owned()), columns, rows, 1))
            })
            .collect();
        Report { generated_at: at, complete_until: at, lake_version: 7, site: None, metrics }
    }
}
