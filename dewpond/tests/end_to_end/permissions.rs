//! The policies of `deploy/aws/` are enough for what they are for, and for nothing else.

use std::path::Path;

use reqwest::StatusCode;
use serde_json::{Value as Json, json};

use crate::bucket_policy::Policies;
use crate::clients::{client, events, post, post_accepted};
use crate::role::{Role, queries_dir, run, run_well};
use crate::s3_server;

const USERS: [&str; 5] = ["collector", "compactor", "analytics", "reader", "operator"];

const LAKE: &str = "s3://bucket/lake";

/// A policy as it is delivered, for the bucket of the tests.
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

    // The collector: good events, refused ones, and visitors who are known by the day's salt alone.
    let collector = of_lake(&["collector", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let collector = Role::start(&collector, &env("collector"), "collector").await;
    let (url, client) = (collector.url("collector"), client());
    post_accepted(&client, &url, &key, &Json::Array(events((0..50).map(|n| format!("e{n}"))))).await;
    let refused = post(&client, &url, &key, &json!([{"event_id": "bad"}])).await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(collector.stop().await.success());
    for kept in ["quarantine", "registry/salts"] {
        assert!(dir.path().join("bucket/lake").join(kept).is_dir(), "{kept}");
    }

    // Twice, so that there is something to consume, to merge into and to delete; reports of what is published and pending.
    let once = of_lake(&["compactor", "--once", "--raw-grace", "0s", "--replaced-grace", "0s"]);
    let queries = queries_dir();
    let report = of_lake(&["analytics", "--once", "--queries", queries.to_str().unwrap()]);
    for _ in 0..2 {
        run_well(&report, &env("analytics")).await;
        run_well(&once, &env("compactor")).await;
    }
    let count = of_lake(&["query", "--format", "csv", "-e", "SELECT count(*) AS n FROM events"]);
    assert_eq!(run_well(&count, &env("reader")).await.trim(), "n\n51");
    for args in [&["report"][..], &["site", "list"], &["lake", "stats"], &["lake", "history"], &["lake", "check"]] {
        run_well(&of_lake(args), &env("reader")).await;
    }
    run_well(&of_lake(&["lake", "erase", "--site", "shop", "--user", "ada", "--purge"]), &env("operator")).await;
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
