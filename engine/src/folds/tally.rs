//! What is counted of all users, kept from run to run: of those of whom something is new it is taken away as it was, and added as
//! it is. This is the counting algorithm ([`subtraction`](super::aggregate::subtraction)) with users for its deltas, so that what lies between events and counts, joins and windows among it, need not be undone
//! row by row: it is done again, for these users, over their rows as they were and as they are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::collect;

use super::aggregate::definition::{Definition, SITE, Subtractable};
use super::aggregate::making::PieceMaker;
use super::aggregate::shape::{Shape, Why, reason_of};
use super::aggregate::stand_in::{FoldedTable, StandIn};
use super::aggregate::subtraction::subtract;
use super::by_user::{Part, SITE_OF_USER, part_of};
use super::fold::Fold;
use super::hash::hash_of;
use super::rows::changed::{Changes, Visitors, Whose};
use super::rows::counted::{Base, Counted, Nobody};
use super::rows::identity_rows::{IdentityRows, Links};
use super::rows::memory::{PieceKey, address};
use super::rows::piece::{EVERYWHERE, Piece, PieceRows};
use super::rows::rows_table::{Place, RowsTable, fill_places, places_in};
use crate::error::Result;
use crate::session::View;

/// A tally is made of all users again if something is new of more than one row in so many.
const CHANGED_SHARE: usize = 4;

/// Rows that are worth more than one thread.
const ROWS_FOR_THREADS: usize = 1 << 17;

/// An aggregate over what a plan makes of users.
#[derive(Debug)]
pub(super) struct Tally {
    /// Names what it counts, whenever the times of sessions begin and end.
    key: PieceKey,
    /// Whether it counts what was made of sessions, whose times are part of neither its plan nor what names it.
    by_visitor: bool,
    definition: Definition,
    subtractable: Subtractable,
    /// The columns of its rows.
    schema: SchemaRef,
    /// Makes its rows, with places for the rows of folds.
    users: LogicalPlan,
    folds: Vec<FoldRows>,
    /// The column of `identities` that has anonymous visitor ids, if it reads them.
    identities: Option<usize>,
}

/// The rows of a fold that a tally reads.
#[derive(Debug)]
struct FoldRows {
    /// The number of the fold.
    number: usize,
    schema: SchemaRef,
    /// The column that has the visitor id.
    visitors: usize,
}

impl Tally {
    /// Takes an aggregate out of a plan.
    pub(super) fn take(aggregate: &Aggregate, folds: &[Fold], state: &SessionState) -> Result<Self, Why> {
        let visitors: Vec<Option<String>> = folds.iter().map(|fold| fold.definition.visitor_column()).collect();
        let Part::ByUser(rows) = part_of(&aggregate.input, &visitors)? else { return Err("it counts no users".into()) };
        if rows.name_always(&aggregate.group_expr) {
            return Err("it answers for each user, so there are as many answers as there is to keep".into());
        }
        // Columns get names of their own: those of a plan need not be different without their tables.
        let mut names: HashMap<Column, Expr> = HashMap::new();
        let mut columns = Vec::new();
        for column in rows.plan.schema().columns() {
            let name = match column.name.as_str() {
                SITE_OF_USER => SITE.to_owned(),
                _ => format!("c{}", names.len()),
            };
            columns.push(Expr::Column(column.clone()).alias(&name));
            names.insert(column, Expr::Column(Column::from_name(name)));
        }
        let mut apart = Vec::new();
        for function in &aggregate.aggr_expr {
            if let Expr::AggregateFunction(function) = function.clone().unalias()
                && let [user] = &function.params.args[..]
                && rows.name(user)
            {
                apart.push(rename(user, &names)?);
            }
        }
        let users =
            LogicalPlanBuilder::from(rows.plan).project(columns).and_then(|plan| plan.build()).map_err(reason_of)?;
        let shape = shape_over(aggregate, &users, &names)?;
        let mut definition = Definition::new(shape, vec![], users.schema(), state, &apart)?;
        let subtractable = definition.make_subtractable(users.schema(), state)?;
        let part = definition.of_part(users.clone(), vec![]).map_err(reason_of)?;
        let schema: SchemaRef = Arc::new(part.schema().as_arrow().clone());

        // The optimizer has its last word here, and not for every choice of users.
        let users = state.optimize(&part).map_err(reason_of)?;
        let mut texts = vec![definition.id.to_string(), users.display_indent().to_string()];
        let (mut of_folds, mut identities, mut by_visitor) = (Vec::new(), None, false);
        for (place, schema) in places_in(&users).map_err(reason_of)? {
            match place {
                Place::Fold(fold) => {
                    texts.push(format!("{fold} {:?}", folds[fold].anytime_key()));
                    by_visitor |= folds[fold].is_by_visitor();
                    let visitor = visitors[fold].as_deref().ok_or("its rows are of several users")?;
                    let column = schema.index_of(visitor).map_err(|error| error.to_string())?;
                    of_folds.push(FoldRows { number: fold, schema, visitors: column });
                }
                Place::Identities => {
                    identities = Some(schema.index_of("anonymous_visitor_id").map_err(|error| error.to_string())?);
                }
                Place::Tally(_) => return Err("it counts what is counted".into()),
            }
        }
        let key = hash_of(texts);
        Ok(Self { key, by_visitor, definition, subtractable, schema, users, folds: of_folds, identities })
    }

