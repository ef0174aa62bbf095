//! What an event is: one form, whatever protocol it came by.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

/// The salt of one date (UTC).
pub type Salt = [u8; 32];

/// The identity of an event within its site: what deduplication compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub [u8; 16]);

/// What makes an event itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey {
    /// The tenant.
    pub site_id: Arc<str>,
    /// The id within the tenant.
    pub event_id: EventId,
}

impl EventId {
    /// The id of so many bytes: 16, unless another engine wrote the file.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let mut id = [0; 16];
        let length = bytes.len().min(16);
        id[..length].copy_from_slice(&bytes[..length]);
        Self(id)
    }

    /// The identity of an id that a client sent.
    ///
    /// A UUID in hyphenated form keeps its own 16 bytes, so that it can be found again in SQL;
    /// any other string is hashed to 128 bits (BLAKE3, truncated). Total: every string has an identity.
    ///
    /// ```
    /// # use lake::EventId;
    /// let id = EventId::from_client("4be2b2dd-4a59-4b91-b39d-2db84cdf31c5");
    /// assert_eq!(id.0[..2], [0x4b, 0xe2]);
    /// assert_ne!(EventId::from_client("node-next-1"), EventId::from_client("node-next-2"));
    /// ```
    pub fn from_client(id: &str) -> Self {
        // Only the hyphenated form: the simple form could be somebody's MD5, and "{…}" or "urn:" forms
        // would make two different strings one event.
        if id.len() == 36
            && let Ok(uuid) = Uuid::try_parse(id)
        {
            return Self(uuid.into_bytes());
        }
        Self::derived(&[b"event id", id.as_bytes()])
    }

    /// The identity of an event that carries none: a hash of the parts that make it itself.
    pub fn derived(parts: &[&[u8]]) -> Self {
        let hash = hash_parts(parts);
        let mut id = [0; 16];
        id.copy_from_slice(&hash.as_bytes()[..16]);
        Self(id)
    }
}

/// The stable 64-bit id of a visitor of a site; what unique counts count.
///
/// `identity` is the user id if there is one, else the anonymous id. The same identity on two sites
/// is two visitors. BLAKE3, truncated: stable over releases and machines. Among 10⁸ visitors the chance
/// that any two share an id is 3·10⁻⁴.
pub fn visitor_id(site_id: &str, identity: &str) -> i64 {
    visitor_of(hash_parts(&[b"visitor", site_id.as_bytes(), identity.as_bytes()]))
}

/// The id, for one day, of a visitor of a site who has no id: by address and user agent, neither of which is stored.
///
/// - `salt`: the salt of the day. Once it is deleted, nobody can tell from whom an id was made.
pub fn daily_visitor_id(site_id: &str, salt: &Salt, address: IpAddr, user_agent: &str) -> i64 {
    visitor_of(hash_parts(&[
        b"daily visitor",
        salt,
        site_id.as_bytes(),
        address.to_string().as_bytes(),
        user_agent.as_bytes(),
    ]))
}

/// The first 64 bits of a hash.
fn visitor_of(hash: blake3::Hash) -> i64 {
    let mut id = [0; 8];
    id.copy_from_slice(&hash.as_bytes()[..8]);
    i64::from_le_bytes(id)
}

/// Hashes parts with their lengths, so that ("a", "bc") and ("ab", "c") differ.
fn hash_parts(parts: &[&[u8]]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize()
}

