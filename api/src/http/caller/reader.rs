//! What somebody who asks may read: the whole lake, or some sites; and what he asks of.

use std::sync::Arc;

use engine::{EngineError, Scope, Share, SqlSession, View};
use serde_json::Value;

use crate::http::error::ApiError;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Reader {
    /// Somebody who may read everything.
    Everything,
    /// Somebody who may read these sites, and learn of no other.
    Sites {
        sites: Arc<[Arc<str>]>,
        /// What he may take of what all share.
        share: Option<Arc<Share>>,
        by: By,
    },
}

/// By what somebody reads some sites.
#[derive(Clone, Debug)]
pub(crate) enum By {
    /// A read key.
    Key,
    /// The organisations that the person is a member of.
    Membership {
        /// Those that the person owns, whose audit logs he may read.
        owned: Arc<[Arc<str>]>,
    },
    /// A link that somebody shared.
    Link {
        /// Filters that hold for all he asks, in JSON.
        filters: Arc<[Value]>,
    },
}

/// What a reader asks of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// All or one site of the lake, for somebody who may read everything.
    Lake(Option<Arc<str>>),
    /// Sites of somebody who may read no others.
    Sites(Arc<[Arc<str>]>),
}

impl Reader {
    /// What a request asks of: the site it names, or all that its sender may read.
    ///
    /// Fails in the same words for a site that is not there and for one that he may not know of.
    pub(crate) fn part(&self, site: Option<&str>) -> Result<Part, ApiError> {
        match (self, site) {
            (Self::Everything, site) => Ok(Part::Lake(site.map(Into::into))),
            (Self::Sites { sites, .. }, None) if sites.is_empty() => {
                Err(ApiError::NotFound("there is no site yet: add one to your organisation".to_owned()))
            }
            (Self::Sites { sites, .. }, None) => Ok(Part::Sites(sites.clone())),
            (Self::Sites { sites, by, .. }, Some(site)) => match sites.iter().find(|own| &***own == site) {
                Some(own) => Ok(Part::Sites([own.clone()].into())),
                None => Err(ApiError::NotFound(match (by, sites.join(", ")) {
                    (By::Key, sites) => format!("this key reads no site {site}; it reads {sites}"),
                    (_, sites) if sites.is_empty() => format!("there is no site {site}; there is none yet"),
                    (_, sites) => format!("there is no site {site}; there is {sites}"),
                })),
            },
        }
    }

    /// The same of several sites: all that its sender may read if none is named.
    pub(crate) fn part_of(&self, sites: &[String]) -> Result<Part, ApiError> {
        match sites {
            [] => self.part(None),
            [site] => self.part(Some(site)),
            sites => {
                sites.iter().try_for_each(|site| self.part(Some(site)).map(drop))?;
                let mut sites: Vec<Arc<str>> = sites.iter().map(|site| site.as_str().into()).collect();
                sites.sort();
                sites.dedup();
                Ok(Part::Sites(sites.into()))
            }
        }
    }

    /// The site whose report is meant; `None` for that of the whole lake.
    pub(crate) fn site_of_report(&self, site: Option<String>) -> Result<Option<String>, ApiError> {
        self.check_may_ask_sql()?;
        let part = self.part(site.as_deref())?;
        match (self, part.site()) {
            (_, Some(site)) => Ok(Some(site.to_string())),
            (Self::Everything, None) => Ok(None),
            (Self::Sites { sites, .. }, None) => {
                Err(ApiError::invalid(format!("each site has a report of its own: name one of {}", sites.join(", "))))
            }
        }
    }

    /// Whether somebody may see numbers, and no people.
    pub(crate) fn sees_no_people(&self) -> bool {
        matches!(self, Self::Sites { by: By::Link { .. }, .. })
    }

