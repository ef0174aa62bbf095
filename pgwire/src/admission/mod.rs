//! Who may come in: TLS, keys and their passwords, and how many at a time.

pub(super) mod keys;
pub(super) mod scram;
pub(super) mod seats;
pub(super) mod tls;
