//! Read keys: who may ask, and of which sites.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::registry::keys;
use crate::registry::scram::ScramVerifier;
use crate::registry::sites::find_site_id;

pub(crate) const READ_KEYS: &str = "read_keys";

/// How read keys begin, by which people and tools know them.
const KEY_BEGINNING: &str = "dpr_";

/// Characters of a key's name at most.
const NAME_CHARS_MAX: usize = 64;

/// A read key, as it is kept: enough to recognise it, not enough to use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadKey {
    /// The key's first characters, by which people name it, and protocols that ask who is there before they ask for a
    /// proof. No two keys have the same.
    pub prefix: String,
    /// What its owner calls it: who reads with it, or with what.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The sites whose events it may read; at least one.
    pub sites: Vec<Arc<str>>,
    /// BLAKE3 of the key, in hexadecimal. Keys are random, so a plain hash cannot be guessed back.
    pub hash: String,
    /// What checks the key where it is a password that is not sent.
    pub scram: ScramVerifier,
    /// When it was issued.
    pub created_at: DateTime<Utc>,
    /// Since when it is void, if it is.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A new read key: the only moment at which it can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedReadKey {
    /// The sites it reads.
    pub sites: Vec<Arc<str>>,
    /// The key itself.
    pub read_key: String,
}

/// The read keys at one moment, for looking them up.
#[derive(Clone, Debug, Default)]
pub struct ReadKeys {
    keys: Vec<ReadKey>,
    /// The hashes of the keys that are valid, and their places in `keys`.
    valid: Vec<(blake3::Hash, usize)>,
}

/// All read keys, as the document is stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ReadKeysDocument {
    keys: Vec<ReadKey>,
}

/// Whether a text can be a read key: one of ours begins like one and has the length of one.
pub fn is_read_key(text: &str) -> bool {
    keys::is_key(text, KEY_BEGINNING)
}

impl ReadKeys {
    fn new(keys: Vec<ReadKey>) -> Self {
        let hash = |key: &ReadKey| blake3::Hash::from_hex(&key.hash).ok().filter(|_| key.revoked_at.is_none());
        let valid = keys.iter().enumerate().filter_map(|(place, key)| Some((hash(key)?, place))).collect();
        Self { keys, valid }
    }

    /// The sites that a key reads, unless it is unknown or revoked. Takes as long for a guess that is nearly right as for
    /// any other.
    pub fn sites_of(&self, read_key: &str) -> Option<&[Arc<str>]> {
        self.key_of(read_key).map(|key| &*key.sites)
    }

    /// The key that this text is, as it is kept, unless it is unknown or revoked. In constant time, see
    /// [`sites_of`](Self::sites_of).
    pub fn key_of(&self, read_key: &str) -> Option<&ReadKey> {
        // The hashes are compared in constant time, by `blake3`.
        let hash = blake3::hash(read_key.as_bytes());
        self.valid.iter().find(|(valid, _)| *valid == hash).map(|(_, place)| &self.keys[*place])
    }

    /// The key that has this prefix, unless it is revoked. Whoever names it has not shown yet that he has it.
    pub fn with_prefix(&self, prefix: &str) -> Option<&ReadKey> {
        self.valid.iter().map(|(_, place)| &self.keys[*place]).find(|key| key.prefix == prefix)
    }

    /// All keys in the order they were issued, revoked ones among them.
    pub fn keys(&self) -> &[ReadKey] {
        &self.keys
    }
}

impl Lake {
    /// The read keys as they are now.
    pub async fn read_keys(&self) -> Result<Arc<ReadKeys>> {
        self.registry().known_document(READ_KEYS, |document: ReadKeysDocument| ReadKeys::new(document.keys)).await
    }

    /// Issues a key that reads the events of some sites.
    ///
    /// - `name`: what its owner calls it; may be empty.
    ///
    /// Fails with [`LakeError::NotFound`] if there is no such site, and with [`LakeError::Invalid`] if no site is given or
    /// the name cannot be shown.
    pub async fn add_read_key(&self, sites: &[String], name: &str, now: DateTime<Utc>) -> Result<IssuedReadKey> {
        if sites.is_empty() {
            return Err(LakeError::Invalid { reason: "name the sites that the key may read".into() });
        }
        if name.chars().count() > NAME_CHARS_MAX || name.contains(char::is_control) {
            return Err(LakeError::Invalid {
                reason: format!(
                    "{name:?} cannot be a key's name: use at most {NAME_CHARS_MAX} characters, on one line"
                ),
            });
        }
        // Sites never leave the registry, so they are still there when the key is.
        let directory = self.sites().await?;
        let mut known = sites.iter().map(|site| find_site_id(&directory, site)).collect::<Result<Vec<Arc<str>>>>()?;
        known.sort_unstable();
        known.dedup();
        let mut issued = String::new();
        self.registry()
            .update_document(READ_KEYS, |_, document: &mut ReadKeysDocument| {
                issued = keys::new(self, KEY_BEGINNING);
                while document.keys.iter().any(|key| key.prefix == keys::prefix(&issued)) {
                    issued = keys::new(self, KEY_BEGINNING);
                }
                document.keys.push(ReadKey {
                    prefix: keys::prefix(&issued).to_owned(),
                    name: name.to_owned(),
                    sites: known.clone(),
                    hash: keys::hash(&issued),
                    scram: ScramVerifier::new(&issued, self.new_uuid()),
                    created_at: now,
                    revoked_at: None,
                });
                Ok(())
            })
            .await?;
        Ok(IssuedReadKey { sites: known, read_key: issued })
    }

