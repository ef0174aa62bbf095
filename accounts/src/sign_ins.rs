//! Signing in, staying so, and signing out.
//!
//! The token that requests carry holds for an hour. The one that renews it is used once: whoever brings one that was used
//! is not alone with it, so the whole sign-in ends, for the thief and for the owner. But two tabs that renew in the same
//! moment are no theft: the slower is told to use what the faster got.

use chrono::{DateTime, TimeDelta, Utc};
use lake::{Accounts, SignIn, User};
use tokio::time::Instant;

use crate::actor::Actor;
use crate::emails;
use crate::error::{AccountsError, conflict, invalid, not_found};
use crate::service::{Client, Deed, Service};
use crate::signed::{Signed, SignedIn, Tokens};
use crate::tokens::{Claim, Purpose, has_hash, hash};

/// How long a token holds that requests carry.
const ACCESS_FOR: TimeDelta = TimeDelta::hours(1);

/// How long somebody stays signed in who does not come.
const REFRESH_FOR: TimeDelta = TimeDelta::days(30);

/// How long somebody stays signed in who comes.
const SIGNED_IN_FOR: TimeDelta = TimeDelta::days(90);

/// How long whoever opened a share with a password reads it.
const SHARE_FOR: TimeDelta = TimeDelta::hours(12);

/// Two who renew within so long are tabs of one browser.
const AT_ONCE: TimeDelta = TimeDelta::seconds(10);

const USER_AGENT_CHARACTERS_MAX: usize = 200;

/// The words for every sign-in that fails, whatever was wrong.
const WRONG: AccountsError = AccountsError::NotSignedIn { reason: "the e-mail address or the password is wrong" };

const SIGNED_OUT: AccountsError =
    AccountsError::NotSignedIn { reason: "you are not signed in any more: sign in again" };

