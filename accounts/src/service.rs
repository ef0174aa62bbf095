//! What requests are put to: the lake's people and sign-ins, as fresh as they need to be.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lake::{Accounts, AuditEntry, Lake, whole_text};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::actor::Actor;
use crate::attempts::Attempts;
use crate::error::AccountsError;
use crate::passwords::Passwords;
use crate::signed::SignedIn;

/// For how long people and tokens are believed. What another server ends works no longer than this.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// Tokens that are remembered at most.
const TOKENS_MAX: usize = 10_000;

/// Refusals that one process writes into the audit log in an hour. Whoever is nobody may not fill the lake.
const REFUSALS_PER_HOUR: u32 = 1_000;

/// Who asks, beside what he brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Where the request came from, if that is known.
    pub address: Option<String>,
    /// With what, as it names itself.
    pub user_agent: String,
}

impl Client {
    /// Whoever tries something without saying who he is, told apart by where he comes from alone.
    pub(crate) fn nobody(&self, tries: &str) -> String {
        format!("{tries} {}", self.address.as_deref().unwrap_or_default())
    }
}

/// People, organisations and sign-ins of one lake.
pub struct Service {
    pub(crate) lake: Lake,
    pub(crate) passwords: Passwords,
    pub(crate) attempts: Mutex<Attempts>,
    known: Mutex<Known>,
    refusals: Mutex<(i64, u32)>,
}

#[derive(Default)]
struct Known {
    accounts: Option<(Instant, Arc<Accounts>)>,
    tokens: HashMap<blake3::Hash, (Instant, SignedIn)>,
}

/// What goes into the audit log.
pub(crate) struct Deed<'a> {
    pub(crate) action: &'a str,
    pub(crate) organisation: Option<&'a str>,
    pub(crate) target: Option<&'a str>,
    pub(crate) is_done: bool,
}

impl Service {
    /// The people of `lake`, of whom none is read yet.
    pub fn new(lake: Lake) -> Self {
        Self {
            lake,
            passwords: Passwords::new(),
            attempts: Mutex::default(),
            known: Mutex::default(),
            refusals: Mutex::default(),
        }
    }

    /// The lake.
    pub fn lake(&self) -> &Lake {
        &self.lake
    }

    /// How many passwords were hashed so far.
    pub fn hashed(&self) -> u64 {
        self.passwords.hashed()
    }

    /// The people and organisations, a few seconds old at most.
    pub async fn accounts(&self) -> Result<Arc<Accounts>, AccountsError> {
        if let Some((read_at, accounts)) = &self.known.lock().accounts
            && read_at.elapsed() < FRESH_FOR
        {
            return Ok(accounts.clone());
        }
        self.accounts_now().await
    }

    /// The people and organisations as they are now.
    pub async fn accounts_now(&self) -> Result<Arc<Accounts>, AccountsError> {
        let read_at = Instant::now();
        let accounts = self.lake.accounts().await?;
        self.known.lock().accounts = Some((read_at, accounts.clone()));
        Ok(accounts)
    }

    /// Changes people and organisations.
    pub(crate) async fn change<R>(
        &self,
        change: impl FnMut(&mut Accounts) -> Result<R, AccountsError>,
    ) -> Result<R, AccountsError> {
        let outcome = self.lake.change_accounts(change).await;
        // Also if it failed: nobody knows then what is there.
        self.known.lock().accounts = None;
        outcome
    }

    pub(crate) fn known_token(&self, token: &blake3::Hash) -> Option<SignedIn> {
        let known = self.known.lock();
        let (read_at, signed_in) = known.tokens.get(token)?;
        (read_at.elapsed() < FRESH_FOR).then(|| signed_in.clone())
    }

    pub(crate) fn remember_token(&self, token: blake3::Hash, read_at: Instant, signed_in: SignedIn) {
        let tokens = &mut self.known.lock().tokens;
        if tokens.len() >= TOKENS_MAX {
            tokens.retain(|_, (read_at, _)| read_at.elapsed() < FRESH_FOR);
        }
        if tokens.len() < TOKENS_MAX {
            tokens.insert(token, (read_at, signed_in));
        }
    }

    /// Forgets what was known of tokens, after a sign-in has ended here.
    pub(crate) fn forget_tokens(&self) {
        self.known.lock().tokens.clear();
    }

    /// Writes into the audit log. What was done stays done if that fails; the server's log says so then.
    pub(crate) async fn audit(&self, actor: &Actor, deed: Deed<'_>, client: &Client, now: DateTime<Utc>) {
        self.audit_of(actor.user_id(), actor.email(), deed, client, now).await;
    }

    pub(crate) async fn audit_of(
        &self,
        user_id: Option<&str>,
        email: Option<&str>,
        deed: Deed<'_>,
        client: &Client,
        now: DateTime<Utc>,
    ) {
        if !deed.is_done && !self.may_note_refusal(now) {
            return;
        }
        let entry = AuditEntry {
            id: self.lake.new_id(),
            at: now,
            organisation: deed.organisation.map(str::to_owned),
            user_id: user_id.map(str::to_owned),
            email: email.map(|email| email.chars().take(254).collect()),
            action: deed.action.to_owned(),
            target: deed.target.map(str::to_owned),
            outcome: if deed.is_done { "done" } else { "refused" }.to_owned(),
            user_agent: Some(client.user_agent.clone()).filter(|agent| !agent.is_empty()),
        };
        if let Err(error) = self.lake.audit(&entry).await {
            tracing::error!(action = deed.action, "could not write into the audit log: {}", whole_text(&error));
        }
    }

    fn may_note_refusal(&self, now: DateTime<Utc>) -> bool {
        let hour = now.timestamp().div_euclid(3_600);
        let mut refusals = self.refusals.lock();
        if refusals.0 != hour {
            *refusals = (hour, 0);
        }
        refusals.1 += 1;
        refusals.1 <= REFUSALS_PER_HOUR
    }

    /// Notes something that was done to a site or a key, which other rooms do.
    ///
    /// - `action`: what, such as `site.add`.
    /// - `target`: to what.
    pub async fn note(
        &self,
        actor: &Actor,
        action: &str,
        organisation: Option<&str>,
        target: &str,
        client: &Client,
        now: DateTime<Utc>,
    ) {
        let deed = Deed { action, organisation, target: Some(target), is_done: true };
        self.audit(actor, deed, client, now).await;
    }

    /// Notes that somebody wants no more mails, who has shown by their link alone that he gets them.
    pub async fn note_unsubscribed(
        &self,
        organisation: Option<&str>,
        report: &str,
        client: &Client,
        now: DateTime<Utc>,
    ) {
        let deed = Deed { action: "email-reports.unsubscribe", organisation, target: Some(report), is_done: true };
        self.audit_of(None, None, deed, client, now).await;
    }
}
