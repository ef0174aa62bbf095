//! The PostgreSQL wire protocol over the engine: SQL for the clients that people have. It reads, and writes nothing.
//!
//! Each statement sees every event that was acknowledged before it. What a client may read is decided below the SQL, by
//! its key; what a statement may do, by its plan.

mod admission;
mod cancellation;
mod catalog;
mod connection;
mod copy;
mod failure;
mod format;
mod messages;
mod reader;
mod server;
mod session;
mod settings;
mod statement;
mod wire;

pub use self::admission::tls::TlsError;
pub use self::server::{PgError, PgServer, PgSettings};
