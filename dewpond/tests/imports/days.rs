//! Numbers of days: Plausible's zip and GoatCounter's export in JSON, whole; twice; overlapping; damaged; and that no event is
//! made of them.

use std::fs;

use crate::harness::World;
use crate::packed::zip;

/// What Plausible's own export of two days has, a table a file, with the columns that it writes.
const PLAUSIBLE: [(&str, &str); 10] = [
    (
        "imported_visitors_20250101_20250102.csv",
        "\"date\",\"visitors\",\"pageviews\",\"bounces\",\"visits\",\"visit_duration\"\n\
         \"2025-01-01\",5,9,2,6,340\n\"2025-01-02\",3,3,3,3,0\n",
    ),
    (
        "imported_sources_20250101_20250102.csv",
        "\"date\",\"source\",\"referrer\",\"utm_source\",\"utm_medium\",\"utm_campaign\",\"utm_content\",\"utm_term\",\"pageviews\",\"visitors\",\"visits\",\"visit_duration\",\"bounces\"\n\
         \"2025-01-01\",\"Google\",\"google.com\",\"\",\"\",\"\",\"\",\"\",9,5,6,340,2\n",
    ),
    (
        "imported_pages_20250101_20250102.csv",
        "\"date\",\"hostname\",\"page\",\"visits\",\"visitors\",\"pageviews\",\"total_scroll_depth\",\"total_scroll_depth_visits\",\"total_time_on_page\",\"total_time_on_page_visits\"\n\
         \"2025-01-01\",\"shop.example\",\"/\",4,4,6,120,3,90,3\n\"2025-01-01\",\"shop.example\",\"/hats\",2,2,3,50,1,10,1\n\"2025-01-02\",\"shop.example\",\"/\",3,3,3,0,0,0,0\n",
    ),
    (
        "imported_entry_pages_20250101_20250102.csv",
        "\"date\",\"entry_page\",\"visitors\",\"entrances\",\"visit_duration\",\"bounces\",\"pageviews\"\n\"2025-01-01\",\"/\",4,5,300,2,8\n",
    ),
    (
        "imported_exit_pages_20250101_20250102.csv",
        "\"date\",\"exit_page\",\"visitors\",\"visit_duration\",\"exits\",\"bounces\",\"pageviews\"\n\"2025-01-01\",\"/hats\",2,200,2,0,5\n",
    ),
    (
        "imported_custom_events_20250101_20250102.csv",
        "\"date\",\"name\",\"link_url\",\"path\",\"visitors\",\"events\"\n\"2025-01-01\",\"Signup\",\"\",\"\",2,3\n",
    ),
    (
        "imported_locations_20250101_20250102.csv",
        "\"date\",\"country\",\"region\",\"city\",\"visitors\",\"visits\",\"visit_duration\",\"bounces\",\"pageviews\"\n\"2025-01-01\",\"DE\",\"DE-BW\",2825297,5,6,340,2,9\n",
    ),
    (
        "imported_devices_20250101_20250102.csv",
        "\"date\",\"device\",\"visitors\",\"visits\",\"visit_duration\",\"bounces\",\"pageviews\"\n\"2025-01-01\",\"Mobile\",5,6,340,2,9\n",
    ),
    (
        "imported_browsers_20250101_20250102.csv",
        "\"date\",\"browser\",\"browser_version\",\"visitors\",\"visits\",\"visit_duration\",\"bounces\",\"pageviews\"\n\"2025-01-01\",\"Microsoft Edge\",\"131.0\",5,6,340,2,9\n",
    ),
    (
        "imported_operating_systems_20250101_20250102.csv",
        "\"date\",\"operating_system\",\"operating_system_version\",\"visitors\",\"visits\",\"visit_duration\",\"bounces\",\"pageviews\"\n\"2025-01-01\",\"Mac\",\"15.1\",5,6,340,2,9\n",
    ),
];

