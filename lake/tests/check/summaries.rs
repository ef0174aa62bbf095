//! Checksums and checkpoints, which sum the log up for readers.

use super::*;

#[tokio::test]
async fn a_missing_checksum_is_a_warning_and_written_by_repair() {
    let (lake, _) = lake().await;
    delete(&lake, &checksum(4)).await;
    finds(&lake, Severity::Warning, &checksum(4), "has no good checksum").await;
    let checked = run(&lake, true, TimeDelta::zero()).await;
    assert_eq!((checked.findings.len(), checked.repaired.len()), (0, 1), "{checked:#?}");
    finds_nothing(&lake).await;
}

#[tokio::test]
async fn a_checksum_that_disagrees_is_an_error_if_readers_use_it() {
    let (lake, raw) = lake().await;
    let whole = String::from_utf8(get(&lake, &checksum(4)).await).unwrap();
    let lane = &raw[0].filename().unwrap()[..36];
    let wrong =
        whole.replace(&format!("\"appId\":\"{lane}\",\"version\":1"), &format!("\"appId\":\"{lane}\",\"version\":3"));
    assert_ne!(whole, wrong);
    put(&lake, &checksum(4), wrong.clone()).await;
    finds(&lake, Severity::Error, &checksum(4), "last numbers of lanes differ").await;
    // A reader believes it, and two acknowledged files are not read.
    let reader = Lake::with_store(lake.store(), lake.url(), StdRng::seed_from_u64(1)).unwrap();
    assert_eq!(reader.snapshot().await.unwrap().pending.len(), 0);

    let checked = run(&lake, true, TimeDelta::zero()).await;
    assert_eq!((checked.findings.len(), checked.repaired.len()), (0, 2), "{checked:#?}");
    let reader = Lake::with_store(lake.store(), lake.url(), StdRng::seed_from_u64(1)).unwrap();
    assert_eq!(reader.snapshot().await.unwrap().pending.len(), 2);

    // A column of another name: every query would fail.
    put(&lake, &checksum(4), whole.replacen("site_id", "sitf_id", 1)).await;
    finds(&lake, Severity::Error, &checksum(4), "schema or protocol differs").await;
    let checked = run(&lake, true, TimeDelta::zero()).await;
    assert_eq!((checked.findings.len(), checked.repaired.len()), (0, 2), "{checked:#?}");

    put(&lake, &checksum(4), whole.replacen("\"sortedBinBoundaries\":[0", "\"sortedBinBoundaries\":[4", 1)).await;
    finds(&lake, Severity::Error, &checksum(4), "sizes of files").await;
    run(&lake, true, TimeDelta::zero()).await;
    finds_nothing(&lake).await;

    put(&lake, &checksum(3), whole).await;
    finds(&lake, Severity::Warning, &checksum(3), "nobody reads it").await;
    put(&lake, &checksum(3), "torn").await;
    finds(&lake, Severity::Warning, &checksum(3), "cannot be read").await;
}

#[tokio::test]
async fn a_checkpoint_that_is_gone_torn_or_wrong_is_an_error_and_replaced_by_repair() {
    let lake = Lake::open("memory:///", []).unwrap();
    lake.add_site("shop", noon()).await.unwrap();
    for id in 0..103 {
        publish(&lake, [event(id)]).await;
    }
    let checked = finds_nothing(&lake).await;
    assert_eq!(checked.tables[0].log.files, 104 + 103 + 1);
    let whole = get(&lake, &checkpoint(100)).await;
    let repaired = async || {
        let checked = run(&lake, true, TimeDelta::zero()).await;
        assert_eq!(checked.findings, [], "{:#?}", checked.repaired);
        let reader = Lake::with_store(lake.store(), lake.url(), StdRng::seed_from_u64(1)).unwrap();
        assert_eq!(reader.table(&EVENTS).load().await.unwrap().rows(), 103);
    };

    put(&lake, &checkpoint(100), whole[..whole.len() / 2].to_vec()).await;
    finds(&lake, Severity::Error, &checkpoint(100), "cannot be read").await;
    repaired().await;
    assert!(lake.store().head(&Path::from(checkpoint(100))).await.is_err());

    // Statistics that are not those of the files: queries would leave rows out.
    let of_stats = br#""numRecords":1"#;
    let position = whole.windows(of_stats.len()).position(|bytes| bytes == of_stats).unwrap() + of_stats.len() - 1;
    let mut wrong = whole.clone();
    wrong[position] = b'7';
    put(&lake, &checkpoint(100), wrong).await;
    finds(&lake, Severity::Error, &checkpoint(100), "differs").await;
    repaired().await;

    // An entry that is damaged, and not the checkpoint that differs from it: nothing must be repaired.
    put(&lake, &checkpoint(100), whole.clone()).await;
    let entry_1 = String::from_utf8(get(&lake, &entry(1)).await).unwrap();
    for (from, to) in [(".parquet\",", ".parqueu\","), ("date=2026-03-01/", "date=2026-03-01/f")] {
        let damaged = entry_1.replacen(from, to, 2);
        assert_ne!(damaged, entry_1);
        put(&lake, &entry(1), damaged).await;
        finds(&lake, Severity::Error, &checkpoint(100), "one of the entries before it is damaged").await;
        run(&lake, true, TimeDelta::zero()).await;
        assert!(lake.store().head(&Path::from(checkpoint(100))).await.is_ok());
    }
    put(&lake, &entry(1), entry_1).await;
    delete(&lake, &checkpoint(100)).await;
    finds_nothing(&lake).await;

    // Of version 100, under the name of another: readers would not see three events.
    put(&lake, &checkpoint(103), whole.clone()).await;
    finds(&lake, Severity::Error, &checkpoint(103), "holds 100 files and the entries make 103").await;
    repaired().await;

    delete(&lake, &checkpoint(103)).await;
    finds(&lake, Severity::Error, "events/_delta_log/_last_checkpoint", "does not load").await;
    repaired().await;

    delete(&lake, &checkpoint(103)).await;
    delete(&lake, "events/_delta_log/_last_checkpoint").await;
    finds(&lake, Severity::Warning, "events/_delta_log", "replays 103 versions").await;
    repaired().await;
}

#[tokio::test]
async fn nothing_is_repaired_while_an_entry_is_missing() {
    let (lake, _) = lake().await;
    delete(&lake, &entry(2)).await;
    delete(&lake, &checksum(4)).await;
    let before: BTreeSet<Path> = paths(&lake).await;
    let checked = run(&lake, true, TimeDelta::days(30)).await;
    assert!(checked.has_errors() && checked.repaired.is_empty(), "{checked:#?}");
    assert_eq!(paths(&lake).await, before);
}
