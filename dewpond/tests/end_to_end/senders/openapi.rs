//! The OpenAPI document says what the collector does: Schemathesis makes requests of it, good and bad.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::harness::role::{Role, add_site};

/// Requests for each operation and phase.
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
        // Bodies are read mildly: unknown fields are kept, and numbers may be written as texts. And a key may be sent
        // in three ways, of which one that is good is enough, where `ignored_auth` wants all of them to be.
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
