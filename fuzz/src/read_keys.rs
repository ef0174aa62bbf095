//! The registry document with the read keys.

use chrono::DateTime;
use lake::{Lake, LakeError};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::block_on;

pub(crate) fn read(input: &[u8]) {
    block_on(async {
        let lake = Lake::open("memory:///", []).unwrap();
        lake.add_site("shop", DateTime::UNIX_EPOCH).await.unwrap();
        lake.store().put(&Path::from("registry/read_keys/000000000007.json"), input.to_vec().into()).await.unwrap();
        let keys = match lake.read_keys().await {
            Ok(keys) => keys,
            Err(LakeError::Corrupt { .. }) => return,
            Err(other) => panic!("{other:?}"),
        };
        assert!(keys.sites_of("dpr_guess").is_none());
        let issued = lake.add_read_key(&["shop".into()], "", DateTime::UNIX_EPOCH).await.unwrap().read_key;
        let after = lake.read_keys().await.unwrap();
        assert_eq!(after.keys().len(), keys.keys().len() + 1);
        assert_eq!(after.sites_of(&issued).unwrap(), ["shop".into()]);
        lake.revoke_read_key(&issued, DateTime::UNIX_EPOCH).await.unwrap();
        assert!(lake.read_keys().await.unwrap().sites_of(&issued).is_none());
    });
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    block_on(async {
        let lake = Lake::open("memory:///", []).unwrap();
        let mut seeds = vec![br#"{"keys":[]}"#.to_vec()];
        for (site, name) in [("shop", "grafana"), ("blog", "")] {
            lake.add_site(site, DateTime::UNIX_EPOCH).await.unwrap();
            lake.add_read_key(&[site.into()], name, DateTime::UNIX_EPOCH).await.unwrap();
        }
        let key = lake.read_keys().await.unwrap().keys()[0].prefix.clone();
        lake.revoke_read_key(&key, DateTime::UNIX_EPOCH).await.unwrap();
        for version in 1..=3 {
            let object = Path::from(format!("registry/read_keys/{version:012}.json"));
            seeds.push(lake.store().get(&object).await.unwrap().bytes().await.unwrap().to_vec());
        }
        seeds
    })
}
