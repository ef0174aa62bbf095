//! A query taken apart where it groups events, and answered for a scope from the rows of its folds.

use std::sync::Arc;

use chrono::TimeDelta;
use datafusion::arrow::array::RecordBatch;
use datafusion::common::DFSchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use datafusion::physical_plan::{ExecutionPlan, collect};
use lake::{EVENTS, StateDefinition};
use tokio::sync::OnceCell;

use super::aggregate::shape::Why;
use super::aggregate::stand_in::{FoldedTable, StandIn};
use super::apart::{fold, tally};
use super::fold::Fold;
use super::fold_use::FoldUse;
use super::gathering::Gathering;
use super::hash::hash_of;
use super::rows::counted::Counted;
use super::rows::identity_rows::IdentityRows;
use super::rows::piece::Piece;
use super::rows::rows_table::{Place, RowsTable, fill_physical_places, fill_places, places_in};
use super::tally::Tally;
use crate::error::{EngineError, Result};
use crate::params::Param;
use crate::scope::Scope;
use crate::session::{QueryResult, SqlSession, TABLES_BY_VISITOR, View};
use crate::sql;

/// How an answer was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// From what was known of files that did not change, and from what is new.
    Incremental(FoldUse),
    /// From all events that the query reads.
    InFull {
        /// Why, in words for the author of the query.
        why: String,
    },
}

/// A query over one view, ready to be answered for the lake and for each site.
pub struct RecurringQuery {
    view: Arc<View>,
    sql: String,
    params: Vec<(String, Param)>,
    /// What the query says, if it can be answered from folds.
    folded: Result<FoldedPlan, Why>,
}

/// A plan with places for the rows of folds.
struct FoldedPlan {
    plan: LogicalPlan,
    folds: Vec<Fold>,
    /// What is counted of users.
    tallies: Vec<Tally>,
    /// Whether the plan is another for each site.
    names_site: bool,
    /// The schema of the answer.
    schema: DFSchemaRef,
    /// Plans what stands above the folds.
    state: SessionState,
    /// The rows of the folds, once somebody asked for them.
    gathered: OnceCell<Gathered>,
    /// The physical plan for few rows, which serves all scopes.
    for_few: OnceCell<FewRowsPlan>,
}

/// Answers from few rows with one thread.
struct FewRowsPlan {
    physical: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
}

/// The rows of each fold, and what they were made of.
struct Gathered {
    pieces: Vec<Vec<Arc<Piece>>>,
    /// The rows of `identities`, if the plan or a tally reads them.
    identities: Option<Arc<IdentityRows>>,
    tallies: Vec<Arc<Counted>>,
    used: FoldUse,
}

/// Queries of which it is remembered that they are steady.
const STEADY_MAX: usize = 10_000;

/// Rows for which one thread is enough.
const FEW_ROWS: usize = 1 << 16;

/// A time by which the times of a query are moved to see whether its groups move with them. No period of the calendar
/// divides it.
const MOVED_BY: TimeDelta = TimeDelta::seconds(40 * 86_400 + 3_600 + 60 + 1);

impl View {
    /// Takes a query apart so that it can be answered at the cost of what is new.
    ///
    /// Fails with [`EngineError::Query`] if the SQL is wrong. A query that no fold can answer is not an error: it is answered
    /// in full, and [`How`] says why.
    pub async fn recurring(self: &Arc<Self>, sql: &str, params: &[(String, Param)]) -> Result<RecurringQuery> {
        let tables = self.session(&Scope::Lake)?;
        let folded = match self.take_apart(&tables, sql, params, TimeDelta::zero()).await {
            Ok(Ok(folded)) => self.check_steady(&tables, sql, params, folded).await?,
            Ok(Err(why)) => Err(why),
            Err(error) => {
                // What is wrong with the query is said as it always is.
                tables.plan(sql, params).await?;
                return Err(error);
            }
        };
        Ok(RecurringQuery { view: self.clone(), sql: sql.to_owned(), params: params.to_vec(), folded })
    }

    /// A query that is answered in full, whatever it says.
    pub fn in_full(self: &Arc<Self>, sql: &str, params: &[(String, Param)], why: String) -> RecurringQuery {
        RecurringQuery { view: self.clone(), sql: sql.to_owned(), params: params.to_vec(), folded: Err(why) }
    }

