//! Sites, their write keys and their settings.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::registry::keys;
use crate::registry::names::{self, domain_form};
use crate::registry::own_lake::OwnLake;

pub(crate) const SITES: &str = "sites";

/// A tenant: whose events are whose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Its id, which is also its name: letters, digits, `.`, `_` and `-`.
    pub site_id: Arc<str>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// The keys that may write to it, revoked ones among them.
    pub keys: Vec<WriteKey>,
    /// The organisation whose members read and change it; none if it is the operator's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// For how many days its events are kept, by the date they happened; for ever if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// How collectors treat what is sent to it, and how its reports count.
    #[serde(default)]
    pub settings: SiteSettings,
    /// The lake of its organisation's own that its events lie in; none if they lie in the main lake. It is the same for as
    /// long as there is the site, so whoever knows the site by an old reading knows its lake.
    #[serde(skip)]
    pub lake: Option<Arc<OwnLake>>,
}

/// How collectors treat what is sent to a site, and what its reports mean by a session and a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SiteSettings {
    /// The names by which senders without a write key may choose this site: domains, or what their protocols call
    /// website or app ids. Empty: every sender needs a key. A name belongs to one site.
    pub domains: Vec<String>,
    /// The origins whose pages may send, such as `https://shop.example`, or `https://*.shop.example` for all hosts below;
    /// any if empty.
    pub origins: Vec<String>,
    /// Whether visitors without an id of their own get one in a long-lived cookie. Needs `origins`.
    pub cookie: bool,
    /// Whether visitors without any id are told apart for a day, by a salted hash of address and user agent.
    pub cookieless: bool,
    /// Whether senders that ask not to be tracked (Global Privacy Control, Do Not Track) stay unidentified.
    pub honor_opt_out: bool,
    /// The events per second that each key may send; the collector's own limit if not given.
    pub events_per_second_max: Option<NonZeroU32>,
    /// The longest pause within a session, in seconds.
    pub session_gap_s: u32,
    /// How long after its first event a session is cut, in seconds.
    pub session_cap_s: u32,
    /// The zone whose days the site's reports count by, such as `Europe/Berlin`.
    pub time_zone: String,
}

impl Default for SiteSettings {
    fn default() -> Self {
        Self {
            domains: vec![],
            origins: vec![],
            cookie: false,
            cookieless: true,
            honor_opt_out: false,
            events_per_second_max: None,
            session_gap_s: 1_800,
            session_cap_s: 86_400,
            time_zone: "UTC".into(),
        }
    }
}

impl SiteSettings {
    /// Whether `origins` has the origin of a page, as its browser names it.
    pub fn names_origin(&self, origin: &str) -> bool {
        names::is_allowed(&self.origins, origin)
    }
}

/// A write key, as it is kept: enough to recognise it, not enough to use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteKey {
    /// The key's first characters, by which people tell keys apart.
    pub prefix: String,
    /// BLAKE3 of the key, in hexadecimal. Keys are random, so a plain hash cannot be guessed back.
    pub hash: String,
    /// When it was issued.
    pub created_at: DateTime<Utc>,
    /// Since when it is void, if it is.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A new key: the only moment at which it can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedKey {
    /// The site it writes to.
    pub site_id: Arc<str>,
    /// The key itself.
    pub write_key: String,
}

/// The sites at one moment, for looking keys up.
#[derive(Clone, Debug, Default)]
pub struct SiteDirectory {
    sites: Vec<Arc<Site>>,
    by_hash: HashMap<String, Arc<Site>>,
    by_domain: HashMap<String, Arc<Site>>,
    /// The origins that some site names.
    origins: Vec<String>,
    lakes: Vec<Arc<OwnLake>>,
}

/// All sites, as the document is stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SitesDocument {
    sites: Vec<Site>,
    /// Lakes of organisations' own. They are in the document of the sites because what holds of a site and its lake must hold
    /// in every version of it, and because collectors, which have to know them, read no other: that of the organisations has
    /// hashes of passwords.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) lakes: Vec<OwnLake>,
}

