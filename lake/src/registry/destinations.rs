//! Destinations: where events of sites are forwarded to.
//!
//! The registry knows which variable of the environment has a secret, and never the secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::registry::sites::find_site_id;
use crate::store::beside::{WITHOUT_CREDENTIALS, carries_credentials};

/// The document.
pub(crate) const DESTINATIONS: &str = "destinations";

/// The longest name of a destination.
const NAME_CHARS_MAX: usize = 64;

/// Where events of a site are forwarded to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationSpec {
    /// Its name, by which its cursor and its failures are known.
    pub name: String,
    /// The site.
    pub site_id: Arc<str>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// What it is, and how it is reached.
    pub target: Target,
    /// An SQL expression that is true of events that are forwarded; all if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Only events with this property, and true in it, are forwarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<String>,
    /// Fields that are added to what is sent, and the columns or properties that they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// How many events are sent in a second at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_per_second_max: Option<u32>,
    /// Whether nothing is sent for now.
    #[serde(default)]
    pub paused: bool,
}

/// What a destination is, and how it is reached. Secrets are named by the variable that has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Target {
    /// Batches of Segment's calls, posted to an address.
    Webhook {
        /// The address.
        url: String,
        /// The secret that posts are signed with.
        secret_variable: Option<String>,
        /// The token that posts carry.
        token_variable: Option<String>,
    },
    /// Google Analytics 4, by its Measurement Protocol.
    Ga4 {
        /// The property's stream.
        measurement_id: String,
        /// The API secret.
        secret_variable: String,
        /// Another address than Google's.
        url: Option<String>,
    },
    /// Google Analytics 4, by the Data Manager API.
    DataManager {
        /// The property.
        property_id: String,
        /// The property's stream.
        measurement_id: String,
        /// The key of the service account, as JSON.
        key_variable: String,
        /// Another address than Google's.
        url: Option<String>,
    },
    /// Meta's Conversions API.
    Meta {
        /// The data set, once called a pixel.
        dataset_id: String,
        /// The access token.
        token_variable: String,
        /// The code under which Meta shows events as a test, and does not count them.
        test_code: Option<String>,
        /// Another address than Meta's.
        url: Option<String>,
    },
    /// A table of PostgreSQL.
    Postgres {
        /// The connection string, which has a password.
        url_variable: String,
        /// The table, with its schema if it is in none of the search path.
        table: String,
    },
    /// A topic of Kafka.
    Kafka {
        /// Brokers to begin with: `host:port`.
        brokers: Vec<String>,
        /// The topic.
        topic: String,
        /// Who signs in, if somebody does.
        user: Option<String>,
        /// The password.
        password_variable: Option<String>,
        /// How he signs in.
        #[serde(default)]
        mechanism: SaslMechanism,
        /// Whether connections are encrypted.
        #[serde(default)]
        tls: bool,
    },
    /// Parquet files by day in an object store.
    Files {
        /// The directory.
        url: String,
    },
}

/// How a client signs in to Kafka (its `sasl.mechanism`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaslMechanism {
    /// The password as it is (RFC 4616): over TLS alone.
    Plain,
    /// Without sending the password (RFC 7677).
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// The same with longer hashes.
    #[default]
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct DestinationsDocument {
    destinations: Vec<DestinationSpec>,
}

impl Lake {
    /// The destinations as they are now.
    pub async fn destinations(&self) -> Result<Vec<DestinationSpec>> {
        Ok(self.registry().read_document::<DestinationsDocument>(DESTINATIONS).await?.1.destinations)
    }

    /// Those of the sites whose events lie in this lake.
    pub async fn destinations_here(&self) -> Result<Vec<DestinationSpec>> {
        let mut destinations = self.destinations().await?;
        if !destinations.is_empty() {
            let sites = self.sites_here().await?;
            destinations.retain(|spec| sites.iter().any(|site| site.site_id == spec.site_id));
        }
        Ok(destinations)
    }

    /// Adds a destination.
    ///
    /// Fails with [`LakeError::Invalid`] if its name cannot be one or is taken, or an address has credentials, and with [`LakeError::NotFound`] if there is
    /// no such site.
    pub async fn add_destination(&self, spec: &DestinationSpec) -> Result<()> {
        let sites = self.sites().await?;
        find_site_id(&sites, &spec.site_id)?;
        if let Target::Files { url } = &spec.target {
            check_address(url)?;
        }
        let name = &spec.name;
        let is_odd = |char: char| !(char.is_ascii_alphanumeric() || matches!(char, '-' | '_'));
        if name.is_empty() || name.len() > NAME_CHARS_MAX || name.contains(is_odd) {
            let reason = format!("{name:?} is no name of a destination: write letters, digits, - and _");
            return Err(LakeError::Invalid { reason });
        }
        self.registry()
            .update_document(DESTINATIONS, |_, document: &mut DestinationsDocument| {
                if document.destinations.iter().any(|other| other.name == *name) {
                    let reason =
                        format!("there is a destination {name} already; `dewpond forward remove {name}` removes it");
                    return Err(LakeError::Invalid { reason });
                }
                document.destinations.push(spec.clone());
                Ok(())
            })
            .await
    }

    /// Pauses a destination, or lets it go on.
    pub async fn pause_destination(&self, name: &str, paused: bool) -> Result<()> {
        self.registry()
            .update_document(DESTINATIONS, |_, document: &mut DestinationsDocument| {
                find(document, name)?.paused = paused;
                Ok(())
            })
            .await
    }

    /// Removes a destination and forgets how far it was.
    pub async fn remove_destination(&self, name: &str) -> Result<()> {
        self.registry()
            .update_document(DESTINATIONS, |_, document: &mut DestinationsDocument| {
                find(document, name)?;
                document.destinations.retain(|other| other.name != name);
                Ok(())
            })
            .await?;
        self.delete_cursor(name).await
    }
}

/// Versions of the document are kept for ever, and credentials in it with them.
fn check_address(url: &str) -> Result<()> {
    match Url::parse(url) {
        Ok(url) if carries_credentials(&url) => Err(LakeError::Invalid { reason: WITHOUT_CREDENTIALS.to_owned() }),
        _ => Ok(()),
    }
}

fn find<'a>(document: &'a mut DestinationsDocument, name: &str) -> Result<&'a mut DestinationSpec> {
    let known: Vec<String> = document.destinations.iter().map(|other| other.name.clone()).collect();
    let found = document.destinations.iter_mut().find(|other| other.name == name);
    found.ok_or_else(|| LakeError::NotFound {
        reason: format!("there is no destination {name}; the destinations are: {}", known.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_no_credentials() {
        for (url, is_fit) in [
            ("s3://bucket/events", true),
            ("/srv/events", true),
            ("https://account.blob.example/events", true),
            ("s3://key:secret@bucket/events", false),
            ("https://key@account.blob.example/events", false),
        ] {
            assert_eq!(check_address(url).is_ok(), is_fit, "{url}");
        }
    }
}