    /// Refuses a query whose folds are others at another time: what is kept of them would never be used again. That is found
    /// out once for a query, since it says the same at any time.
    async fn check_steady(
        &self,
        tables: &SqlSession,
        sql: &str,
        params: &[(String, Param)],
        mut folded: FoldedPlan,
    ) -> Result<Result<FoldedPlan, Why>> {
        // Without the times, which differ from run to run.
        let others = params.iter().map(|(name, value)| match value {
            Param::Time(_) | Param::Date(_) => format!("{name}: a time"),
            value => format!("{name}: {value:?}"),
        });
        let key = hash_of([sql.to_owned()].into_iter().chain(others));
        let steady = self.engine().steady_queries();
        if let Some(moves) = steady.lock().get(&key) {
            folded.folds.iter_mut().zip(moves).filter(|(_, moves)| **moves).for_each(|(fold, _)| fold.keep_nothing());
            return Ok(Ok(folded));
        }
        let ids = |folded: &FoldedPlan| -> Vec<StateDefinition> {
            let kept = folded.folds.iter().filter(|fold| !fold.is_by_visitor());
            kept.map(|fold| fold.definition.id).collect()
        };
        let moved: Vec<(String, Param)> =
            params.iter().map(|(name, value)| (name.clone(), value.moved(MOVED_BY))).collect();
        let later = self.take_apart(tables, sql, &moved, MOVED_BY).await?;
        Ok(match later {
            Ok(later) if ids(&later) == ids(&folded) && later.folds.len() == folded.folds.len() => {
                let moves: Vec<bool> =
                    folded.folds.iter().zip(&later.folds).map(|(fold, later)| fold.moves_until(later)).collect();
                folded
                    .folds
                    .iter_mut()
                    .zip(&moves)
                    .filter(|(_, moves)| **moves)
                    .for_each(|(fold, _)| fold.keep_nothing());
                let mut steady = steady.lock();
                if steady.len() >= STEADY_MAX {
                    steady.clear();
                }
                steady.insert(key, moves);
                Ok(folded)
            }
            _ => {
                Err("the time of the run stands in its groups or conditions otherwise than as a bound of occurred_at: \
                      write occurred_at >= $from AND occurred_at < $until"
                    .into())
            }
        })
    }

    /// - `tables`: a session of the view, for the columns of its tables.
    /// - `moved_by`: by how much the clock of the query is ahead.
    async fn take_apart(
        &self,
        tables: &SqlSession,
        sql: &str,
        params: &[(String, Param)],
        moved_by: TimeDelta,
    ) -> Result<Result<FoldedPlan, Why>> {
        let context = self.engine().context();
        for (name, schema) in tables.schemas().await? {
            let folds = match name {
                _ if name == EVENTS.name => Some(FoldedTable::Events),
                _ if TABLES_BY_VISITOR.contains(&name) => Some(FoldedTable::ByVisitor),
                _ => None,
            };
            context.register_table(name, Arc::new(StandIn::new(name, schema, folds)))?;
        }
        let mut state = context.state();
        let props = state.execution_props_mut();
        props.query_execution_start_time = props.query_execution_start_time.map(|now| now + moved_by);
        let plan = sql::plan(&state, sql).await?;
        let names_site = plan.get_parameter_names()?.iter().any(|name| name.trim_start_matches('$') == "site");
        let plan = sql::bind(plan, params)?;
        let schema = plan.schema().clone();
        let plan = state.optimize(&plan)?;
        let folded = fold(&state, plan).and_then(|(plan, folds)| {
            let (plan, tallies) = tally(&state, plan, &folds)?;
            Ok((plan, folds, tallies))
        });
        Ok(folded.map(|(plan, folds, tallies)| {
            let (gathered, for_few) = (OnceCell::new(), OnceCell::new());
            FoldedPlan { plan, folds, tallies, names_site, schema, state, gathered, for_few }
        }))
    }
}

impl View {
    /// Makes what several recurring queries need of the tables that are made of all events, in one pass over each table.
    pub async fn prepare(self: &Arc<Self>, queries: &[&RecurringQuery]) -> Result<()> {
        let folded = queries.iter().filter_map(|query| query.folded.as_ref().ok());
        let folds: Vec<&Fold> = folded.flat_map(|folded| &folded.folds).filter(|fold| fold.is_by_visitor()).collect();
        self.pass_over(&folds).await
    }
}