impl SitesDocument {
    /// The lake of an organisation's own, if it has one.
    pub(super) fn lake_of(&self, organisation: Option<&str>) -> Option<&OwnLake> {
        self.lakes.iter().find(|lake| Some(&*lake.organisation) == organisation)
    }

    /// The sites of an organisation.
    pub(super) fn sites_of(&self, organisation: &str) -> Vec<&str> {
        let own = self.sites.iter().filter(|site| site.organisation.as_deref() == Some(organisation));
        own.map(|site| &*site.site_id).collect()
    }
}

impl Site {
    fn new(name: &str, created_at: DateTime<Utc>, keys: Vec<WriteKey>) -> Self {
        let (organisation, retention_days, settings) = (None, None, SiteSettings::default());
        Self { site_id: name.into(), created_at, keys, organisation, retention_days, settings, lake: None }
    }
}

impl SiteDirectory {
    /// Here it is decided in which lake the events of a site lie: in that of its organisation, if it has one of its own.
    fn new(mut document: SitesDocument) -> Self {
        let lakes: Vec<Arc<OwnLake>> = document.lakes.drain(..).map(Arc::new).collect();
        let mut directory = Self::default();
        for mut site in document.sites {
            let organisation = site.organisation.as_deref();
            site.lake = lakes.iter().find(|lake| Some(&*lake.organisation) == organisation).cloned();
            let site = Arc::new(site);
            for key in site.keys.iter().filter(|key| key.revoked_at.is_none()) {
                directory.by_hash.insert(key.hash.clone(), site.clone());
            }
            for domain in &site.settings.domains {
                // Earlier releases stored some names as they were written.
                directory.by_domain.insert(domain_form(domain).into_owned(), site.clone());
            }
            directory.origins.extend_from_slice(&site.settings.origins);
            directory.sites.push(site);
        }
        directory.origins.sort_unstable();
        directory.origins.dedup();
        // A site that may be chosen by a domain may be chosen by its own name, unless that is another's domain.
        for site in directory.sites.iter().filter(|site| !site.settings.domains.is_empty()) {
            directory.by_domain.entry(site.site_id.to_lowercase()).or_insert_with(|| site.clone());
        }
        directory.lakes = lakes;
        directory
    }

    /// The site that a write key writes to, unless it is unknown or revoked.
    pub fn site_of_key(&self, write_key: &str) -> Option<Arc<Site>> {
        self.by_hash.get(&keys::hash(write_key)).cloned()
    }

    /// The site that takes events of a domain without a key, if one does, however the domain is written.
    pub fn site_of_domain(&self, domain: &str) -> Option<Arc<Site>> {
        self.by_domain.get(&*domain_form(domain)).cloned()
    }

    /// Whether some site names the origin of a page.
    pub fn names_origin(&self, origin: &str) -> bool {
        names::is_allowed(&self.origins, origin)
    }

    /// All sites, in the order they were added.
    pub fn sites(&self) -> &[Arc<Site>] {
        &self.sites
    }

    /// The site of an id, if there is one.
    pub fn site(&self, site_id: &str) -> Option<&Arc<Site>> {
        self.sites.iter().find(|site| &*site.site_id == site_id)
    }

    /// The lakes of organisations' own.
    pub fn lakes(&self) -> &[Arc<OwnLake>] {
        &self.lakes
    }

    /// The lake of an organisation's own, if it has one.
    pub fn lake_of(&self, organisation: &str) -> Option<&Arc<OwnLake>> {
        self.lakes.iter().find(|lake| &*lake.organisation == organisation)
    }

    /// The sites whose events lie in the lake of an organisation's own, or in the main lake for `None`.
    pub fn sites_in(&self, organisation: Option<&Arc<str>>) -> Vec<Arc<Site>> {
        let lies_there = |site: &&Arc<Site>| site.lake.as_ref().map(|lake| &lake.organisation) == organisation;
        self.sites.iter().filter(lies_there).cloned().collect()
    }

