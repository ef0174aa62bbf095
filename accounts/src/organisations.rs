//! Organisations, their members, and how others are invited.
//!
//! Whether somebody may do a thing is asked of the version that it changes, not of one read before: whoever was removed in
//! between may not.

use chrono::{DateTime, TimeDelta, Utc};
use lake::{Accounts, Invitation, Member, Organisation, Role};

use crate::actor::{Actor, organisation_for};
use crate::emails;
use crate::error::{AccountsError, conflict, invalid, not_found};
use crate::service::{Client, Deed, Service};
use crate::tokens::{self, INVITATION};

/// How many organisations somebody may own, and invitations one may have open.
const OWNED_MAX: usize = 20;
const INVITATIONS_MAX: usize = 100;

/// How long an invitation may be open, and how long it is if nobody says it.
const INVITATION_DAYS_MAX: u32 = 30;
const INVITATION_DAYS: u32 = 7;

/// What an invitation offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer<'a> {
    /// What whoever takes it becomes.
    pub role: Role,
    /// The only address that may take it, if it is for one.
    pub email: Option<&'a str>,
    /// For how many days it is open; 7 if not given.
    pub days: Option<u32>,
}

/// An invitation and its token: the only moment at which that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The invitation.
    pub invitation: Invitation,
    /// What whoever takes it brings.
    pub token: String,
}