/// One event, validated and enriched, ready to be stored. Columns of the same names.
///
/// Times are microseconds since the Unix epoch, UTC. `revenue_e4` is in ten-thousandths of `currency`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// Identity within the site.
    pub event_id: EventId,
    /// The tenant.
    pub site_id: Arc<str>,
    /// What happened: `page_view`, `page_ping`, `object_in_view`, `object_interaction`, or the user's own.
    pub name: String,
    /// When it happened, by the client's clock, corrected; the time of arrival if the client gave none.
    pub occurred_at_us: i64,
    /// When the collector took it.
    pub received_at_us: i64,
    /// By how much `occurred_at_us` was moved from the client's own time to correct its clock; none if it was not. Kept
    /// until the event is published: a body sent again unchanged, with its old time of sending, looks like a slow clock, so
    /// its copies lie far apart.
    pub corrected_by_us: Option<i64>,
    /// Whether the collector made `event_id` because the sender gave none, so that no copy can come. Kept until the event
    /// is published.
    pub id_assigned: bool,
    /// Who did it, see [`visitor_id`]; none if the client identified nobody.
    pub visitor_id: Option<i64>,
    /// The user id, as sent.
    pub user_id: Option<String>,
    /// The anonymous id, as sent.
    pub anonymous_id: Option<String>,
    /// The session id, as sent.
    pub session_id: Option<String>,
    /// The page's address.
    pub url: Option<String>,
    /// Host of `url`.
    pub hostname: Option<String>,
    /// Path of `url`.
    pub path: Option<String>,
    /// Query of `url`, without the question mark.
    pub query: Option<String>,
    /// The page's title.
    pub title: Option<String>,
    /// The address of the page before.
    pub referrer: Option<String>,
    /// Host of `referrer`.
    pub referrer_host: Option<String>,
    /// Where the visit came from, in the GA4 default channel grouping.
    pub channel: Option<String>,
    /// Campaign source.
    pub utm_source: Option<String>,
    /// Campaign medium.
    pub utm_medium: Option<String>,
    /// Campaign name.
    pub utm_campaign: Option<String>,
    /// Campaign term.
    pub utm_term: Option<String>,
    /// Campaign content.
    pub utm_content: Option<String>,
    /// Browser family. The user agent itself is not stored.
    pub browser: Option<String>,
    /// Browser version.
    pub browser_version: Option<String>,
    /// The app that showed the page, such as Instagram.
    pub browser_app: Option<String>,
    /// Operating system.
    pub os: Option<String>,
    /// Operating system version.
    pub os_version: Option<String>,
    /// `desktop`, `mobile`, `tablet`, … as far as it can be told.
    pub device: Option<String>,
    /// ISO 3166 country code. The IP address is not stored.
    pub country: Option<String>,
    /// Region within the country.
    pub region: Option<String>,
    /// City.
    pub city: Option<String>,
    /// The browser's language.
    pub language: Option<String>,
    /// Screen size, `1920x1080`.
    pub screen: Option<String>,
    /// Window size, `1200x800`.
    pub viewport: Option<String>,
    /// What was seen or clicked.
    pub object: Option<String>,
    /// Money, in ten-thousandths.
    pub revenue_e4: Option<i128>,
    /// ISO 4217 code of `revenue_e4`.
    pub currency: Option<String>,
    /// Everything else the client sent, as a JSON object.
    pub properties: Option<String>,
    /// Whether the sender looks like a robot. Kept and flagged, not counted by default.
    pub is_bot: bool,
    /// The kind of robot: `search`, `ai-crawler`, `monitor`, …; none of a person.
    pub bot_kind: Option<String>,
    /// The protocol it came by.
    pub protocol: &'static str,
    /// The client library, if it said.
    pub sdk: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_keeps_its_bytes_whatever_its_case() {
        let lower = EventId::from_client("4be2b2dd-4a59-4b91-b39d-2db84cdf31c5");
        let upper = EventId::from_client("4BE2B2DD-4A59-4B91-B39D-2DB84CDF31C5");
        assert_eq!(lower, upper);
        assert_eq!(Uuid::from_bytes(lower.0).to_string(), "4be2b2dd-4a59-4b91-b39d-2db84cdf31c5");
    }

    #[test]
    fn any_other_id_is_hashed() {
        assert_ne!(EventId::from_client("4be2b2dd4a594b91b39d2db84cdf31c5").0[0], 0x4b);
        assert_ne!(EventId::from_client("a"), EventId::from_client("b"));
        assert_eq!(EventId::from_client("a"), EventId::from_client("a"));
    }

    #[test]
    fn a_visitor_of_two_sites_is_two_visitors() {
        assert_ne!(visitor_id("one", "ada"), visitor_id("two", "ada"));
        assert_ne!(visitor_id("ab", "c"), visitor_id("a", "bc"));
    }

    #[test]
    fn visitor_ids_are_stable_over_releases() {
        // A changed hash would split every visitor of every lake in two.
        assert_eq!(visitor_id("default", "ada"), GOLDEN_VISITOR);
    }

    const GOLDEN_VISITOR: i64 = -9_035_983_868_392_851_003;
}