    /// The one lake that the events of all these sites lie in; `None` is the main lake, in which a site that is not there
    /// would lie, too.
    ///
    /// Fails with the first two sites that lie in different lakes.
    pub fn one_lake_of<'a, S: AsRef<str>>(&self, sites: &'a [S]) -> Result<Option<&Arc<OwnLake>>, (&'a str, &'a str)> {
        let lake = |site: &S| self.site(site.as_ref()).and_then(|site| site.lake.as_ref());
        let Some(first) = sites.first() else { return Ok(None) };
        match sites.iter().find(|other| lake(other) != lake(first)) {
            Some(other) => Err((first.as_ref(), other.as_ref())),
            None => Ok(lake(first)),
        }
    }

    /// Whether there is a site of this id.
    pub fn has_site(&self, site_id: &str) -> bool {
        self.site(site_id).is_some()
    }
}

impl Lake {
    /// The sites as they are now.
    pub async fn sites(&self) -> Result<Arc<SiteDirectory>> {
        self.registry().known_document(SITES, SiteDirectory::new).await
    }

    /// The sites whose events lie in this lake.
    pub async fn sites_here(&self) -> Result<Vec<Arc<Site>>> {
        Ok(self.sites().await?.sites_in(self.organisation()))
    }

    /// Adds a site and issues its first key.
    ///
    /// Fails with [`LakeError::Invalid`] if the name cannot be a site's or is taken.
    pub async fn add_site(&self, name: &str, now: DateTime<Utc>) -> Result<IssuedKey> {
        self.add_site_of(name, None, SiteSettings::default(), now).await
    }

    /// The same, of an organisation and with settings of its own from the first moment.
    pub async fn add_site_of(
        &self,
        name: &str,
        organisation: Option<&str>,
        settings: SiteSettings,
        now: DateTime<Utc>,
    ) -> Result<IssuedKey> {
        let write_key = keys::new(self, KEY_BEGINNING);
        self.registry()
            .update_document(SITES, |_, document: &mut SitesDocument| {
                check_site_id(name)?;
                if document.sites.iter().any(|site| &*site.site_id == name) {
                    return Err(invalid(format!(
                        "there is a site {name} already; `site key add {name}` issues another key"
                    )));
                }
                check_case(document, name)?;
                let mut site = Site::new(name, now, vec![stored_key(&write_key, now)]);
                site.organisation = organisation.map(str::to_owned);
                site.settings = settings.clone();
                normalize(&mut site.settings)?;
                check_domains(document, &site)?;
                document.sites.push(site);
                Ok(())
            })
            .await?;
        Ok(IssuedKey { site_id: name.into(), write_key })
    }

    /// Makes sure that there is a site, without a key if it is new. Returns whether it is new.
    pub async fn ensure_site(&self, name: &str, now: DateTime<Utc>) -> Result<bool> {
        if self.sites().await?.has_site(name) {
            return Ok(false);
        }
        let mut added = false;
        self.registry()
            .update_document(SITES, |_, document: &mut SitesDocument| {
                check_site_id(name)?;
                added = !document.sites.iter().any(|site| &*site.site_id == name);
                if added {
                    check_case(document, name)?;
                    document.sites.push(Site::new(name, now, vec![]));
                }
                Ok(())
            })
            .await?;
        Ok(added)
    }

    /// Sets for how many days a site's events are kept; `None` keeps them for ever.
    pub async fn set_retention(&self, site_id: &str, days: Option<u32>) -> Result<()> {
        if days == Some(0) {
            return Err(invalid("keep events for one day at least".into()));
        }
        self.registry()
            .update_document(SITES, |_, document: &mut SitesDocument| {
                find_site(document, site_id)?.retention_days = days;
                Ok(())
            })
            .await
    }

