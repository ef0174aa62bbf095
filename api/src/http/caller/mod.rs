//! Who sends a request, what he brings, and what he may see.

pub(super) mod access;
pub(super) mod client;
pub(super) mod cookies;
pub(super) mod cross_site;
pub(super) mod links;
pub(crate) mod reader;
pub(super) mod this_machine;
