//! People whom somebody else vouches for: a company's provider says who they are, and this room who that is here.
//!
//! | Who comes | What happens |
//! |---|---|
//! | somebody whom the provider vouched for before | he signs in |
//! | somebody with an address that nobody has | he joins the provider's organisation, if there is one |
//! | somebody with an address of a person who has no other way to sign in | he is that person from now on |
//! | somebody with an address of a person who has a password or a passkey | he signs in by that first, and connects the two |
//!
//! Dewpond sends no mail to new people, so nobody has shown that an address of an account is his. Whoever registered somebody
//! else's would stay in that person's account if it were connected by the address alone.

use chrono::{DateTime, Utc};
use lake::{Accounts, Member, Role, User};

use crate::emails;
use crate::error::{AccountsError, conflict, invalid, not_found};
use crate::people::{NewPerson, check_room};
use crate::service::{Client, Deed, Service};
use crate::sign_ins::user_mut;
use crate::signed::Signed;

/// Who somebody is, as a provider says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Which provider.
    pub issuer: String,
    /// Its name for the person, which never changes.
    pub subject: String,
    /// The person's address.
    pub email: Option<String>,
    /// Whether the provider knows that it is the person's.
    pub is_email_verified: bool,
    /// The person's name.
    pub name: Option<String>,
}

/// Whom a provider may vouch for, and what they become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The domains of addresses, in lower case; `None` for all.
    pub domains: Option<Vec<String>>,
    /// The organisation that new people join, by id or name; `None` if nobody new comes.
    pub organisation: Option<String>,
    /// What they are there.
    pub role: Role,
}

/// Who an identity is here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// A person of this id, whom the provider vouched for before.
    Known(String),
    /// A person of this id, who has no other way to sign in.
    Waiting(String),
    /// Nobody yet.
    New,
}

/// The address that a provider vouches for, if it may.
fn vouched(identity: &Identity, admission: &Admission) -> Result<String, AccountsError> {
    let refused = |reason: &str| AccountsError::MayNot { reason: reason.to_owned() };
    let email = identity.email.as_deref().ok_or_else(|| refused("the provider does not say your e-mail address"))?;
    let email = emails::email(email).map_err(invalid)?;
    if !identity.is_email_verified {
        return Err(refused("the provider has not made sure that the e-mail address is yours"));
    }
    let domain = email.split_once('@').map_or("", |(_, domain)| domain);
    match &admission.domains {
        Some(domains) if !domains.iter().any(|allowed| allowed == domain) => {
            Err(refused(&format!("addresses of {domain} do not sign in this way")))
        }
        _ => Ok(email),
    }
}

fn find(accounts: &Accounts, identity: &Identity, email: &str) -> Result<Found, AccountsError> {
    if let Some(user) = accounts.users.iter().find(|user| has(user, identity)) {
        return Ok(Found::Known(user.id.clone()));
    }
    match accounts.user_of_email(email) {
        None => Ok(Found::New),
        Some(user) if user.password.is_none() && user.passkeys.is_empty() && user.identities.is_empty() => {
            Ok(Found::Waiting(user.id.clone()))
        }
        Some(_) => Err(conflict(
            "there is an account of your e-mail address already: sign in to it, and connect the two on the page Account",
        )),
    }
}

fn has(user: &User, identity: &Identity) -> bool {
    user.identities.iter().any(|(issuer, subject)| *issuer == identity.issuer && *subject == identity.subject)
}