    /// Changes how collectors treat a site. They follow within seconds.
    ///
    /// Fails with [`LakeError::Invalid`] if the settings cannot be, see [`SiteSettings`], and with [`LakeError::NotFound`] if
    /// there is no such site.
    pub async fn change_site(&self, site_id: &str, change: impl Fn(&mut SiteSettings)) -> Result<SiteSettings> {
        let mut changed = SiteSettings::default();
        self.registry()
            .update_document(SITES, |_, document: &mut SitesDocument| {
                let settings = &mut find_site(document, site_id)?.settings;
                change(settings);
                normalize(settings)?;
                changed = settings.clone();
                let site = find_site(document, site_id)?.clone();
                check_domains(document, &site)
            })
            .await?;
        Ok(changed)
    }

    /// Gives a site to an organisation, or to the operator alone.
    ///
    /// Fails with [`LakeError::Invalid`] if it would lie in another lake then.
    pub async fn give_site(&self, site_id: &str, organisation: Option<&str>) -> Result<()> {
        self.registry().update_document(SITES, |_, document: &mut SitesDocument| {
            let before = find_site(document, site_id)?.organisation.clone();
            if document.lake_of(before.as_deref()) != document.lake_of(organisation) {
                return Err(invalid(format!(
                    "a site stays in the lake that it was added to, and {site_id} would lie in another one: add another \
                     site there, and bring the events over with `dewpond export` and `dewpond import`"
                )));
            }
            find_site(document, site_id)?.organisation = organisation.map(str::to_owned);
            Ok(())
        })
        .await
    }

    /// Issues another key for a site.
    pub async fn add_key(&self, site_id: &str, now: DateTime<Utc>) -> Result<IssuedKey> {
        let write_key = keys::new(self, KEY_BEGINNING);
        self.registry()
            .update_document(SITES, |_, document: &mut SitesDocument| {
                find_site(document, site_id)?.keys.push(stored_key(&write_key, now));
                Ok(())
            })
            .await?;
        Ok(IssuedKey { site_id: site_id.into(), write_key })
    }

    /// Revokes the keys of a site that begin with `prefix`, or are `prefix`. Returns how many were valid.
    pub async fn revoke_key(&self, site_id: &str, prefix: &str, now: DateTime<Utc>) -> Result<usize> {
        let mut revoked = 0;
        self.registry()
            .update_document(SITES, |_, document: &mut SitesDocument| {
                revoked = 0;
                let site = find_site(document, site_id)?;
                for key in site.keys.iter_mut().filter(|key| key.revoked_at.is_none()) {
                    if keys::is_meant(prefix, &key.prefix, &key.hash) {
                        key.revoked_at = Some(now);
                        revoked += 1;
                    }
                }
                if revoked == 0 {
                    return Err(not_found(format!("site {site_id} has no valid key {prefix}; `site list` shows them")));
                }
                Ok(())
            })
            .await?;
        Ok(revoked)
    }
}

/// How write keys begin, by which people and tools know them.
const KEY_BEGINNING: &str = "dpw_";

fn stored_key(write_key: &str, now: DateTime<Utc>) -> WriteKey {
    WriteKey {
        prefix: keys::prefix(write_key).to_owned(),
        hash: keys::hash(write_key),
        created_at: now,
        revoked_at: None,
    }
}

/// Whether a text can be a write key: one of ours begins like one and has the length of one.
pub fn is_write_key(text: &str) -> bool {
    keys::is_key(text, KEY_BEGINNING)
}

fn find_site<'a>(document: &'a mut SitesDocument, site_id: &str) -> Result<&'a mut Site> {
    let known: Vec<Arc<str>> = document.sites.iter().map(|site| site.site_id.clone()).collect();
    document.sites.iter_mut().find(|site| &*site.site_id == site_id).ok_or_else(|| no_site(site_id, &known))
}