    /// Revokes the read key that is `named`, or whose prefix is.
    ///
    /// Fails with [`LakeError::NotFound`] if no valid key is meant.
    pub async fn revoke_read_key(&self, named: &str, now: DateTime<Utc>) -> Result<ReadKey> {
        let mut revoked = None;
        self.registry()
            .update_document(READ_KEYS, |_, document: &mut ReadKeysDocument| {
                let mut valid = document.keys.iter_mut().filter(|key| key.revoked_at.is_none());
                let Some(key) = valid.find(|key| keys::is_meant(named, &key.prefix, &key.hash)) else {
                    // The text may be a key that was mistyped, which must not be shown.
                    return Err(LakeError::NotFound {
                        reason: "there is no such valid key; `key list` shows them".into(),
                    });
                };
                key.revoked_at = Some(now);
                revoked = Some(key.clone());
                Ok(())
            })
            .await?;
        Ok(revoked.expect("a change that was made was made of a key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    async fn lake_of(sites: &[&str]) -> Lake {
        let lake = Lake::open("memory:///", []).unwrap();
        for site in sites {
            lake.add_site(site, NOW).await.unwrap();
        }
        lake
    }

    async fn issue(lake: &Lake, sites: &[&str]) -> Result<String> {
        let sites: Vec<String> = sites.iter().map(ToString::to_string).collect();
        Ok(lake.add_read_key(&sites, "grafana", NOW).await?.read_key)
    }

    fn sites_of(keys: &ReadKeys, key: &str) -> String {
        keys.sites_of(key).map_or("none".into(), |sites| sites.join(" "))
    }

    #[tokio::test]
    async fn a_key_reads_its_own_sites_until_it_is_revoked() {
        let lake = lake_of(&["shop", "blog", "app"]).await;
        let one = issue(&lake, &["shop"]).await.unwrap();
        let two = issue(&lake, &["shop", "blog", "shop"]).await.unwrap();
        let keys = lake.read_keys().await.unwrap();
        assert_eq!(sites_of(&keys, &one), "shop");
        assert_eq!(sites_of(&keys, &two), "blog shop");
        assert_eq!(keys.with_prefix(&one[..12]), keys.key_of(&one));

        let revoked = lake.revoke_read_key(&one[..12], NOW).await.unwrap();
        assert_eq!(revoked.name, "grafana");
        let keys = lake.read_keys().await.unwrap();
        assert_eq!(sites_of(&keys, &one), "none");
        assert_eq!(keys.with_prefix(&one[..12]), None);
        assert_eq!(sites_of(&keys, &two), "blog shop");
        assert_eq!(keys.keys().len(), 2);
        let again = lake.revoke_read_key(&one, NOW).await.unwrap_err();
        assert!(matches!(again, LakeError::NotFound { .. }) && !again.to_string().contains(&one), "{again}");
    }

    #[tokio::test]
    async fn nothing_but_a_key_opens_anything() {
        let lake = lake_of(&["shop"]).await;
        let key = issue(&lake, &["shop"]).await.unwrap();
        let write_key = lake.add_key("shop", NOW).await.unwrap().write_key;
        let keys = lake.read_keys().await.unwrap();
        let hash = keys.keys()[0].hash.clone();
        for guess in ["", "dpr_", &key[..12], &key[..43], &key.to_uppercase(), &format!("{key} "), &hash, &write_key] {
            assert_eq!(sites_of(&keys, guess), "none", "{guess:?}");
        }
        assert!(is_read_key(&key) && !is_read_key(&write_key) && !crate::is_write_key(&key));
        assert!(lake.sites().await.unwrap().site_of_key(&key).is_none(), "who may read may not write");
    }

    #[tokio::test]
    async fn a_key_needs_sites_that_exist_and_a_name_that_can_be_shown() {
        let lake = lake_of(&["shop"]).await;
        assert!(matches!(issue(&lake, &[]).await, Err(LakeError::Invalid { .. })));
        assert!(matches!(issue(&lake, &["shop", "Shop"]).await, Err(LakeError::NotFound { .. })));
        for name in ["a\nb", &"x".repeat(65)] {
            let refused = lake.add_read_key(&["shop".into()], name, NOW).await;
            assert!(matches!(refused, Err(LakeError::Invalid { .. })), "{name:?}");
        }
    }

    #[tokio::test]
    async fn the_registry_keeps_no_key() {
        let lake = lake_of(&["shop"]).await;
        let key = issue(&lake, &["shop"]).await.unwrap();
        let document = serde_json::to_string(lake.read_keys().await.unwrap().keys()).unwrap();
        assert!(document.contains(&key[..12]) && !document.contains(&key[12..]), "{document}");
    }
}