impl RecurringQuery {
    /// Answers the query for a scope.
    pub async fn answer(&self, scope: &Scope) -> Result<(QueryResult, How)> {
        let own;
        let folded = match (&self.folded, scope) {
            (Ok(folded), Scope::Site(site)) if folded.names_site => {
                let params: Vec<(String, Param)> = self.params_of(site);
                let tables = self.view.session(scope)?;
                own = self.view.take_apart(&tables, &self.sql, &params, TimeDelta::zero()).await?;
                &own
            }
            (folded, _) => folded,
        };
        match folded {
            Ok(folded) => match folded.answer(&self.view, &self.sql, scope).await {
                Ok((answer, used)) => Ok((answer, folded.how(used))),
                // DataFusion loses sight of an order where groups are known to be a single row.
                Err(error @ (EngineError::Defect { .. } | EngineError::Query { .. })) => {
                    self.answer_in_full(scope, format!("its parts could not be put together: {error}")).await
                }
                Err(error) => {
                    self.view.engine().pieces().forget_lost();
                    Err(error)
                }
            },
            Err(why) => self.answer_in_full(scope, why.clone()).await,
        }
    }

    async fn answer_in_full(&self, scope: &Scope, why: Why) -> Result<(QueryResult, How)> {
        let params = match scope {
            Scope::Lake => self.params.clone(),
            Scope::Site(site) => self.params_of(site),
        };
        let answer = self.view.session(scope)?.query(&self.sql, &params).await?;
        Ok((answer, How::InFull { why }))
    }

    fn params_of(&self, site: &str) -> Vec<(String, Param)> {
        let of = |(name, value): &(String, Param)| match name.as_str() {
            "site" => (name.clone(), Param::Text(Some(site.to_owned()))),
            _ => (name.clone(), value.clone()),
        };
        self.params.iter().map(of).collect()
    }

    /// Why the query is answered in full, if it is.
    pub fn why_in_full(&self) -> Option<String> {
        match &self.folded {
            Ok(folded) => match folded.how(FoldUse::default()) {
                How::InFull { why } => Some(why),
                How::Incremental(_) => None,
            },
            Err(why) => Some(why.clone()),
        }
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// The aggregates over events, or why the query is answered in full.
    pub(super) fn folds(&self) -> Result<&[Fold], &str> {
        match &self.folded {
            Ok(folded) => Ok(&folded.folds),
            Err(why) => Err(why),
        }
    }
}

impl FoldedPlan {
    fn how(&self, used: FoldUse) -> How {
        match self.folds.iter().find_map(|fold| Some((fold.definition.table, fold.why_whole()?))) {
            Some((table, why)) => How::InFull {
                why: format!("{table} are made of all events at each run, once for all metrics and sites: {why}"),
            },
            None => How::Incremental(used),
        }
    }

    async fn gather(&self, view: &Arc<View>, sql: &str) -> Result<Gathered> {
        let by_visitor: Vec<&Fold> = self.folds.iter().filter(|fold| fold.is_by_visitor()).collect();
        view.pass_over(&by_visitor).await?;
        let identities = match self.reads_identities()? {
            true => Some(view.identity_rows().await?),
            false => None,
        };
        let mut gathered = Gathered { pieces: vec![], identities, tallies: vec![], used: FoldUse::default() };
        for (number, fold) in self.folds.iter().enumerate() {
            if fold.place_among(&self.folds) < number {
                // The plan reads the other.
                gathered.pieces.push(vec![]);
                continue;
            }
            if fold.is_by_visitor() {
                let key = fold.pass_key();
                gathered.pieces.push(view.pieces().made.lock().await[&key].pieces());
                gathered.used.add(view.pass_used(&key));
                continue;
            }
            let gathering = Gathering { view, maker: fold.maker(), bounds: fold.bounds };
            let (pieces, used) = gathering.pieces().await?;
            gathered.pieces.push(pieces);
            gathered.used.add(used);
        }
        let memory = view.engine().pieces();
        let run = memory.run_of(view.pieces());
        for tally in &self.tallies {
            let (base, key) = (tally.base(&gathered.pieces, gathered.identities.as_ref()), tally.kept_key(view, sql));
            let (counted, updated) = tally.count(view, base, memory.tally(run, &key).as_deref()).await?;
            let counted = Arc::new(counted);
            gathered.used.tallies += 1;
            gathered.used.updated_tallies += usize::from(updated);
            if tally.serves_later(&self.folds) {
                memory.put_tally(run, key, counted.clone());
            }
            gathered.tallies.push(counted);
        }
        Ok(gathered)
    }

