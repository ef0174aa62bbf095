//! What the roles share beside events: sites with their write keys, and the salts of the day.

pub(crate) mod documents;
pub(crate) mod salts;
pub(crate) mod sites;
