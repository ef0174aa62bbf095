//! Passkeys of people: as the only thing that signs somebody in, and as a second thing beside a password.
//!
//! What a device is asked is kept until it answers, once, for five minutes; so any server of the lake may hear the answer.

use chrono::{DateTime, TimeDelta, Utc};
use lake::{Accounts, Passkey, User};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::actor::Actor;
use crate::emails;
use crate::error::{AccountsError, conflict, invalid, not_found};
use crate::service::{Client, Deed, Service};
use crate::sign_ins::{no_person, user_mut};
use crate::signed::Signed;
use crate::webauthn::{self, Challenge, Key};

const ANSWERED_WITHIN: TimeDelta = TimeDelta::minutes(5);

/// Passkeys of one person.
const PASSKEYS_MAX: usize = 20;

const REFUSED: AccountsError = AccountsError::NotSignedIn { reason: "the passkey does not sign you in: try again" };

/// What a device was asked, as it is kept.
#[derive(Serialize, Deserialize)]
struct Question {
    challenge: String,
    rp_id: String,
    /// The person, if it is known who answers.
    user_id: Option<String>,
    purpose: Purpose,
    until: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Purpose {
    /// A new passkey.
    Add,
    /// A passkey instead of a password.
    Only,
    /// A passkey beside a password, which was right.
    Second,
}

/// A question for a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// What the answer names it by.
    pub id: String,
    /// What the page gives to `navigator.credentials`.
    pub public_key: Value,
}

impl Service {
    /// Asks for a new passkey.
    ///
    /// - `rp_id`: the host of the page.
    pub async fn ask_for_new_passkey(
        &self,
        actor: &Actor,
        rp_id: &str,
        now: DateTime<Utc>,
    ) -> Result<Asked, AccountsError> {
        let accounts = self.accounts_now().await?;
        let user = actor.user_id().and_then(|id| accounts.user(id)).ok_or_else(no_person)?;
        let (id, challenge) = self.keep(rp_id, Some(&user.id), Purpose::Add, now).await?;
        let known: Vec<&str> = user.passkeys.iter().map(|passkey| &*passkey.id).collect();
        let asked = Challenge { challenge: &challenge, rp_id, verifies_user: true };
        Ok(Asked { id, public_key: webauthn::creation(asked, &user.id, &user.email, &user.name, &known) })
    }

