//! A lake lives on stores that others wrote: SeaweedFS and Azurite.

use std::time::Duration;

use lake::Lake;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload};
use serde_json::Value as Json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::harness::clients::{client, events, post, post_accepted};
use crate::harness::real_stores::{self, Store};
use crate::harness::role::{Role, run, run_well};

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_lives_on_seaweedfs() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = real_stores::seaweedfs(dir.path()).await else { return };
    one_of_many_creates_wins(&store).await;
    events_live_on(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_lives_on_azurite() {
    let Some(store) = real_stores::azurite().await else { return };
    one_of_many_creates_wins(&store).await;
    events_live_on(&store).await;
}

/// Of writers that create one object at once, one succeeds, and the object has its bytes.
async fn one_of_many_creates_wins(store: &Store) {
    let lake = Lake::open(store.lake, store.env.iter().cloned()).unwrap();
    // SeaweedFS takes a second or two for those that lose.
    for round in 0..4 {
        let path = Path::from(format!("conformance/{round}"));
        let mut writers = JoinSet::new();
        for writer in 0..6_u8 {
            let (store, path) = (lake.store(), path.clone());
            writers.spawn(async move {
                let options = PutOptions::from(PutMode::Create);
                match store.put_opts(&path, PutPayload::from(vec![writer; 1_000]), options).await {
                    Ok(_) => Some(writer),
                    Err(object_store::Error::AlreadyExists { .. }) => None,
                    Err(error) => panic!("{error}"),
                }
            });
        }
        let winners: Vec<u8> = writers.join_all().await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "round {round}: {winners:?} believe to have created the object");
        let kept = lake.store().get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(kept, vec![winners[0]; 1_000], "round {round}");
        lake.store().delete(&path).await.unwrap();
    }
}

/// Events come in while a collector and compactors are killed, are published, merged, asked for and erased.
async fn events_live_on(store: &Store) {
    let of_lake = |args: &[&'static str]| -> Vec<&'static str> { [args, &["--lake", store.lake]].concat() };
    let well = async |args: &[&'static str]| run_well(&of_lake(args), &store.env).await;
    let added: Json = serde_json::from_str(&well(&["site", "add", "shop", "--json"]).await).unwrap();
    let key = added["write_key"].as_str().unwrap().to_owned();
    let client = client();
    let body = |from: u64| Json::Array(events((from..from + 50).map(|n| format!("e{n}"))));

    let collector = of_lake(&["collector", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let (killed, stays) = tokio::join!(
        Role::start(&collector, &store.env, "collector"),
        Role::start(&collector, &store.env, "collector"),
    );
    post_accepted(&client, &killed.url("collector"), &key, &body(0)).await;
    // Killed while it has events of which nobody knows whether they are in the lake: they are sent again.
    let url = killed.url("collector");
    let sent = tokio::spawn({
        let (client, key, body) = (client.clone(), key.clone(), body(50));
        async move { post(&client, &url, &key, &body).await.is_ok_and(|answer| answer.status().is_success()) }
    });
    sleep(Duration::from_millis(20)).await;
    killed.kill().await;
    sent.await.unwrap();
    post_accepted(&client, &stays.url("collector"), &key, &body(50)).await;

    // Two compactors at once, killed when they have begun.
    let busy = of_lake(&[
        "compactor",
        "--admin-listen",
        "127.0.0.1:0",
        "--publish-cron",
        "* * * * * *",
        "--merge-cron",
        "* * * * * *",
        "--raw-grace",
        "0s",
    ]);
    post_accepted(&client, &stays.url("collector"), &key, &body(100)).await;
    let (one, other) =
        tokio::join!(Role::start(&busy, &store.env, "compactor"), Role::start(&busy, &store.env, "compactor"));
    sleep(Duration::from_millis(1_500)).await;
    tokio::join!(one.kill(), other.kill());
    let once = ["compactor", "--once", "--raw-grace", "0s", "--replaced-grace", "0s"];
    well(&once).await;
    // Pending once more.
    post_accepted(&client, &stays.url("collector"), &key, &body(150)).await;

    let count = "SELECT count(*) AS n, count(DISTINCT event_id) AS ids FROM events";
    assert_eq!(well(&["query", "--format", "csv", "-e", count]).await.trim(), "n,ids\n200,200");
    let ada = r#"[{"event_id": "a1", "name": "signup", "user_id": "ada"}, {"event_id": "a2", "name": "signup"}]"#;
    post_accepted(&client, &stays.url("collector"), &key, &serde_json::from_str(ada).unwrap()).await;
    assert!(stays.stop().await.success());
    well(&once).await;
    well(&["lake", "erase", "--site", "shop", "--user", "ada", "--purge"]).await;
    well(&once).await;
    assert_eq!(well(&["query", "--format", "csv", "-e", count]).await.trim(), "n,ids\n201,201");

    let (is_sound, told, failed) = run(&of_lake(&["lake", "check"]), &store.env).await;
    assert!(is_sound, "{told}{failed}");
}
