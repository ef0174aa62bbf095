//! The registry document with the hashes of erased persons and events.

use chrono::DateTime;
use lake::{EVENTS, Lake, LakeError, Person, PersonId};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::block_on;

fn document(version: u64) -> Path {
    Path::from(format!("registry/erasures/{version:012}.json"))
}

pub(crate) fn read(input: &[u8]) {
    block_on(async {
        let lake = Lake::open("memory:///", []).unwrap();
        lake.store().put(&document(7), input.to_vec().into()).await.unwrap();
        match lake.record_erasure(&person("eve"), [], DateTime::UNIX_EPOCH).await {
            Ok(()) => {}
            Err(LakeError::Corrupt { .. }) => return,
            Err(other) => panic!("{other:?}"),
        }
        // The next version is good and must be read.
        let table = lake.table(&EVENTS).load().await.unwrap();
        let erasures = lake.erasures_of(&table).await.unwrap();
        assert!(erasures.are_unfinished());
        lake.finish_erasures(&erasures, DateTime::UNIX_EPOCH).await.unwrap();
        let table = lake.table(&EVENTS).load().await.unwrap();
        assert!(!lake.erasures_of(&table).await.unwrap().are_unfinished());
    });
}

fn person(id: &str) -> Person {
    Person { site_id: "shop".into(), id: PersonId::User(id.into()) }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    block_on(async {
        let lake = Lake::open("memory:///", []).unwrap();
        let mut seeds = vec![br#"{"salt":"","persons":[],"events":[]}"#.to_vec()];
        let keys =
            ["a", "b"].map(|id| lake::EventKey { site_id: "shop".into(), event_id: lake::EventId::from_client(id) });
        lake.record_erasure(&person("ada"), &keys, DateTime::UNIX_EPOCH).await.unwrap();
        let table = lake.table(&EVENTS).load().await.unwrap();
        let erasures = lake.erasures_of(&table).await.unwrap();
        lake.finish_erasures(&erasures, DateTime::UNIX_EPOCH).await.unwrap();
        for version in [1, 2] {
            seeds.push(lake.store().get(&document(version)).await.unwrap().bytes().await.unwrap().to_vec());
        }
        seeds
    })
}