    /// What stands in the plan for the aggregate that it was taken of.
    ///
    /// - `number`: that of the tally in the plan.
    pub(super) fn stand_in(&self, number: usize, aggregate: &Aggregate) -> Result<LogicalPlan, Why> {
        let table = RowsTable::empty_place(Place::Tally(number), self.schema.clone());
        let table = LogicalPlanBuilder::scan(format!("tally{number}"), provider_as_source(Arc::new(table)), None);
        let rows = table.and_then(|rows| rows.build());
        rows.and_then(|rows| self.definition.finish(rows, aggregate)).map_err(reason_of)
    }

    /// Whether another counts the same.
    pub(super) fn counts_same(&self, other: &Self) -> bool {
        self.key == other.key && self.users == other.users && self.schema == other.schema
    }

    /// Names what is kept of it for the next run: the same queries run over each lake, and two queries may count sessions of
    /// other times alike.
    pub(super) fn kept_key(&self, view: &View, sql: &str) -> PieceKey {
        let of_query = if self.by_visitor { sql } else { "" };
        hash_of([view.engine().lake().store_url().as_str(), &format!("{:?}", self.key), of_query])
    }

    /// The rows that it needs of a view.
    pub(super) fn base(&self, folds: &[Vec<Arc<Piece>>], identities: Option<&Arc<IdentityRows>>) -> Base {
        let identities = identities.filter(|_| self.identities.is_some()).cloned();
        Base { folds: self.folds.iter().map(|fold| folds[fold.number].clone()).collect(), identities }
    }

    /// The tally over `base`: from what was counted before of other rows, if that is less work. Returns whether it is.
    pub(super) async fn count(&self, view: &View, base: Base, before: Option<&Counted>) -> Result<(Counted, bool)> {
        if let Some(before) = before.filter(|before| before.plan == self.users) {
            match self.update(view, &base, before).await {
                Ok(Some(counted)) => return Ok((counted, true)),
                Ok(None) => {}
                // What it was made of may be gone from the disk.
                Err(error) => tracing::debug!(%error, "what was counted cannot be updated; it is counted again"),
            }
        }
        let users = self.of(view, &base, Whose::All, &mut Chosen::default()).await?;
        let nobody = self.of_nobody(view, &base).await?;
        Ok((Counted { base, plan: self.users.clone(), users, nobody }, false))
    }

