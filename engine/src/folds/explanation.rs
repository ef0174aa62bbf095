//! What a recurring query keeps and uses, for its author.

use std::fmt;

use super::aggregate::bounds::{Lies, TimeBounds};
use super::fold::Fold;
use super::recurring::RecurringQuery;
use crate::error::Result;

/// How a recurring query would be answered now.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Why it would be answered in full, if it would.
    pub why_in_full: Option<String>,
    /// What it keeps of each file, for each aggregate over events.
    pub folds: Vec<ExplainedFold>,
}

/// One aggregate over events.
#[derive(Clone, Debug)]
pub struct ExplainedFold {
    /// The table: `events`, of which states are kept, or one that is made of all events at each run.
    pub table: &'static str,
    /// Whether what it makes of what happened long ago is kept from run to run.
    pub is_kept: bool,
    /// The name under which the lake keeps its states.
    pub definition: String,
    /// Which events count, bounds of time aside.
    pub conditions: Vec<String>,
    /// What they are grouped by.
    pub groups: Vec<String>,
    /// Of what different values are counted.
    pub distinct: Vec<String>,
    /// The other results.
    pub results: Vec<String>,
    /// Files of which all events lie within the bounds of time.
    pub files_within: usize,
    /// How many of these have a state in the lake.
    pub states: usize,
    /// Files that a bound of time cuts: they are read.
    pub files_cut: usize,
    /// Files beyond the bounds of time.
    pub files_beyond: usize,
    /// Pending events: they are read.
    pub pending_rows: u64,
}

impl RecurringQuery {
    /// What would be used if the query were answered now. Reads no events.
    pub async fn explain(&self) -> Result<Explanation> {
        let folds = match self.folds() {
            Ok(folds) => folds,
            Err(why) => return Ok(Explanation { why_in_full: Some(why.to_owned()), folds: vec![] }),
        };
        let mut explained = Vec::new();
        for (number, fold) in folds.iter().enumerate() {
            if fold.place_among(folds) == number {
                explained.push(self.explain_fold(fold).await?);
            }
        }
        Ok(Explanation { why_in_full: self.why_in_full(), folds: explained })
    }

    async fn explain_fold(&self, fold: &Fold) -> Result<ExplainedFold> {
        let (view, definition) = (self.view(), &fold.definition);
        let bounds: TimeBounds = fold.bounds;
        let files = &view.snapshot().events.files;
        let within: Vec<_> = files.iter().filter(|file| bounds.place(file) == Lies::Within).collect();
        let files_cut = files.iter().filter(|file| bounds.place(file) == Lies::Across).count();
        Ok(ExplainedFold {
            table: definition.table,
            is_kept: fold.why_whole().is_none(),
            definition: definition.id.to_string(),
            conditions: definition.conditions.iter().map(ToString::to_string).collect(),
            groups: definition.keys.iter().map(ToString::to_string).collect(),
            distinct: definition.sets.iter().map(ToString::to_string).collect(),
            results: definition.results().map(ToString::to_string).collect(),
            states: view.engine().lake().files_with_states(definition.id, within.iter().copied()).await?.len(),
            files_within: within.len(),
            files_cut,
            files_beyond: files.len() - within.len() - files_cut,
            pending_rows: view.pending_rows(),
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.why_in_full {
            return writeln!(f, "in full: {why}");
        }
        writeln!(f, "incremental")?;
        for fold in &self.folds {
            let list = |name: &str, exprs: &[String], f: &mut fmt::Formatter<'_>| match exprs.is_empty() {
                true => Ok(()),
                false => writeln!(f, "    {name:<10} {}", exprs.join(", ")),
            };
            match fold.table {
                "events" => writeln!(f, "  of events, kept as {}", fold.definition)?,
                table if fold.is_kept => writeln!(
                    f,
                    "  of {table}, kept by this process and made again for visitors of whom something is new"
                )?,
                table => writeln!(f, "  of {table}, made anew at each run")?,
            }
            list("where", &fold.conditions, f)?;
            list("by", &fold.groups, f)?;
            list("distinct", &fold.distinct, f)?;
            list("results", &fold.results, f)?;
            if fold.table != "events" {
                continue;
            }
            writeln!(
                f,
                "    files      {} within the bounds of time, {} of them with a state; {} cut by a bound, {} beyond",
                fold.files_within, fold.states, fold.files_cut, fold.files_beyond
            )?;
            writeln!(f, "    pending    {} events", fold.pending_rows)?;
        }
        Ok(())
    }
}
