//! What a session is on each site: its gap, its cap, and the zone whose days its reports count by.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::timezone::Tz;
use lake::{SiteDirectory, SiteSettings};

use crate::sessions::making::days::{LocalDays, SECOND_US};
use crate::time_zone::time_zone;

/// What a session is on one site.
#[derive(Clone, Debug)]
pub(crate) struct SiteRules {
    /// The longest pause within a session; one microsecond more begins another.
    pub(crate) gap_us: i64,
    /// How long after its first event a session is cut.
    pub(crate) cap_us: i64,
    /// The zone of the site's days; none for UTC.
    pub(crate) zone: Option<Tz>,
}

impl SiteRules {
    /// The rules that the settings of a site ask for. A zone that this release does not know counts as UTC: a setting
    /// made by a later one must not make reports fail.
    pub(crate) fn of(settings: &SiteSettings) -> Self {
        let zone = match &*settings.time_zone {
            "UTC" => None,
            name => time_zone(name),
        };
        let us = |seconds: u32| i64::from(seconds) * SECOND_US;
        Self { gap_us: us(settings.session_gap_s), cap_us: us(settings.session_cap_s), zone }
    }

    /// The longest pause within a chain of events: with the client's session id they go on for as long as a session may.
    pub(crate) fn bridged_us(&self, is_client: bool) -> i64 {
        if is_client { self.cap_us - 1 } else { self.gap_us }
    }

    /// The days of the site.
    pub(crate) fn days(&self) -> LocalDays {
        LocalDays::new(self.zone)
    }
}

impl Default for SiteRules {
    fn default() -> Self {
        Self::of(&SiteSettings::default())
    }
}

/// The rules of all sites at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    sites: HashMap<Arc<str>, SiteRules>,
    of_others: SiteRules,
}

impl Rules {
    /// The rules of the sites in a directory. A site that is not there has the default ones.
    pub(crate) fn new(directory: &SiteDirectory) -> Self {
        let sites = directory.sites().iter();
        let sites = sites.map(|site| (site.site_id.clone(), SiteRules::of(&site.settings))).collect();
        Self { sites, of_others: SiteRules::default() }
    }

    #[cfg(test)]
    pub(crate) fn all_alike(rules: SiteRules) -> Self {
        Self { sites: HashMap::new(), of_others: rules }
    }

    /// The rules of a site.
    pub(crate) fn of_site(&self, site_id: &str) -> &SiteRules {
        self.sites.get(site_id).unwrap_or(&self.of_others)
    }

    /// The rules in words, in an order that does not change; sites with the default ones are left out.
    pub(crate) fn in_words(&self) -> Vec<String> {
        let default = format!("{:?}", self.of_others);
        let sites = self.sites.iter().map(|(site, rules)| (site, format!("{rules:?}")));
        let mut words: Vec<String> =
            sites.filter(|(_, rules)| *rules != default).map(|(site, rules)| format!("{site:?} {rules}")).collect();
        words.push(default);
        words.sort_unstable();
        words
    }

    /// The longest cap of any site.
    pub(crate) fn cap_us_max(&self) -> i64 {
        self.sites.values().map(|rules| rules.cap_us).fold(self.of_others.cap_us, i64::max)
    }
}