    /// Fails for somebody to whom a part of a site is shown, which SQL cannot be kept to.
    pub(crate) fn check_may_ask_sql(&self) -> Result<(), ApiError> {
        match self {
            Self::Sites { by: By::Link { .. }, .. } => {
                Err(ApiError::MayNot("whoever has a link reads numbers of /v1/stats alone".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Filters that hold for all he asks.
    pub(crate) fn fixed_filters(&self) -> &[Value] {
        match self {
            Self::Sites { by: By::Link { filters }, .. } => filters,
            _ => &[],
        }
    }

    /// The organisations whose audit log he may read, if he is confined to some sites.
    pub(crate) fn owned(&self) -> &[Arc<str>] {
        match self {
            Self::Sites { by: By::Membership { owned }, .. } => owned,
            _ => &[],
        }
    }

    /// What he may take, if that is less than everything.
    pub(crate) fn share(&self) -> Option<&Arc<Share>> {
        match self {
            Self::Everything => None,
            Self::Sites { share, .. } => share.as_ref(),
        }
    }
}

impl Part {
    /// The site, if it is one.
    pub(crate) fn site(&self) -> Option<&Arc<str>> {
        match self {
            Self::Lake(site) => site.as_ref(),
            Self::Sites(sites) => match &**sites {
                [site] => Some(site),
                _ => None,
            },
        }
    }

    /// The sites that are named; none for the whole main lake.
    pub(crate) fn sites(&self) -> &[Arc<str>] {
        match self {
            Self::Lake(site) => site.as_slice(),
            Self::Sites(sites) => sites,
        }
    }

    /// A session in which SQL sees this part.
    ///
    /// - `reader`: who asks.
    pub(crate) fn session(&self, view: &View, reader: &Reader) -> Result<SqlSession, EngineError> {
        let share = reader.share().map(|share| &**share);
        match self {
            Self::Lake(None) => view.session(&Scope::Lake),
            Self::Lake(Some(site)) => view.session(&Scope::Site(site.to_string())),
            Self::Sites(sites) => view.owners_session(sites, reader.owned(), share),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_of_several_sites_names_the_one_whose_report_he_wants() {
        let by = |by: By, sites: &[&str]| {
            let sites: Vec<Arc<str>> = sites.iter().map(|site| (*site).into()).collect();
            Reader::Sites { sites: sites.into(), share: None, by }
        };
        let two = by(By::Key, &["shop", "blog"]);
        assert!(matches!(two.site_of_report(None), Err(ApiError::Invalid(_))));
        assert_eq!(two.site_of_report(Some("blog".into())).unwrap().as_deref(), Some("blog"));
        assert!(matches!(two.site_of_report(Some("zoo".into())), Err(ApiError::NotFound(_))));
        assert_eq!(by(By::Key, &["shop"]).site_of_report(None).unwrap().as_deref(), Some("shop"));
        assert_eq!(Reader::Everything.site_of_report(None).unwrap(), None);
        let link = by(By::Link { filters: [].into() }, &["shop"]);
        assert!(matches!(link.site_of_report(Some("shop".into())), Err(ApiError::MayNot(_))));
    }

    #[test]
    fn a_site_that_is_not_there_and_one_of_others_are_refused_alike() {
        let reader = Reader::Sites { sites: ["shop".into(), "blog".into()].into(), share: None, by: By::Key };
        assert_eq!(reader.part(None).unwrap(), Part::Sites(["shop".into(), "blog".into()].into()));
        assert_eq!(reader.part(Some("blog")).unwrap(), Part::Sites(["blog".into()].into()));
        let ApiError::NotFound(words) = reader.part(Some("Blog")).unwrap_err() else { panic!("it is not found") };
        assert_eq!(words, "this key reads no site Blog; it reads shop, blog");
        let owned = || By::Membership { owned: [].into() };
        let person = Reader::Sites { sites: ["shop".into()].into(), share: None, by: owned() };
        let ApiError::NotFound(words) = person.part(Some("zoo")).unwrap_err() else { panic!("it is not found") };
        assert_eq!(words, "there is no site zoo; there is shop");
        let newcomer = Reader::Sites { sites: [].into(), share: None, by: owned() };
        for site in [None, Some("shop")] {
            assert!(matches!(newcomer.part(site), Err(ApiError::NotFound(_))), "{site:?}");
        }
        assert_eq!(Reader::Everything.part(Some("zoo")).unwrap(), Part::Lake(Some("zoo".into())));
    }
}
