//! Which mails were sent, so that none is sent twice, whoever sends and whenever he dies.
//!
//! A mail is sent in attempts. Whoever makes one first creates an object, which only one can, and says by another how it
//! ended. If it failed for sure, the next attempt may be made; if nothing says how it ended, nobody knows, and there is no
//! other: a mail too few is better than one twice. Beside the registry's documents these objects expire.

use chrono::{DateTime, TimeDelta, Utc};
use object_store::{ObjectMeta, ObjectStoreExt};

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::layout::MAILS_DIR;

/// Longer than the longest period, and its year.
const KEPT_FOR: TimeDelta = TimeDelta::days(400);

/// How an attempt began.
const TAKEN: &str = "taken";

/// How an attempt to send a mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailState {
    /// Somebody sends it, or died while he did.
    Taken,
    /// A mail server has it.
    Sent,
    /// It was not sent; another attempt may.
    Failed,
    /// A mail server does not want it. Sending it again will not help.
    Refused,
    /// The connection broke while it was sent: whether the mail server has it, nobody knows.
    Unknown,
}

/// The newest attempt to send a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Of which period it is, as its sender names it.
    pub period: String,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// How it stands.
    pub state: MailState,
    /// Since when, by the store's clock.
    pub at: DateTime<Utc>,
}

impl MailState {
    const ENDED: [Self; 4] = [Self::Sent, Self::Failed, Self::Refused, Self::Unknown];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Taken => TAKEN,
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

impl Lake {
    /// The mails of a report that were begun: of each period the newest attempt, the newest period first.
    ///
    /// - `report`: 32 hexadecimal digits.
    pub async fn mails_of(&self, report: &str) -> Result<Vec<Mail>> {
        let mut mails: Vec<Mail> = vec![];
        for found in self.list(&format!("{MAILS_DIR}/{report}")).await?.iter().filter_map(mail_of) {
            // The end of an attempt says more than its beginning.
            let rank = |mail: &Mail| (mail.attempt, mail.state != MailState::Taken);
            match mails.iter_mut().find(|mail| mail.period == found.period) {
                Some(known) if rank(known) < rank(&found) => *known = found,
                Some(_) => {}
                None => mails.push(found),
            }
        }
        mails.sort_by(|a, b| b.period.cmp(&a.period));
        Ok(mails)
    }

    /// Takes an attempt at a mail. Returns whether it is the caller's: not if somebody else has it.
    pub async fn take_mail(&self, report: &str, period: &str, attempt: u32) -> Result<bool> {
        let path = self.path(&format!("{MAILS_DIR}/{report}/{period}/{attempt:03}-{TAKEN}"));
        let mark = self.new_uuid().to_string();
        self.create(&path, mark.into_bytes()).await
    }

    /// Says how an attempt ended, and why, in words.
    pub async fn end_mail(
        &self,
        report: &str,
        period: &str,
        attempt: u32,
        state: MailState,
        reason: &str,
    ) -> Result<()> {
        let path = self.path(&format!("{MAILS_DIR}/{report}/{period}/{attempt:03}-{}", state.name()));
        self.create(&path, reason.as_bytes().to_vec()).await.map(drop)
    }

    /// Why a mail stands as it does; empty if nobody has said it.
    pub async fn reason_of_mail(&self, report: &str, mail: &Mail) -> Result<String> {
        let Mail { period, attempt, state, .. } = mail;
        let path = self.path(&format!("{MAILS_DIR}/{report}/{period}/{attempt:03}-{}", state.name()));
        let read = async { self.store().get(&path).await?.bytes().await };
        match read.await {
            Ok(bytes) if *state != MailState::Taken => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(String::new()),
            Err(error) => Err(LakeError::store(format!("read {path}"), error)),
        }
    }

    /// Deletes what has expired. Returns how many objects.
    ///
    /// - `now`: by the store's clock.
    pub(crate) async fn delete_old_mails(&self, now: DateTime<Utc>) -> Result<usize> {
        let old = self.list(MAILS_DIR).await?.into_iter().filter(|object| now - object.last_modified > KEPT_FOR);
        let (deleted, _) = self.delete(old.map(|object| (object.location, object.size)).collect()).await?;
        Ok(deleted)
    }
}

fn mail_of(object: &ObjectMeta) -> Option<Mail> {
    let parts: Vec<String> = object.location.parts().map(|part| part.as_ref().to_owned()).collect();
    let [.., period, name] = parts.as_slice() else { return None };
    let (attempt, state) = name.split_once('-')?;
    let ended = MailState::ENDED.into_iter().find(|ended| ended.name() == state);
    let state = ended.or((state == TAKEN).then_some(MailState::Taken))?;
    Some(Mail { period: period.clone(), attempt: attempt.parse().ok()?, state, at: object.last_modified })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "0123456789abcdef0123456789abcdef";

    async fn states(lake: &Lake) -> Vec<(String, u32, MailState)> {
        let mails = lake.mails_of(REPORT).await.unwrap();
        mails.into_iter().map(|mail| (mail.period, mail.attempt, mail.state)).collect()
    }

    #[tokio::test]
    async fn of_two_who_send_a_mail_one_does() {
        let lake = Lake::open("memory:///", []).unwrap();
        let takes = (0..8).map(|_| lake.take_mail(REPORT, "2026-W10", 1));
        let taken = futures::future::join_all(takes).await;
        assert_eq!(taken.into_iter().filter(|taken| *taken.as_ref().unwrap()).count(), 1);
        assert_eq!(states(&lake).await, [("2026-W10".to_owned(), 1, MailState::Taken)]);
    }

    #[tokio::test]
    async fn the_newest_attempt_and_how_it_ended_count() {
        let lake = Lake::open("memory:///", []).unwrap();
        for (period, attempt, ended) in [
            ("2026-W09", 1, Some(MailState::Sent)),
            ("2026-W10", 1, Some(MailState::Failed)),
            ("2026-W10", 2, Some(MailState::Failed)),
            ("2026-W10", 3, None),
            ("2026-W11", 1, Some(MailState::Refused)),
            ("2026-W12", 1, Some(MailState::Unknown)),
        ] {
            assert!(lake.take_mail(REPORT, period, attempt).await.unwrap());
            if let Some(state) = ended {
                lake.end_mail(REPORT, period, attempt, state, "because").await.unwrap();
            }
        }
        let expected = [
            ("2026-W12", 1, MailState::Unknown),
            ("2026-W11", 1, MailState::Refused),
            ("2026-W10", 3, MailState::Taken),
            ("2026-W09", 1, MailState::Sent),
        ];
        let expected = expected.map(|(period, attempt, state)| (period.to_owned(), attempt, state));
        assert_eq!(states(&lake).await, expected);
        let mails = lake.mails_of(REPORT).await.unwrap();
        let reasons = [lake.reason_of_mail(REPORT, &mails[1]).await, lake.reason_of_mail(REPORT, &mails[2]).await];
        assert_eq!(reasons.map(|reason| reason.unwrap()), ["because", ""]);
        assert!(lake.mails_of("another").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_mail_of_last_year_is_forgotten() {
        let lake = Lake::open("memory:///", []).unwrap();
        lake.take_mail(REPORT, "2026-W10", 1).await.unwrap();
        let now = lake.store_now().await.unwrap();
        assert_eq!(lake.delete_old_mails(now + TimeDelta::days(399)).await.unwrap(), 0);
        assert_eq!(lake.delete_old_mails(now + TimeDelta::days(401)).await.unwrap(), 1);
    }
}