/// What whoever has an invitation may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invited {
    /// The name of the organisation.
    pub organisation: String,
    /// What whoever takes it becomes.
    pub role: Role,
    /// The only address that may take it, if it is for one.
    pub email: Option<String>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl Service {
    /// Makes an organisation, which the person owns.
    pub async fn add_organisation(
        &self,
        actor: &Actor,
        name: &str,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<Organisation, AccountsError> {
        let user_id = actor.user_id().ok_or_else(|| {
            invalid("an organisation has an owner, and the operator is no person: sign in as one, or use `dewpond user add`")
        })?;
        let name = emails::name(name).map_err(invalid)?;
        let new = new_organisation(&self.lake.new_id(), &name, user_id, now);
        self.change(|accounts| {
            let owned = accounts.memberships(user_id).filter(|(_, role)| *role == Role::Owner).count();
            if owned >= OWNED_MAX {
                return Err(conflict(format!("one person owns at most {OWNED_MAX} organisations")));
            }
            accounts.organisations.push(new.clone());
            Ok(())
        })
        .await?;
        self.note(actor, "organisation.add", Some(&new.id), &new.id, client, now).await;
        Ok(new)
    }

    /// Gives an organisation another name.
    ///
    /// - `version`: the one that whoever asks has read, if he says it.
    pub async fn rename_organisation(
        &self,
        actor: &Actor,
        id: &str,
        name: &str,
        version: Option<u64>,
    ) -> Result<Organisation, AccountsError> {
        let name = emails::name(name).map_err(invalid)?;
        self.change(|accounts| {
            let organisation = organisation_for(accounts, actor, id, Role::Owner)?;
            if version.is_some_and(|version| version != organisation.version) {
                return Err(conflict("somebody changed the organisation meanwhile: look at it again"));
            }
            organisation.name.clone_from(&name);
            organisation.version += 1;
            Ok(organisation.clone())
        })
        .await
    }

    /// Makes a member something else.
    pub async fn change_role(
        &self,
        actor: &Actor,
        organisation: &str,
        user_id: &str,
        role: Role,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<Member, AccountsError> {
        let changed = self
            .change(|accounts| {
                let organisation = organisation_for(accounts, actor, organisation, Role::Owner)?;
                let is_last = is_last_owner(organisation, user_id);
                let member = organisation.members.iter_mut().find(|member| member.user_id == user_id);
                let member = member.ok_or_else(no_member)?;
                if is_last && role != Role::Owner {
                    return Err(last_owner());
                }
                member.role = role;
                let member = member.clone();
                organisation.version += 1;
                Ok(member)
            })
            .await?;
        self.note(actor, "member.change", Some(organisation), user_id, client, now).await;
        Ok(changed)
    }

    /// Removes a member. Everybody may remove himself.
    pub async fn remove_member(
        &self,
        actor: &Actor,
        organisation: &str,
        user_id: &str,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<(), AccountsError> {
        let needed = if actor.user_id() == Some(user_id) { Role::Viewer } else { Role::Owner };
        self.change(|accounts| {
            let organisation = organisation_for(accounts, actor, organisation, needed)?;
            if is_last_owner(organisation, user_id) {
                return Err(last_owner());
            }
            let before = organisation.members.len();
            organisation.members.retain(|member| member.user_id != user_id);
            if organisation.members.len() == before {
                return Err(no_member());
            }
            organisation.version += 1;
            Ok(())
        })
        .await?;
        self.note(actor, "member.remove", Some(organisation), user_id, client, now).await;
        Ok(())
    }

    /// Invites somebody. Whoever has the token first takes the place.
    pub async fn invite(
        &self,
        actor: &Actor,
        organisation: &str,
        offer: Offer<'_>,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<Issued, AccountsError> {
        let Offer { role, email, days } = offer;
        let days = days.unwrap_or(INVITATION_DAYS);
        if !(1..=INVITATION_DAYS_MAX).contains(&days) {
            return Err(invalid(format!("an invitation is open for 1 to {INVITATION_DAYS_MAX} days")));
        }
        let token = self.lake.new_secret(INVITATION);
        let invitation = Invitation {
            id: self.lake.new_id(),
            hash: tokens::hash(&token),
            role,
            email: email.map(emails::email).transpose().map_err(invalid)?,
            created_at: now,
            expires_at: now + TimeDelta::days(days.into()),
        };
        self.change(|accounts| {
            let organisation = organisation_for(accounts, actor, organisation, Role::Owner)?;
            organisation.invitations.retain(|invitation| now < invitation.expires_at);
            if organisation.invitations.len() >= INVITATIONS_MAX {
                return Err(conflict(format!("an organisation has at most {INVITATIONS_MAX} open invitations")));
            }
            organisation.invitations.push(invitation.clone());
            organisation.version += 1;
            Ok(())
        })
        .await?;
        self.note(actor, "invitation.add", Some(organisation), &invitation.id, client, now).await;
        Ok(Issued { invitation, token })
    }

    /// Takes an invitation back.
    pub async fn withdraw_invitation(
        &self,
        actor: &Actor,
        organisation: &str,
        id: &str,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<(), AccountsError> {
        self.change(|accounts| {
            let organisation = organisation_for(accounts, actor, organisation, Role::Owner)?;
            let before = organisation.invitations.len();
            organisation.invitations.retain(|invitation| invitation.id != id);
            if organisation.invitations.len() == before {
                return Err(no_invitation());
            }
            organisation.version += 1;
            Ok(())
        })
        .await?;
        self.note(actor, "invitation.remove", Some(organisation), id, client, now).await;
        Ok(())
    }

    /// What an invitation is to.
    pub async fn look_at_invitation(&self, token: &str, now: DateTime<Utc>) -> Result<Invited, AccountsError> {
        let accounts = self.accounts_now().await?;
        let (organisation, invitation) = find_invitation(&accounts, token, now)?;
        Ok(Invited {
            organisation: organisation.name.clone(),
            role: invitation.role,
            email: invitation.email.clone(),
            expires_at: invitation.expires_at,
        })
    }

    /// Takes the place that an invitation offers.
    pub async fn accept_invitation(
        &self,
        actor: &Actor,
        token: &str,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<(), AccountsError> {
        let Actor::Person { user_id, email } = actor else {
            return Err(invalid("the operator takes no invitation: sign in as a person"));
        };
        let joined = self.change(|accounts| take_invitation(accounts, token, user_id, email, now)).await?;
        let deed = Deed { action: "invitation.accept", organisation: Some(&joined), target: None, is_done: true };
        self.audit(actor, deed, client, now).await;
        Ok(())
    }
}

fn find_invitation<'a>(
    accounts: &'a Accounts,
    token: &str,
    now: DateTime<Utc>,
) -> Result<(&'a Organisation, &'a Invitation), AccountsError> {
    let all = accounts.organisations.iter().flat_map(|one| one.invitations.iter().map(move |open| (one, open)));
    let mut open = all.filter(|(_, invitation)| now < invitation.expires_at);
    open.find(|(_, invitation)| tokens::has_hash(token, &invitation.hash)).ok_or_else(no_invitation)
}

/// Makes somebody a member by an invitation, which is gone then. Returns the organisation.
pub(crate) fn take_invitation(
    accounts: &mut Accounts,
    token: &str,
    user_id: &str,
    email: &str,
    now: DateTime<Utc>,
) -> Result<String, AccountsError> {
    let (organisation, invitation) = find_invitation(accounts, token, now)?;
    if invitation.email.as_deref().is_some_and(|only| only != email) {
        return Err(AccountsError::MayNot { reason: "the invitation is for another e-mail address".to_owned() });
    }
    let (id, hash, role) = (organisation.id.clone(), invitation.hash.clone(), invitation.role);
    let found = accounts.organisations.iter_mut().find(|one| one.id == id);
    let organisation = found.expect("the invitation was found in it");
    organisation.invitations.retain(|invitation| invitation.hash != hash);
    match organisation.members.iter_mut().find(|member| member.user_id == user_id) {
        // Nobody loses anything by an invitation.
        Some(member) => member.role = member.role.max(role),
        None => organisation.members.push(Member { user_id: user_id.to_owned(), role, joined_at: now }),
    }
    organisation.version += 1;
    Ok(id)
}

pub(crate) fn new_organisation(id: &str, name: &str, owner: &str, now: DateTime<Utc>) -> Organisation {
    Organisation {
        id: id.to_owned(),
        name: name.to_owned(),
        created_at: now,
        version: 1,
        members: vec![Member { user_id: owner.to_owned(), role: Role::Owner, joined_at: now }],
        invitations: vec![],
    }
}

fn is_last_owner(organisation: &Organisation, user_id: &str) -> bool {
    let mut owners = organisation.members.iter().filter(|member| member.role == Role::Owner);
    matches!((owners.next(), owners.next()), (Some(one), None) if one.user_id == user_id)
}

fn last_owner() -> AccountsError {
    conflict("this is the last owner: make somebody else one first")
}

fn no_member() -> AccountsError {
    not_found("there is no such member")
}

fn no_invitation() -> AccountsError {
    not_found("there is no such invitation: it was taken, withdrawn, or has expired")
}
