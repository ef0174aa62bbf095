//! Processes that send reports by e-mail are killed at random moments: no report is sent twice, and none is left out that nobody
//! had begun.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lake::{Lake, LakeError, MailState, SavedItem, SavedKind};
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::mails::{Mailbox, NOW, process};

/// How many processes are killed in a test run; a campaign sets more with `DEWPOND_KILL_ROUNDS`.
fn rounds() -> u64 {
    std::env::var("DEWPOND_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(8)
}

/// Reports that wait for each process, so that it is killed between some of them.
const REPORTS_A_ROUND: u64 = 4;

/// A Monday, seven in the morning of a site in UTC: the week before is due.
const MONDAY: &str = "2026-04-06T07:00:00Z";

const LAKE: &str = "DEWPOND_TEST_SENDER_LAKE";
const SMTP: &str = "DEWPOND_TEST_SENDER_SMTP";

/// No test, but the process that the test below starts and kills: this program, which runs nothing else then.
#[tokio::test(flavor = "multi_thread")]
async fn sender() {
    let (Ok(location), Ok(smtp)) = (std::env::var(LAKE), std::env::var(SMTP)) else { return };
    let api = process(&Lake::open(&location, []).unwrap(), &smtp, MONDAY);
    loop {
        api.send_due_mails().await.unwrap();
        sleep(Duration::from_millis(20)).await;
    }
}

fn start_sender(location: &str, smtp: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "accounts::killed_senders::sender", "--nocapture"]).env(LAKE, location).env(SMTP, smtp);
    command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_report_is_sent_twice_when_processes_that_send_are_killed() {
    let Some(mailbox) = Mailbox::start(&[]).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let location = dir.path().join("lake").to_str().unwrap().to_owned();
    let lake = Lake::open(&location, []).unwrap();
    lake.add_site("shop", NOW.parse().unwrap()).await.unwrap();
    let smtp = format!("smtp://127.0.0.1:{}", mailbox.port);

    let mut reports = Vec::new();
    for round in 0..rounds() {
        let first = reports.len();
        for number in 0..REPORTS_A_ROUND {
            reports.push(subscribe(&lake, round * REPORTS_A_ROUND + number).await);
        }
        let mut process = start_sender(&location, &smtp);
        begun(&lake, &reports[first..=first]).await;
        // Each round a little later: before the first is sent, and after the last.
        sleep(Duration::from_millis(round * 12)).await;
        process.kill().await.unwrap();
    }
    // The last one is left alone. What nobody had begun is sent.
    let mut process = start_sender(&location, &smtp);
    begun(&lake, &reports).await;
    // Long enough for another to begin what was begun already, if it did.
    sleep(Duration::from_secs(1)).await;
    process.kill().await.unwrap();

    let (mut cut, mut sent) = (0, 0);
    for (number, report) in reports.iter().enumerate() {
        let states: Vec<MailState> = lake.mails_of(report).await.unwrap().iter().map(|mail| mail.state).collect();
        let arrived = arrived(mailbox.dir.path(), number);
        match *states {
            [MailState::Sent] => assert_eq!(arrived, 1, "{number} is noted as sent"),
            // Its process died in between: it may have arrived, and nobody else may send it.
            [MailState::Taken] => {
                assert!(arrived <= 1, "{number} was sent {arrived} times");
                cut += 1;
            }
            _ => panic!("{number} is {states:?}"),
        }
        sent += arrived;
    }
    println!("{} reports: {sent} arrived; of {cut} it is not known", reports.len());
    assert!(cut <= rounds(), "more reports were left open than processes killed");
}

/// Waits until somebody has begun each.
async fn begun(lake: &Lake, reports: &[String]) {
    let waiting = async {
        for report in reports {
            while lake.mails_of(report).await.unwrap().is_empty() {
                sleep(Duration::from_millis(2)).await;
            }
        }
    };
    timeout(Duration::from_secs(60), waiting).await.expect("every report is begun by somebody");
}

/// How many mails came to the recipient of this number.
fn arrived(mails: &Path, number: usize) -> usize {
    let to = format!("X-To: p{number}@example.com\n");
    let files = std::fs::read_dir(mails).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| std::fs::read_to_string(file).unwrap().starts_with(&to)).count()
}

/// A weekly report, whose last week is over. Returns its id.
async fn subscribe(lake: &Lake, number: u64) -> String {
    let id = format!("{number:032x}");
    let since: DateTime<Utc> = NOW.parse().unwrap();
    let says = json!({
        "recipient": format!("p{number}@example.com"),
        "interval": "week",
        "language": "en",
        "filters": [],
        "unsubscribe": format!("dpu_{number}"),
    });
    let item = SavedItem {
        id: id.clone(),
        site_id: "shop".to_owned(),
        version: 1,
        created_at: since,
        changed_at: since,
        created_by: None,
        says: says.as_object().unwrap().clone(),
    };
    let added = lake.change_saved("shop", SavedKind::EmailReports, |items| {
        items.push(item.clone());
        Ok::<(), LakeError>(())
    });
    added.await.unwrap();
    id
}