    async fn update(&self, view: &View, base: &Base, before: &Counted) -> Result<Option<Counted>> {
        let Some(changes) = self.changes(&before.base, base)? else { return Ok(None) };
        let nobody = match changes.of_nobody {
            true => self.of_nobody(view, base).await?,
            false => before.nobody.clone(),
        };
        if changes.visitors.is_empty() {
            return Ok(Some(Counted {
                base: base.clone(),
                plan: self.users.clone(),
                users: before.users.clone(),
                nobody,
            }));
        }
        let visitors = Visitors::new(changes.visitors);
        // Pieces that are old and new are looked through once.
        let mut chosen = Chosen::default();
        self.choose(base, Whose::Of(&visitors), &mut chosen)?;
        self.choose(&before.base, Whose::Of(&visitors), &mut chosen)?;
        if chosen.rows() * CHANGED_SHARE > base.rows() {
            return Ok(None);
        }
        let were = self.of(view, &before.base, Whose::Of(&visitors), &mut chosen).await?;
        let are = self.of(view, base, Whose::Of(&visitors), &mut chosen).await?;
        let users = self.subtract(view, &[&before.users, &are], &were).await?;
        if users.is_none() {
            tracing::error!("what was counted of users does not fit to their rows; it is counted again");
        }
        Ok(users.map(|users| Counted { base: base.clone(), plan: self.users.clone(), users, nobody }))
    }

    fn changes(&self, before: &Base, now: &Base) -> Result<Option<Changes>> {
        let mut changes = Changes::default();
        for (place, fold) in self.folds.iter().enumerate() {
            if !changes.add(&before.folds[place], &now.folds[place], &[fold.visitors])? {
                return Ok(None);
            }
        }
        if let (Some(before), Some(now)) = (&before.identities, &now.identities) {
            let Some(others) = now.changed_since(before)? else { return Ok(None) };
            changes.visitors.extend(others.iter());
            if !changes.visitors.is_empty() {
                Links::extend(&[now.links()?, before.links()?], &mut changes.visitors);
            }
        }
        Ok(Some(changes))
    }

    /// Of rows of nobody in particular: for each site, and for the lake, where nobody is the same on all sites.
    async fn of_nobody(&self, view: &View, base: &Base) -> Result<Option<Nobody>> {
        let mut chosen = Chosen::default();
        self.choose(base, Whose::Nobody, &mut chosen)?;
        if chosen.rows() == 0 {
            return Ok(None);
        }
        let by_site = self.of(view, base, Whose::Nobody, &mut chosen).await?;
        chosen.forget_sites()?;
        let in_lake = self.of(view, base, Whose::Nobody, &mut chosen).await?;
        // What is there without any rows is counted among the users.
        let constant = self.of(view, base, Whose::None, &mut Chosen::default()).await?;
        let by_site = self.subtract(view, &[&by_site], &constant).await?;
        let in_lake = self.subtract(view, &[&in_lake], &constant).await?;
        let lost = || crate::error::EngineError::Defect { message: "fewer rows with events than without".into() };
        Ok(Some(Nobody { by_site: by_site.ok_or_else(lost)?, in_lake: in_lake.ok_or_else(lost)? }))
    }

    /// The tally of the chosen rows alone.
    async fn of(&self, view: &View, base: &Base, whose: Whose<'_>, chosen: &mut Chosen) -> Result<Arc<Piece>> {
        self.choose(base, whose, chosen)?;
        let table = |place: Place, schema: SchemaRef, pieces: &[Arc<Piece>], visitors: usize| {
            let table = RowsTable::new(place, schema, pieces.iter().filter_map(|piece| chosen.of(piece)).collect());
            Arc::new(if matches!(whose, Whose::All) { table.of_visitors(visitors) } else { table })
        };
        let mut tables = Vec::new();
        for (fold, pieces) in self.folds.iter().zip(&base.folds) {
            tables.push(table(Place::Fold(fold.number), fold.schema.clone(), pieces, fold.visitors));
        }
        if let (Some(identities), Some(anonymous)) = (&base.identities, self.identities) {
            let piece = identities.piece();
            tables.push(table(Place::Identities, piece.schema(), std::slice::from_ref(piece), anonymous));
        }
        let users = fill_places(self.users.clone(), &tables)?;
        let threads = if chosen.rows() < ROWS_FOR_THREADS { 1 } else { view.engine().threads() };
        let state = view.engine().context_of(threads).state();
        let physical = state.query_planner().create_physical_plan(&users, &state).await?;
        Ok(Piece::new(&self.schema, &collect(physical, state.task_ctx()).await?)?)
    }

