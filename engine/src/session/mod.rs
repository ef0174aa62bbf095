//! An engine over a lake, a view of the lake at one moment, and a session in which SQL sees that view: within limits,
//! and reading only.

mod engine;
mod sql_session;
mod view;

pub use self::engine::Engine;
pub(crate) use self::sql_session::{IDENTITIES, TABLES_BY_VISITOR};
pub use self::sql_session::{QueryResult, SqlSession};
pub use self::view::View;
