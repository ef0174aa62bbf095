//! The metrics of a directory as queries that keep states in the lake, and whether the states are right.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use engine::{Compared, Engine, KeptState, RecurringQuery, Scope, View, params};
use lake::{EVENTS, Lake};

use crate::header::Incremental;
use crate::queries::QueryFile;

/// A query that keeps states.
pub struct Keeping {
    /// The file of a metric, or what else the query is for.
    pub name: String,
    query: RecurringQuery,
}

/// The states of some queries, each of them once.
pub struct KeptStates {
    queries: Vec<Keeping>,
    /// Each with the place of its query.
    states: Vec<(usize, KeptState)>,
}

/// A state that is not what its file's events give.
#[derive(Clone, Debug)]
pub struct WrongState {
    /// Which.
    pub state: KeptState,
    /// Whose answers it makes wrong.
    pub query: String,
}

/// Every query that keeps states: those of metrics, for the days of each zone of the lake's sites, and those that tell who is
/// who. A metric whose file is wrong keeps none.
pub async fn keeping(engine: &Engine, queries: &[QueryFile], now: DateTime<Utc>) -> anyhow::Result<Vec<Keeping>> {
    let view: Arc<View> = Arc::new(engine.view().await?);
    let sites = engine.lake().sites_here().await?;
    let mut zones = BTreeSet::from(["UTC"]);
    zones.extend(sites.iter().map(|site| site.settings.time_zone.as_str()));
    let mut keeping: Vec<Keeping> = Vec::new();
    for query in queries.iter().filter(|query| query.header.incremental != Incremental::Never) {
        let Ok(sql) = &query.sql else { continue };
        for zone in &zones {
            let mut params = params::of_period(now, None, zone);
            query.header.complete(&mut params);
            if let Ok(recurring) = view.recurring(sql, &params).await {
                keeping.push(Keeping { name: query.path.display().to_string(), query: recurring });
            }
        }
    }
    let who = view.identity_queries().await?;
    keeping.extend(who.map(|query| Keeping { name: "the table identities".to_owned(), query }));
    Ok(keeping)
}

impl Keeping {
    /// How many states it could have, and how many of them it has.
    pub async fn count(&self) -> anyhow::Result<(usize, usize)> {
        let folds = self.query.explain().await?.folds;
        let kept = folds.iter().filter(|fold| fold.table == EVENTS.name);
        Ok(kept.fold((0, 0), |(files, states), fold| (files + fold.files_within, states + fold.states)))
    }

    /// Makes the states that are missing, by answering the query.
    pub async fn make(&self) -> anyhow::Result<()> {
        self.query.answer(&Scope::Lake).await?;
        Ok(())
    }
}

impl KeptStates {
    /// The states that the lake has of some queries.
    pub async fn of(queries: Vec<Keeping>) -> anyhow::Result<Self> {
        let (mut states, mut seen) = (Vec::new(), HashSet::new());
        for (place, keeping) in queries.iter().enumerate() {
            for state in keeping.query.kept_states().await? {
                if seen.insert((state.definition, state.file.path.clone())) {
                    states.push((place, state));
                }
            }
        }
        Ok(Self { queries, states })
    }

    /// Deletes them, so that they are made again.
    pub async fn delete(&self, lake: &Lake) -> anyhow::Result<()> {
        for (_, state) in &self.states {
            lake.delete_state(state.definition, &state.file).await?;
        }
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Makes a state again from its file's events; `Some` if it is wrong.
    ///
    /// - `number`: which of them, from 0.
    pub async fn check(&self, number: usize) -> anyhow::Result<Option<WrongState>> {
        let Some((place, state)) = self.states.get(number) else { return Ok(None) };
        let keeping = &self.queries[*place];
        let is_wrong = keeping.query.compare(state).await? == Compared::Different;
        Ok(is_wrong.then(|| WrongState { state: state.clone(), query: keeping.name.clone() }))
    }
}
