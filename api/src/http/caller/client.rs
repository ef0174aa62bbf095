//! Where a request comes from, for the count of sign-ins that failed and for the audit log.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

/// Who sends a request, beside what he brings.
pub(in crate::http) struct Sender(pub(in crate::http) accounts::Client);

impl<S: Sync> FromRequestParts<S> for Sender {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        Ok(Self(accounts::Client {
            address: address(peer, &parts.headers).map(|address| of_subscriber(address).to_string()),
            user_agent: agent.chars().take(200).collect(),
        }))
    }
}

/// The address of whoever sends, behind a proxy if the connection comes from a network of one's own. The last address that
/// a proxy names is the one that it saw; those before it are what the sender says.
fn address(peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
    let peer = peer?.to_canonical();
    let is_own = match peer {
        IpAddr::V4(peer) => peer.is_loopback() || peer.is_private() || peer.is_link_local(),
        IpAddr::V6(peer) => peer.is_loopback() || peer.is_unique_local() || peer.is_unicast_link_local(),
    };
    let named = headers.get_all("x-forwarded-for").into_iter().next_back().filter(|_| is_own);
    let named = named.and_then(|named| named.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    Some(named.unwrap_or(peer))
}

/// One subscriber has a whole network of addresses in IPv6.
fn of_subscriber(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_of_ones_own_is_believed_and_nobody_else() {
        for (peer, named, expected) in [
            ("203.0.113.7", None, "203.0.113.7"),
            ("203.0.113.7", Some("198.51.100.1"), "203.0.113.7"),
            ("10.0.0.2", Some("198.51.100.1"), "198.51.100.1"),
            ("127.0.0.1", Some("6.6.6.6, 198.51.100.1"), "198.51.100.1"),
            ("::ffff:127.0.0.1", Some("198.51.100.1"), "198.51.100.1"),
            ("10.0.0.2", Some("unknown"), "10.0.0.2"),
            ("2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(named) = named {
                headers.insert("x-forwarded-for", named.parse().unwrap());
            }
            let address = address(Some(peer.parse().unwrap()), &headers).map(of_subscriber);
            assert_eq!(address.map(|address| address.to_string()).as_deref(), Some(expected), "{peer} {named:?}");
        }
    }
}
