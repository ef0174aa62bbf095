//! The OpenAPI document describes what the collector does: Schemathesis generates valid and invalid requests from it.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::harness::role::{Role, add_site};

/// How many requests each operation gets in each phase.
const EXAMPLES: &str = "100";

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_one_that_the_openapi_document_names() {
    let Ok(python) = std::env::var("DEWPOND_TEST_PYTHON") else {
        assert!(std::env::var("CI").is_err(), "CI runs this through `make test`, which sets DEWPOND_TEST_PYTHON");
        println!("skipped: `make test` installs Schemathesis");
        return;
    };
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
    let schemathesis = Path::new(&python).with_file_name("schemathesis");
    let document = format!("{}/openapi.json", collector.url("collector"));
    let output = Command::new(schemathesis)
        .current_dir(dir.path())
        .args(["run", &document, "--max-examples", EXAMPLES, "--seed", "1", "--no-color"])
        .args(["--header", &format!("Authorization: Bearer {key}")])
        .args(["--phases", "examples,coverage,fuzzing"])
        // Bodies are read leniently: unknown fields are kept, and numbers may be strings. And a key may be sent in three
        // ways, of which one valid one is enough, while `ignored_auth` wants all of them to be valid.
        .args(["--exclude-checks", "positive_data_acceptance,negative_data_rejection,unsupported_method,ignored_auth"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    collector.stop().await;
}
