//! What queries see: every acknowledged event once, whichever engine reads.

mod console;
mod copies;
mod exactly_once;
mod mcp_clients;
mod other_engines;
mod postgres_clients;
mod recurring;
mod shop;
mod visibility;
