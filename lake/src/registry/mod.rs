//! What roles share beside events: documents such as the sites, the read keys and the people, and the salts of the day; and
//! in which lake the events of a site lie.

pub(crate) mod accounts;
pub(crate) mod destinations;
pub(crate) mod documents;
pub(crate) mod imports;
mod keys;
pub(crate) mod known;
pub(crate) mod lakes;
pub(crate) mod names;
pub(crate) mod own_lake;
pub(crate) mod read_keys;
pub(crate) mod salts;
pub(crate) mod saved;
pub(crate) mod scram;
pub(crate) mod sites;
