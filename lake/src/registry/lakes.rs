//! The lakes of an installation: the main one, which has the documents that roles share, and those of organisations' own.
//! Sets and removes these, and keeps them open.
//!
//! **A site lies in one lake for as long as there is the site.** An organisation gets its lake before its first site, keeps
//! it while it has sites, and no site moves between lakes. So a process that knows a site by a reading of long ago knows its
//! lake, and no event of it goes anywhere else: there is no moment at which a collector must not know a setting yet. A
//! process that does not know the site reads the document, which has its lake, too.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::registry::own_lake::{OwnLake, check_credentials, overlap};
use crate::registry::sites::{SITES, SitesDocument};

/// The document of a lake of an organisation's own that says whose it is.
pub(crate) const OWNER: &str = "owner";

/// Whose a lake is, as the document is stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct OwnerDocument {
    /// The id of the organisation; empty before it is somebody's.
    #[serde(default)]
    organisation: String,
}

/// The main lake, and those of organisations' own, which are opened when they are first needed. Cheap to clone; clones share
/// the open ones.
#[derive(Clone)]
pub struct Lakes {
    inner: Arc<Inner>,
}

struct Inner {
    main: Lake,
    environment: Vec<(String, String)>,
    open: Mutex<HashMap<Arc<OwnLake>, Lake>>,
}

impl fmt::Debug for Lakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lakes({})", self.inner.main.url())
    }
}

/// The lakes of an installation that takes no credentials from variables.
impl From<Lake> for Lakes {
    fn from(main: Lake) -> Self {
        Self::new(main, [])
    }
}

impl Lakes {
    /// - `environment`: variables that may have the credentials of lakes.
    pub fn new(main: Lake, environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let environment = environment.into_iter().collect();
        Self { inner: Arc::new(Inner { main, environment, open: Mutex::default() }) }
    }

    /// The main lake.
    pub fn main(&self) -> &Lake {
        &self.inner.main
    }

    /// A lake of an organisation's own, or the main lake for `None`. The same one at each call.
    ///
    /// Fails with [`LakeError::Unusable`] if its credentials are missing, or what lies there is not the organisation's: a disk
    /// that is not mounted, or another endpoint, must not get its events.
    pub async fn lake(&self, own: Option<&Arc<OwnLake>>) -> Result<Lake> {
        let Some(own) = own else { return Ok(self.main().clone()) };
        if let Some(open) = self.inner.open.lock().get(own) {
            return Ok(open.clone());
        }
        let lake = self.open(own)?;
        let found = lake.owner().await?;
        if found != *own.organisation {
            return Err(LakeError::Unusable {
                reason: match found.is_empty() {
                    true => format!(
                        "what lies at {} is not the lake that was set there: is the disk mounted, and is the endpoint right?",
                        own.url
                    ),
                    false => format!("the lake at {} is another organisation's", own.url),
                },
            });
        }
        Ok(self.inner.open.lock().entry(own.clone()).or_insert(lake).clone())
    }

    /// The lake that the events of a site lie in.
    ///
    /// Fails as [`lake`](Self::lake) does, and with [`LakeError::NotFound`] if there is no such site.
    pub async fn of_site(&self, site_id: &str) -> Result<Lake> {
        let directory = self.main().sites().await?;
        let site = directory.site(site_id).ok_or_else(|| LakeError::NotFound {
            reason: format!("there is no site {site_id}; `dewpond site list` shows all sites"),
        })?;
        self.lake(site.lake.as_ref()).await
    }

