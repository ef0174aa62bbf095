//! Exports: files by site and date, one person's events, and going on after a break.

use std::fs;

use crate::harness::{World, export};

#[test]
fn what_is_exported_is_imported_as_it_was() {
    let world = World::new();
    world.import(&["--format", "segment", &export("segment.ndjson")]);
    world.import(&["--format", "mixpanel", &export("mixpanel.jsonl")]);
    for format in ["parquet", "ndjson", "csv"] {
        let out = world.dir.path().join(format);
        let said = world.export(&["--format", format, "--output", out.to_str().unwrap()]);
        assert!(said.contains("exported 5 events to 1 file(s)"), "{said}");
        assert!(out.join(format!("shop/date=2026-03-01.{format}")).is_file());
        let copy = World::new();
        copy.import(&[out.join("shop").to_str().unwrap()]);
        assert_eq!(copy.rows(), world.rows(), "{format}");
    }
}

#[test]
fn one_persons_events_are_exported_alone() {
    let world = World::new();
    world.import(&["--format", "segment", &export("segment.ndjson")]);
    let out = world.dir.path().join("out");
    let said = world.export(&["--user-id", "ada", "--format", "ndjson", "--output", out.to_str().unwrap()]);
    assert!(said.contains("exported 2 events"), "{said}");
    let lines = fs::read_to_string(out.join("shop/person.ndjson")).unwrap();
    let names: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["name"].to_string())
        .collect();
    assert_eq!(names, ["\"identify\"", "\"Order Completed\""]);
}

#[test]
fn an_export_that_was_broken_off_goes_on_and_never_overwrites_others() {
    let world = World::new();
    let file = world.dir.path().join("events.ndjson");
    let events = ["2026-03-01", "2026-03-02"].map(|date| format!("{{\"name\":\"a\",\"timestamp\":\"{date}\"}}\n"));
    fs::write(&file, events.concat()).unwrap();
    world.import(&[file.to_str().unwrap()]);
    let out = world.dir.path().join("out");
    fs::create_dir_all(out.join("shop")).unwrap();
    // The first date was written, and the second was being written.
    fs::write(out.join("shop/date=2026-03-01.csv"), "whole").unwrap();
    fs::write(out.join("shop/date=2026-03-02.csv.part"), "name\nhal").unwrap();
    let args = ["--format", "csv", "--output", out.to_str().unwrap()];
    let error = world.refuse_export(&args);
    assert!(error.contains("is not empty: name another directory, or go on with --resume"), "{error}");
    let said = world.export(&[&args[..], &["--resume"]].concat());
    assert!(said.contains("exported 1 events to 1 file(s)"), "{said}");
    assert_eq!(fs::read_to_string(out.join("shop/date=2026-03-01.csv")).unwrap(), "whole");
    assert_eq!(fs::read_to_string(out.join("shop/date=2026-03-02.csv")).unwrap().lines().count(), 2);
    assert!(!out.join("shop/date=2026-03-02.csv.part").exists());
}
