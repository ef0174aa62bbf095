//! SQL over the lake: DataFusion sessions that see one snapshot, each event once. This crate writes nothing to the lake.
//!
//! A scan of published files is a plain list of Parquet files, which can be shipped to another process; `cluster` does. A
//! scan of pending files cannot: the rows to skip are an extension of each file, and DataFusion's wire form drops extensions
//! without an error.

mod advice;
mod answer;
mod as_of;
mod description;
mod engines;
mod error;
mod folds;
mod joins;
mod kept;
mod limits;
mod one_store;
pub mod params;
mod plan_inputs;
mod read_access;
mod row_filter;
mod scope;
mod session;
mod sessions;
mod settings;
mod shared_views;
mod sql;
mod tables;
mod time_zone;
mod truth;
mod worker_side;

pub use answer::binary_text::binary_as_text;
pub use answer::json_rows::{column_names, to_json_rows};
pub use answer::text_table;
pub use answer::{AnswerError, AnswerFormat, AnswerOutput, AnswerWriter};
pub use as_of::AsOf;
pub use description::Description;
pub use engines::{Apart, Engines};
pub use error::{EngineError, Result};
pub use folds::{Compared, ExplainedFold, Explanation, FoldUse, How, KeptState, RecurringQuery, StateSettings};
pub use lake::whole_text;
pub use limits::floors;
pub use limits::shares::{Busy, Share, Turn};
pub use limits::{LimitFlags, LimitedRows, QueryLimits};
pub use params::Param;
pub use read_access::ReadAccess;
pub use row_filter::RowFilter;
pub use scope::Scope;
pub use session::{Engine, QueryResult, SqlSession, View};
pub use settings::EngineSettings;
pub use shared_views::SharedViews;
