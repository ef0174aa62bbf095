//! Whose events are asked for.

/// Which events a session sees.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Scope {
    /// All of the lake.
    #[default]
    Lake,
    /// One site: no query can see another's events.
    Site(String),
}
