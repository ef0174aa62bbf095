//! Numbers by e-mail: which reports are due, what they say, and that each is sent once.
//!
//! | File | Question |
//! |---|---|
//! | `settings` | which server sends, and from whom |
//! | `subscription` | who gets what, of what is kept of a site |
//! | `calendar` | of which period a report is due |
//! | `letter` | what it says |
//! | `smtp` | how it is sent, and what a failure means |
//! | `sent` | what one process remembers of it |
//! | `sender` | sends what is due, each once |

pub(crate) mod calendar;
pub(crate) mod letter;
pub(crate) mod sender;
pub(crate) mod sent;
pub(crate) mod settings;
pub(crate) mod smtp;
pub(crate) mod subscription;
