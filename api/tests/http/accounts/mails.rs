//! Reports by e-mail: through a mail server that is real (aiosmtpd), each once, whoever sends and whenever he dies.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use analytics::{Analytics, Jobs};
use api::{Api, OutwardSettings, SqlSettings};
use chrono::{DateTime, Utc};
use engine::{Engine, EngineSettings, QueryLimits};
use lake::{Lake, Lakes, MailState};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::*;
use crate::analytics_settings;
use crate::stats::stored::{event_of, pend};

/// A Monday, after seven in Berlin: the week of the events of `shop` is over.
const MONDAY: &str = "2026-04-06T05:00:00Z";
const WEEK: &str = "2026-W14";

/// After seven in UTC, too.
const MONDAY_MORNING_EVERYWHERE: &str = "2026-04-06T07:30:00Z";

/// The time of the server on which people are signed in.
pub(super) const NOW: &str = "2026-03-31T10:00:00Z";

/// A mail server, and what it took.
pub(super) struct Mailbox {
    pub(super) dir: tempfile::TempDir,
    pub(super) port: u16,
    _server: Child,
}

impl Mailbox {
    /// `None` where aiosmtpd is not installed.
    pub(super) async fn start(flags: &[&str]) -> Option<Self> {
        let Ok(python) = std::env::var("DEWPOND_TEST_PYTHON") else {
            assert!(std::env::var("CI").is_err(), "CI runs this through `make test`, which sets DEWPOND_TEST_PYTHON");
            println!("skipped: `make test` installs aiosmtpd");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smtp/server.py");
        let mut command = Command::new(python);
        command.arg(script).arg(dir.path()).args(flags).stdout(Stdio::piped()).kill_on_drop(true);
        let mut server = command.spawn().unwrap();
        let said = BufReader::new(server.stdout.take().unwrap()).lines().next_line().await.unwrap();
        let port = said.expect("the mail server says its port").parse().unwrap();
        Some(Self { dir, port, _server: server })
    }

    fn mails(&self) -> Vec<String> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|ending| ending == "eml"));
        files.sort();
        files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
    }
}

/// Another process of the lake that sends through a mail server, at a time.
pub(super) fn process(lake: &Lake, smtp_url: &str, now: &str) -> Arc<Api> {
    let now: DateTime<Utc> = now.parse().unwrap();
    let settings = OutwardSettings {
        public_url: Some("https://stats.example".parse().unwrap()),
        smtp_url: Some(smtp_url.parse().unwrap()),
        smtp_from: Some("Dewpond <reports@stats.example>".parse().unwrap()),
        email_cron: "0 * * * * *".parse().unwrap(),
        sign_in_providers: None,
    };
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    let clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync> = Arc::new(move || now);
    let analytics = Analytics::new(engine.clone(), analytics_settings(Path::new("none")), clock.clone());
    let outward = settings.open(|_| None).unwrap();
    Api::reaching(Jobs::new(analytics, engine.into()), QueryLimits::default(), SqlSettings::default(), outward, clock)
}

impl Stats {
    /// This server, as another process that sends mails.
    fn sending(&self, mailbox: &Mailbox, now: &str) -> Self {
        Self::over(self.lake.clone(), process(&self.lake, &format!("smtp://127.0.0.1:{}", mailbox.port), now))
    }
}

async fn subscribe(server: &Stats, ada: &Person, recipient: &str, language: &str) -> Json {
    let sent = json!({ "recipient": recipient, "interval": "week", "language": language });
    let added = as_page(server, "POST", "/v1/sites/shop/email-reports", ada, sent).await;
    assert_eq!(added.status, 201, "{}", added.body);
    assert!(!added.body.to_string().contains("dpu_"), "the secret of the link is for the mail alone: {}", added.body);
    added.body
}

