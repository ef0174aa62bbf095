//! The registry document with the sites and their keys.

use chrono::DateTime;
use lake::{Lake, LakeError};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::block_on;

pub(crate) fn read(input: &[u8]) {
    block_on(async {
        let lake = Lake::open("memory:///", []).unwrap();
        lake.store().put(&Path::from("registry/sites/000000000007.json"), input.to_vec().into()).await.unwrap();
        let directory = match lake.sites().await {
            Ok(directory) => directory,
            Err(LakeError::Corrupt { .. }) => return,
            Err(other) => panic!("{other:?}"),
        };
        assert!(directory.site_of_key("dpw_guess").is_none());
        let known = directory.sites().len();
        match lake.add_site("new", DateTime::UNIX_EPOCH).await {
            Ok(issued) => {
                let directory = lake.sites().await.unwrap();
                assert_eq!(directory.sites().len(), known + 1);
                assert_eq!(&*directory.site_of_key(&issued.write_key).unwrap().site_id, "new");
            }
            Err(LakeError::Invalid { .. }) => assert!(directory.has_site("new")),
            Err(other) => panic!("{other:?}"),
        }
    });
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    block_on(async {
        let lake = Lake::open("memory:///", []).unwrap();
        let mut seeds = vec![br#"{"sites":[]}"#.to_vec()];
        for (version, site) in ["shop", "new"].into_iter().enumerate() {
            let issued = lake.add_site(site, DateTime::UNIX_EPOCH).await.unwrap();
            lake.add_key(site, DateTime::UNIX_EPOCH).await.unwrap();
            lake.revoke_key(site, &issued.write_key, DateTime::UNIX_EPOCH).await.unwrap();
            let newest = Path::from(format!("registry/sites/{:012}.json", version * 3 + 3));
            seeds.push(lake.store().get(&newest).await.unwrap().bytes().await.unwrap().to_vec());
        }
        seeds
    })
}