    /// Gives an organisation a lake of its own, or its lake other credentials. When this returns, the lake can be written to.
    ///
    /// - `organisation`: its id.
    /// - `location`: as [`Lake::open`] takes it.
    /// - `credentials`: the name of its credentials; those of the process if not given.
    ///
    /// Fails with [`LakeError::Invalid`] if the organisation has sites in another lake, or something else lies at the place,
    /// and as [`Lake::probe`] does.
    pub async fn set(&self, organisation: &str, location: &str, credentials: Option<&str>) -> Result<Arc<OwnLake>> {
        if let Some(name) = credentials {
            check_credentials(name).map_err(invalid)?;
        }
        let mut own = OwnLake {
            organisation: organisation.into(),
            url: location.to_owned(),
            credentials: credentials.map(|name| name.to_ascii_lowercase()),
        };
        own.url = self.open(&own)?.url().to_string();
        let (own, main_url) = (Arc::new(own), self.main().url().as_str());
        let (_, document) = self.main().read_document::<SitesDocument>(SITES).await?;
        check(&document, main_url, &own).map_err(invalid)?;

        let lake = self.open(&own)?;
        // Says what to set if the store cannot be used, better than what comes after could.
        lake.reachable().await?;
        match lake.owner().await? {
            owner if owner == organisation => {}
            owner if !owner.is_empty() => {
                return Err(invalid(format!("the lake at {} is another organisation's", own.url)));
            }
            _ if lake.exists().await? => {
                return Err(invalid(format!("there is a lake at {} already: name an empty place", own.url)));
            }
            _ => {}
        }
        lake.probe().await?;
        lake.take_for(organisation).await?;
        self.main()
            .update_document(SITES, |_, document: &mut SitesDocument| {
                check(document, main_url, &own).map_err(invalid)?;
                document.lakes.retain(|lake| lake.organisation != own.organisation);
                document.lakes.push((*own).clone());
                Ok(())
            })
            .await?;
        self.inner.open.lock().insert(own.clone(), lake);
        Ok(own)
    }

    /// Takes an organisation's lake back: sites that are added later lie in the main lake. What is in it stays.
    ///
    /// Fails with [`LakeError::Invalid`] if the organisation has sites, and with [`LakeError::NotFound`] if it has no lake.
    pub async fn remove(&self, organisation: &str) -> Result<()> {
        self.main()
            .update_document(SITES, |_, document: &mut SitesDocument| {
                let sites = document.sites_of(organisation);
                if document.lake_of(Some(organisation)).is_none() {
                    let reason = "the organisation has no lake of its own; its events lie in the main lake".to_owned();
                    return Err(LakeError::NotFound { reason });
                }
                if !sites.is_empty() {
                    return Err(invalid(format!(
                        "the organisation has sites ({}), and a site stays in the lake that it was added to",
                        sites.join(", ")
                    )));
                }
                document.lakes.retain(|lake| &*lake.organisation != organisation);
                Ok(())
            })
            .await
    }

    /// Opens a lake, whoever's it is.
    fn open(&self, own: &OwnLake) -> Result<Lake> {
        let unusable = |reason| LakeError::Unusable { reason };
        let environment = own.environment(&self.inner.environment).map_err(unusable)?;
        let lake = Lake::open(&own.url, environment)?;
        Ok(lake.of_organisation(own.organisation.clone(), self.main().clone()))
    }
}

/// Fails with words if an organisation cannot have this lake.
fn check(document: &SitesDocument, main_url: &str, own: &OwnLake) -> Result<(), String> {
    let before = document.lake_of(Some(&own.organisation));
    if before.is_some_and(|before| before.url == own.url) {
        return Ok(());
    }
    if overlap(&own.url, main_url) {
        return Err(format!("{} overlaps the main lake at {main_url}: name another bucket or directory", own.url));
    }
    let others = document.lakes.iter().filter(|other| other.organisation != own.organisation);
    if let Some(other) = others.into_iter().find(|other| overlap(&own.url, &other.url)) {
        return Err(format!("{} overlaps the lake of another organisation: {}", own.url, other.url));
    }
    let sites = document.sites_of(&own.organisation);
    match (sites.is_empty(), before) {
        (true, _) => Ok(()),
        (false, Some(before)) => Err(format!(
            "the organisation has sites ({}), whose events stay in {}: its lake cannot be another one",
            sites.join(", "),
            before.url
        )),
        (false, None) => Err(format!(
            "the organisation has sites already ({}), and a site stays in the lake that it was added to. Make another \
             organisation, give it the lake, add its sites, and bring the events over with `dewpond export` and \
             `dewpond import`; sites without events can be given away with `dewpond site set NAME --organisation none`",
            sites.join(", ")
        )),
    }
}