/// The id of a site, as the directory has it.
pub(super) fn find_site_id(directory: &SiteDirectory, site_id: &str) -> Result<Arc<str>> {
    let known: Vec<Arc<str>> = directory.sites.iter().map(|site| site.site_id.clone()).collect();
    known.iter().find(|known| &***known == site_id).cloned().ok_or_else(|| no_site(site_id, &known))
}

fn no_site(site_id: &str, known: &[Arc<str>]) -> LakeError {
    not_found(format!("there is no site {site_id}; the sites are: {}", known.join(", ")))
}

/// A site is found by its name as it is written, but people and domains know no case.
fn check_case(document: &SitesDocument, name: &str) -> Result<()> {
    match document.sites.iter().find(|site| site.site_id.eq_ignore_ascii_case(name)) {
        Some(site) => {
            Err(invalid(format!("there is a site {} already, which differs from {name} only by case", site.site_id)))
        }
        None => Ok(()),
    }
}

/// A domain is of one site.
fn check_domains(document: &SitesDocument, site: &Site) -> Result<()> {
    let others = || document.sites.iter().filter(|other| other.site_id != site.site_id);
    let taken = |domain: &&String| {
        others().flat_map(|other| &other.settings.domains).any(|other| domain_form(other) == domain.as_str())
    };
    match site.settings.domains.iter().find(taken) {
        Some(domain) => Err(invalid(format!("another site has the domain {domain} already"))),
        None => Ok(()),
    }
}

fn check_site_id(name: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=64).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(invalid(format!(
        "{name:?} cannot be a site's name: use 1 to 64 letters, digits, '.', '_' and '-', for example shop.example.com"
    )))
}

/// Brings domains and origins into the form they are compared in, or says why they cannot be meant.
fn normalize(settings: &mut SiteSettings) -> Result<()> {
    for domain in &mut settings.domains {
        *domain = names::domain(domain).map_err(invalid)?;
    }
    for origin in &mut settings.origins {
        *origin = names::origin(origin).map_err(invalid)?;
    }
    for names in [&mut settings.domains, &mut settings.origins] {
        names.sort();
        names.dedup();
    }
    if settings.cookie && settings.origins.is_empty() {
        return Err(invalid(
            "a cookie needs the origins whose pages may send it: set them too, as in https://shop.example".into(),
        ));
    }
    if settings.session_gap_s == 0 || settings.session_cap_s < settings.session_gap_s {
        return Err(invalid("a session's gap is one second at least, and its cap not shorter than its gap".into()));
    }
    Ok(())
}

fn invalid(reason: String) -> LakeError {
    LakeError::Invalid { reason }
}