impl Service {
    /// Signs somebody in whom a provider vouches for. See [the table](self).
    ///
    /// Fails with [`AccountsError::MayNot`] for whom it may not vouch for, and with [`AccountsError::Conflict`] if the address
    /// is that of an account which is entered otherwise.
    pub async fn sign_in_by_provider(
        &self,
        identity: &Identity,
        admission: &Admission,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<Signed, AccountsError> {
        let signed = self.vouch(identity, admission, client, now).await;
        if let Err(AccountsError::MayNot { .. } | AccountsError::Conflict { .. }) = &signed {
            let deed = Deed { action: "sign_in.provider", organisation: None, target: None, is_done: false };
            self.audit_of(None, identity.email.as_deref(), deed, client, now).await;
        }
        signed
    }

    async fn vouch(
        &self,
        identity: &Identity,
        admission: &Admission,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<Signed, AccountsError> {
        let email = vouched(identity, admission)?;
        let accounts = self.accounts_now().await?;
        let user = match find(&accounts, identity, &email)? {
            Found::Known(id) => accounts.user(&id).cloned().expect("it was found there"),
            Found::Waiting(_) | Found::New => {
                let name = identity.name.clone().filter(|name| emails::name(name).is_ok());
                let new = self.new_user(NewPerson { email: email.clone(), name, password: None }, now).await?;
                let (user, joined) = self
                    .change(|accounts| {
                        // Somebody may have been faster.
                        match find(accounts, identity, &email)? {
                            Found::Known(id) => Ok((user_mut(accounts, &id)?.clone(), None)),
                            Found::Waiting(id) => {
                                let user = user_mut(accounts, &id)?;
                                user.identities.push((identity.issuer.clone(), identity.subject.clone()));
                                Ok((user.clone(), None))
                            }
                            Found::New => join(accounts, new.clone(), identity, admission, now),
                        }
                    })
                    .await?;
                if joined.is_some() {
                    self.note_registered(&user, joined.as_deref(), client, now).await;
                }
                user
            }
        };
        self.sign_in_user(user, "sign_in.provider", client, now).await
    }

    /// Lets somebody who is signed in sign in by a provider from now on.
    ///
    /// Fails with [`AccountsError::Conflict`] if the provider vouches for somebody else here by that identity.
    pub async fn connect_identity(
        &self,
        user_id: &str,
        identity: &Identity,
        admission: &Admission,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<User, AccountsError> {
        vouched(identity, admission)?;
        let user = self
            .change(|accounts| {
                if accounts.users.iter().any(|other| other.id != user_id && has(other, identity)) {
                    return Err(conflict("somebody else signs in this way with that account of the provider"));
                }
                let user = user_mut(accounts, user_id)?;
                // One account of a provider at a time.
                user.identities.retain(|(issuer, _)| *issuer != identity.issuer);
                user.identities.push((identity.issuer.clone(), identity.subject.clone()));
                Ok(user.clone())
            })
            .await?;
        let deed = Deed { action: "identity.add", organisation: None, target: Some(&user.id), is_done: true };
        self.audit_of(Some(&user.id), Some(&user.email), deed, client, now).await;
        Ok(user)
    }

    /// Ends that somebody signs in by a provider.
    ///
    /// Fails with [`AccountsError::Invalid`] if there would be no way to sign in.
    pub async fn disconnect_identity(
        &self,
        user_id: &str,
        issuer: &str,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<User, AccountsError> {
        let user = self
            .change(|accounts| {
                let user = user_mut(accounts, user_id)?;
                let before = user.identities.len();
                user.identities.retain(|(known, _)| known != issuer);
                if user.identities.len() == before {
                    return Err(not_found("your account is not connected with that provider"));
                }
                if user.password.is_none() && user.passkeys.is_empty() && user.identities.is_empty() {
                    return Err(invalid("add a passkey or a password first: you could not sign in any more"));
                }
                Ok(user.clone())
            })
            .await?;
        let deed = Deed { action: "identity.remove", organisation: None, target: Some(&user.id), is_done: true };
        self.audit_of(Some(&user.id), Some(&user.email), deed, client, now).await;
        Ok(user)
    }
}

/// Adds somebody new to the organisation of a provider.
fn join(
    accounts: &mut Accounts,
    mut user: User,
    identity: &Identity,
    admission: &Admission,
    now: DateTime<Utc>,
) -> Result<(User, Option<String>), AccountsError> {
    check_room(accounts)?;
    let named = admission.organisation.as_deref().ok_or_else(|| AccountsError::MayNot {
        reason: "there is no account of your e-mail address: ask for an invitation".to_owned(),
    })?;
    let found = accounts.organisations.iter_mut().find(|one| one.id == named || one.name == named);
    let organisation = found.ok_or_else(|| {
        conflict(format!("there is no organisation {named}, which new people join: whoever runs this server can help"))
    })?;
    user.identities = vec![(identity.issuer.clone(), identity.subject.clone())];
    organisation.members.push(Member { user_id: user.id.clone(), role: admission.role, joined_at: now });
    organisation.version += 1;
    let joined = organisation.id.clone();
    accounts.users.push(user.clone());
    Ok((user, Some(joined)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(email: &str, is_email_verified: bool) -> Identity {
        Identity {
            issuer: "https://login.example.com".into(),
            subject: "1".into(),
            email: Some(email.into()),
            is_email_verified,
            name: None,
        }
    }

    #[test]
    fn a_provider_vouches_for_verified_addresses_of_its_domains() {
        let of = |domains: Option<&[&str]>| Admission {
            domains: domains.map(|domains| domains.iter().map(|domain| (*domain).to_owned()).collect()),
            organisation: None,
            role: Role::Viewer,
        };
        for (email, is_verified, domains, expected) in [
            ("Ada@Example.com", true, Some(&["example.com"][..]), Ok("ada@example.com")),
            ("ada@example.com", true, None, Ok("ada@example.com")),
            ("ada@example.com", false, None, Err("has not made sure")),
            ("ada@example.org", true, Some(&["example.com"]), Err("addresses of example.org")),
            ("ada@sub.example.com", true, Some(&["example.com"]), Err("addresses of sub.example.com")),
            ("ada@evilexample.com", true, Some(&["example.com"]), Err("addresses of evilexample.com")),
            ("ada@example.com@evil.example", true, Some(&["example.com"]), Err("no e-mail address")),
            ("ada", true, None, Err("no e-mail address")),
        ] {
            let found = vouched(&identity(email, is_verified), &of(domains)).map_err(|error| error.to_string());
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(words), Err(expected)) => assert!(words.contains(expected), "{email}: {words}"),
                (found, expected) => panic!("{email}: {found:?}, not {expected:?}"),
            }
        }
        let silent = Identity { email: None, ..identity("", true) };
        assert!(vouched(&silent, &of(None)).is_err());
    }
}
