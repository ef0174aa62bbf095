//! A lake of an organisation's own: where it lies, and which variables have its credentials. Pure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A lake that has the events of one organisation's sites, and nothing of others.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OwnLake {
    /// The id of the organisation.
    pub organisation: Arc<str>,
    /// The lake's root as a URL, with a slash at its end.
    pub url: String,
    /// The name of its credentials; those of the process if not given. Never the credentials themselves: versions of a
    /// document are kept for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
}

/// Characters of a name of credentials at most.
const NAME_CHARS_MAX: usize = 32;

impl OwnLake {
    /// How the variables begin that have its credentials; empty if they are those of the process.
    ///
    /// ```
    /// # use lake::OwnLake;
    /// let lake = OwnLake { organisation: "o".into(), url: "s3://acme/".into(), credentials: Some("acme".into()) };
    /// assert_eq!(lake.prefix_of_variables(), "DEWPOND_LAKE_ACME_");
    /// ```
    pub fn prefix_of_variables(&self) -> String {
        self.credentials
            .as_ref()
            .map_or_else(String::new, |name| format!("DEWPOND_LAKE_{}_", name.to_ascii_uppercase()))
    }

    /// The variables of the lake's store, by the names that it knows. With credentials of its own, none of the process's are
    /// among them: half of one account and half of another would open neither, or the wrong one.
    ///
    /// Fails with words if there are none of them, and the store needs some.
    pub(super) fn environment(&self, environment: &[(String, String)]) -> Result<Vec<(String, String)>, String> {
        let prefix = self.prefix_of_variables();
        let own: Vec<(String, String)> = environment
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?.to_owned(), value.clone())))
            .filter(|(name, _)| ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|cloud| name.starts_with(cloud)))
            .collect();
        let is_remote =
            self.url.contains("://") && !["file:", "memory:"].iter().any(|local| self.url.starts_with(local));
        match own.is_empty() && !prefix.is_empty() && is_remote {
            true => Err(format!(
                "no variable has the credentials of {}: set {prefix}AWS_ACCESS_KEY_ID, \
                 {prefix}AWS_SECRET_ACCESS_KEY and {prefix}AWS_REGION, or what its store needs, for every role",
                self.url
            )),
            false => Ok(own),
        }
    }
}

/// Fails with words if this cannot be the name of credentials.
pub(super) fn check_credentials(name: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(fits) {
        true => Ok(()),
        false => Err(format!(
            "{name:?} cannot be a name of credentials, which is part of the names of variables: use 1 to \
             {NAME_CHARS_MAX} letters, digits and _, for example acme"
        )),
    }
}

/// Whether two lakes would lie in one another. Both are roots with a slash at their ends.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    // Each of these is a store of its own.
    !one.starts_with("memory:") && (one.starts_with(other) || other.starts_with(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lake(url: &str, credentials: Option<&str>) -> OwnLake {
        OwnLake { organisation: "o".into(), url: url.into(), credentials: credentials.map(str::to_owned) }
    }

    #[test]
    fn credentials_are_of_their_own_variables_or_of_the_process() {
        let environment = [
            ("AWS_ACCESS_KEY_ID", "process"),
            ("AWS_REGION", "eu-central-1"),
            ("DEWPOND_LAKE", "s3://main"),
            ("DEWPOND_LAKE_ACME_AWS_ACCESS_KEY_ID", "acme"),
            ("DEWPOND_LAKE_ACME_EU_AWS_ACCESS_KEY_ID", "acme_eu"),
            ("DEWPOND_LAKE_ACME_HOME", "/"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        for (credentials, expected) in [
            (None, "AWS_ACCESS_KEY_ID=process AWS_REGION=eu-central-1"),
            (Some("acme"), "AWS_ACCESS_KEY_ID=acme"),
            (Some("Acme_EU"), "AWS_ACCESS_KEY_ID=acme_eu"),
        ] {
            let found = lake("s3://bucket/", credentials).environment(&environment).unwrap();
            let found: Vec<String> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(found.join(" "), expected, "{credentials:?}");
        }
    }

    #[test]
    fn credentials_that_are_missing_are_never_those_of_the_process() {
        let environment = [("AWS_ACCESS_KEY_ID".to_owned(), "process".to_owned())];
        let refused = lake("s3://bucket/", Some("acme")).environment(&environment).unwrap_err();
        assert!(refused.contains("DEWPOND_LAKE_ACME_AWS_ACCESS_KEY_ID"), "{refused}");
        for directory in ["file:///srv/acme/", "/srv/acme"] {
            assert_eq!(lake(directory, Some("acme")).environment(&environment), Ok(vec![]), "a directory needs none");
        }
    }

    #[test]
    fn a_name_of_credentials_is_part_of_a_variables_name() {
        for name in ["acme", "ACME_EU", "a1"] {
            assert_eq!(check_credentials(name), Ok(()), "{name}");
        }
        for name in ["", "a-b", "a b", "ä", "a=b", &"x".repeat(33)] {
            assert!(check_credentials(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_lake_within_another_overlaps_it() {
        for (one, other, expected) in [
            ("s3://bucket/", "s3://bucket/", true),
            ("s3://bucket/", "s3://bucket/lake/", true),
            ("s3://bucket/lake/a/", "s3://bucket/lake/", true),
            ("s3://bucket/lake/", "s3://bucket/lake2/", false),
            ("s3://bucket/", "s3://bucket2/", false),
            ("file:///srv/lake/", "s3://srv/lake/", false),
            ("memory:///", "memory:///", false),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }
}