    /// Keeps a new passkey.
    pub async fn add_passkey(
        &self,
        actor: &Actor,
        question: &str,
        name: &str,
        credential: &Value,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<Passkey, AccountsError> {
        let user_id = actor.user_id().ok_or_else(no_person)?;
        let name = emails::name(name).map_err(invalid)?;
        let asked = self.take(question, now).await?;
        let is_theirs = |asked: &Question| asked.purpose == Purpose::Add && asked.user_id.as_deref() == Some(user_id);
        let asked = asked.filter(is_theirs).ok_or_else(|| invalid("nothing of the kind was asked, or too long ago"))?;
        let (id, key) = webauthn::created(asked.challenge(true), credential).map_err(invalid)?;
        let key = serde_json::to_value(key).expect("a key is plain data");
        let passkey = Passkey { id, name, created_at: now, key };
        self.change(|accounts| {
            if find(accounts, &passkey.id).is_some() {
                return Err(conflict("the passkey is known already"));
            }
            let user = user_mut(accounts, user_id)?;
            if user.passkeys.len() >= PASSKEYS_MAX {
                return Err(conflict(format!("one person has at most {PASSKEYS_MAX} passkeys: remove one first")));
            }
            user.passkeys.push(passkey.clone());
            Ok(())
        })
        .await?;
        let deed = Deed { action: "passkey.add", organisation: None, target: Some(&passkey.id), is_done: true };
        self.audit(actor, deed, client, now).await;
        Ok(passkey)
    }

    /// Removes a passkey. The last one stays if nothing else signs the person in.
    pub async fn remove_passkey(
        &self,
        actor: &Actor,
        id: &str,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<(), AccountsError> {
        let user_id = actor.user_id().ok_or_else(no_person)?;
        self.change(|accounts| {
            let user = user_mut(accounts, user_id)?;
            let before = user.passkeys.len();
            user.passkeys.retain(|passkey| passkey.id != id);
            if user.passkeys.len() == before {
                return Err(not_found("you have no such passkey"));
            }
            if user.passkeys.is_empty() && user.password.is_none() && user.identities.is_empty() {
                return Err(conflict("nothing else signs you in: set a password first"));
            }
            user.passkey_required &= !user.passkeys.is_empty();
            Ok(())
        })
        .await?;
        let deed = Deed { action: "passkey.remove", organisation: None, target: Some(id), is_done: true };
        self.audit(actor, deed, client, now).await;
        Ok(())
    }

    /// Asks for a passkey of whoever it may be. The question tells nothing of who there is.
    pub async fn ask_for_passkey(&self, rp_id: &str, now: DateTime<Utc>) -> Result<Asked, AccountsError> {
        let (id, challenge) = self.keep(rp_id, None, Purpose::Only, now).await?;
        let asked = Challenge { challenge: &challenge, rp_id, verifies_user: true };
        Ok(Asked { id, public_key: webauthn::request(asked, &[]) })
    }

    /// Asks for a passkey of somebody whose password was right.
    pub async fn ask_for_second(&self, user: &User, rp_id: &str, now: DateTime<Utc>) -> Result<Asked, AccountsError> {
        let (id, challenge) = self.keep(rp_id, Some(&user.id), Purpose::Second, now).await?;
        let known: Vec<&str> = user.passkeys.iter().map(|passkey| &*passkey.id).collect();
        let asked = Challenge { challenge: &challenge, rp_id, verifies_user: false };
        Ok(Asked { id, public_key: webauthn::request(asked, &known) })
    }

    /// Signs in whoever's device answers. Fails in the same words whatever is wrong.
    pub async fn sign_in_by_passkey(
        &self,
        question: &str,
        credential: &Value,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<Signed, AccountsError> {
        // Nobody says yet who he is, so that whoever fails keeps only himself waiting.
        let nobody = client.nobody("passkey");
        let begun = self.attempts.lock().begin(&nobody, client.address.as_deref(), now);
        begun.map_err(|retry_after_s| AccountsError::TooMany { retry_after_s })?;
        let asked = self.take(question, now).await?.filter(|asked| asked.purpose != Purpose::Add).ok_or(REFUSED)?;
        let accounts = self.accounts_now().await?;
        let (user, passkey) = credential["id"].as_str().and_then(|id| find(&accounts, id)).ok_or(REFUSED)?;
        let is_theirs = asked.user_id.as_deref().is_none_or(|expected| expected == user.id);
        let key: Key = serde_json::from_value(passkey.key.clone()).map_err(|_| REFUSED)?;
        let challenge = asked.challenge(asked.purpose == Purpose::Only);
        if !is_theirs || webauthn::check_signed(challenge, credential, &key).is_err() {
            let deed = Deed { action: "sign_in.passkey", organisation: None, target: None, is_done: false };
            self.audit_of(Some(&user.id), Some(&user.email), deed, client, now).await;
            return Err(REFUSED);
        }
        self.attempts.lock().succeeded(&nobody, client.address.as_deref());
        self.sign_in_user(user.clone(), "sign_in.passkey", client, now).await
    }

    async fn keep(
        &self,
        rp_id: &str,
        user_id: Option<&str>,
        purpose: Purpose,
        now: DateTime<Utc>,
    ) -> Result<(String, String), AccountsError> {
        let (id, challenge) = (self.lake.new_id(), self.lake.new_secret(""));
        let question = Question {
            challenge: challenge.clone(),
            rp_id: rp_id.to_owned(),
            user_id: user_id.map(str::to_owned),
            purpose,
            until: now + ANSWERED_WITHIN,
        };
        self.lake.keep_question(&id, serde_json::to_vec(&question).expect("a question is plain data")).await?;
        Ok((id, challenge))
    }

    /// What was asked, if it was and waits for an answer. Nobody else gets it then.
    async fn take(&self, id: &str, now: DateTime<Utc>) -> Result<Option<Question>, AccountsError> {
        let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Some(bytes) = (match is_id {
            true => self.lake.take_question(id).await?,
            false => None,
        }) else {
            return Ok(None);
        };
        let question: Option<Question> = serde_json::from_slice(&bytes).ok();
        Ok(question.filter(|question| now < question.until))
    }
}

impl Question {
    fn challenge(&self, verifies_user: bool) -> Challenge<'_> {
        Challenge { challenge: &self.challenge, rp_id: &self.rp_id, verifies_user }
    }
}

fn find<'a>(accounts: &'a Accounts, id: &str) -> Option<(&'a User, &'a Passkey)> {
    let mut all = accounts.users.iter().flat_map(|user| user.passkeys.iter().map(move |passkey| (user, passkey)));
    all.find(|(_, passkey)| passkey.id == id)
}

#[cfg(test)]
mod tests {
    use lake::Lake;

