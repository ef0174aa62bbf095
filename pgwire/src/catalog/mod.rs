//! What PostgreSQL says of itself, for clients that look around: `pg_catalog`, `information_schema`, and the functions
//! and forms of SQL that their queries are written in.

mod empty;
mod functions;
mod tables;
mod translation;

use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::ScalarUDF;
use engine::{EngineError, SqlSession};

pub(crate) use self::tables::LakeTable;
pub(crate) use self::translation::{SCHEMA, translate};

/// The version of PostgreSQL that clients are told, by which they choose what they ask for.
pub(crate) const VERSION: &str = "14.0";

/// The catalogs of a lake. They say the same to everybody: the lake has the same tables and columns for every site.
pub(crate) struct Catalog {
    pg_catalog: Vec<(String, RecordBatch)>,
    information_schema: Vec<(String, RecordBatch)>,
    functions: Vec<ScalarUDF>,
}

impl Catalog {
    /// The catalogs of a lake with these tables.
    ///
    /// - `settings`: names and values of what a client may ask for by `SHOW`.
    pub(crate) fn new(tables: &[LakeTable], settings: &'static [(&'static str, &'static str)]) -> Self {
        Self {
            pg_catalog: tables::pg_catalog(tables, settings),
            information_schema: tables::information_schema(tables),
            functions: functions::functions(tables, settings),
        }
    }

    /// Gives a session the catalogs and their functions.
    pub(crate) fn join(&self, session: &SqlSession) -> Result<(), EngineError> {
        session.add_schema("pg_catalog", &self.pg_catalog)?;
        session.add_schema(SCHEMA, &self.information_schema)?;
        for function in &self.functions {
            session.add_function(function.clone());
        }
        Ok(())
    }
}
