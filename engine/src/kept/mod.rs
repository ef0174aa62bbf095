//! Rows of sites, kept in memory for whoever asks of the site next.
//!
//! A dashboard asks a dozen questions of one site at once, and a dozen more at each click. Files of the table never change, so
//! what a question reads of one is there for the next: the rows of the site in a file, column by column as they are asked for,
//! texts as numbers of the different ones, numbers in as few bytes as they need ([`column`]). Pending rows are not kept; they are few, and others at each moment.
//! What rows have to satisfy is decided by the numbers ([`condition`]), and nothing else of the others is looked at.
//! What an aggregation makes of a file's rows is kept, too ([`partials`]). Sessions are kept as they were made ([`made`]), for as long as no event comes.
//!
//! [`KeptRows`] has them within a bound, of which one site takes no more than a part: larger sites are read from their
//! files. Whether a session keeps rows is its caller's choice ([`SqlSession::keeping_rows`](crate::SqlSession::keeping_rows)).

mod column;
mod condition;
mod exec;
mod made;
mod memory;
mod narrow;
mod partials;
mod pushdown;
mod question;
mod site;
mod slice;

pub(crate) use self::made::MadeRows;
pub(crate) use self::memory::KeptRows;
pub(crate) use self::partials::FilePartialsExec;
pub(crate) use self::site::{SiteRows, SiteRowsExec};
