//! The PostgreSQL wire protocol over the engine: SQL for the clients that people have. It reads, and writes nothing.
//!
//! Each statement sees every event that was acknowledged before it. What a client may read is decided below the SQL, by
//! its key; what a statement may do, by its plan.

mod cancellation;
mod catalog;
mod connection;
mod copy;
mod failure;
mod keys;
mod messages;
mod parameters;
mod reader;
mod scram;
mod seats;
mod server;
mod session;
mod settings;
mod statement;
mod tls;
mod types;
mod values;
mod wire;

pub use self::server::{PgError, PgServer, PgSettings};
pub use self::tls::TlsError;