fn not_found(reason: String) -> LakeError {
    LakeError::NotFound { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lake() -> Lake {
        Lake::open("memory:///", []).unwrap()
    }

    #[tokio::test]
    async fn a_key_opens_its_own_site_until_it_is_revoked() {
        let (lake, now) = (lake(), DateTime::UNIX_EPOCH);
        let first = lake.add_site("shop", now).await.unwrap();
        let second = lake.add_key("shop", now).await.unwrap();
        let directory = lake.sites().await.unwrap();
        assert_eq!(site_of(&directory, &first.write_key), Some("shop"));
        assert_eq!(site_of(&directory, &second.write_key), Some("shop"));
        assert_eq!(site_of(&directory, "dpw_guess"), None);
        assert!(is_write_key(&first.write_key) && !is_write_key("dpw_guess"));

        lake.revoke_key("shop", keys::prefix(&first.write_key), now).await.unwrap();
        let directory = lake.sites().await.unwrap();
        assert_eq!(site_of(&directory, &first.write_key), None);
        assert_eq!(site_of(&directory, &second.write_key), Some("shop"));
    }

    fn site_of<'a>(directory: &'a SiteDirectory, write_key: &str) -> Option<&'a str> {
        let site_id = directory.site_of_key(write_key)?.site_id.clone();
        directory.site(&site_id).map(|site| &*site.site_id)
    }

    #[tokio::test]
    async fn a_domain_opens_the_one_site_that_has_it() {
        let (lake, now) = (lake(), DateTime::UNIX_EPOCH);
        for name in ["shop", "blog"] {
            lake.add_site(name, now).await.unwrap();
        }
        lake.change_site("shop", |settings| settings.domains = vec![" Shop.Example ".into()]).await.unwrap();
        let directory = lake.sites().await.unwrap();
        assert_eq!(directory.site_of_domain("SHOP.example").map(|site| site.site_id.clone()).as_deref(), Some("shop"));
        assert!(directory.site_of_domain("shop").is_some(), "by its own name, too");
        assert!(directory.site_of_domain("blog").is_none());
        let taken = lake.change_site("blog", |settings| settings.domains = vec!["shop.example.".into()]).await;
        assert!(matches!(taken, Err(LakeError::Invalid { .. })), "{taken:?}");
    }

    #[tokio::test]
    async fn settings_that_cannot_be_meant_are_refused() {
        let lake = lake();
        lake.add_site("shop", DateTime::UNIX_EPOCH).await.unwrap();
        let changes: [fn(&mut SiteSettings); 4] = [
            |settings| settings.domains = vec!["https://shop.example".into()],
            |settings| settings.domains = vec!["".into()],
            |settings| settings.origins = vec!["shop.example".into()],
            |settings| settings.cookie = true,
        ];
        for change in changes {
            let refused = lake.change_site("shop", change).await;
            assert!(matches!(refused, Err(LakeError::Invalid { .. })), "{refused:?}");
        }
        let kept = lake.change_site("shop", |settings| settings.origins = vec!["https://Shop.example/a".into()]).await;
        assert_eq!(kept.unwrap().origins, ["https://shop.example"]);
    }

    #[tokio::test]
    async fn a_key_cannot_be_read_back_from_the_registry() {
        let lake = lake();
        let issued = lake.add_site("shop", DateTime::UNIX_EPOCH).await.unwrap();
        let stored = serde_json::to_string(lake.sites().await.unwrap().sites()).unwrap();
        assert!(!stored.contains(&issued.write_key));
    }

    #[tokio::test]
    async fn what_is_not_there_is_told_from_what_cannot_be() {
        let (lake, now) = (lake(), DateTime::UNIX_EPOCH);
        lake.add_site("shop", now).await.unwrap();
        let not_there = [
            lake.add_key("blog", now).await.map(drop),
            lake.set_retention("blog", None).await,
            lake.revoke_key("shop", "dpw_guess", now).await.map(drop),
            lake.change_site("blog", |_| {}).await.map(drop),
        ];
        for outcome in not_there {
            assert!(matches!(outcome, Err(LakeError::NotFound { .. })), "{outcome:?}");
        }
        let cannot_be = [lake.set_retention("shop", Some(0)).await, lake.add_site("shop", now).await.map(drop)];
        for outcome in cannot_be {
            assert!(matches!(outcome, Err(LakeError::Invalid { .. })), "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn names_that_cannot_be_a_sites_are_refused() {
        for name in ["", "a b", "ä", "a/b", &"x".repeat(65)] {
            let error = lake().add_site(name, DateTime::UNIX_EPOCH).await.unwrap_err();
            assert!(matches!(error, LakeError::Invalid { .. }), "{name}: {error}");
        }
        let lake = lake();
        lake.add_site("Shop", DateTime::UNIX_EPOCH).await.unwrap();
        let added = [
            lake.add_site("shop", DateTime::UNIX_EPOCH).await.map(drop),
            lake.ensure_site("SHOP", DateTime::UNIX_EPOCH).await.map(drop),
        ];
        for added in added {
            let error = added.unwrap_err().to_string();
            assert!(error.contains("a site Shop already, which differs"), "{error}");
        }
    }
}
