//! Which server sends mails, from whom, and where its readers find this one.

use std::fmt;
use std::str::FromStr;

use lettre::message::Mailbox;
use url::Url;

/// The server that sends mails, with what it is signed in to.
///
/// It has a password, so what is written of it names its host alone.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpUrl(Url);

impl SmtpUrl {
    /// As `lettre` reads it.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for SmtpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut url = Url::parse(text).map_err(|error| format!("it is no address: {error}"))?;
        if !matches!(url.scheme(), "smtp" | "smtps") || !url.has_host() {
            return Err("it begins with smtps:// (TLS from the beginning) or smtp://".to_owned());
        }
        match url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value.into_owned()).as_deref() {
            Some("required" | "opportunistic") => {}
            Some("none") => url.set_query(None),
            Some(other) => return Err(format!("tls={other} is none of required, opportunistic, none")),
            // A password goes through no wire that anybody reads.
            None if url.scheme() == "smtp" && url.password().is_some() => url.set_query(Some("tls=required")),
            // A relay of one's own often has no certificate that holds.
            None => {}
        }
        Ok(Self(url))
    }
}

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

/// Whom mails are from: an address, or a name and an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailFrom(pub(crate) Mailbox);

impl FromStr for MailFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mailbox = text.parse::<Mailbox>();
        mailbox.map(Self).map_err(|_| "write reports@example.com, or Dewpond <reports@example.com>".to_owned())
    }
}

/// Where browsers find this server, without a slash at the end.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicUrl(Url);

impl PublicUrl {
    /// The address of something on this server.
    ///
    /// - `path`: from the slash on.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.0.as_str().trim_end_matches('/'))
    }

    /// Whether a host is that of this address.
    pub(crate) fn is_at(&self, host: Option<&str>) -> bool {
        self.0.host_str() == host
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("it is no address: {error}"))?;
        let is_plain = url.query().is_none() && url.fragment().is_none() && url.password().is_none();
        match url.scheme() {
            "http" | "https" if url.has_host() && is_plain && url.path() == "/" => Ok(Self(url)),
            _ => Err("write where browsers find this server, such as https://stats.example.com".to_owned()),
        }
    }
}

impl fmt::Debug for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_sent_encrypted_and_never_shown() {
        for (text, expected) in [
            ("smtps://ada:secret@mail.example", "smtps://ada:secret@mail.example"),
            ("smtp://ada:secret@mail.example:587", "smtp://ada:secret@mail.example:587?tls=required"),
            ("smtp://ada:secret@127.0.0.1:2525?tls=none", "smtp://ada:secret@127.0.0.1:2525"),
            ("smtp://mail.example?tls=opportunistic", "smtp://mail.example?tls=opportunistic"),
            ("smtp://127.0.0.1:25", "smtp://127.0.0.1:25"),
        ] {
            let url: SmtpUrl = text.parse().unwrap();
            assert_eq!(url.as_str(), expected);
            assert!(!format!("{url:?}").contains("secret"));
        }
        for wrong in ["mail.example:25", "https://mail.example", "smtp:", "smtp://mail.example?tls=maybe", ""] {
            assert!(wrong.parse::<SmtpUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_address_of_this_server_is_a_host_and_no_more() {
        let url: PublicUrl = "https://stats.example.com/".parse().unwrap();
        assert_eq!(url.at("/dashboard/"), "https://stats.example.com/dashboard/");
        assert!(url.is_at(Some("stats.example.com")) && !url.is_at(Some("127.0.0.1")) && !url.is_at(None));
        for wrong in ["stats.example.com", "https://a/b", "https://a/?b", "https://u:p@a", "ftp://a", ""] {
            assert!(wrong.parse::<PublicUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_sender_is_an_address_with_or_without_a_name() {
        assert!("reports@example.com".parse::<MailFrom>().is_ok());
        assert!("Dewpond <reports@example.com>".parse::<MailFrom>().is_ok());
        assert!("Dewpond".parse::<MailFrom>().is_err());
    }
}
