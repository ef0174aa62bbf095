//! The official client of the Model Context Protocol, unmodified, reads metrics and asks SQL.

use serde_json::Value as Json;
use tokio::process::Command;

use crate::harness::clients::{client, post_accepted};
use crate::harness::role::{DEWPOND, Role, add_site, queries_dir, run_well};

const EVENTS_OF_SHOP: usize = 20;
const EVENTS_OF_BLOG: usize = 7;

#[tokio::test]
async fn models_read_the_numbers_that_everybody_reads_and_nothing_that_their_key_does_not_open() {
    let Ok(python) = std::env::var("DEWPOND_TEST_PYTHON") else {
        assert!(std::env::var("CI").is_err(), "CI runs this through `make test`, which sets DEWPOND_TEST_PYTHON");
        println!("skipped: run it through `make test`, which installs the client");
        return;
    };
    let installed = Command::new(&python).args(["-c", "import mcp"]).output().await.unwrap();
    if !installed.status.success() {
        println!("skipped: the package mcp could not be installed by `make tools`");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (lake, queries) = (dir.path().to_str().unwrap(), queries_dir());
    let queries = queries.to_str().unwrap();
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--lake", lake];
    let (shop, blog) = (add_site(lake, "shop").await, add_site(lake, "blog").await);
    let collector = Role::start(&[&["collector"][..], &listen].concat(), &[], "collector").await;
    for (key, site, count) in [(shop, "shop", EVENTS_OF_SHOP), (blog, "blog", EVENTS_OF_BLOG)] {
        let event = |n| {
            let url = format!("https://{site}.example/{n}");
            serde_json::json!({"event_id": format!("{n}-of-{site}"), "name": "page_view", "anonymous_id": "a", "url": url})
        };
        let body = Json::from((0..count).map(event).collect::<Vec<_>>());
        post_accepted(&client(), &collector.url("collector"), &key, &body).await;
    }
    let metrics = ["--queries", queries];
    run_well(&[&["analytics", "--once", "--lake", lake][..], &metrics].concat(), &[]).await;
    // No run comes between a number and the same number elsewhere.
    let never = ["analytics", "--cron", "0 0 0 29 2 *", "--query-timeout", "10s"];
    let analytics = Role::start(&[&never[..], &listen, &metrics].concat(), &[], "analytics").await;
    let (of_shop, of_blog) = (key_of(lake, "shop").await, key_of(lake, "blog").await);

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp_clients/client.py");
    let (of_shop_count, of_blog_count) = (EVENTS_OF_SHOP.to_string(), EVENTS_OF_BLOG.to_string());
    let reading = Command::new(python)
        .args([script, DEWPOND, lake, queries, &analytics.url("analytics"), &of_shop, &of_blog])
        .args([of_shop_count, of_blog_count])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&reading.stderr);
    assert!(reading.status.success(), "{said}");
}

/// A key that reads a site.
async fn key_of(lake: &str, site: &str) -> String {
    let added = run_well(&["key", "add", "--site", site, "--lake", lake, "--json"], &[]).await;
    let added: Json = serde_json::from_str(&added).unwrap();
    added["read_key"].as_str().unwrap().to_owned()
}
