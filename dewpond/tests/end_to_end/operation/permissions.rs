//! Each policy in `deploy/aws/` allows its role's work and nothing else.

use std::path::Path;

use chrono::Utc;
use lake::{Lake, Lane, LaneSettings};
use reqwest::StatusCode;
use serde_json::{Value as Json, json};

use crate::harness::bucket_policy::Policies;
use crate::harness::clients::{client, events, post, post_accepted};
use crate::harness::role::{Role, queries_dir, run, run_well};
use crate::harness::s3_server;

const USERS: [&str; 5] = ["collector", "compactor", "analytics", "reader", "operator"];

const LAKE: &str = "s3://bucket/lake";

/// A policy as shipped, for the bucket of the tests.
fn policy(user: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../deploy/aws/{user}.json"));
    std::fs::read_to_string(path).unwrap().replace("arn:aws:s3:::my-bucket", "arn:aws:s3:::bucket")
}

fn of_lake<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &["--lake", LAKE]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_its_work_with_its_policy_and_no_other_work() {
    let dir = tempfile::tempdir().unwrap();
    let policies = Policies::of(dir.path(), &USERS.map(|user| (user, policy(user))));
    let env = s3_server::start_with_policies(dir.path(), policies).await;

    let added = run_well(&of_lake(&["site", "add", "shop", "--json"]), &env("operator")).await;
    let key = serde_json::from_str::<Json>(&added).unwrap()["write_key"].as_str().unwrap().to_owned();
    let file = dir.path().join("events.ndjson");
    std::fs::write(
        &file,
        r#"{"event_id": "i1", "name": "page_view", "user_id": "ada", "timestamp": "2026-01-01T00:00:00Z"}"#,
    )
    .unwrap();
    run_well(&of_lake(&["import", "--site", "shop", file.to_str().unwrap()]), &env("operator")).await;

    // The collector: accepted events, refused events, and visitors identified only by the day's salt.
    let collector = of_lake(&["collector", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let collector = Role::start(&collector, &env("collector"), "collector").await;
    let (url, client) = (collector.url("collector"), client());
    post_accepted(&client, &url, &key, &Json::Array(events((0..50).map(|n| format!("e{n}"))))).await;
    let refused = post(&client, &url, &key, &json!([{"event_id": "bad"}])).await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(collector.stop().await.success());
    let on_disk = |path: &str| dir.path().join("bucket/lake").join(path);
    for kept in ["quarantine", "registry/salts"] {
        assert!(on_disk(kept).is_dir(), "{kept}");
    }

    // Twice, so that there is something to consume, merge and delete, and reports of published and pending events.
    let once = of_lake(&["compactor", "--once", "--raw-grace", "0s", "--replaced-grace", "0s"]);
    let queries = queries_dir();
    let report = of_lake(&["analytics", "--once", "--queries", queries.to_str().unwrap()]);
    for _ in 0..2 {
        run_well(&report, &env("analytics")).await;
        run_well(&once, &env("compactor")).await;
    }
    // What a compactor meets now and then: a truncated raw file, an erased person's event, and expired events.
    let theirs = ["lake", "erase", "--site", "shop", "--user", "ada"];
    run_well(&of_lake(&theirs), &env("operator")).await;
    let more = r#"{"event_id": "i2", "name": "page_view", "user_id": "ada", "timestamp": "2026-01-02T00:00:00Z"}"#;
    std::fs::write(&file, more).unwrap();
    run_well(&of_lake(&["import", "--site", "shop", file.to_str().unwrap()]), &env("operator")).await;
    let lake = Lake::open(LAKE, env("operator")).unwrap();
    let lane = Lane::start(lake.clone(), lake.new_lane_id(Utc::now()), LaneSettings::default());
    lane.append("torn".into(), Utc::now()).await.unwrap();
    std::fs::write(on_disk("registry/salts/2020-01-01"), [7; 32]).unwrap();
    run_well(&once, &env("compactor")).await;
    // As an operator does once the file is restored. Until then a check reports what is missing.
    std::fs::remove_dir_all(on_disk("damaged")).unwrap();
    assert!(!on_disk("registry/salts/2020-01-01").exists());
    assert!(std::fs::read_dir(on_disk("registry/erasures")).unwrap().count() > 2, "the compactor has listed an event");

    let count = of_lake(&["query", "--format", "csv", "-e", "SELECT count(*) AS n FROM events"]);
    assert_eq!(run_well(&count, &env("reader")).await.trim(), "n\n50");
    for args in [&["report"][..], &["site", "list"], &["lake", "stats"], &["lake", "history"], &["lake", "check"]] {
        run_well(&of_lake(args), &env("reader")).await;
    }
    run_well(&of_lake(&[&theirs[..], &["--purge"]].concat()), &env("operator")).await;
    run_well(&of_lake(&["lake", "check", "--repair"]), &env("operator")).await;
    run_well(&once, &env("compactor")).await;
    assert_eq!(run_well(&count, &env("reader")).await.trim(), "n\n50");

    let site = of_lake(&["site", "add", "blog"]);
    for (user, args) in [
        ("collector", &count),
        ("collector", &once),
        ("collector", &site),
        ("analytics", &once),
        ("analytics", &site),
        ("reader", &once),
        ("reader", &report),
        ("reader", &site),
        ("compactor", &site),
    ] {
        let (succeeded, _, told) = run(args, &env(user)).await;
        assert!(!succeeded, "{user} may {args:?}");
        assert!(told.contains("403 Forbidden") || told.contains("AccessDenied"), "{user}, {args:?}: {told}");
    }
    assert_eq!(run_well(&count, &env("reader")).await.trim(), "n\n50");
}

/// What each user may do with objects of the lake: the first letters of get, put and delete.
const OBJECTS: [(&str, [&str; 5]); 17] = [
    // collector, compactor, analytics, reader, operator
    ("raw/date=2026-01-01/hour=00/lane-000000000001.parquet", ["p", "gd", "g", "g", "gpd"]),
    ("raw/probe-1", ["p", "gpd", "gp", "g", "gpd"]),
    ("damaged/date=2026-01-01/hour=00/lane-000000000001.parquet", ["", "gp", "", "g", "gpd"]),
    ("events/_delta_log/00000000000000000000.json", ["", "gpd", "g", "g", "gpd"]),
    ("events/date=2026-01-01/a.parquet", ["", "gpd", "g", "g", "gpd"]),
    ("reports/date=2026-01-01/a.parquet", ["", "gpd", "gp", "g", "gpd"]),
    ("quarantine/date=2026-01-01/hour=00/a.parquet", ["p", "gd", "g", "g", "gpd"]),
    ("registry/sites/000000000001.json", ["g", "g", "g", "g", "gpd"]),
    ("registry/erasures/000000000001.json", ["", "gp", "g", "g", "gpd"]),
    ("registry/accounts/000000000001.json", ["", "g", "g", "g", "gpd"]),
    ("registry/saved/site=shop/goals/000000000001.json", ["", "g", "g", "g", "gpd"]),
    ("registry/mails/a/2026-W10/001-taken", ["", "gd", "g", "g", "gpd"]),
    ("sign_ins/a/b/000000001.json", ["", "gd", "", "g", "gpd"]),
    ("audit/date=2026-01-01/a.json", ["", "gpd", "", "g", "gpd"]),
    ("registry/salts/2026-01-01", ["gp", "gd", "g", "g", "gpd"]),
    ("elsewhere", ["", "g", "", "g", "gpd"]),
    ("../elsewhere/x", ["", "", "", "", ""]),
];

#[test]
fn a_policy_allows_what_its_user_does_and_nothing_beside_it() {
    let policies = Policies::of(Path::new("/"), &USERS.map(|user| (user, policy(user))));
    for (object, expected) in OBJECTS {
        let key = match object.strip_prefix("../") {
            Some(beside) => beside.to_owned(),
            None => format!("lake/{object}"),
        };
        for (user, expected) in USERS.into_iter().zip(expected) {
            let allowed = [("g", "s3:GetObject"), ("p", "s3:PutObject"), ("d", "s3:DeleteObject")]
                .into_iter()
                .filter(|(_, action)| policies.allow(user, action, &format!("bucket/{key}"), None));
            assert_eq!(allowed.map(|(letter, _)| letter).collect::<String>(), expected, "{user}, {object}");
        }
    }
    // An analytics server on which people sign in may do what one may without, and this.
    let signing_in = Policies::of(Path::new("/"), &["analytics", "accounts"].map(|user| (user, policy(user))));
    for (object, _) in OBJECTS {
        let is_of_people =
            ["registry/accounts", "registry/saved", "registry/mails", "registry/sites", "sign_ins", "audit"]
                .iter()
                .any(|dir| object.starts_with(dir));
        for action in ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"] {
            let may = |user| signing_in.allow(user, action, &format!("bucket/lake/{object}"), None);
            let expected = may("analytics") || (is_of_people && action != "s3:DeleteObject");
            assert_eq!(may("accounts"), expected, "{action}, {object}");
        }
    }
    let lists = |user: &str, prefix: &str| policies.allow(user, "s3:ListBucket", "bucket", Some(prefix));
    assert!(lists("collector", "lake/raw/") && lists("collector", "lake/registry/sites/"));
    assert!(!lists("collector", "lake/") && !lists("collector", "lake/events/"));
    assert!(USERS[1..].iter().all(|user| lists(user, "lake/")));
}
