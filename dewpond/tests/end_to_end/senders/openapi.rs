//! OpenAPI documents describe what the collector and the stats API do: Schemathesis generates valid and invalid requests from
//! them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::harness::role::{Role, add_site, queries_dir, run_well};

/// How many requests each operation gets in each phase.
const EXAMPLES: &str = "100";

/// The same of the stats API, which has many operations, each a query.
const STATS_EXAMPLES: &str = "10";

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_one_that_the_openapi_document_names() {
    let Some(schemathesis) = schemathesis() else { return };
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let lake = lake.to_str().unwrap();
    let key = add_site(lake, "shop").await;
    let collector = Role::start(
        &["collector", "--lake", lake, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
        &[],
        "collector",
    )
    .await;
    let document = format!("{}/openapi.json", collector.url("collector"));
    // Bodies are read leniently: unknown fields are kept, and numbers may be strings. And a key may be sent in three
    // ways, of which one valid one is enough, while `ignored_auth` wants all of them to be valid.
    let excluded = "positive_data_acceptance,negative_data_rejection,unsupported_method,ignored_auth";
    check(&schemathesis, dir.path(), &document, &key, EXAMPLES, excluded).await;
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_the_stats_api_is_one_that_its_document_names() {
    let Some(schemathesis) = schemathesis() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (lake, queries, events) = (dir.path().join("lake"), queries_dir(), dir.path().join("events.ndjson"));
    let [lake, queries, events] = [&lake, &queries, &events].map(|path| path.to_str().unwrap());
    let now = chrono::Utc::now();
    let event = |minutes: i64| {
        let at = now - chrono::TimeDelta::minutes(minutes * minutes);
        let (name, who) = (["page_view", "signup", "order"][minutes as usize % 3], minutes % 5);
        let url = format!("https://shop.example/{}", minutes % 4);
        serde_json::json!({ "name": name, "timestamp": at, "user_id": who.to_string(), "url": url, "plan": "pro" })
            .to_string()
    };
    std::fs::write(events, (1..100).map(event).collect::<Vec<_>>().join("\n")).unwrap();
    run_well(&["import", "--lake", lake, "--site", "shop", events], &[]).await;
    let key = run_well(&["key", "add", "--site", "shop", "--lake", lake, "--json"], &[]).await;
    let key: serde_json::Value = serde_json::from_str(&key).unwrap();
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    // With a token, so that nobody is answered without a key.
    let of_lake = ["analytics", "--lake", lake, "--queries", queries, "--token", "a token"];
    let analytics = Role::start(&[&of_lake[..], &listen].concat(), &[], "analytics").await;
    let document = format!("{}/v1/stats/openapi.json", analytics.url("analytics"));
    // A text that the document allows need not be the name of a metric, and `"7"` is a number, too.
    let excluded = "positive_data_acceptance,negative_data_rejection";
    let key = key["read_key"].as_str().unwrap();
    check(&schemathesis, dir.path(), &document, key, STATS_EXAMPLES, excluded).await;
    analytics.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_about_accounts_is_one_that_their_document_names() {
    let Some(schemathesis) = schemathesis() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (lake, queries) = (dir.path().join("lake"), queries_dir());
    let [lake, queries] = [&lake, &queries].map(|path| path.to_str().unwrap());
    add_site(lake, "shop").await;
    run_well(&["user", "add", "ada@example.com", "--organisation", "Shop", "--lake", lake], &[]).await;
    run_well(&["site", "set", "shop", "--organisation", "Shop", "--lake", lake], &[]).await;
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    // The operator may do everything, and no request ends what shows that he is.
    let of_lake = ["analytics", "--lake", lake, "--queries", queries, "--token", "operator"];
    let analytics = Role::start(&[&of_lake[..], &listen].concat(), &[], "analytics").await;
    let document = format!("{}/v1/openapi.json", analytics.url("analytics"));
    // A text that the document allows need not be a role's, a site's or a filter's.
    let excluded = "positive_data_acceptance,negative_data_rejection";
    check(&schemathesis, dir.path(), &document, "operator", STATS_EXAMPLES, excluded).await;
    analytics.stop().await;
}

/// Schemathesis, where it is installed.
fn schemathesis() -> Option<PathBuf> {
    let Ok(python) = std::env::var("DEWPOND_TEST_PYTHON") else {
        assert!(std::env::var("CI").is_err(), "CI runs this through `make test`, which sets DEWPOND_TEST_PYTHON");
        println!("skipped: `make test` installs Schemathesis");
        return None;
    };
    Some(Path::new(&python).with_file_name("schemathesis"))
}

/// Fails if an answer is not what a document says.
///
/// - `examples`: how many requests each operation gets in each phase.
/// - `excluded`: checks that are none of this server.
async fn check(schemathesis: &Path, dir: &Path, document: &str, key: &str, examples: &str, excluded: &str) {
    let output = Command::new(schemathesis)
        .current_dir(dir)
        .args(["run", document, "--max-examples", examples, "--seed", "1", "--no-color"])
        .args(["--header", &format!("Authorization: Bearer {key}")])
        .args(["--phases", "examples,coverage,fuzzing", "--exclude-checks", excluded])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
}
