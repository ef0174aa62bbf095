//! The rows of closed sessions in the lake, so that another process need not make them again.
//!
//! They are states of all files of the dates before the horizon's. Beside the rows of folds there is one state that tells who
//! was who when they were made, and which visitors have a session: what is new since then is made good as between two runs.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use lake::{StateDefinition, StateSource, TableFile};

use super::gathering::in_types_of;
use super::hash::hash_of;
use super::kept_sessions::{KeptSessions, in_digits};
use super::making::PieceMaker;
use super::memory::PieceKey;
use super::piece::Piece;
use crate::error::Result;
use crate::session::Engine;
use crate::sessions::Stitching;

/// As many metrics ask for sessions, each for a state with all visitors: such a state may take as much less than one of a file.
const METRICS_OF_SESSIONS: f64 = 5.0;

/// States of closed sessions.
pub(super) struct SessionStates<'a> {
    pub(super) engine: &'a Engine,
    /// A hash of the files, the rules and the horizon.
    pub(super) of: PieceKey,
    source: StateSource,
    /// The bytes of the files.
    bytes: u64,
}

impl<'a> SessionStates<'a> {
    /// - `files`: all files of `events`.
    /// - `until`: the date before which those lie that closed sessions are made of.
    pub(super) fn new(engine: &'a Engine, of: PieceKey, files: &[TableFile], until: chrono::NaiveDate) -> Self {
        let source = StateSource::before(files.iter().map(|file| (file.log_path.as_str(), file.rows)), until);
        let closed = files.iter().filter(|file| file.date.is_some_and(|date| date < until));
        Self { engine, of, source, bytes: closed.map(|file| file.size_bytes).sum() }
    }

    /// What another process knew, without the rows of folds.
    pub(super) async fn read_base(&self) -> Result<Option<KeptSessions>> {
        let Some(rows) = self.engine.lake().read_state(self.base(), self.source.clone()).await? else {
            return Ok(None);
        };
        let Some(rows) = in_types_of(&base_schema(), rows) else { return Ok(None) };
        let (mut visitors, mut links) = (HashSet::new(), Vec::new());
        for batch in &rows {
            let (ids, users) =
                (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
            let is_mixed = batch.column(2).as_boolean();
            for row in 0..batch.num_rows() {
                match users.is_valid(row) {
                    true => links.push((ids.value(row), users.value(row), is_mixed.value(row))),
                    false => drop(visitors.insert(ids.value(row))),
                }
            }
        }
        let name = self.name(&links);
        let mut kept = KeptSessions::new(self.of, Arc::new(Stitching::of_links(links)), visitors);
        kept.name_in_lake = Some(name);
        Ok(Some(kept))
    }

    /// Keeps who is who. Returns the name under which the rows of folds are kept, unless that saves nothing.
    pub(super) async fn write_base(&self, kept: &KeptSessions) -> Result<Option<String>> {
        let links = kept.stitching.links();
        let mut visitors: Vec<i64> = kept.visitors.iter().copied().collect();
        visitors.sort_unstable();
        let no_user = visitors.iter().map(|_| None);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(visitors.iter().copied().chain(links.iter().map(|link| link.0)).collect::<Int64Array>()),
            Arc::new(no_user.chain(links.iter().map(|link| Some(link.1))).collect::<Int64Array>()),
            Arc::new(
                visitors
                    .iter()
                    .map(|_| Some(false))
                    .chain(links.iter().map(|link| Some(link.2)))
                    .collect::<BooleanArray>(),
            ),
        ];
        let rows = RecordBatch::try_new(base_schema(), columns).map_err(DataFusionError::from)?;
        Ok(self.write(self.base(), &base_schema(), rows).await.then(|| self.name(&links)))
    }

    /// The rows of a fold.
    pub(super) async fn read(&self, name: &str, fold: &PieceKey, maker: PieceMaker<'_>) -> Result<Option<Arc<Piece>>> {
        let rows = self.engine.lake().read_state(of_fold(name, fold), self.source.clone()).await?;
        let Some(rows) = rows.and_then(|rows| in_types_of(maker.schema, rows)) else { return Ok(None) };
        Ok(Some(Piece::new(maker.schema, &rows)?))
    }

    /// Keeps the rows of a fold.
    pub(super) async fn write_fold(&self, name: &str, fold: &PieceKey, piece: &Piece) {
        // What does not fit into memory is larger than a state may be.
        if let Ok(Some(rows)) = piece.in_memory()
            && rows.num_rows() > 0
        {
            self.write(of_fold(name, fold), &piece.schema(), rows).await;
        }
    }

    /// Whether the lake has the rows now.
    async fn write(&self, definition: StateDefinition, schema: &SchemaRef, rows: RecordBatch) -> bool {
        let settings = self.engine.states();
        if self.bytes < settings.state_file_bytes_min {
            return false;
        }
        let bytes_max = (self.bytes as f64 * settings.state_share_max / METRICS_OF_SESSIONS) as u64;
        let written = self.engine.lake().write_state(definition, self.source.clone(), schema, &[rows], bytes_max).await;
        match written {
            Ok(bytes) => bytes <= bytes_max,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "could not keep a state of sessions; it will be made again");
                false
            }
        }
    }

    fn base(&self) -> StateDefinition {
        StateDefinition(hash_of(["who had sessions".to_owned(), in_digits(&self.of)]))
    }

    fn name(&self, links: &[(i64, i64, bool)]) -> String {
        let links = links.iter().map(|link| format!("{link:?}"));
        in_digits(&hash_of([in_digits(&self.of)].into_iter().chain(links)))
    }
}

fn of_fold(name: &str, fold: &PieceKey) -> StateDefinition {
    StateDefinition(hash_of(["closed sessions", name, &in_digits(fold)]))
}

/// A visitor with a session, or an anonymous one with the user whose events they are.
fn base_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("visitor", DataType::Int64, false),
        Field::new("user", DataType::Int64, true),
        Field::new("is_mixed", DataType::Boolean, false),
    ]))
}
