//! Damage of live files, and rows that are not where or what they should be.

use super::*;

#[tokio::test]
async fn a_live_file_that_is_not_there_is_an_error() {
    let (lake, _) = lake().await;
    let file = live_file(&lake).await;
    delete(&lake, file.path.as_ref()).await;
    finds(&lake, Severity::Error, file.path.as_ref(), "live but missing").await;
}

#[tokio::test]
async fn a_live_file_cut_short_is_an_error() {
    let (lake, _) = lake().await;
    let file = live_file(&lake).await;
    let mut bytes = get(&lake, file.path.as_ref()).await;
    bytes.truncate(bytes.len() / 2);
    put(&lake, file.path.as_ref(), bytes).await;
    finds(&lake, Severity::Error, file.path.as_ref(), "but the log says").await;
}

#[tokio::test]
async fn a_torn_file_of_refused_events_is_an_error() {
    let (lake, _) = lake().await;
    put(&lake, "quarantine/date=2026-03-01/hour=12/a.parquet", "torn").await;
    finds(&lake, Severity::Error, "quarantine/date=2026-03-01/hour=12/a.parquet", "it cannot be read").await;
}

#[tokio::test]
async fn a_byte_changed_in_a_live_file_is_an_error() {
    let (lake, _) = lake().await;
    let file = live_file(&lake).await;
    let whole = get(&lake, file.path.as_ref()).await;
    // The first page, which holds ids; the metadata; the length of the metadata.
    for position in [200, whole.len() - 500, whole.len() - 6] {
        let mut bytes = whole.clone();
        bytes[position] ^= 0xff;
        put(&lake, file.path.as_ref(), bytes).await;
        finds(&lake, Severity::Error, file.path.as_ref(), "").await;
    }
    put(&lake, file.path.as_ref(), whole).await;
    finds_nothing(&lake).await;
}

#[tokio::test]
async fn no_byte_of_a_live_file_can_change_unnoticed() {
    let (lake, _) = lake().await;
    let file = live_file(&lake).await;
    let whole = get(&lake, file.path.as_ref()).await;
    for position in (0..whole.len()).step_by(whole.len() / 50) {
        let mut bytes = whole.clone();
        bytes[position] ^= 1;
        put(&lake, file.path.as_ref(), bytes).await;
        finds(&lake, Severity::Error, file.path.as_ref(), "not those that were written").await;
    }
}

#[tokio::test]
async fn an_event_published_twice_is_an_error_that_names_both_files() {
    let (lake, _) = lake().await;
    let copies = publish(&lake, (150..160).map(event)).await;
    let original = live_file(&lake).await;
    let (first, second) = (copies.path.clone().min(original.path.clone()), copies.path.max(original.path));
    finds(&lake, Severity::Error, first.as_ref(), &format!("10 of its events are also in {second}")).await;
}

#[tokio::test]
async fn copies_on_two_dates_are_found() {
    let (lake, _) = lake().await;
    let midnight = (noon() + TimeDelta::hours(12)).timestamp_micros();
    let at = |occurred_at_us| Event { occurred_at_us, received_at_us: midnight + 9_000_000, ..event(1_000) };
    let before = write(&lake, noon().date_naive(), [at(midnight - 1_000)]).await;
    let after = write(&lake, noon().date_naive().succ_opt().unwrap(), [at(midnight + 1_000)]).await;
    commit(&lake, CommitKind::Publish, vec![before.clone(), after], vec![], vec![]).await;
    finds(&lake, Severity::Error, before.path.as_ref(), "1 of its events are also in").await;
}

#[tokio::test]
async fn a_copy_sent_days_later_is_a_warning_since_it_counts_twice_by_design() {
    let (lake, _) = lake().await;
    let later = noon() + TimeDelta::days(4);
    let event =
        Event { occurred_at_us: later.timestamp_micros(), received_at_us: later.timestamp_micros() + 1, ..event(100) };
    let file = write(&lake, later.date_naive(), [event]).await;
    commit(&lake, CommitKind::Publish, vec![file], vec![], vec![]).await;
    finds(&lake, Severity::Warning, "events/date=2026-03-01", "sent again too late").await;
}

#[tokio::test]
async fn rows_out_of_order_are_an_error() {
    let (lake, _) = lake().await;
    let file = publish(&lake, [event(301), event(300)]).await;
    finds(&lake, Severity::Error, file.path.as_ref(), "1 of its 2 rows are not in the order of site_id").await;
}

#[tokio::test]
async fn rows_filed_under_another_date_are_an_error() {
    let (lake, _) = lake().await;
    let file = write(&lake, noon().date_naive().succ_opt().unwrap(), [event(300)]).await;
    commit(&lake, CommitKind::Publish, vec![file.clone()], vec![], vec![]).await;
    finds(&lake, Severity::Error, file.path.as_ref(), "filed under 2026-03-02").await;
}

#[tokio::test]
async fn statistics_in_the_log_that_do_not_hold_are_errors() {
    let (lake, _) = lake().await;
    let date = noon().date_naive();
    let mut rows = write(&lake, date, [event(300), event(301)]).await;
    rows.rows = 3;
    let mut bounds = write(&lake, date, [event(302), event(303)]).await;
    bounds.ranges.get_mut("occurred_at").unwrap().min = Value::TimeUs(event(303).occurred_at_us);
    let mut nulls = write(&lake, date, [event(304)]).await;
    nulls.ranges.get_mut("visitor_id").unwrap().nulls = Some(1);
    let files = [rows, bounds, nulls];
    commit(&lake, CommitKind::Publish, files.to_vec(), vec![], vec![]).await;
    let words = ["has 2 rows and the log says 3", "its occurred_at lies in", "its visitor_id is null in 0 rows"];
    for (file, words) in files.iter().zip(words) {
        finds(&lake, Severity::Error, file.path.as_ref(), words).await;
    }
}