#[test]
fn plausibles_zip_becomes_rows_of_days_and_no_event() {
    let world = World::new();
    let file = pack(&world, "shop_example.zip", &PLAUSIBLE);
    let said = world.import(&["--format", "plausible", &file]);
    assert!(said.contains("imported 13 numbers of days by plausible"), "{said}");
    assert!(said.contains("from 2025-01-01 to 2025-01-02") && said.contains("3  pages"), "{said}");
    let kinds = "SELECT kind, count(*) AS rows, sum(visits) AS visits FROM imported_days GROUP BY kind ORDER BY kind";
    let expected = "kind,rows,visits\nbrowsers,1,6\ndays,2,9\ndevices,1,6\nentry_pages,1,5\nevents,1,\nexit_pages,1,2\n\
                    pages,3,9\nplaces,1,6\nsources,1,6\nsystems,1,6\n";
    assert_eq!(world.ask(kinds), expected);
    let pages = "SELECT site_id, source, day, hostname, path, visitors, page_views, time_on_page_s, scroll_depth, date \
                 FROM imported_days WHERE kind = 'pages' ORDER BY day, path";
    assert_eq!(
        world.ask(pages),
        "site_id,source,day,hostname,path,visitors,page_views,time_on_page_s,scroll_depth,date\n\
         shop,plausible,2025-01-01,shop.example,/,4,6,90,120,2025-01-01\n\
         shop,plausible,2025-01-01,shop.example,/hats,2,3,10,50,2025-01-01\n\
         shop,plausible,2025-01-02,shop.example,/,3,3,0,0,2025-01-01\n"
    );
    assert_eq!(world.count(), 0, "no event is invented");
    // Again, and as files beside one another whose format is found out.
    let all = world.ask("SELECT * FROM imported_days ORDER BY kind, day, path");
    world.import(&["--format", "auto", &file]);
    assert_eq!(world.ask("SELECT * FROM imported_days ORDER BY kind, day, path"), all, "twice");
    world.ask_to_be_sound();
}

#[test]
fn a_later_import_takes_the_place_of_the_days_that_it_has() {
    let world = World::new();
    world.import(&["--format", "plausible", &pack(&world, "a.zip", &PLAUSIBLE)]);
    let newer = [(
        "imported_pages_20250102_20250201.csv",
        "date,hostname,page,visitors,pageviews,exits,time_on_page\n2025-01-02,shop.example,/new,1,7,0,0\n2025-02-01,shop.example,/new,1,8,0,0\n",
    )];
    world.import(&["--format", "plausible", &pack(&world, "b.zip", &newer)]);
    let pages = "SELECT day, path, page_views FROM imported_days WHERE kind = 'pages' ORDER BY day, path";
    let expected = "day,path,page_views\n2025-01-01,/,6\n2025-01-01,/hats,3\n2025-01-02,/new,7\n2025-02-01,/new,8\n";
    assert_eq!(world.ask(pages), expected);
    assert_eq!(world.ask("SELECT count(*) AS days FROM imported_days WHERE kind = 'days'"), "days\n2\n");
    let said = world.import(&["--forget-days", "plausible"]);
    assert!(said.contains("removed 14 numbers of days by plausible from site shop"), "{said}");
    assert_eq!(world.ask("SELECT count(*) AS rows FROM imported_days"), "rows\n0\n");
}

#[test]
fn a_dry_run_shows_rows_and_writes_none_and_what_is_wrong_is_said() {
    let world = World::new();
    let file = pack(&world, "a.zip", &PLAUSIBLE);
    let said = world.import(&["--format", "auto", "--dry-run", &file]);
    assert!(said.contains("2025-01-01 browsers browser=Edge browser_version=131.0 visitors=5"), "{said}");
    assert!(said.contains("would import 13 numbers of days") && said.contains("Nothing was written."), "{said}");
    let error = world.refuse(&[&file]);
    assert!(
        error.contains("looks like Plausible's export of daily numbers: import it with --format plausible"),
        "{error}"
    );
    let other = [("a.csv", "date,visitors\n2025-01-01,5\n")];
    let error = world.refuse(&["--format", "plausible", &pack(&world, "b.zip", &other)]);
    assert!(error.contains("a.csv is not Plausible's export of daily numbers. Nothing was imported"), "{error}");
    let error = world.refuse(&["--forget-days", "matomo"]);
    assert!(error.contains("they come from plausible, goatcounter"), "{error}");
    let bad = [(
        "imported_visitors.csv",
        "date,visitors,pageviews,bounces,visits,visit_duration\n2025-01-01,5,9,2,6,340\nsoon,1,1,1,1,1\n",
    )];
    let said = world.import(&["--format", "plausible", &pack(&world, "c.zip", &bad)]);
    assert!(said.contains("imported 1 numbers of days") && said.contains("1 rejected"), "{said}");
}

