//! The address of a Memcached server.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a Memcached server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemcachedAddress {
    /// `host:port`; an IPv6 address stands in brackets.
    Tcp(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// What is not the address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write host:port, such as cache:11211 or [::1]:11211, or the whole path of a Unix socket, such as \
     /run/memcached/memcached.sock"
)]
pub struct InvalidAddress;

impl FromStr for MemcachedAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let text = text.trim();
        let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or(text);
        if path.starts_with('/') {
            return Ok(Self::Unix(path.into()));
        }
        let (host, port) = text.rsplit_once(':').ok_or(InvalidAddress)?;
        let bare = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').filter(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok()),
            None => Some(host).filter(|host| !host.contains([':', '/', '@', ' '])),
        };
        match (bare, port.parse::<u16>()) {
            (Some(bare), Ok(1..)) if !bare.is_empty() => Ok(Self::Tcp(text.to_owned())),
            _ => Err(InvalidAddress),
        }
    }
}

impl fmt::Display for MemcachedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_or_the_path_of_a_socket() {
        for text in ["cache:11211", "127.0.0.1:11211", "[::1]:11211", "memcached.default.svc.cluster.local:11211"] {
            assert_eq!(text.parse(), Ok(MemcachedAddress::Tcp(text.to_owned())));
        }
        for text in ["/run/memcached.sock", "unix:/run/memcached.sock", "unix:///run/memcached.sock"] {
            assert_eq!(text.parse(), Ok(MemcachedAddress::Unix("/run/memcached.sock".into())));
        }
    }

    #[test]
    fn what_cannot_be_connected_to_is_no_address() {
        for text in [
            "",
            "cache",
            "cache:",
            ":11211",
            "cache:0",
            "cache:70000",
            "::1:11211",
            "[cache]:11211",
            "[::1]",
            "memcached://cache:11211",
            "run/memcached.sock",
            "user@cache:11211",
            "a b:11211",
        ] {
            assert_eq!(text.parse::<MemcachedAddress>(), Err(InvalidAddress), "{text:?}");
        }
    }
}
