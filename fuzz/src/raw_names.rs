//! The names of objects in the raw tier. Each line of an input is a name.

use std::collections::HashSet;

use lake::Lake;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use crate::block_on;

pub(crate) fn read(input: &[u8]) {
    block_on(async {
        let lake = Lake::open("memory:///", []).unwrap();
        let mut names = HashSet::new();
        for line in String::from_utf8_lossy(input).lines().take(50) {
            let Ok(path) = Path::parse(format!("raw/{line}")) else { continue };
            lake.store().put(&path, PutPayload::from_static(b"x")).await.unwrap();
            names.insert(path);
        }
        let snapshot = lake.snapshot().await.unwrap();
        // No lane has a file 0; nothing above it is consumed.
        assert!(snapshot.consumed.iter().all(|file| file.seq == 0));
        for file in snapshot.pending.iter().chain(&snapshot.consumed) {
            assert!(names.contains(&file.path));
            let name = file.path.filename().unwrap().to_lowercase();
            assert_eq!(format!("{}-{:012}.parquet", file.lane, file.seq), name);
        }
        let found = lake.survey_pending(&snapshot.pending, &snapshot.events).await.unwrap();
        assert_eq!(found.damaged.len(), snapshot.pending.len(), "a file of one byte is no Parquet");
        lake.vacuum(&[&lake::EVENTS], lake::VacuumSettings::default()).await.unwrap();
    });
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let names = [
        "date=2026-03-01/hour=09/019aa3c2-0000-7000-8000-000000000001-000000000042.parquet",
        "date=2026-03-01/hour=09/019aa3c2-0000-7000-8000-000000000001-999999999999.parquet\nprobe-1\nnotes.parquet",
        "019AA3C2-0000-7000-8000-000000000001-000000000000.parquet\ndate=x/{019aa3c2-0000-7000-8000-00000000001}-000000000042.parquet",
        "äöü-äöü-äöü-äöü-äöü-äöü-äöü-äöü-äöü-000000000042.parquet\ndate=2026-03-01/hour=09/a.parquet#1",
    ];
    names.map(|name| name.as_bytes().to_vec()).into()
}
