//! The address of the client: the connection's peer, or the client that trusted proxies name.

use std::net::IpAddr;

use axum::http::HeaderMap;
use ipnet::IpNet;

use super::text_of;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The address of the client.
///
/// Each proxy appends to `X-Forwarded-For`, so it is read from the right: the first address that is not a trusted
/// proxy is the client's. Anything left of it was written by the client.
pub(crate) fn client_ip(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|net| net.contains(ip));
    let mut client = peer?.to_canonical();
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().map(text_of).collect();
    let mut hops = lines.iter().flat_map(|line| line.split(',')).rev();
    while is_trusted(&client) {
        let Some(hop) = hops.next() else { break };
        // Nothing behind an unreadable hop can be trusted.
        let Some(ip) = address(hop.trim()) else { break };
        client = ip.to_canonical();
    }
    Some(client)
}

/// The id that a trusted proxy gives a request. It is the same at each retry of the proxy, so events without an id
/// that are sent twice count once. From other peers the header is ignored: two requests with one id would count as one.
pub(crate) fn request_id(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Option<String> {
    let peer = peer?.to_canonical();
    let id = headers.get("x-request-id").map(text_of).filter(|id| !id.is_empty())?;
    trusted.iter().any(|net| net.contains(&peer)).then(|| id.into_owned())
}

/// Parses an address, with or without a port.
fn address(hop: &str) -> Option<IpAddr> {
    hop.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
        .or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|at| at.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_no_proxy_of_ours_is_the_client() {
        check("192.0.2.1", &["203.0.113.9"], "", "192.0.2.1");
        check("192.0.2.1", &[], "10.0.0.0/8", "192.0.2.1");
    }

    #[test]
    fn behind_trusted_proxies_stands_the_first_that_is_none() {
        check("10.0.0.1", &["203.0.113.9"], "10.0.0.0/8", "203.0.113.9");
        check("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"], "10.0.0.0/8", "203.0.113.9");
        check("10.0.0.1", &["1.1.1.1", "203.0.113.9:4711"], "10.0.0.0/8", "203.0.113.9");
        check("::ffff:10.0.0.1", &["2001:db8::7"], "10.0.0.0/8", "2001:db8::7");
        check("10.0.0.1", &["[2001:db8::7]"], "10.0.0.0/8", "2001:db8::7");
        check("10.0.0.1", &["[2001:db8::7]:443"], "10.0.0.0/8", "2001:db8::7");
    }

    #[test]
    fn odd_bytes_in_a_list_are_one_unreadable_hop() {
        check("10.0.0.1", &["ä, 203.0.113.9"], "10.0.0.0/8", "203.0.113.9");
        check("10.0.0.1", &["ä", "203.0.113.9, 10.0.0.2"], "10.0.0.0/8", "203.0.113.9");
        check("10.0.0.1", &["203.0.113.9", "ä"], "10.0.0.0/8", "10.0.0.1");
    }

    #[test]
    fn a_proxy_that_says_nothing_readable_is_taken_for_the_client() {
        check("10.0.0.1", &[], "10.0.0.0/8", "10.0.0.1");
        check("10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.0/8", "10.0.0.1");
    }

    #[test]
    fn only_proxies_of_ours_name_requests() {
        let named = |peer: &str, trusted: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", "r1".parse().unwrap());
            request_id(Some(peer.parse().unwrap()), &headers, &[trusted.parse().unwrap()])
        };
        assert_eq!(named("10.0.0.1", "10.0.0.0/8").as_deref(), Some("r1"));
        assert_eq!(named("192.0.2.1", "10.0.0.0/8"), None);
    }

    #[track_caller]
    fn check(peer: &str, forwarded: &[&str], trusted: &str, expected: &str) {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.split_whitespace().map(|net| net.parse().unwrap()).collect();
        assert_eq!(client_ip(Some(peer.parse().unwrap()), &headers, &trusted), Some(expected.parse().unwrap()));
    }
}
