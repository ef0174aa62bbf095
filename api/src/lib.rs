//! The HTTP API for readers: the latest reports, their history, visits of pages, and SQL.
//!
//! Reports come from `analytics`, which made them; everything else is SQL over a view of the lake. This crate knows
//! neither how a report is made nor how the lake is read: it takes a request apart, asks, and writes the answer. The same
//! numbers go out by e-mail.

mod html;
mod http;
mod mail;
mod mcp;
mod outward;
mod providers;
mod words;

pub use http::{Api, SqlSettings, router};
pub use mail::settings::{MailFrom, PublicUrl, SmtpUrl};
pub use mcp::serve_stdio;
pub use outward::{Outward, OutwardSettings};