    use super::*;
    use crate::people::NewPerson;
    use crate::webauthn::device::Device;

    const HOST: &str = "dewpond.example";
    const PASSWORD: &str = "correct horse battery";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn challenge(asked: &Asked) -> &str {
        asked.public_key["challenge"].as_str().unwrap()
    }

    async fn ada() -> (Service, Actor, Device) {
        let service = Service::new(Lake::open("memory:///", []).unwrap());
        let new = NewPerson { email: "ada@example.com".into(), name: None, password: Some(PASSWORD.into()) };
        let user = service.register_first(new, None, &Client::default(), at(0)).await.unwrap().user;
        let ada = Actor::Person { user_id: user.id, email: user.email };
        let device = Device::new(false, HOST);
        let asked = service.ask_for_new_passkey(&ada, HOST, at(0)).await.unwrap();
        let answer = device.create(challenge(&asked));
        service.add_passkey(&ada, &asked.id, "Phone", &answer, &Client::default(), at(1)).await.unwrap();
        let again = service.add_passkey(&ada, &asked.id, "Phone", &answer, &Client::default(), at(1)).await;
        assert!(matches!(again, Err(AccountsError::Invalid { .. })), "a question is answered once");
        (service, ada, device)
    }

    #[tokio::test]
    async fn a_passkey_alone_signs_in_once_for_each_question() {
        let (service, _, device) = ada().await;
        let client = Client::default();
        let asked = service.ask_for_passkey(HOST, at(2)).await.unwrap();
        assert_eq!(asked.public_key["allowCredentials"], serde_json::json!([]), "it does not say who there is");
        let answer = device.sign(challenge(&asked));
        let signed = service.sign_in_by_passkey(&asked.id, &answer, &client, at(3)).await.unwrap();
        assert_eq!(signed.user.email, "ada@example.com");
        let late = service.ask_for_passkey(HOST, at(2)).await.unwrap();
        let of_nobody = service.ask_for_passkey(HOST, at(2)).await.unwrap();
        let mut unknown = device.sign(challenge(&of_nobody));
        unknown["id"] = "bm9ib2R5".into();
        for (id, answer, second) in [
            (&asked.id, answer, 4),
            (&late.id, device.sign(challenge(&late)), 302),
            (&of_nobody.id, unknown, 4),
            (&"0".repeat(32), device.sign("x"), 4),
            (&"../../registry".to_owned(), device.sign("x"), 4),
        ] {
            let refused = service.sign_in_by_passkey(id, &answer, &client, at(second)).await.unwrap_err();
            assert_eq!(refused.to_string(), REFUSED.to_string());
        }
    }

    #[tokio::test]
    async fn whoever_demands_a_passkey_is_not_signed_in_by_a_password_alone() {
        let (service, ada, device) = ada().await;
        let client = Client::default();
        service.change_profile(&ada, None, Some(true)).await.unwrap();
        let user = service.sign_in("ada@example.com", PASSWORD, &client, at(2)).await.unwrap().unwrap_err();
        let asked = service.ask_for_second(&user, HOST, at(2)).await.unwrap();
        let forged = Device::new(false, HOST).sign(challenge(&asked));
        assert!(service.sign_in_by_passkey(&asked.id, &forged, &client, at(3)).await.is_err());
        let asked = service.ask_for_second(&user, HOST, at(2)).await.unwrap();
        let answer = device.sign(challenge(&asked));
        assert!(service.sign_in_by_passkey(&asked.id, &answer, &client, at(3)).await.is_ok());
        // With the last passkey the demand goes.
        let id = service.accounts_now().await.unwrap().users[0].passkeys[0].id.clone();
        service.remove_passkey(&ada, &id, &client, at(4)).await.unwrap();
        assert!(service.sign_in("ada@example.com", PASSWORD, &client, at(5)).await.unwrap().is_ok());
    }
}