impl Lake {
    /// Whose lake this is, as it says itself; empty if it is nobody's.
    async fn owner(&self) -> Result<String> {
        Ok(self.read_document::<OwnerDocument>(OWNER).await?.1.organisation)
    }

    /// Whether this is a lake of an organisation's own, however it was opened.
    pub async fn is_an_organisations(&self) -> Result<bool> {
        Ok(!self.owner().await?.is_empty())
    }

    /// Makes the lake an organisation's, unless it is somebody's.
    async fn take_for(&self, organisation: &str) -> Result<()> {
        if self.owner().await? == organisation {
            return Ok(());
        }
        self.update_document(OWNER, |_, document: &mut OwnerDocument| {
            if !document.organisation.is_empty() && document.organisation != organisation {
                return Err(invalid(format!("the lake at {} is another organisation's", self.url())));
            }
            organisation.clone_into(&mut document.organisation);
            Ok(())
        })
        .await
    }
}

fn invalid(reason: String) -> LakeError {
    LakeError::Invalid { reason }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::registry::sites::SiteSettings;

    const NOW: DateTime<chrono::Utc> = DateTime::UNIX_EPOCH;

    struct Place {
        lakes: Lakes,
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let main = Lake::open(dir.path().join("main").to_str().unwrap(), []).unwrap();
            Self { lakes: main.into(), dir }
        }

        fn at(&self, name: &str) -> String {
            self.dir.path().join(name).to_str().unwrap().to_owned()
        }

        async fn add(&self, site: &str, organisation: Option<&str>) {
            self.lakes.main().add_site_of(site, organisation, SiteSettings::default(), NOW).await.unwrap();
        }

        async fn set(&self, organisation: &str, name: &str) -> Result<Arc<OwnLake>> {
            self.lakes.set(organisation, &self.at(name), None).await
        }
    }

    fn words<T: fmt::Debug>(outcome: Result<T>) -> String {
        match outcome.unwrap_err() {
            LakeError::Invalid { reason } | LakeError::Unusable { reason } => reason,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_sites_of_an_organisation_lie_in_its_lake_and_all_others_in_the_main_one() {
        let place = Place::new();
        place.add("shop", None).await;
        let own = place.set("acme", "own").await.unwrap();
        place.add("acme-shop", Some("acme")).await;
        place.add("blog", Some("other")).await;

        let names =
            |sites: Vec<Arc<crate::Site>>| sites.iter().map(|site| site.site_id.to_string()).collect::<Vec<_>>();
        let lake = place.lakes.of_site("acme-shop").await.unwrap();
        assert_eq!(lake.url().as_str(), own.url);
        assert_eq!(place.lakes.of_site("blog").await.unwrap().url(), place.lakes.main().url());
        assert_eq!(names(lake.sites_here().await.unwrap()), ["acme-shop"]);
        assert_eq!(names(place.lakes.main().sites_here().await.unwrap()), ["shop", "blog"]);
        // Each knows all documents, which lie in the main lake alone.
        assert_eq!(lake.sites().await.unwrap().sites().len(), 3);
        assert!(!std::path::Path::new(&place.at("own/registry/sites")).exists());
        assert!(matches!(place.lakes.of_site("zoo").await, Err(LakeError::NotFound { .. })));

        let directory = lake.sites().await.unwrap();
        assert_eq!(directory.one_lake_of(&["acme-shop"]), Ok(Some(&own)));
        assert_eq!(directory.one_lake_of(&["shop", "blog"]), Ok(None));
        assert_eq!(directory.one_lake_of(&["shop", "acme-shop", "blog"]), Err(("shop", "acme-shop")));
    }

    #[tokio::test]
    async fn a_site_stays_in_its_lake_whatever_is_tried() {
        let place = Place::new();
        place.add("blog", Some("other")).await;
        let refused = words(place.set("other", "own").await);
        assert!(refused.contains("has sites already (blog)") && refused.contains("dewpond export"), "{refused}");

        place.set("acme", "own").await.unwrap();
        place.add("acme-shop", Some("acme")).await;
        let main = place.lakes.main();
        for (site, organisation) in [("acme-shop", None), ("acme-shop", Some("other")), ("blog", Some("acme"))] {
            let refused = words(main.give_site(site, organisation).await);
            assert!(refused.contains("stays in the lake"), "{refused}");
        }
        main.give_site("blog", None).await.unwrap();
        let refused = words(place.set("acme", "elsewhere").await);
        assert!(refused.contains("has sites (acme-shop)"), "{refused}");
        let refused = words(place.lakes.remove("acme").await);
        assert!(refused.contains("has sites (acme-shop)"), "{refused}");
        // Neither left anything behind.
        assert!(!std::path::Path::new(&place.at("elsewhere")).exists());
        assert_eq!(main.sites().await.unwrap().lakes().len(), 1);
    }

    #[tokio::test]
    async fn a_lake_is_one_organisations_and_lies_in_no_other() {
        let place = Place::new();
        place.set("acme", "own").await.unwrap();
        for (name, why) in
            [("own", "overlaps"), ("own/inner", "overlaps"), ("main", "main lake"), ("main/a", "main lake")]
        {
            let refused = words(place.set("other", name).await);
            assert!(refused.contains(why), "{name}: {refused}");
        }
        // By another name it is still whose it is.
        std::os::unix::fs::symlink(place.at("own"), place.at("alias")).unwrap();
        let refused = words(place.set("other", "alias").await);
        assert!(refused.contains("another organisation's"), "{refused}");
        let stranger = Lake::open(&place.at("stranger"), []).unwrap();
        stranger.add_site("shop", NOW).await.unwrap();
        let refused = words(place.set("other", "stranger").await);
        assert!(refused.contains("there is a lake at"), "{refused}");

        place.lakes.remove("acme").await.unwrap();
        assert!(matches!(place.lakes.remove("acme").await, Err(LakeError::NotFound { .. })));
        // It may have it again, and another one may not.
        assert!(words(place.set("other", "own").await).contains("another organisation's"));
        place.set("acme", "own").await.unwrap();
    }

    #[tokio::test]
    async fn a_place_that_lost_its_lake_gets_no_event() {
        let place = Place::new();
        let own = place.set("acme", "own").await.unwrap();
        std::fs::rename(place.at("own"), place.at("unmounted")).unwrap();
        // Another process, which opens it now.
        let lakes = Lakes::from(place.lakes.main().clone());
        let refused = words(lakes.lake(Some(&own)).await);
        assert!(refused.contains("is the disk mounted"), "{refused}");
        std::fs::rename(place.at("unmounted"), place.at("own")).unwrap();
        lakes.lake(Some(&own)).await.unwrap();
    }

    #[tokio::test]
    async fn credentials_get_another_name_and_the_events_stay() {
        let place = Place::new();
        place.set("acme", "own").await.unwrap();
        place.add("acme-shop", Some("acme")).await;
        let own = place.lakes.set("acme", &place.at("own"), Some("Acme")).await.unwrap();
        assert_eq!(own.credentials.as_deref(), Some("acme"));
        assert_eq!(place.lakes.main().sites().await.unwrap().lakes(), [own]);
        let refused = words(place.lakes.set("acme", &place.at("own"), Some("a-b")).await);
        assert!(refused.contains("cannot be a name of credentials"), "{refused}");
        let refused = words(place.lakes.set("zoo", "s3://zoo/lake", Some("zoo")).await);
        assert!(refused.contains("DEWPOND_LAKE_ZOO_AWS_ACCESS_KEY_ID"), "{refused}");
    }

    #[tokio::test]
    async fn of_a_lake_and_a_first_site_that_are_set_at_once_the_site_lies_in_one_of_them_for_good() {
        for _ in 0..8 {
            let place = Place::new();
            let (set, ()) = tokio::join!(place.set("acme", "own"), place.add("acme-shop", Some("acme")));
            let lies_in = place.lakes.of_site("acme-shop").await.unwrap().url().to_string();
            match set {
                Ok(own) => assert_eq!(lies_in, own.url),
                Err(_) => assert_eq!(lies_in, place.lakes.main().url().as_str()),
            }
        }
    }
}
