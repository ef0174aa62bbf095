//! What roles share beside events: documents such as the sites, the read keys and the people, and the salts of the day.

pub(crate) mod accounts;
pub(crate) mod destinations;
pub(crate) mod documents;
pub(crate) mod imports;
mod keys;
pub(crate) mod names;
pub(crate) mod read_keys;
pub(crate) mod salts;
pub(crate) mod saved;
pub(crate) mod scram;
pub(crate) mod sites;
