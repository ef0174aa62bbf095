//! What people keep of a site: goals, segments, funnels, annotations, shares. A document for each site and kind; what an
//! item says is for those who use it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{LakeError, Result};
use crate::lake::Lake;

/// The documents of all sites lie below this.
pub(crate) const SAVED: &str = "saved";

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SavedKind {
    /// What visitors are meant to do.
    Goals,
    /// Filters with a name.
    Segments,
    /// Steps with a name.
    Funnels,
    /// What happened at a time.
    Annotations,
    /// Links by which others read.
    Shares,
    /// Numbers that are sent by e-mail, to whom and how often.
    EmailReports,
}

/// Something that people keep of a site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedItem {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The site that it is of.
    pub site_id: String,
    /// How often it was written. Whoever changes it says which he has read.
    pub version: u64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was written last.
    pub changed_at: DateTime<Utc>,
    /// The e-mail address of whoever made it; none of the operator.
    #[serde(default)]
    pub created_by: Option<String>,
    /// What it says.
    pub says: Map<String, Value>,
}

/// The items of one kind of a site, in the order they were made, as the document is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedDocument {
    pub(crate) items: Vec<SavedItem>,
}

impl SavedKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Goals, Self::Segments, Self::Funnels, Self::Annotations, Self::Shares, Self::EmailReports];

    /// Its name in paths and addresses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Goals => "goals",
            Self::Segments => "segments",
            Self::Funnels => "funnels",
            Self::Annotations => "annotations",
            Self::Shares => "shares",
            Self::EmailReports => "email-reports",
        }
    }
}

impl Lake {
    /// What is kept of a site; nothing of one that is not there.
    pub async fn saved(&self, site_id: &str, kind: SavedKind) -> Result<Vec<SavedItem>> {
        let mut items = self.registry().read_document::<SavedDocument>(&name(site_id, kind)).await?.1.items;
        items.retain(|item| item.site_id == site_id);
        Ok(items)
    }

    /// The shares of all sites.
    pub async fn shares(&self) -> Result<Vec<SavedItem>> {
        Ok(self.registry().read_document::<SavedDocument>(&name("", SavedKind::Shares)).await?.1.items)
    }

    /// The e-mail reports of all sites.
    pub async fn email_reports(&self) -> Result<Vec<SavedItem>> {
        Ok(self.registry().read_document::<SavedDocument>(&name("", SavedKind::EmailReports)).await?.1.items)
    }

    /// Changes what is kept of a site. `change` is asked again if somebody else was faster, with what he left.
    ///
    /// - `site_id`: of a site that there is.
    pub async fn change_saved<R, E: From<LakeError>>(
        &self,
        site_id: &str,
        kind: SavedKind,
        mut change: impl FnMut(&mut Vec<SavedItem>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.registry()
            .change_document(&name(site_id, kind), |_, document: &mut SavedDocument| {
                let (mut own, others) = document.items.drain(..).partition(|item| item.site_id == site_id);
                let outcome = change(&mut own)?;
                document.items = others;
                document.items.append(&mut own);
                Ok(outcome)
            })
            .await
    }
}

fn name(site_id: &str, kind: SavedKind) -> String {
    match kind {
        // Whoever has a link does not say of which site it is, and whoever sends asks for all.
        SavedKind::Shares | SavedKind::EmailReports => format!("{SAVED}/{}", kind.name()),
        // A site may be called `..`, or by a word that is a directory here.
        kind => format!("{SAVED}/site={site_id}/{}", kind.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn add(lake: &Lake, site_id: &str, kind: SavedKind, id: &str) {
        let item = SavedItem {
            id: id.into(),
            site_id: site_id.into(),
            version: 1,
            created_at: DateTime::UNIX_EPOCH,
            changed_at: DateTime::UNIX_EPOCH,
            created_by: None,
            says: Map::new(),
        };
        let added = lake.change_saved(site_id, kind, |items| {
            items.push(item.clone());
            Ok::<_, LakeError>(())
        });
        added.await.unwrap();
    }

    #[tokio::test]
    async fn each_site_has_its_own_of_each_kind_and_shares_are_found_without_a_site() {
        let lake = Lake::open("memory:///", []).unwrap();
        for (site, kind, id) in [
            ("shop", SavedKind::Goals, "a"),
            ("shop", SavedKind::Shares, "b"),
            ("shop.example", SavedKind::Goals, "c"),
            ("..", SavedKind::Goals, "d"),
            ("blog", SavedKind::Shares, "e"),
        ] {
            add(&lake, site, kind, id).await;
        }
        let ids = |items: Vec<SavedItem>| items.into_iter().map(|item| item.id).collect::<Vec<_>>().join(" ");
        for (site, kind, expected) in [
            ("shop", SavedKind::Goals, "a"),
            ("shop", SavedKind::Shares, "b"),
            ("shop", SavedKind::Segments, ""),
            ("shop.example", SavedKind::Goals, "c"),
            ("..", SavedKind::Goals, "d"),
            ("blog", SavedKind::Shares, "e"),
            ("nobody", SavedKind::Goals, ""),
        ] {
            assert_eq!(ids(lake.saved(site, kind).await.unwrap()), expected, "{site} {kind:?}");
        }
        assert_eq!(ids(lake.shares().await.unwrap()), "b e");
    }
}
