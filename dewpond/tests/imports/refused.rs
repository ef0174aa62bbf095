//! What is refused, in which words, and that nothing was imported then.

use std::fs;

use crate::harness::{World, export};

#[test]
fn the_wrong_format_is_named_and_nothing_is_imported() {
    let world = World::new();
    for (format, file, expected) in [
        (
            "posthog",
            "ga4.ndjson",
            "is not PostHog's batch export: it looks like Google Analytics 4's export to BigQuery, so try --format ga4",
        ),
        (
            "snowplow",
            "umami.website_event.csv",
            "is not Snowplow's enriched events: it looks like Umami's website_event, so try --format umami",
        ),
        ("combined", "caddy.json", "it looks like Caddy's access log, so try --format caddy"),
        ("ga4", "common.log", "it looks like access logs in the common format, so try --format common"),
        ("matomo", "ga4.ndjson", "there is no format \"matomo\"; the formats are: auto, ga4, snowplow"),
    ] {
        let error = world.refuse(&["--format", format, &export(file)]);
        assert!(error.contains(expected), "{format} {file}: {error}");
    }
    // Without a format, too.
    let error = world.refuse(&[&export("posthog.jsonl")]);
    assert!(error.contains("looks like PostHog's batch export: import it with --format posthog"), "{error}");
    let error = world.refuse(&[&export("combined.log")]);
    assert!(error.contains("must end in .ndjson, .csv or .parquet") && error.contains("--format combined"), "{error}");
    assert!(!world.dir.path().join("lake").exists(), "nothing was written");
}

#[test]
fn a_good_file_beside_a_wrong_one_is_not_begun() {
    let world = World::new();
    world.refuse(&["--format", "ga4", &export("ga4.ndjson"), &export("posthog.jsonl")]);
    let intraday = world.dir.path().join("events_intraday_20260301.json");
    let day = world.dir.path().join("events_20260301.json");
    for file in [&intraday, &day] {
        fs::copy(export("ga4.ndjson"), file).unwrap();
    }
    let error = world.refuse(&["--format", "ga4", day.to_str().unwrap(), intraday.to_str().unwrap()]);
    assert!(error.contains("Import one of them"), "{error}");
    world.import(&["--format", "ga4", day.to_str().unwrap()]);
    assert_eq!(world.count(), 4);
}

#[test]
fn a_dry_run_counts_and_shows_and_writes_nothing() {
    let world = World::new();
    let said = world.import(&["--format", "auto", "--dry-run", &export("segment.ndjson")]);
    for part in
        ["would import 4 events", "1 rejected", "2  Order Completed", "\"name\":\"identify\"", "Nothing was written."]
    {
        assert!(said.contains(part), "{said}");
    }
    assert!(!world.dir.path().join("lake").exists());
}

#[test]
fn refused_rows_are_in_quarantine_with_their_place_and_without_addresses() {
    let world = World::new();
    world.import(&["--format", "segment", &export("segment.ndjson")]);
    world.import(&["--format", "combined", &export("combined.log")]);
    let kept = world.ask("SELECT reason, event FROM quarantine ORDER BY reason");
    assert!(kept.contains("segment.ndjson:5: `event` is missing"), "{kept}");
    assert!(kept.contains("combined.log:8: it is no line of access logs"), "{kept}");
    assert!(kept.contains("ajs-4"), "what it was can be seen: {kept}");
    assert!(!kept.contains("192.0.2") && !kept.contains("Mozilla"), "{kept}");
}
