//! Sends the reports that are due, each once: of two processes one takes it, and one that dies while it sends has sent it or
//! nobody has. What the mail server did not take for sure is tried again.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use lake::{Lake, Mail, MailState, whole_text};
use schedule::{Cron, Schedule};
use serde_json::json;

use super::calendar::{Period, due};
use super::letter::Report;
use super::smtp::{Letter, NotSent, Smtp};
use super::subscription::Subscription;
use crate::http::caller::reader::Reader;
use crate::http::error::ApiError;
use crate::http::figures::{Wanted, figures};
use crate::http::state::Api;
use crate::http::stats::Zone;

/// Attempts at one mail. The pause after each is twice the one before, so the last comes five hours after the first.
const ATTEMPTS_MAX: u32 = 6;
const FIRST_PAUSE: TimeDelta = TimeDelta::minutes(10);

/// Rows of each table of a report.
const ROWS: usize = 8;

/// What to do about a mail that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Attempt(u32),
    /// Somebody sends it, or it is too early to try again.
    Wait,
    /// It was sent, or must not be.
    Done,
}

/// - `mail`: its newest attempt, if there was one.
fn next(mail: Option<&Mail>, now: DateTime<Utc>) -> Next {
    let Some(mail) = mail else { return Next::Attempt(1) };
    match mail.state {
        MailState::Failed if mail.attempt >= ATTEMPTS_MAX => Next::Done,
        MailState::Failed if now - mail.at < FIRST_PAUSE * (1 << (mail.attempt - 1)) => Next::Wait,
        MailState::Failed => Next::Attempt(mail.attempt + 1),
        MailState::Taken => Next::Wait,
        MailState::Sent | MailState::Refused | MailState::Unknown => Next::Done,
    }
}

/// Why a test was not sent.
pub(crate) enum NoTest {
    /// This server sends no mail.
    NoServer,
    /// There were too many: wait.
    TooMany { retry_after_s: u64 },
    /// The mail server has not taken it.
    NotSent(String),
    /// There are no numbers.
    Figures(ApiError),
}

impl Api {
    /// Sends what is due at every instant of a cron, if a server for mails is set.
    pub async fn schedule_mails(self: &Arc<Self>, schedule: &mut Schedule, cron: &Cron) -> anyhow::Result<()> {
        if self.outward.smtp.is_none() {
            return Ok(());
        }
        let this = self.clone();
        schedule
            .every("email", cron, move || {
                let this = this.clone();
                async move { this.send_due_mails().await }
            })
            .await
    }

    /// Sends the reports that are due now. Fails if the lake cannot be read or the mail server not be reached; they are sent
    /// later then.
    pub async fn send_due_mails(&self) -> anyhow::Result<()> {
        let Some(smtp) = &self.outward.smtp else { return Ok(()) };
        let (lake, now) = (self.people.lake(), (self.clock)());
        let kept = lake.email_reports().await?;
        if kept.is_empty() {
            return Ok(());
        }
        let sites = lake.sites().await?;
        let mut is_reached = false;
        for subscription in kept.iter().filter_map(Subscription::of) {
            let Some(site) = sites.site(&subscription.site) else { continue };
            let Ok(zone) = Zone::named(&site.settings.time_zone) else { continue };
            let Some(period) = due(subscription.rhythm, &zone, subscription.since, now) else { continue };
            if self.sent_mails.is_done(&subscription.id, &period.name) {
                continue;
            }
            let mails = lake.mails_of(&subscription.id).await?;
            let attempt = match next(mails.iter().find(|mail| mail.period == period.name), now) {
                Next::Attempt(attempt) => attempt,
                Next::Wait => continue,
                Next::Done => {
                    self.sent_mails.note_done(&subscription.id, &period.name);
                    continue;
                }
            };
            let letter = match self.letter(&subscription, &period, false).await {
                Ok(letter) => letter,
                Err(error) => {
                    let words = error.words();
                    tracing::warn!(site = subscription.site, %words, "the numbers of a mail are not there; a later run sends it");
                    continue;
                }
            };
            // Nothing is taken while nothing can be sent: an attempt that is begun may be the only one.
            if !is_reached {
                smtp.reach().await.map_err(|reason| anyhow::anyhow!("the mail server cannot be reached: {reason}"))?;
                is_reached = true;
            }
            send_once(lake, smtp, &subscription, &period, attempt, &letter).await?;
        }
        Ok(())
    }

