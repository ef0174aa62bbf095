//! What roles share beside events: documents such as the sites, and the salts of the day.

pub(crate) mod documents;
pub(crate) mod names;
pub(crate) mod salts;
pub(crate) mod sites;
