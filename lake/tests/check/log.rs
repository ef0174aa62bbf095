//! Damage of the log.

use super::*;

#[tokio::test]
async fn a_table_older_than_a_report_of_it_is_an_error() {
    let (lake, _) = lake().await;
    let reports = lake.table(&REPORTS);
    let report = |lake_version: i64| {
        let time = || Arc::new(TimestampMicrosecondArray::from(vec![7]).with_timezone("UTC")) as ArrayRef;
        let columns: [(&str, ArrayRef); 5] = [
            ("generated_at", time()),
            ("complete_until", time()),
            ("lake_version", Arc::new(Int64Array::from(vec![lake_version]))),
            ("metric", Arc::new(StringArray::from(vec!["events"]))),
            ("duration_ms", Arc::new(Int64Array::from(vec![1]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    for (version, is_sound) in [(4, true), (5, false)] {
        let mut writer = TableWriter::start(&lake.table(&REPORTS), "1970-01-01".parse().unwrap()).unwrap();
        writer.write(&report(version)).await.unwrap();
        let change = Change::publish(vec![writer.finish().await.unwrap()], vec![], BTreeSet::new());
        reports.commit(change, reports.load().await.unwrap()).await.unwrap();
        match is_sound {
            true => drop(finds_nothing(&lake).await),
            false => finds(&lake, Severity::Error, "events", "a report was made of its version 5").await,
        }
    }
}

#[tokio::test]
async fn a_log_that_was_lost_stops_reading_and_writing_until_it_is_back() {
    let (lake, _) = lake().await;
    let log: Vec<Path> = paths(&lake).await.into_iter().filter(|path| path.as_ref().contains("_delta_log")).collect();
    let mut kept = Vec::new();
    for path in &log {
        kept.push(get(&lake, path.as_ref()).await);
        delete(&lake, path.as_ref()).await;
    }
    finds(&lake, Severity::Error, "events", "files and no log").await;
    let another = || Lake::with_store(lake.store(), lake.url(), StdRng::seed_from_u64(1)).unwrap();
    let refused =
        |error: LakeError| matches!(error, LakeError::Unusable { reason } if reason.contains("the log was lost"));
    assert!(refused(another().snapshot().await.map(drop).unwrap_err()));
    let mut writer = TableWriter::start(&another().table(&EVENTS), noon().date_naive()).unwrap();
    writer.write(&batch([event(300)]).into_batch()).await.unwrap();
    assert!(refused(writer.finish().await.unwrap_err()));

    for (path, bytes) in log.iter().zip(kept) {
        put(&lake, path.as_ref(), bytes).await;
    }
    assert_eq!(another().snapshot().await.unwrap().events.rows(), 120);
    finds_nothing(&lake).await;
}

#[tokio::test]
async fn an_entry_of_the_log_that_is_not_there_is_an_error() {
    for version in [0, 2, 4] {
        let (lake, _) = lake().await;
        delete(&lake, &entry(version)).await;
        finds(&lake, Severity::Error, &entry(version), "it is missing").await;
    }
}

#[tokio::test]
async fn a_newest_entry_that_is_not_there_is_named_by_whoever_reads_the_table() {
    let (lake, _) = lake().await;
    delete(&lake, &entry(4)).await;
    let reader = Lake::with_store(lake.store(), lake.url(), StdRng::seed_from_u64(1)).unwrap();
    let error = reader.snapshot().await.err().unwrap();
    let names_it = |reason: &str| reason.contains(&entry(4)) && reason.contains("Restore it");
    assert!(matches!(&error, LakeError::Unusable { reason } if names_it(reason)), "{error:?}");
}

#[tokio::test]
async fn an_empty_entry_of_the_log_is_an_error_and_nobody_goes_on_from_it() {
    for version in [2, 4] {
        let (lake, _) = lake().await;
        lake.snapshot().await.unwrap();
        put(&lake, &entry(version), "").await;
        finds(&lake, Severity::Error, &entry(version), "it is empty").await;
        let another = Lake::with_store(lake.store(), lake.url(), StdRng::seed_from_u64(1)).unwrap();
        // Also by who had read it before.
        for reader in [&another, &lake] {
            let error = reader.snapshot().await.err().unwrap();
            let names_it = |reason: &str| reason.contains("is empty") && reason.contains(&entry(version));
            assert!(matches!(&error, LakeError::Unusable { reason } if names_it(reason)), "{error:?}");
        }
        another.vacuum(&[&EVENTS], Default::default()).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_file_that_was_added_under_no_date_is_an_error_of_its_entry() {
    let (lake, _) = lake().await;
    let text = String::from_utf8(get(&lake, &entry(2)).await).unwrap();
    put(&lake, &entry(2), text.replacen("partitionValues", "partitionVelues", 1)).await;
    finds(&lake, Severity::Error, &entry(2), "it does not say which date").await;
}

#[tokio::test]
async fn a_torn_entry_of_the_log_is_an_error() {
    let (lake, _) = lake().await;
    let mut bytes = get(&lake, &entry(3)).await;
    bytes.truncate(bytes.len() - 20);
    put(&lake, &entry(3), bytes).await;
    finds(&lake, Severity::Error, &entry(3), "cannot be read").await;
    put(&lake, &entry(3), Vec::new()).await;
    finds(&lake, Severity::Error, &entry(3), "it is empty").await;
}

#[tokio::test]
async fn one_commit_in_two_versions_is_an_error() {
    let (lake, _) = lake().await;
    let bytes = get(&lake, &entry(4)).await;
    put(&lake, &entry(5), bytes).await;
    finds(&lake, Severity::Error, &entry(5), "the same commit as version 4").await;
}

#[tokio::test]
async fn a_lane_that_goes_back_and_a_file_removed_twice_are_errors() {
    let (lake, _) = lake().await;
    let merge = String::from_utf8(get(&lake, &entry(3)).await).unwrap();
    let removes: Vec<&str> = merge.lines().filter(|line| line.starts_with("{\"remove\"")).collect();
    assert_eq!(removes.len(), 2);
    put(&lake, &entry(5), removes[0].to_owned()).await;
    finds(&lake, Severity::Error, &entry(5), "which was not live").await;

    let publish = String::from_utf8(get(&lake, &entry(1)).await).unwrap();
    let txn = publish.lines().find(|line| line.starts_with("{\"txn\"")).unwrap();
    put(&lake, &entry(5), txn.to_owned()).await;
    finds(&lake, Severity::Error, &entry(5), "which was at 1 already").await;
}

#[tokio::test]
async fn a_merge_that_loses_rows_is_an_error() {
    let (lake, _) = lake().await;
    let file = live_file(&lake).await;
    let fewer = write(&lake, noon().date_naive(), (0..10).chain(101..200).map(event)).await;
    commit(&lake, CommitKind::Merge, vec![fewer], vec![file.log_path], vec![]).await;
    finds(&lake, Severity::Error, &entry(5), "a merge made 109 rows of 110").await;
}