#[test]
fn goatcounters_statistics_become_visits_of_days() {
    let world = World::new();
    let files = [
        (
            "info.json",
            "{\n  \"export_version\": \"1.0\",\n  \"goatcounter_version\": \"2.7\",\n  \"created_for\": \"stats.shop.example\"\n}\n",
        ),
        (
            "paths.jsonl",
            "{\"id\": 211, \"path\": \"/\", \"title\": \"Home\"}\n{\"id\": 9, \"event\": true, \"path\": \"buy\", \"title\": \"\"}\n",
        ),
        (
            "refs.jsonl",
            "{\"id\": 1, \"ref\": \"\", \"ref_scheme\": \"o\"}\n{\"id\": 2, \"ref\": \"example.com/page.html\", \"ref_scheme\": \"h\"}\n",
        ),
        ("browsers.jsonl", "{\"id\": 37, \"name\": \"Firefox\", \"version\": \"83\"}\n"),
        ("systems.jsonl", "{\"id\": 3, \"name\": \"Linux\", \"version\": \"Ubuntu\"}\n"),
        ("languages.jsonl", "{\"iso_639_3\": \"eng\", \"name\": \"English\"}\n"),
        (
            "locations.jsonl",
            "{\"country\": \"DE\", \"region\": \"BW\", \"country_name\": \"Germany\", \"region_name\": \"\"}\n",
        ),
        (
            "hit_stats.jsonl",
            "{\"hour\": \"2026-03-05T19:00:00Z\", \"path_id\": 211, \"ref_id\": 1, \"count\": 4}\n\
             {\"hour\": \"2026-03-05T23:00:00Z\", \"path_id\": 211, \"ref_id\": 2, \"count\": 1}\n\
             {\"hour\": \"2026-03-05T23:00:00Z\", \"path_id\": 9, \"ref_id\": 1, \"count\": 2}\n",
        ),
        ("browser_stats.jsonl", "{\"day\": \"2026-03-05\", \"path_id\": 211, \"browser_id\": 37, \"count\": 5}\n"),
        ("system_stats.jsonl", "{\"day\": \"2026-03-05\", \"path_id\": 211, \"system_id\": 3, \"count\": 5}\n"),
        (
            "location_stats.jsonl",
            "{\"day\": \"2026-03-05\", \"path_id\": 211, \"location\": \"DE-BW\", \"count\": 5}\n",
        ),
        ("language_stats.jsonl", "{\"day\": \"2026-03-05\", \"path_id\": 211, \"language\": \"eng\", \"count\": 5}\n"),
        ("size_stats.jsonl", ""),
    ];
    let file = pack(&world, "goatcounter-export.zip", &files);
    for format in ["goatcounter", "auto"] {
        let said = world.import(&["--format", format, "--zone", "Europe/Berlin", &file]);
        assert!(said.contains("by goatcounter"), "{said}");
    }
    let rows = "SELECT day, kind, coalesce(path, name, referrer_host, browser, os, region, language) AS what, visits \
                FROM imported_days ORDER BY kind, day, visits";
    let expected = "day,kind,what,visits\n2026-03-05,browsers,Firefox,5\n2026-03-06,events,buy,2\n\
                    2026-03-05,languages,eng,5\n2026-03-05,pages,/,4\n2026-03-06,pages,/,1\n2026-03-05,places,BW,5\n\
                    2026-03-05,sources,,4\n2026-03-06,sources,example.com,1\n2026-03-05,systems,Linux,5\n";
    assert_eq!(world.ask(rows), expected);
    assert_eq!(world.count(), 0);
}

fn pack(world: &World, name: &str, files: &[(&str, &str)]) -> String {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    let path = world.dir.path().join(name);
    fs::write(&path, zip(&files)).unwrap();
    path.to_str().unwrap().to_owned()
}