    fn choose(&self, base: &Base, whose: Whose<'_>, chosen: &mut Chosen) -> Result<()> {
        for (fold, pieces) in self.folds.iter().zip(&base.folds) {
            for piece in pieces {
                chosen.add(piece, whose, fold.visitors)?;
            }
        }
        if let (Some(identities), Some(anonymous)) = (&base.identities, self.identities) {
            chosen.add(identities.piece(), whose, anonymous)?;
        }
        Ok(())
    }

    async fn subtract(&self, view: &View, pieces: &[&Arc<Piece>], without: &Arc<Piece>) -> Result<Option<Arc<Piece>>> {
        let maker = PieceMaker { definition: &self.definition, schema: &self.schema };
        let pieces: Vec<Arc<Piece>> = pieces.iter().copied().cloned().collect();
        subtract(view.engine(), maker, &self.subtractable, &pieces, std::slice::from_ref(without)).await
    }

    /// Whether a later run can use what was counted: it cannot if rows that it reads are others at each run.
    pub(super) fn serves_later(&self, folds: &[Fold]) -> bool {
        self.folds.iter().all(|fold| folds[fold.number].why_whole().is_none())
    }

    pub(super) fn reads_identities(&self) -> bool {
        self.identities.is_some()
    }
}

/// The chosen rows of pieces.
#[derive(Debug, Default)]
struct Chosen {
    of_pieces: HashMap<usize, Option<PieceRows>>,
}

impl Chosen {
    fn add(&mut self, piece: &Arc<Piece>, whose: Whose<'_>, visitors: usize) -> Result<()> {
        if let Entry::Vacant(unknown) = self.of_pieces.entry(address(piece)) {
            unknown.insert(whose.of_piece(piece, visitors)?);
        }
        Ok(())
    }

    fn of(&self, piece: &Arc<Piece>) -> Option<PieceRows> {
        self.of_pieces[&address(piece)].clone()
    }

    fn rows(&self) -> usize {
        self.of_pieces.values().flatten().map(PieceRows::num_rows).sum()
    }

    /// Forgets of which sites the rows are.
    fn forget_sites(&mut self) -> datafusion::error::Result<()> {
        for rows in self.of_pieces.values_mut().flatten() {
            let known = rows.together()?;
            let mut columns = known.columns().to_vec();
            columns[0] = Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(EVERYWHERE, known.num_rows())));
            *rows = PieceRows::new(RecordBatch::try_new(known.schema(), columns)?, known.schema());
        }
        Ok(())
    }
}

/// What the aggregate says over the renamed columns of its users.
fn shape_over(aggregate: &Aggregate, users: &LogicalPlan, names: &HashMap<Column, Expr>) -> Result<Shape, Why> {
    let schema: SchemaRef = Arc::new(users.schema().as_arrow().clone());
    let table = provider_as_source(Arc::new(StandIn::new("users", schema, Some(FoldedTable::Users))));
    let scan = LogicalPlanBuilder::scan("users", table, None).and_then(|scan| scan.build()).map_err(reason_of)?;
    let rename = |expr: &Expr| rename(expr, names);
    let groups = aggregate.group_expr.iter().map(rename).collect::<Result<_, Why>>()?;
    let functions = aggregate.aggr_expr.iter().map(rename).collect::<Result<_, Why>>()?;
    Shape::of(&Aggregate::try_new(Arc::new(scan), groups, functions).map_err(reason_of)?)
}

fn rename(expr: &Expr, names: &HashMap<Column, Expr>) -> Result<Expr, Why> {
    let renamed = expr.clone().transform_down(|expr| match &expr {
        Expr::Column(column) => {
            let name = names.get(column).cloned().unwrap_or_else(|| expr.clone());
            Ok(Transformed::new(name, true, TreeNodeRecursion::Jump))
        }
        _ => Ok(Transformed::no(expr)),
    });
    renamed.map(|renamed| renamed.data).map_err(reason_of)
}