    /// - `sql`: the query.
    async fn answer(&self, view: &Arc<View>, sql: &str, scope: &Scope) -> Result<(QueryResult, FoldUse)> {
        let gathered = self.gathered.get_or_try_init(|| self.gather(view, sql)).await?;
        let mut tables = Vec::new();
        for (place, schema) in places_in(&self.plan)? {
            let table = |batches| Arc::new(RowsTable::new(place, schema.clone(), batches));
            tables.push(match place {
                Place::Fold(number) => {
                    table(gathered.pieces[number].iter().filter_map(|piece| piece.rows(scope)).collect())
                }
                Place::Identities => {
                    table(gathered.identities.iter().filter_map(|identities| identities.piece().rows(scope)).collect())
                }
                Place::Tally(number) => table(gathered.tallies[number].rows(scope)),
            });
        }
        let rows: usize = tables.iter().map(|table| table.row_count()).sum();
        if rows <= FEW_ROWS && self.reads_only_places()? {
            let batches = self.answer_from_few(&tables).await?;
            return Ok((QueryResult { schema: Arc::new(self.schema.as_arrow().clone()), batches }, gathered.used));
        }
        let others = self.other_tables(view, scope).await?;
        let filled = fill_places(self.plan.clone(), &tables)?.transform_up_with_subqueries(|node| {
            let LogicalPlan::TableScan(scan) = node else { return Ok(Transformed::no(node)) };
            match others.iter().find(|(other, _)| *other == scan) {
                Some((_, rows)) => Ok(Transformed::yes(rows.clone())),
                None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
            }
        })?;
        let mut plan = filled.data;
        if !others.is_empty() {
            plan = self.state.optimize(&plan)?;
        }
        let physical = self.state.query_planner().create_physical_plan(&plan, &self.state).await?;
        let batches = collect(physical, self.state.task_ctx()).await?;
        Ok((QueryResult { schema: Arc::new(self.schema.as_arrow().clone()), batches }, gathered.used))
    }

    /// Whether all tables of the plan are places of it, and no row of it depends on a subquery.
    fn reads_only_places(&self) -> Result<bool> {
        let mut found = true;
        self.plan.apply_with_subqueries(|node| {
            let is_other = matches!(node, LogicalPlan::TableScan(scan) if RowsTable::place_of(scan).is_none());
            found &= !is_other && !matches!(node, LogicalPlan::Subquery(_));
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    }

    async fn answer_from_few(&self, tables: &[Arc<RowsTable>]) -> Result<Vec<RecordBatch>> {
        let plan = async || {
            let mut state = self.state.clone();
            let options = state.config_mut().options_mut();
            options.execution.target_partitions = 1;
            // A plan with dynamic filters cannot run again.
            options.optimizer.enable_dynamic_filter_pushdown = false;
            options.optimizer.enable_join_dynamic_filter_pushdown = false;
            options.optimizer.enable_topk_dynamic_filter_pushdown = false;
            let physical = state.query_planner().create_physical_plan(&self.plan, &state).await?;
            Ok::<_, EngineError>(FewRowsPlan { physical, context: state.task_ctx() })
        };
        let FewRowsPlan { physical, context } = self.for_few.get_or_try_init(plan).await?;
        Ok(collect(fill_physical_places(physical, tables)?, context.clone()).await?)
    }

    fn reads_identities(&self) -> Result<bool> {
        let in_plan = places_in(&self.plan)?.iter().any(|(place, _)| *place == Place::Identities);
        Ok(in_plan || self.tallies.iter().any(Tally::reads_identities))
    }

    /// The scans of the plan that read other tables, each with its rows.
    async fn other_tables(&self, view: &Arc<View>, scope: &Scope) -> Result<Vec<(TableScan, LogicalPlan)>> {
        let mut scans: Vec<(&'static str, TableScan)> = Vec::new();
        self.plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some(table) = StandIn::of(scan)
            {
                scans.push((table, scan.clone()));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        if scans.is_empty() {
            return Ok(vec![]);
        }
        if scans.iter().any(|(table, _)| TABLES_BY_VISITOR.contains(table)) {
            view.know_identities().await?;
        }
        let session = view.session(scope)?;
        let mut others = Vec::new();
        for (table, scan) in scans {
            let rows = session.rows_of(table, &scan).await?;
            others.push((scan, rows));
        }
        Ok(others)
    }
}