    /// Sends the last report of somebody as a test, whether it is due or not.
    pub(crate) async fn send_test_mail(&self, subscription: &Subscription) -> Result<(), NoTest> {
        let Some(smtp) = &self.outward.smtp else { return Err(NoTest::NoServer) };
        let now = (self.clock)();
        let begun = self.sent_mails.begin_test(&subscription.id, now);
        begun.map_err(|retry_after_s| NoTest::TooMany { retry_after_s })?;
        let sites = self.people.lake().sites().await.map_err(|error| NoTest::Figures(error.into()))?;
        let zone = sites.site(&subscription.site).and_then(|site| Zone::named(&site.settings.time_zone).ok());
        let today = zone.map_or(now.date_naive(), |zone| zone.local(now).date());
        let period = subscription.rhythm.last_before(today);
        let mut letter = self.letter(subscription, &period, true).await.map_err(NoTest::Figures)?;
        letter.id = format!("{}.test.{}", subscription.id, self.people.lake().new_id());
        smtp.send(&letter).await.map_err(|error| NoTest::NotSent(error.to_string()))
    }

    /// What somebody gets of a period.
    async fn letter(&self, subscription: &Subscription, period: &Period, is_test: bool) -> Result<Letter, ApiError> {
        let Some(public) = &self.outward.public_url else {
            return Err(ApiError::invalid("--public-url says where links lead to"));
        };
        let Subscription { site, language, filters, .. } = subscription;
        let Period { first, last, before, .. } = period;
        let wanted =
            Wanted { site, range: json!([first, last]), compare: json!([before.0, before.1]), filters, rows: ROWS };
        let figures = figures(self, &Reader::Everything, &wanted, *language).await?;
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("site", site).append_pair("range", &format!("{first},{last}"));
        let dashboard = public.at(&format!("/dashboard/?{}", query.finish()));
        let unsubscribe = public.at(&subscription.unsubscribe_path());
        let report = Report {
            site,
            rhythm: subscription.rhythm,
            period,
            language: *language,
            figures: &figures,
            is_test,
            dashboard: &dashboard,
            unsubscribe: &unsubscribe,
        };
        Ok(Letter {
            to: subscription.recipient.clone(),
            subject: report.subject(),
            text: report.text(),
            html: report.html(),
            // The same of each attempt, so that a mailbox that gets two of them can tell.
            id: format!("{}.{}", subscription.id, period.name),
            at: (self.clock)(),
            unsubscribe,
        })
    }
}

/// Takes an attempt, makes it, and says how it ended. Fails if the lake cannot say whose it is.
async fn send_once(
    lake: &Lake,
    smtp: &Smtp,
    subscription: &Subscription,
    period: &Period,
    attempt: u32,
    letter: &Letter,
) -> anyhow::Result<()> {
    let (id, name) = (&subscription.id, &period.name);
    if !lake.take_mail(id, name, attempt).await? {
        return Ok(());
    }
    let (state, reason) = match smtp.send(letter).await {
        Ok(()) => (MailState::Sent, String::new()),
        Err(NotSent::Failed { reason }) => (MailState::Failed, reason),
        Err(NotSent::Refused { reason }) => (MailState::Refused, reason),
        Err(NotSent::Unknown { reason }) => (MailState::Unknown, reason),
    };
    metrics::counter!("dewpond_emails_total", "outcome" => state.name()).increment(1);
    match state {
        MailState::Sent => tracing::info!(site = subscription.site, period = name, "sent a report by e-mail"),
        _ => {
            tracing::warn!(site = subscription.site, period = name, attempt, reason, "a report was not sent by e-mail")
        }
    }
    if let Err(error) = lake.end_mail(id, name, attempt, state, &reason).await {
        // Then nobody sends it again, as if this process had died.
        tracing::error!(
            site = subscription.site,
            period = name,
            "could not note how a mail ended: {}",
            whole_text(&error)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_failed_for_sure_is_sent_again() {
        let now: DateTime<Utc> = "2026-03-09T12:00:00Z".parse().unwrap();
        assert_eq!(next(None, now), Next::Attempt(1));
        for (state, attempt, minutes_ago, expected) in [
            (MailState::Sent, 1, 0, Next::Done),
            (MailState::Refused, 1, 600, Next::Done),
            (MailState::Unknown, 1, 600, Next::Done),
            // Whoever took it may be dead, and may have sent it.
            (MailState::Taken, 1, 0, Next::Wait),
            (MailState::Taken, 1, 6_000, Next::Wait),
            (MailState::Failed, 1, 9, Next::Wait),
            (MailState::Failed, 1, 10, Next::Attempt(2)),
            (MailState::Failed, 5, 159, Next::Wait),
            (MailState::Failed, 5, 160, Next::Attempt(6)),
            (MailState::Failed, 6, 6_000, Next::Done),
        ] {
            let mail = Mail { period: "2026-W10".into(), attempt, state, at: now - TimeDelta::minutes(minutes_ago) };
            assert_eq!(next(Some(&mail), now), expected, "{state:?} {attempt} {minutes_ago}");
        }
    }
}