impl Service {
    /// Signs somebody in who has a password. Of a person who needs a passkey, too, there are no tokens yet: `Err` holds the
    /// person then.
    ///
    /// Fails in the same words, and after the same work, for a person who is not there and for a wrong password.
    pub async fn sign_in(
        &self,
        email: &str,
        password: &str,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<Result<Signed, User>, AccountsError> {
        let user = self.check_password(email, password, client, now).await?;
        if user.passkey_required && !user.passkeys.is_empty() {
            return Ok(Err(user));
        }
        self.sign_in_user(user, "sign_in", client, now).await.map(Ok)
    }

    async fn check_password(
        &self,
        email: &str,
        password: &str,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<User, AccountsError> {
        // What is no address is nobody's, and takes the same way.
        let email = emails::email(email).unwrap_or_else(|_| email.chars().take(254).collect());
        let address = client.address.as_deref();
        let begun = self.attempts.lock().begin(&email, address, now);
        begun.map_err(|retry_after_s| AccountsError::TooMany { retry_after_s })?;
        let accounts = self.accounts_now().await?;
        let user = accounts.user_of_email(&email);
        let is_right = self.passwords.verify(password, user.and_then(|user| user.password.as_deref())).await?;
        match user {
            Some(user) if is_right => {
                self.attempts.lock().succeeded(&email, address);
                Ok(user.clone())
            }
            user => {
                let deed = Deed { action: "sign_in", organisation: None, target: None, is_done: false };
                self.audit_of(user.map(|user| &*user.id), Some(&email), deed, client, now).await;
                Err(WRONG)
            }
        }
    }

    /// Signs in somebody who has shown otherwise who he is.
    ///
    /// - `action`: how, for the audit log.
    pub async fn sign_in_user(
        &self,
        user: User,
        action: &str,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<Signed, AccountsError> {
        let sign_in = SignIn {
            subject: user.id.clone(),
            // Made here and never taken from a request, so nobody can be led into a sign-in that another knows.
            family: self.lake.new_id(),
            generation: 1,
            epoch: user.sign_in_epoch,
            access_hash: String::new(),
            refresh_hash: None,
            began_at: now,
            issued_at: now,
            access_until: now + ACCESS_FOR,
            refresh_until: now + REFRESH_FOR,
            user_agent: client.user_agent.chars().take(USER_AGENT_CHARACTERS_MAX).collect(),
        };
        let tokens = self.issue(sign_in, true).await?.ok_or(SIGNED_OUT)?;
        let deed = Deed { action, organisation: None, target: None, is_done: true };
        self.audit_of(Some(&user.id), Some(&user.email), deed, client, now).await;
        Ok(Signed { user, tokens })
    }

    /// Makes and keeps the tokens of a sign-in; `None` if there are others of this generation.
    async fn issue(&self, mut sign_in: SignIn, renews: bool) -> Result<Option<Tokens>, AccountsError> {
        let claim =
            Claim { subject: sign_in.subject.clone(), family: sign_in.family.clone(), generation: sign_in.generation };
        let access = claim.token(Purpose::Access, &self.lake.new_secret(""));
        let refresh = renews.then(|| claim.token(Purpose::Refresh, &self.lake.new_secret("")));
        sign_in.access_hash = hash(&access);
        sign_in.refresh_hash = refresh.as_deref().map(hash);
        let SignIn { access_until, refresh_until, .. } = sign_in;
        let kept = self.lake.keep_sign_in(&sign_in).await?;
        Ok(kept.then_some(Tokens { access, access_until, refresh, refresh_until }))
    }

    /// New tokens for one that renews.
    ///
    /// Fails with [`AccountsError::NotSignedIn`] if it is unknown, has expired or was used, and with
    /// [`AccountsError::Conflict`] if it was used just now.
    pub async fn refresh(&self, token: &str, client: &Client, now: DateTime<Utc>) -> Result<Signed, AccountsError> {
        let claim = Claim::read(token, Purpose::Refresh).ok_or(SIGNED_OUT)?;
        let Claim { subject, family, generation } = &claim;
        let sign_in = self.lake.sign_in(subject, family, *generation).await?.ok_or(SIGNED_OUT)?;
        if !sign_in.refresh_hash.as_deref().is_some_and(|kept| has_hash(token, kept)) {
            return Err(SIGNED_OUT);
        }
        let held = self.lake.held(subject, family).await?;
        let accounts = self.accounts_now().await?;
        let user = accounts.user(subject).filter(|user| user.sign_in_epoch == sign_in.epoch).ok_or(SIGNED_OUT)?;
        if held.ended || now >= sign_in.refresh_until || now >= sign_in.began_at + SIGNED_IN_FOR {
            return Err(SIGNED_OUT);
        }
        let at_once = || conflict("another request renewed it just now: go on with what that one got");
        if held.newest > *generation {
            let next = self.lake.sign_in(subject, family, generation + 1).await?;
            if next.is_some_and(|next| now - next.issued_at < AT_ONCE) {
                return Err(at_once());
            }
            self.lake.end_sign_in(subject, family).await?;
            self.forget_tokens();
            let deed = Deed { action: "sign_in.reuse", organisation: None, target: Some(family), is_done: false };
            self.audit_of(Some(&user.id), Some(&user.email), deed, client, now).await;
            return Err(SIGNED_OUT);
        }
        let next = SignIn {
            generation: generation + 1,
            issued_at: now,
            access_until: now + ACCESS_FOR,
            refresh_until: now + REFRESH_FOR,
            ..sign_in
        };
        let tokens = self.issue(next, true).await?.ok_or_else(at_once)?;
        Ok(Signed { user: user.clone(), tokens })
    }

    /// Who a token is of that a request carries; `None` if it is unknown or void.
    ///
    /// Fails with [`AccountsError::Lake`] if the store cannot say.
    pub async fn signed_in(&self, token: &str, now: DateTime<Utc>) -> Result<Option<SignedIn>, AccountsError> {
        let Some(claim) = Claim::read(token, Purpose::Access) else { return Ok(None) };
        let id = blake3::hash(token.as_bytes());
        let signed_in = match self.known_token(&id) {
            Some(signed_in) => signed_in,
            None => {
                let read_at = Instant::now();
                let Claim { subject, family, generation } = &claim;
                let found = self.lake.sign_in(subject, family, *generation).await?;
                let Some(found) = found.filter(|found| has_hash(token, &found.access_hash)) else { return Ok(None) };
                if self.lake.held(subject, family).await?.ended {
                    return Ok(None);
                }
                let SignIn { subject, family, epoch, access_until, .. } = found;
                let signed_in = SignedIn { subject, family, epoch, access_until };
                self.remember_token(id, read_at, signed_in.clone());
                signed_in
            }
        };
        Ok((now < signed_in.access_until).then_some(signed_in))
    }

    /// Ends one sign-in, by a token of either kind. One that is not there has ended.
    pub async fn sign_out(&self, token: &str, client: &Client, now: DateTime<Utc>) -> Result<(), AccountsError> {
        let purposes = [(Purpose::Access, false), (Purpose::Refresh, true)];
        for (purpose, renews) in purposes {
            let Some(Claim { subject, family, generation }) = Claim::read(token, purpose) else { continue };
            let Some(found) = self.lake.sign_in(&subject, &family, generation).await? else { continue };
            let kept = if renews { found.refresh_hash.as_deref() } else { Some(&*found.access_hash) };
            if !kept.is_some_and(|kept| has_hash(token, kept)) {
                continue;
            }
            self.lake.end_sign_in(&subject, &family).await?;
            self.forget_tokens();
            let deed = Deed { action: "sign_out", organisation: None, target: None, is_done: true };
            self.audit_of(Some(&subject), None, deed, client, now).await;
        }
        Ok(())
    }

    /// Ends all sign-ins of a person at once.
    pub async fn sign_out_everywhere(
        &self,
        actor: &Actor,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<(), AccountsError> {
        let user_id = actor.user_id().ok_or_else(no_person)?;
        self.change(|accounts| {
            user_mut(accounts, user_id)?.sign_in_epoch += 1;
            Ok(())
        })
        .await?;
        self.forget_tokens();
        let deed = Deed { action: "sign_out.everywhere", organisation: None, target: None, is_done: true };
        self.audit(actor, deed, client, now).await;
        Ok(())
    }

    /// Where a person is signed in, the newest first.
    pub async fn sign_ins(&self, user_id: &str, now: DateTime<Utc>) -> Result<Vec<SignIn>, AccountsError> {
        let accounts = self.accounts().await?;
        let epoch = accounts.user(user_id).map(|user| user.sign_in_epoch);
        let mut sign_ins = self.lake.sign_ins_of(user_id).await?;
        sign_ins
            .retain(|one| Some(one.epoch) == epoch && now < one.refresh_until && now < one.began_at + SIGNED_IN_FOR);
        Ok(sign_ins)
    }

    /// Ends one of a person's sign-ins.
    pub async fn end_sign_in(
        &self,
        actor: &Actor,
        family: &str,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<(), AccountsError> {
        let user_id = actor.user_id().ok_or_else(no_person)?;
        let is_one = self.sign_ins(user_id, now).await?.iter().any(|one| one.family == family);
        if !is_one {
            return Err(not_found("there is no such sign-in"));
        }
        self.lake.end_sign_in(user_id, family).await?;
        self.forget_tokens();
        let deed = Deed { action: "sign_out", organisation: None, target: Some(family), is_done: true };
        self.audit(actor, deed, client, now).await;
        Ok(())
    }

    /// Changes a password. All sign-ins end, and the person gets a new one.
    ///
    /// - `current`: the password so far; not needed by somebody who has none.
    pub async fn change_password(
        &self,
        actor: &Actor,
        current: Option<&str>,
        new: &str,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<Signed, AccountsError> {
        let user_id = actor.user_id().ok_or_else(no_person)?;
        let accounts = self.accounts_now().await?;
        let user = accounts.user(user_id).ok_or(SIGNED_OUT)?;
        let before = user.password.clone();
        if before.is_some() {
            let current = current.ok_or_else(|| invalid("send the current password, too"))?;
            // Whoever sits at somebody else's open browser may not guess on.
            self.check_password(&user.email, current, client, now).await?;
        }
        let hash = self.passwords.hash(new, self.new_salt()).await?;
        let user = self
            .change(|accounts| {
                let user = user_mut(accounts, user_id)?;
                if user.password != before {
                    return Err(conflict("the password was changed just now"));
                }
                user.password = Some(hash.clone());
                user.sign_in_epoch += 1;
                Ok(user.clone())
            })
            .await?;
        self.forget_tokens();
        let deed = Deed { action: "password.change", organisation: None, target: None, is_done: true };
        self.audit(actor, deed, client, now).await;
        self.sign_in_user(user, "sign_in", client, now).await
    }

    /// A token by which requests read a share, for whoever gave its password. Guesses are counted.
    ///
    /// - `hash`: of the password; `None` for a share that is not there, which takes as long to refuse.
    pub async fn open_share(
        &self,
        share_id: &str,
        password: &str,
        hash: Option<&str>,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<Tokens, AccountsError> {
        let address = client.address.as_deref();
        let begun = self.attempts.lock().begin(share_id, address, now);
        begun.map_err(|retry_after_s| AccountsError::TooMany { retry_after_s })?;
        if !self.passwords.verify(password, hash).await? {
            return Err(AccountsError::NotSignedIn { reason: "the password is wrong" });
        }
        self.attempts.lock().succeeded(share_id, address);
        let sign_in = SignIn {
            subject: share_id.to_owned(),
            family: self.lake.new_id(),
            generation: 1,
            epoch: 0,
            access_hash: String::new(),
            refresh_hash: None,
            began_at: now,
            issued_at: now,
            access_until: now + SHARE_FOR,
            refresh_until: now + SHARE_FOR,
            user_agent: String::new(),
        };
        self.issue(sign_in, false).await?.ok_or(SIGNED_OUT)
    }

    /// The hash of the password of a share.
    pub async fn hash_password(&self, password: &str) -> Result<String, AccountsError> {
        self.passwords.hash(password, self.new_salt()).await
    }

    pub(crate) fn new_salt(&self) -> uuid::Uuid {
        self.lake.new_id().parse().expect("an id is the digits of a UUID")
    }
}

pub(crate) fn no_person() -> AccountsError {
    AccountsError::MayNot { reason: "the operator is no person: sign in as one".to_owned() }
}

pub(crate) fn user_mut<'a>(accounts: &'a mut Accounts, user_id: &str) -> Result<&'a mut User, AccountsError> {
    accounts.users.iter_mut().find(|user| user.id == user_id).ok_or(SIGNED_OUT)
}