async fn states(server: &Stats, report: &Json) -> Vec<(String, u32, MailState)> {
    let mails = server.lake.mails_of(report["id"].as_str().unwrap()).await.unwrap();
    mails.into_iter().map(|mail| (mail.period, mail.attempt, mail.state)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_sent_once_by_however_many_and_ended_by_its_link() {
    let Some(mailbox) = Mailbox::start(&[]).await else { return };
    let server = shop().await;
    let ada = ada(&server).await;
    let report = subscribe(&server, &ada, "Ada@Example.com", "en").await;
    subscribe(&server, &ada, "berta@example.com", "de").await;
    let again = json!({ "recipient": "ada@example.com", "interval": "week" });
    assert_eq!(as_page(&server, "POST", "/v1/sites/shop/email-reports", &ada, again).await.status, 409);

    // Too early, then two processes at once, and once more.
    server.sending(&mailbox, "2026-04-06T04:59:59Z").api.send_due_mails().await.unwrap();
    assert!(mailbox.mails().is_empty());
    let (one, two) = (server.sending(&mailbox, MONDAY), server.sending(&mailbox, MONDAY));
    let (first, second) = tokio::join!(one.api.send_due_mails(), two.api.send_due_mails());
    first.and(second).unwrap();
    for sender in [&one, &two, &server.sending(&mailbox, MONDAY)] {
        sender.api.send_due_mails().await.unwrap();
    }
    let mails = mailbox.mails();
    assert_eq!(mails.len(), 2, "{mails:?}");
    assert_eq!(states(&server, &report).await, [(WEEK.to_owned(), 1, MailState::Sent)]);

    let mail = mails.iter().find(|mail| mail.starts_with("X-To: ada@example.com")).unwrap();
    // On the Monday of that week Bob came back past midnight, and on the Tuesday Carl; three page views had no robot.
    for there in [
        "Subject: shop: 2 visitors, 30 March 2026 =?utf-8?",
        "From: Dewpond <reports@stats.example>",
        "Auto-Submitted: auto-generated",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "Content-Type: text/plain",
        "Content-Type: text/html",
        &format!("Message-ID: <{}.{WEEK}@stats.example>", report["id"].as_str().unwrap()),
    ] {
        assert!(mail.contains(there) || there.contains("Subject"), "{there}\n{mail}");
    }
    assert!(mails.iter().any(|mail| mail.contains("Wochenbericht")), "{mails:?}");

    // The link: to look ends nothing, a button does, and then there is nothing to end.
    let link = unsubscribe_link(mail);
    let path = link.strip_prefix("https://stats.example").unwrap().to_owned();
    let browser = [("accept-language", "en")];
    let look = send(&server, "GET", &path, &Brings::Nothing, &browser, Json::Null).await;
    assert_eq!((look.status, &look.headers["content-type"]), (200, &"text/html; charset=utf-8".parse().unwrap()));
    assert_eq!(server.lake.email_reports().await.unwrap().len(), 2);
    let wrong = path.replace("dpu_", "dpu_0");
    for method in ["GET", "POST"] {
        assert_eq!(send(&server, method, &wrong, &Brings::Nothing, &browser, Json::Null).await.status, 404);
    }
    assert_eq!(server.lake.email_reports().await.unwrap().len(), 2);
    assert_eq!(send(&server, "POST", &path, &Brings::Nothing, &browser, Json::Null).await.status, 200);
    assert_eq!(send(&server, "POST", &path, &Brings::Nothing, &browser, Json::Null).await.status, 404);
    let left = server.lake.email_reports().await.unwrap();
    assert_eq!(left.iter().map(|item| &item.says["recipient"]).collect::<Vec<_>>(), ["berta@example.com"]);
    server.sending(&mailbox, "2026-04-13T05:00:00Z").api.send_due_mails().await.unwrap();
    assert_eq!(mailbox.mails().len(), 3, "the next week goes to Berta alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_in_a_lake_of_its_own_is_reported_on_from_there() {
    let Some(mailbox) = Mailbox::start(&[]).await else { return };
    let server = shop().await;
    let ada = ada(&server).await;
    let acme = as_page(&server, "POST", "/v1/organisations", &ada, json!({ "name": "Acme" })).await.body;
    let acme = acme["id"].as_str().unwrap().to_owned();
    let (dir, lakes) = (tempfile::tempdir().unwrap(), Lakes::from(server.lake.clone()));
    let own = lakes.set(&acme, dir.path().to_str().unwrap(), None).await.unwrap();
    let path = format!("/v1/organisations/{acme}/sites");
    assert_eq!(as_page(&server, "POST", &path, &ada, json!({ "id": "acme-shop" })).await.status, 201);
    let events = ["~eve", "~finn", "~gil"]
        .map(|visitor| event_of("acme-shop", visitor, "2026-03-31T09:00:00Z", "page_view", "/only-acme"));
    pend(&lakes.lake(Some(&own)).await.unwrap(), &events).await;

    let sent = json!({ "recipient": "ada@example.com", "interval": "week", "language": "en" });
    let added = as_page(&server, "POST", "/v1/sites/acme-shop/email-reports", &ada, sent).await;
    assert_eq!(added.status, 201, "{}", added.body);
    subscribe(&server, &ada, "ada@example.com", "en").await;
    server.sending(&mailbox, MONDAY_MORNING_EVERYWHERE).api.send_due_mails().await.unwrap();
    let mails = mailbox.mails();
    let of = |site: &str| mails.iter().find(|mail| mail.contains(&format!("Subject: {site}: "))).unwrap();
    assert_eq!(mails.len(), 2, "{mails:?}");
    assert!(of("acme-shop").contains("acme-shop: 3 visitors") && of("acme-shop").contains("/only-acme"), "{mails:?}");
    assert!(of("shop").contains("shop: 2 visitors") && !of("shop").contains("/only-acme"), "{mails:?}");
}

/// The address in the header, whose lines are folded.
fn unsubscribe_link(mail: &str) -> String {
    let unfolded = mail.replace("\r\n ", " ").replace("\n ", " ");
    let line = unfolded.lines().find_map(|line| line.strip_prefix("List-Unsubscribe: ")).unwrap();
    line.trim().trim_start_matches('<').trim_end_matches('>').replace(' ', "")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_mail_server_did_not_take_is_sent_again_and_what_it_may_have_taken_is_not() {
    let Some(mailbox) = Mailbox::start(&[]).await else { return };
    let server = shop().await;
    let ada = ada(&server).await;
    // Whoever took the last one's mail has died.
    let mut reports = vec![];
    for recipient in ["full@example.com", "gone@example.com", "cut@example.com", "dead@example.com"] {
        reports.push(subscribe(&server, &ada, recipient, "en").await);
    }
    assert!(server.lake.take_mail(reports[3]["id"].as_str().unwrap(), WEEK, 1).await.unwrap());
    // While the mail server is away nothing is begun.
    let away = Stats::over(server.lake.clone(), process(&server.lake, "smtp://127.0.0.1:1", MONDAY));
    let error = away.api.send_due_mails().await.unwrap_err().to_string();
    assert!(error.contains("the mail server cannot be reached"), "{error}");
    assert!(states(&server, &reports[0]).await.is_empty());
    for _ in 0..2 {
        server.sending(&mailbox, MONDAY).api.send_due_mails().await.unwrap();
    }
    let expected = [MailState::Failed, MailState::Refused, MailState::Unknown, MailState::Taken];
    for (report, state) in reports.iter().zip(expected) {
        assert_eq!(states(&server, report).await, [(WEEK.to_owned(), 1, state)], "{report}");
    }
    assert_eq!(mailbox.mails().len(), 1, "the one that was cut");
    let path = format!("/v1/sites/shop/email-reports/{}/mails", reports[1]["id"].as_str().unwrap());
    let shown = as_page(&server, "GET", &path, &ada, Json::Null).await.body;
    assert_eq!(shown["results"][0]["state"], "refused");
    assert!(shown["results"][0]["reason"].as_str().unwrap().contains("there is no such box"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_tries_how_a_report_looks_and_a_viewer_sees_no_addresses() {
    let Some(mailbox) = Mailbox::start(&["--login", "dewpond:secret"]).await else { return };
    let server = shop().await;
    let ada = ada(&server).await;
    let report = subscribe(&server, &ada, "ada@example.com", "en").await;
    let path = format!("/v1/sites/shop/email-reports/{}/test", report["id"].as_str().unwrap());
    let silent = as_page(&server, "POST", &path, &ada, json!({})).await;
    assert_eq!(silent.status, 409, "{}", silent.body);
    let url = |login: &str| format!("smtp://{login}@127.0.0.1:{}?tls=none", mailbox.port);
    let wrong = Stats::over(server.lake.clone(), process(&server.lake, &url("dewpond:wrong"), NOW));
    let refused = as_page(&wrong, "POST", &path, &ada, json!({})).await;
    assert_eq!(refused.status, 409);
    assert!(!refused.body.to_string().contains("wrong"), "{}", refused.body);

    let right = Stats::over(server.lake.clone(), process(&server.lake, &url("dewpond:secret"), NOW));
    let sent = as_page(&right, "POST", &path, &ada, json!({})).await;
    assert_eq!(sent.status, 204, "{}", sent.body);
    assert_eq!(as_page(&right, "POST", &path, &ada, json!({})).await.status, 429);
    let mails = mailbox.mails();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].contains("[Test]") || mails[0].contains("W1Rlc3Rd"), "{}", mails[0]);
    assert!(states(&server, &report).await.is_empty(), "a test is no report");

    let vic = invited(&server, &ada, "vic@example.com", "viewer").await;
    for (method, path, sent) in [
        ("GET", "/v1/sites/shop/email-reports".to_owned(), Json::Null),
        ("POST", path.clone(), json!({})),
        ("GET", path.replace("/test", "/mails"), Json::Null),
        ("POST", "/v1/sites/shop/email-reports".to_owned(), json!({ "recipient": "a@b.c", "interval": "week" })),
    ] {
        assert_eq!(as_page(&server, method, &path, &vic, sent).await.status, 403, "{method} {path}");
    }
    let bob = bob(&server, &ada).await;
    assert_eq!(as_page(&server, "POST", &path, &bob, json!({})).await.status, 404);
    for (field, value) in [
        ("recipient", "ada@example.com\nbcc: eve@example.com"),
        ("recipient", "ada"),
        ("interval", "day"),
        ("language", "tlh"),
    ] {
        let mut odd = json!({ "recipient": "eve@example.com", "interval": "week", "language": "en" });
        odd[field] = value.into();
        assert_eq!(as_page(&server, "POST", "/v1/sites/shop/email-reports", &ada, odd).await.status, 400, "{value}");
    }
}
