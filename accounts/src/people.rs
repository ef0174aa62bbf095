//! How people come, and what they say of themselves.

use chrono::{DateTime, Utc};
use lake::{Accounts, Member, Role, User};

use crate::actor::Actor;
use crate::emails;
use crate::error::{AccountsError, conflict, invalid, not_found};
use crate::organisations::{new_organisation, take_invitation};
use crate::service::{Client, Deed, Service};
use crate::sign_ins::user_mut;
use crate::signed::Signed;

/// Organisations and people in one lake. All of them are in one document, which every change writes anew.
const PEOPLE_MAX: usize = 10_000;

/// Somebody who comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewPerson {
    /// The address, as it was typed.
    pub email: String,
    /// The name; what is before the `@` if there is none.
    pub name: Option<String>,
    /// The password; none of somebody who signs in by other means.
    pub password: Option<String>,
}

impl Service {
    /// The first person of all, who owns the first organisation.
    ///
    /// Fails with [`AccountsError::Conflict`] if there is somebody.
    pub async fn register_first(
        &self,
        new: NewPerson,
        organisation: Option<&str>,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<Signed, AccountsError> {
        let user = self.new_user(new, now).await?;
        let name = emails::name(organisation.unwrap_or("My organisation")).map_err(invalid)?;
        let id = self.lake.new_id();
        self.change(|accounts| {
            if !accounts.users.is_empty() {
                return Err(conflict("there is an owner already: ask for an invitation"));
            }
            accounts.users.push(user.clone());
            accounts.organisations.push(new_organisation(&id, &name, &user.id, now));
            Ok(())
        })
        .await?;
        self.note_registered(&user, Some(&id), client, now).await;
        self.sign_in_user(user, "sign_in", client, now).await
    }

    /// Somebody who was invited, and joins.
    pub async fn register_invited(
        &self,
        new: NewPerson,
        token: &str,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<Signed, AccountsError> {
        let nobody = client.nobody("register");
        let begun = self.attempts.lock().begin(&nobody, client.address.as_deref(), now);
        begun.map_err(|retry_after_s| AccountsError::TooMany { retry_after_s })?;
        // Before the password is hashed: whoever has no invitation shall not make work.
        self.look_at_invitation(token, now).await?;
        let user = self.new_user(new, now).await?;
        let organisation = self
            .change(|accounts| {
                if accounts.user_of_email(&user.email).is_some() {
                    return Err(conflict("you have an account already: sign in, and take the invitation then"));
                }
                check_room(accounts)?;
                let organisation = take_invitation(accounts, token, &user.id, &user.email, now)?;
                accounts.users.push(user.clone());
                Ok(organisation)
            })
            .await?;
        self.attempts.lock().succeeded(&nobody, client.address.as_deref());
        self.note_registered(&user, Some(&organisation), client, now).await;
        self.sign_in_user(user, "sign_in", client, now).await
    }

    /// Adds somebody, as the operator does. Without an organisation the person makes one.
    ///
    /// - `organisation`: its id or its name, and the role there.
    pub async fn add_person(
        &self,
        new: NewPerson,
        organisation: Option<(&str, Role)>,
        now: DateTime<Utc>,
    ) -> Result<User, AccountsError> {
        let user = self.new_user(new, now).await?;
        let id = self.lake.new_id();
        let joined = self
            .change(|accounts| {
                if accounts.user_of_email(&user.email).is_some() {
                    return Err(conflict(format!("there is an account of {} already", user.email)));
                }
                check_room(accounts)?;
                accounts.users.push(user.clone());
                let Some((named, role)) = organisation else {
                    accounts.organisations.push(new_organisation(&id, "My organisation", &user.id, now));
                    return Ok(id.clone());
                };
                let known: Vec<String> = accounts.organisations.iter().map(|one| one.name.clone()).collect();
                let found = accounts.organisations.iter_mut().find(|one| one.id == named || one.name == named);
                match found {
                    Some(found) => {
                        found.members.push(Member { user_id: user.id.clone(), role, joined_at: now });
                        found.version += 1;
                        Ok(found.id.clone())
                    }
                    None if role == Role::Owner => {
                        accounts.organisations.push(new_organisation(&id, named, &user.id, now));
                        Ok(id.clone())
                    }
                    None => Err(not_found(format!(
                        "there is no organisation {named}; there is {}. An owner makes a new one",
                        if known.is_empty() { "none yet".to_owned() } else { known.join(", ") }
                    ))),
                }
            })
            .await?;
        let client = Client::default();
        let deed = Deed { action: "user.add", organisation: Some(&joined), target: Some(&user.id), is_done: true };
        self.audit(&Actor::Operator, deed, &client, now).await;
        Ok(user)
    }

    /// Gives somebody another password, as the operator does for who forgot it. All sign-ins of the person end.
    pub async fn reset_password(&self, email: &str, password: &str, now: DateTime<Utc>) -> Result<User, AccountsError> {
        let email = emails::email(email).map_err(invalid)?;
        let hash = self.passwords.hash(password, self.new_salt()).await?;
        let user = self
            .change(|accounts| {
                let user = accounts.users.iter_mut().find(|user| user.email == email);
                let user = user.ok_or_else(|| not_found(format!("there is no account of {email}")))?;
                user.password = Some(hash.clone());
                user.sign_in_epoch += 1;
                Ok(user.clone())
            })
            .await?;
        self.forget_tokens();
        let deed = Deed { action: "password.reset", organisation: None, target: Some(&user.id), is_done: true };
        self.audit(&Actor::Operator, deed, &Client::default(), now).await;
        Ok(user)
    }

    pub(crate) async fn note_registered(
        &self,
        user: &User,
        organisation: Option<&str>,
        client: &Client,
        now: DateTime<Utc>,
    ) {
        let deed = Deed { action: "register", organisation, target: Some(&user.id), is_done: true };
        self.audit_of(Some(&user.id), Some(&user.email), deed, client, now).await;
    }

    pub(crate) async fn new_user(&self, new: NewPerson, now: DateTime<Utc>) -> Result<User, AccountsError> {
        let email = emails::email(&new.email).map_err(invalid)?;
        let before_at = email.split('@').next().unwrap_or_default();
        let name = new.name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| before_at.to_owned());
        let name = emails::name(&name).map_err(invalid)?;
        let password = match &new.password {
            Some(password) if password.to_lowercase() == email => {
                return Err(invalid("a password is not the e-mail address"));
            }
            Some(password) => Some(self.passwords.hash(password, self.new_salt()).await?),
            None => None,
        };
        Ok(User {
            id: self.lake.new_id(),
            email,
            name,
            created_at: now,
            password,
            sign_in_epoch: 0,
            passkeys: vec![],
            passkey_required: false,
            identities: vec![],
        })
    }

    /// Changes what a person says of himself.
    pub async fn change_profile(
        &self,
        actor: &Actor,
        name: Option<&str>,
        passkey_required: Option<bool>,
    ) -> Result<User, AccountsError> {
        let user_id = actor.user_id().ok_or_else(|| invalid("the operator has no profile: sign in as a person"))?;
        let name = name.map(emails::name).transpose().map_err(invalid)?;
        self.change(|accounts| {
            let user = user_mut(accounts, user_id)?;
            if let Some(name) = &name {
                user.name.clone_from(name);
            }
            if passkey_required == Some(true) && user.passkeys.is_empty() {
                return Err(invalid("add a passkey first"));
            }
            user.passkey_required = passkey_required.unwrap_or(user.passkey_required);
            Ok(user.clone())
        })
        .await
    }

    /// Removes somebody, from all organisations too. Sign-ins of his are void from then on.
    ///
    /// Fails with [`AccountsError::Invalid`] if an organisation would be without an owner.
    pub async fn remove_person(&self, email: &str, now: DateTime<Utc>) -> Result<User, AccountsError> {
        let email = emails::email(email).map_err(invalid)?;
        let removed = self
            .change(|accounts| {
                let at = accounts.users.iter().position(|user| user.email == email);
                let user =
                    accounts.users.remove(at.ok_or_else(|| not_found(format!("there is no account of {email}")))?);
                // One whose only member he is has nobody left who could see it.
                accounts.organisations.retain(|one| one.members.iter().any(|member| member.user_id != user.id));
                for organisation in &mut accounts.organisations {
                    let before = organisation.members.len();
                    organisation.members.retain(|member| member.user_id != user.id);
                    organisation.version += u64::from(organisation.members.len() < before);
                }
                Ok(user)
            })
            .await?;
        self.forget_tokens();
        let deed = Deed { action: "user.remove", organisation: None, target: Some(&removed.id), is_done: true };
        self.audit(&Actor::Operator, deed, &Client::default(), now).await;
        Ok(removed)
    }
}

pub(crate) fn check_room(accounts: &Accounts) -> Result<(), AccountsError> {
    match accounts.users.len() {
        PEOPLE_MAX.. => Err(conflict(format!("a lake has at most {PEOPLE_MAX} people"))),
        _ => Ok(()),
    }
}
