//! Each format: a small file as its product writes it, and every column of what becomes of it, in the file of the same name
//! with `.expected`. To change one on purpose, run with `DEWPOND_WRITE_EXPECTED=1` and read the difference.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::json::ReaderBuilder;
use arrow::json::reader::infer_json_schema_from_seekable;
use parquet::arrow::ArrowWriter;

use crate::harness::{World, export};

#[test]
fn ga4s_export_to_bigquery() {
    check("ga4", &[], &["ga4.ndjson"]);
}

/// The same events in the nested columns of Parquet, and in Avro's records.
#[test]
fn ga4s_export_is_the_same_in_parquet_and_avro() {
    let lines = fs::read(export("ga4.ndjson")).unwrap();
    let (mut schema, _) = infer_json_schema_from_seekable(&mut std::io::Cursor::new(&lines), None).unwrap();
    // As BigQuery has it.
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "event_timestamp" => field.as_ref().clone().with_data_type(arrow::datatypes::DataType::Int64),
            _ => field.as_ref().clone(),
        })
        .collect();
    schema = arrow::datatypes::Schema::new(fields);
    let schema = Arc::new(schema);
    let batch = ReaderBuilder::new(schema.clone()).build(&lines[..]).unwrap().next().unwrap().unwrap();
    let world = World::new();
    let (parquet, avro) = (world.dir.path().join("a.parquet"), world.dir.path().join("a.avro"));
    let mut writer = ArrowWriter::try_new(fs::File::create(&parquet).unwrap(), schema.clone(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let mut writer =
        arrow_avro::writer::AvroWriter::new(fs::File::create(&avro).unwrap(), schema.as_ref().clone()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    for file in [&parquet, &avro] {
        let said = world.import(&["--format", "ga4", file.to_str().unwrap()]);
        assert!(said.contains("imported 4 events"), "{said}");
    }
    let names = "SELECT name, url, session_id, revenue, country, properties->>'engagement_time_msec' AS ms FROM events \
                 WHERE name <> 'scroll' ORDER BY occurred_at, session_id";
    let expected = "name,url,session_id,revenue,country,ms\n\
                    page_view,https://shop.example/hats?utm_source=news,1772366390,,DE,1250\n\
                    page_view,https://shop.example/hats?utm_source=news,,,,\n\
                    purchase,,,19.9000,,\n";
    assert_eq!(world.ask(names), expected, "each event once, whichever file it came from");
}

#[test]
fn snowplows_enriched_events() {
    check("snowplow", &["--only", "app_id=shop"], &["snowplow.tsv"]);
}

#[test]
fn segments_and_rudderstacks_storage_logs() {
    check("segment", &[], &["segment.ndjson"]);
    check("rudderstack", &[], &["rudderstack.ndjson"]);
}

#[test]
fn posthogs_batch_export() {
    check("posthog", &[], &["posthog.jsonl"]);
}

#[test]
fn umamis_events_with_their_data() {
    check("umami", &[], &["umami.website_event.csv", "umami.event_data.csv"]);
}

#[test]
fn goatcounters_csv() {
    check("goatcounter", &["--set", "host=shop.example"], &["goatcounter.csv"]);
}

#[test]
fn amplitudes_export() {
    check("amplitude", &[], &["amplitude.json"]);
}

#[test]
fn mixpanels_raw_export() {
    check("mixpanel", &[], &["mixpanel.jsonl"]);
}

#[test]
fn access_logs() {
    let host = ["--set", "host=shop.example"];
    check("combined", &host, &["combined.log"]);
    check("vhost", &[], &["vhost.log"]);
    check("common", &host, &["common.log"]);
    check("iis", &[], &["iis.log"]);
    check("cloudfront", &[], &["cloudfront.log"]);
    check("alb", &[], &["alb.log"]);
    check("s3", &[], &["s3.log"]);
    check("haproxy", &["--zone", "Europe/Berlin"], &["haproxy.log"]);
    check("caddy", &[], &["caddy.json"]);
    check("traefik", &[], &["traefik.json"]);
    check("nginx-json", &[], &["nginx.json"]);
}

#[test]
fn visitors_of_a_log_are_told_apart_for_a_day_and_their_addresses_are_not_kept() {
    let world = World::new();
    let line = |day: &str, address: &str, path: &str| {
        format!(
            "{address} - - [{day}/Mar/2026:12:00:00 +0000] \"GET /{path} HTTP/1.1\" 200 1 \"-\" \"Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0\"\n"
        )
    };
    let lines = [
        line("01", "192.0.2.1", "a"),
        line("01", "192.0.2.1", "b"),
        line("01", "192.0.2.2", "c"),
        line("02", "192.0.2.1", "d"),
    ];
    let file = world.dir.path().join("access.log");
    fs::write(&file, lines.concat()).unwrap();
    world.import(&["--format", "auto", file.to_str().unwrap()]);
    let answer = world.ask("SELECT count(DISTINCT visitor_id) AS visitors, count(*) AS events FROM events");
    assert_eq!(answer, "visitors,events\n3,4\n");
    let stored = world.rows();
    assert!(!stored.contains("192.0.2") && !stored.contains("Gecko"), "{stored}");
}

#[test]
fn a_mapping_of_ones_own_reads_what_no_format_does() {
    let world = World::new();
    let (map, file) = (world.dir.path().join("map.toml"), world.dir.path().join("visits.csv"));
    let mapping = r#"
        title = "visits"
        signs = ["when", "who"]
        empty = ["NULL"]
        [table]
        separator = ";"
        [[skip]]
        what = "tests"
        value = "who"
        matching = "^test"
        [item]
        name = { from = "what", called = { PV = "page_view" } }
        timestamp = { from = "when", as = "local-time" }
        user_id = "who"
        revenue = "paid"
        properties.plan = "plan"
    "#;
    fs::write(&map, mapping.replace("properties.plan", "\"properties.plan\"")).unwrap();
    let rows = "when;who;what;paid;plan\n2026-07-01 14:00:00;ada;PV;NULL;pro\n2026-01-01 14:00:00;ada;buy;9,99;NULL\n\
                2026-01-01 14:00:00;test1;buy;1;NULL\n";
    fs::write(&file, rows).unwrap();
    let said = world.import(&["--map", map.to_str().unwrap(), "--zone", "Europe/Berlin", file.to_str().unwrap()]);
    assert!(said.contains("1  tests"), "{said}");
    assert_eq!(
        world.ask("SELECT name, occurred_at, user_id, revenue, properties FROM events ORDER BY occurred_at"),
        "name,occurred_at,user_id,revenue,properties\n\
         buy,2026-01-01T13:00:00Z,ada,9.9900,\n\
         page_view,2026-07-01T12:00:00Z,ada,,\"{\"\"plan\"\":\"\"pro\"\"}\"\n"
    );
}

/// Imports files twice, and compares every column with what is expected.
#[track_caller]
fn check(format: &str, flags: &[&str], files: &[&str]) {
    let world = World::new();
    let paths: Vec<String> = files.iter().map(|name| export(name)).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let args = [&["--format", format], flags, &paths].concat();
    world.import(&args);
    let rows = world.rows();
    let expected = export(&format!("{}.expected", files[0]));
    if std::env::var_os("DEWPOND_WRITE_EXPECTED").is_some() {
        fs::write(&expected, &rows).unwrap();
    }
    let expected = fs::read_to_string(Path::new(&expected)).unwrap_or_default();
    assert_eq!(rows, expected, "{format}");
    // Again, and with the format found out from the file.
    world.import(&args);
    world.import(&[&["--format", "auto"], flags, &paths[..1]].concat());
    assert_eq!(world.count(), expected.lines().count(), "{format} twice");
}
