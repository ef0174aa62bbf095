//! Who is signed in. No versioned documents, because these are kept for ever: objects of their own that expire.
//!
//! A sign-in is a family of pairs of tokens. Each pair replaces the one before and is an object that is created once, so of
//! two who renew at the same time one wins. A family ends by one more object, which outlives the tokens it makes void.

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::layout::SIGN_INS_DIR;

/// Nobody is signed in for longer than this without renewing.
const KEPT_FOR: TimeDelta = TimeDelta::days(32);

/// How long what was asked of a person is waited for.
const QUESTIONS_KEPT_FOR: TimeDelta = TimeDelta::days(1);

/// The directory of what people were asked before they sign in, such as a passkey's signature.
const QUESTIONS: &str = "questions";

/// The name of the object that ends a family.
const ENDED: &str = "ended";

/// Objects read at the same time.
const CONCURRENT: usize = 16;

/// One pair of tokens of a sign-in. They can be recognised by it, and not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// Who is signed in: the id of a person or of a share.
    pub subject: String,
    /// The sign-in: 32 hexadecimal digits.
    pub family: String,
    /// How often it was renewed; the first is 1.
    pub generation: u32,
    /// [`User::sign_in_epoch`](crate::User::sign_in_epoch) when it began.
    pub epoch: u64,
    /// BLAKE3 of the token that requests carry, in hexadecimal.
    pub access_hash: String,
    /// BLAKE3 of the token that renews, if it can be renewed.
    pub refresh_hash: Option<String>,
    /// When the person signed in.
    pub began_at: DateTime<Utc>,
    /// When these tokens were made.
    pub issued_at: DateTime<Utc>,
    /// Until when requests carry the first token.
    pub access_until: DateTime<Utc>,
    /// Until when the second one renews.
    pub refresh_until: DateTime<Utc>,
    /// With what, as it names itself.
    pub user_agent: String,
}

/// What is held of a family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignInFamily {
    /// The newest pair of tokens; 0 if there is none.
    pub newest: u32,
    /// Whether it ended.
    pub ended: bool,
}

impl Lake {
    /// Keeps a pair of tokens. Returns whether it is kept: not if the family has one of this generation.
    pub async fn keep_sign_in(&self, sign_in: &SignIn) -> Result<bool> {
        let SignIn { subject, family, generation, .. } = sign_in;
        let path = self.path(&format!("{SIGN_INS_DIR}/{subject}/{family}/{generation:09}.json"));
        let bytes = serde_json::to_vec(sign_in).expect("a sign-in is plain data");
        self.create(&path, bytes).await
    }

    /// A pair of tokens, if it is kept.
    pub async fn sign_in(&self, subject: &str, family: &str, generation: u32) -> Result<Option<SignIn>> {
        self.read_sign_in(&self.path(&format!("{SIGN_INS_DIR}/{subject}/{family}/{generation:09}.json"))).await
    }

    async fn read_sign_in(&self, path: &Path) -> Result<Option<SignIn>> {
        let Some(bytes) = self.read_if_there(path).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| LakeError::corrupt(path.to_string(), error))
    }

    async fn read_if_there(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let read = async { self.store().get(path).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(LakeError::store(format!("read {path}"), error)),
        }
    }

    /// What is held of a family.
    pub async fn held(&self, subject: &str, family: &str) -> Result<SignInFamily> {
        let objects = self.list(&format!("{SIGN_INS_DIR}/{subject}/{family}")).await?;
        let mut held = SignInFamily::default();
        for name in objects.iter().filter_map(|object| object.location.filename()) {
            held.ended |= name == ENDED;
            held.newest = held.newest.max(generation_of(name).unwrap_or(0));
        }
        Ok(held)
    }

    /// Ends a family, whatever tokens it has or gets.
    pub async fn end_sign_in(&self, subject: &str, family: &str) -> Result<()> {
        self.create(&self.path(&format!("{SIGN_INS_DIR}/{subject}/{family}/{ENDED}")), vec![]).await.map(drop)
    }

    /// The newest pair of tokens of each family of somebody that has not ended, the newest family first.
    pub async fn sign_ins_of(&self, subject: &str) -> Result<Vec<SignIn>> {
        let mut newest: Vec<(String, u32, Path)> = vec![];
        let mut ended = vec![];
        for object in self.list(&format!("{SIGN_INS_DIR}/{subject}")).await? {
            let parts: Vec<String> = object.location.parts().map(|part| part.as_ref().to_owned()).collect();
            let [.., family, name] = parts.as_slice() else { continue };
            if name == ENDED {
                ended.push(family.clone());
            }
            let Some(generation) = generation_of(name) else { continue };
            match newest.iter_mut().find(|(known, ..)| known == family) {
                Some(known) if known.1 < generation => *known = (family.clone(), generation, object.location),
                Some(_) => {}
                None => newest.push((family.clone(), generation, object.location)),
            }
        }
        newest.retain(|(family, ..)| !ended.contains(family));
        let reads = newest.into_iter().map(|(.., path)| async move { self.read_sign_in(&path).await });
        let read: Vec<Option<SignIn>> = stream::iter(reads).buffer_unordered(CONCURRENT).try_collect().await?;
        let mut sign_ins: Vec<SignIn> = read.into_iter().flatten().collect();
        sign_ins.sort_by(|a, b| b.began_at.cmp(&a.began_at).then_with(|| a.family.cmp(&b.family)));
        Ok(sign_ins)
    }

    /// Keeps what a person is asked before he signs in, until it is [taken](Self::take_question).
    pub async fn keep_question(&self, id: &str, question: Vec<u8>) -> Result<()> {
        self.create(&self.path(&format!("{SIGN_INS_DIR}/{QUESTIONS}/{id}/asked")), question).await.map(drop)
    }

    /// What a person was asked, for whoever asks first; nobody gets it a second time.
    pub async fn take_question(&self, id: &str) -> Result<Option<Vec<u8>>> {
        let asked = self.path(&format!("{SIGN_INS_DIR}/{QUESTIONS}/{id}/asked"));
        let Some(question) = self.read_if_there(&asked).await? else { return Ok(None) };
        let mark = self.new_uuid().as_bytes().to_vec();
        let taken = self.create(&self.path(&format!("{SIGN_INS_DIR}/{QUESTIONS}/{id}/taken")), mark).await?;
        Ok(taken.then_some(question))
    }

    /// Creates an object. Returns whether it is there with these bytes, which it is also if the answer to the put was lost.
    pub(crate) async fn create(&self, path: &Path, bytes: Vec<u8>) -> Result<bool> {
        let put = self.store().put_opts(path, bytes.clone().into(), PutOptions::from(PutMode::Create)).await;
        let Err(error) = put else { return Ok(true) };
        match self.read_if_there(path).await? {
            Some(found) => Ok(found == bytes),
            None => Err(LakeError::store(format!("write {path}"), error)),
        }
    }

    /// Deletes what has expired. Returns how many objects.
    ///
    /// - `now`: by the store's clock.
    pub(crate) async fn delete_old_sign_ins(&self, now: DateTime<Utc>) -> Result<usize> {
        let questions = self.path(&format!("{SIGN_INS_DIR}/{QUESTIONS}"));
        let old = self.list(SIGN_INS_DIR).await?.into_iter().filter(|object| {
            let kept_for = if object.location.prefix_matches(&questions) { QUESTIONS_KEPT_FOR } else { KEPT_FOR };
            now - object.last_modified > kept_for
        });
        let (deleted, _) = self.delete(old.map(|object| (object.location, object.size)).collect()).await?;
        Ok(deleted)
    }
}

