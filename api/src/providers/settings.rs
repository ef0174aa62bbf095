//! The file of companies with which people may sign in. Pure.

use std::fmt;

use lake::Role;
use serde::Deserialize;

/// A company, and what its people become here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Provider {
    /// In addresses: letters, digits, `-`.
    pub(crate) id: String,
    /// What people read.
    pub(crate) name: String,
    /// Who it is, and where what it can do is written down.
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    /// `None` of one that knows this server without a secret.
    pub(crate) secret: Option<Secret>,
    /// Domains of e-mail addresses that it may speak for, in lower case; all if `any_domain`.
    pub(crate) domains: Vec<String>,
    pub(crate) any_domain: bool,
    /// The organisation that new people join, by id or name. `None`: nobody new comes.
    pub(crate) organisation: Option<String>,
    /// What they are there.
    pub(crate) role: Role,
}

/// What the company knows this server by.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    provider: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    name: Option<String>,
    issuer: String,
    client_id: String,
    secret_variable: Option<String>,
    secret_file: Option<String>,
    domains: Vec<String>,
    organisation: Option<String>,
    role: Option<Role>,
}

/// The providers of a file.
///
/// - `variable`: a variable of the environment.
/// - `read`: a file with a secret.
///
/// Fails with words for its author.
pub(crate) fn parse(
    text: &str,
    variable: impl Fn(&str) -> Option<String>,
    read: impl Fn(&str) -> Result<String, String>,
) -> Result<Vec<Provider>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut providers: Vec<Provider> = vec![];
    for written in file.provider {
        let id = written.id.clone();
        let provider = provider(written, &variable, &read).map_err(|reason| format!("provider {id:?}: {reason}"))?;
        if providers.iter().any(|other| other.id == id) {
            return Err(format!("there are two providers {id:?}"));
        }
        providers.push(provider);
    }
    Ok(providers)
}

fn provider(
    written: Written,
    variable: impl Fn(&str) -> Option<String>,
    read: impl Fn(&str) -> Result<String, String>,
) -> Result<Provider, String> {
    let Written { id, name, issuer, client_id, secret_variable, secret_file, domains, organisation, role } = written;
    if id.is_empty() || id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err("an id has letters, digits and -".to_owned());
    }
    let secret = match (secret_variable, secret_file) {
        (Some(_), Some(_)) => return Err("give secret_variable or secret_file, and not both".to_owned()),
        (Some(name), None) => Some(variable(&name).ok_or_else(|| format!("there is no variable {name}"))?),
        (None, Some(path)) => Some(read(&path)?),
        (None, None) => None,
    };
    let secret = secret.map(|secret| secret.trim().to_owned());
    if secret.as_deref() == Some("") {
        return Err("its secret is empty".to_owned());
    }
    let url = url::Url::parse(&issuer).map_err(|error| format!("issuer is no address: {error}"))?;
    let is_this_machine = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() != "https" && !(url.scheme() == "http" && is_this_machine) {
        return Err("issuer begins with https://".to_owned());
    }
    let any_domain = domains.iter().any(|domain| domain == "*");
    let domains: Vec<String> = domains.iter().filter(|domain| *domain != "*").map(|one| one.to_lowercase()).collect();
    if domains.is_empty() && !any_domain {
        return Err(
            "domains says for whose addresses it may speak, such as [\"example.com\"]; [\"*\"] for all of them"
                .to_owned(),
        );
    }
    if let Some(odd) = domains.iter().find(|domain| domain.contains(['@', '/', '*', ' ']) || !domain.contains('.')) {
        return Err(format!("{odd:?} is no domain: write what follows the @ of addresses"));
    }
    let name = name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| id.clone());
    let role = role.unwrap_or(Role::Viewer);
    Ok(Provider { id, name, issuer, client_id, secret: secret.map(Secret), domains, any_domain, organisation, role })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
        [[provider]]
        id = "example"
        name = "Example Inc."
        issuer = "https://login.example.com"
        client_id = "dewpond"
        secret_variable = "SECRET"
        domains = ["Example.com"]
        organisation = "Example"
        role = "editor"
    "#;

    fn read(text: &str) -> Result<Vec<Provider>, String> {
        let variable = |name: &str| (name == "SECRET").then(|| "s3cret".to_owned());
        parse(text, variable, |path| if path == "secret.txt" { Ok("of a file\n".into()) } else { Err("gone".into()) })
    }

    #[test]
    fn a_file_says_whose_people_come_and_what_they_become() {
        let found = read(WHOLE).unwrap().remove(0);
        let expected = Provider {
            id: "example".into(),
            name: "Example Inc.".into(),
            issuer: "https://login.example.com".into(),
            client_id: "dewpond".into(),
            secret: Some(Secret("s3cret".into())),
            domains: vec!["example.com".into()],
            any_domain: false,
            organisation: Some("Example".into()),
            role: Role::Editor,
        };
        assert_eq!(found, expected);
        assert!(!format!("{found:?}").contains("s3cret"));
        let of_file = WHOLE.replace("secret_variable = \"SECRET\"", "secret_file = \"secret.txt\"");
        assert_eq!(read(&of_file).unwrap()[0].secret, Some(Secret("of a file".into())));
        let least =
            "[[provider]]\nid = \"a\"\nissuer = \"http://localhost:9000\"\nclient_id = \"c\"\ndomains = [\"*\"]";
        let least = read(least).unwrap().remove(0);
        assert_eq!((least.any_domain, least.secret, least.role, &*least.name), (true, None, Role::Viewer, "a"));
    }

    #[test]
    fn what_would_let_in_others_is_refused_in_words() {
        for (from, to, words) in [
            ("https://login", "http://login", "issuer begins with https://"),
            ("[\"Example.com\"]", "[]", "domains says"),
            ("[\"Example.com\"]", "[\"ada@example.com\"]", "is no domain"),
            ("[\"Example.com\"]", "[\"*.example.com\"]", "is no domain"),
            ("\"SECRET\"", "\"OTHER\"", "there is no variable OTHER"),
            ("secret_variable = \"SECRET\"", "secret_file = \"other.txt\"", "gone"),
            ("role = \"editor\"", "role = \"admin\"", "admin"),
            ("role = \"editor\"", "roles = \"editor\"", "roles"),
            ("id = \"example\"", "id = \"../x\"", "an id has letters"),
        ] {
            let error = read(&WHOLE.replace(from, to)).unwrap_err();
            assert!(error.contains(words), "{to}: {error}");
        }
        assert!(read(&WHOLE.repeat(2)).unwrap_err().contains("two providers"));
    }
}
