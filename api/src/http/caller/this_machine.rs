//! Whether a request was sent to this machine by its own name. Pure.

use std::net::IpAddr;

use axum::http::{HeaderMap, header, uri::Authority};

/// The name of the host that a request was sent to.
pub(in crate::http) fn host(headers: &HeaderMap) -> Option<String> {
    let authority = headers.get(header::HOST)?.to_str().ok()?.parse::<Authority>().ok()?;
    Some(authority.host().to_lowercase())
}

/// Whether a request was sent to this machine by its own name or address. Somebody's page may have led a browser here by
/// another name, which it resolved to this machine.
pub(in crate::http) fn names_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    host.is_some_and(|host| {
        let host = host.host();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_own_names_go_without_a_key() {
        for (host, own) in [
            ("localhost:8081", true),
            ("LOCALHOST", true),
            ("127.0.0.1:8081", true),
            ("127.1.2.3", true),
            ("[::1]:8081", true),
            ("evil.example", false),
            ("localhost.evil.example:8081", false),
            ("127.0.0.1.evil.example", false),
            ("10.0.0.1:8081", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            assert_eq!(names_this_machine(&headers), own, "{host}");
        }
        assert!(!names_this_machine(&HeaderMap::new()));
    }
}
