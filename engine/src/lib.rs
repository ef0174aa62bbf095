//! DataFusion over the lake: sessions in which SQL sees one snapshot, each event once.
//!
//! Plans are plain `DataSourceExec` over `ParquetSource` with explicit file lists, so that an engine that
//! distributes DataFusion plans can take them as they are. This crate writes nothing to the lake.

mod answer;
mod as_of;
mod error;
mod files;
mod json_rows;
pub mod params;
mod pending;
mod quarantine;
mod session;

pub use answer::{AnswerError, AnswerFormat, AnswerOutput, AnswerWriter};
pub use as_of::AsOf;
pub use error::{EngineError, Result};
pub use json_rows::{column_names, to_json_rows};
pub use params::Param;
pub use session::{Engine, EngineSettings, QueryResult, Scope, SqlSession, View};