fn generation_of(name: &str) -> Option<u32> {
    name.strip_suffix(".json")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_in(family: &str, generation: u32) -> SignIn {
        SignIn {
            subject: "ada".into(),
            family: family.into(),
            generation,
            epoch: 0,
            access_hash: format!("{family}{generation}"),
            refresh_hash: None,
            began_at: DateTime::UNIX_EPOCH,
            issued_at: DateTime::UNIX_EPOCH,
            access_until: DateTime::UNIX_EPOCH,
            refresh_until: DateTime::UNIX_EPOCH,
            user_agent: "curl".into(),
        }
    }

    #[tokio::test]
    async fn of_two_who_renew_one_wins() {
        let lake = Lake::open("memory:///", []).unwrap();
        assert!(lake.keep_sign_in(&sign_in("f", 1)).await.unwrap());
        assert!(lake.keep_sign_in(&sign_in("f", 2)).await.unwrap());
        let other = SignIn { access_hash: "other".into(), ..sign_in("f", 2) };
        assert!(!lake.keep_sign_in(&other).await.unwrap());
        assert_eq!(lake.sign_in("ada", "f", 2).await.unwrap(), Some(sign_in("f", 2)));
        assert_eq!(lake.held("ada", "f").await.unwrap(), SignInFamily { newest: 2, ended: false });
    }

    #[tokio::test]
    async fn what_ended_is_shown_no_more_and_stays_ended() {
        let lake = Lake::open("memory:///", []).unwrap();
        for (family, generation) in [("f", 1), ("f", 2), ("g", 1)] {
            lake.keep_sign_in(&sign_in(family, generation)).await.unwrap();
        }
        lake.end_sign_in("ada", "f").await.unwrap();
        lake.end_sign_in("ada", "f").await.unwrap();
        assert_eq!(lake.sign_ins_of("ada").await.unwrap(), [sign_in("g", 1)]);
        assert!(lake.keep_sign_in(&sign_in("f", 3)).await.unwrap());
        assert_eq!(lake.held("ada", "f").await.unwrap(), SignInFamily { newest: 3, ended: true });
    }

    #[tokio::test]
    async fn a_question_is_answered_once_and_what_expired_is_deleted() {
        let lake = Lake::open("memory:///", []).unwrap();
        lake.keep_question("q", b"?".to_vec()).await.unwrap();
        lake.keep_sign_in(&sign_in("f", 1)).await.unwrap();
        assert_eq!(lake.take_question("q").await.unwrap(), Some(b"?".to_vec()));
        assert_eq!(lake.take_question("q").await.unwrap(), None);
        assert_eq!(lake.take_question("unasked").await.unwrap(), None);
        let now = lake.store_now().await.unwrap();
        assert_eq!(lake.delete_old_sign_ins(now + TimeDelta::hours(1)).await.unwrap(), 0);
        assert_eq!(lake.delete_old_sign_ins(now + TimeDelta::days(2)).await.unwrap(), 2);
        assert_eq!(lake.delete_old_sign_ins(now + TimeDelta::days(33)).await.unwrap(), 1);
    }
}
