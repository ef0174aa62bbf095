//! The registry: documents parse, their versions have no gaps, and the list of erasures that the table names is there.

use std::collections::BTreeMap;

use object_store::path::Path;

use super::{Checked, Finding, relative};
use crate::erasure::list::{ERASURES_DOCUMENT, ErasuresDocument};
use crate::error::Result;
use crate::lake::Lake;
use crate::layout::{MAILS_DIR, REGISTRY_DIR, SALTS_DIR};
use crate::registry::accounts::{ACCOUNTS, Accounts};
use crate::registry::documents::{Writer, version_of};
use crate::registry::lakes::{OWNER, OwnerDocument};
use crate::registry::read_keys::{READ_KEYS, ReadKeysDocument};
use crate::registry::saved::{SAVED, SavedDocument};
use crate::registry::sites::{SITES, SitesDocument};

impl Lake {
    /// Reads every version of every document.
    ///
    /// - `erasures`: the version of the list of erasures that the table requires; 0 if none.
    pub(super) async fn check_registry(&self, erasures: u64, checked: &mut Checked) -> Result<()> {
        let root = self.path(REGISTRY_DIR);
        let mut documents: BTreeMap<String, BTreeMap<u64, Path>> = BTreeMap::new();
        let expiring = [self.path(SALTS_DIR), self.path(MAILS_DIR)];
        for object in self.list(REGISTRY_DIR).await? {
            // Salts and mails have no versions and are deleted.
            if expiring.iter().any(|dir| object.location.prefix_matches(dir)) {
                continue;
            }
            let name = relative(&root, &object.location);
            let version = version_of(&object.location);
            match (name.rsplit_once('/'), version) {
                (Some((document, _)), Some(version)) => {
                    drop(documents.entry(document.to_owned()).or_default().insert(version, object.location));
                }
                _ => checked.findings.push(Finding::warning(
                    &object.location,
                    "its name is not that of a version of a document, so nobody reads it; remove it if it is not yours",
                )),
            }
        }
        let lists = documents.get(ERASURES_DOCUMENT);
        if erasures > 0 && lists.is_none_or(|versions| !versions.contains_key(&erasures)) {
            checked.findings.push(Finding::error(
                root.clone().join(ERASURES_DOCUMENT).join(format!("{erasures:012}.json")),
                format!("the table requires this list, but it is missing, so {}", means_to_lose(ERASURES_DOCUMENT)),
            ));
        }
        let has_events = checked.tables.iter().any(|table| table.live.rows > 0);
        // A lake of an organisation's own has its sites in the main lake.
        if has_events && !documents.contains_key(SITES) && !documents.contains_key(OWNER) {
            checked.findings.push(Finding::error(
                root.clone().join(SITES),
                format!("there are events but no list of sites, so {}", means_to_lose(SITES)),
            ));
        }
        for (name, versions) in documents {
            let newest = versions.last_key_value().map_or(0, |(version, _)| *version);
            for (version, path) in &versions {
                let Some(bytes) = self.read_small(path).await? else { continue };
                checked.registry.add(0, bytes.len() as u64);
                let Err(why) = check_document(&name, &bytes) else { continue };
                checked.findings.push(match *version == newest {
                    true => Finding::error(
                        path,
                        format!("the newest version of {name} cannot be read ({why}), so {}", means_to_lose(&name)),
                    ),
                    false => Finding::warning(
                        path,
                        format!(
                            "an older version of {name} cannot be read ({why}); only a look at the past would need it"
                        ),
                    ),
                });
            }
            for missing in (1..=newest).filter(|version| !versions.contains_key(version)) {
                checked.findings.push(Finding::warning(
                    root.clone().join(name.as_str()).join(format!("{missing:012}.json")),
                    format!(
                        "version {missing} of {name} is not there, and versions must never be deleted: a writer that \
                         was stalled could create it again, and its change would be lost"
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// What an unreadable document means, and what to do.
fn means_to_lose(document: &str) -> &'static str {
    match document {
        ERASURES_DOCUMENT => {
            "no query answers while events are pending and nothing is published; restore it from a backup or from an older \
             version of the object. Without it nobody knows who was erased: do not go back to the version before"
        }
        SITES => {
            "no collector knows a key; restore it from a backup or from an older version of the object, or remove what \
             cannot be read to go back to the version before, if there is one"
        }
        READ_KEYS => {
            "no read key is known; restore it from a backup or from an older version of the object. The version before may \
             have keys that were revoked since"
        }
        ACCOUNTS => {
            "nobody can sign in; restore it from a backup or from an older version of the object. The version before may have \
             members who were removed since"
        }
        OWNER => "no role opens the lake; restore it from a backup or from an older version of the object",
        _ => "its contents are lost; restore it from a backup or from an older version of the object",
    }
}

/// Why the bytes are not a valid version of document `name`; `None` if they are.
fn check_document(name: &str, bytes: &[u8]) -> Result<(), serde_json::Error> {
    serde_json::from_slice::<Writer>(bytes)?;
    if name == SITES {
        serde_json::from_slice::<SitesDocument>(bytes)?;
    }
    if name == OWNER {
        serde_json::from_slice::<OwnerDocument>(bytes)?;
    }
    if name == READ_KEYS {
        serde_json::from_slice::<ReadKeysDocument>(bytes)?;
    }
    if name == ACCOUNTS {
        serde_json::from_slice::<Accounts>(bytes)?;
    }
    if name.starts_with(SAVED) {
        serde_json::from_slice::<SavedDocument>(bytes)?;
    }
    if name == ERASURES_DOCUMENT {
        serde_json::from_slice::<ErasuresDocument>(bytes)?;
    }
    Ok(())
}
