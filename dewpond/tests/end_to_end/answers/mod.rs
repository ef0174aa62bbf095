//! What queries see: every acknowledged event once, with any reader.

mod copies;
mod exactly_once;
mod other_engines;
mod visibility;
