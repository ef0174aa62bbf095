//! Which part of a plan treats every user by themselves. Pure.
//!
//! Of some users' rows such a part makes the rows that it makes of them among all others, no more and no less. So what is counted
//! of its rows can be kept, and counted anew for those users alone of whom something is new. All users are of one site, so
//! the part can also tell the site of each row that it makes.
//!
//! A plan treats users apart if it looks at rows one by one, and joins, groups and orders them only where their users are the
//! same. For this it is followed which columns name a user: those with a visitor id, and those that say to whom it belongs.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, JoinType, NullEquality, ScalarValue};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, TableScan, Union,
    Window, WindowFunctionDefinition, lit,
};

use super::aggregate::shape::{Why, check_row, reason_of};
use super::rows::piece::EVERYWHERE;
use super::rows::rows_table::{Place, RowsTable};

/// The column that tells the site of a row's user.
pub(super) const SITE_OF_USER: &str = "site of the user";

/// What a plan makes of users.
#[derive(Debug)]
pub(super) enum Part {
    /// The same rows, whoever the users are.
    Constant(LogicalPlan),
    /// Rows of each user.
    ByUser(UserRows),
}

/// Rows each of which is of one user, or of nobody in particular.
#[derive(Debug)]
pub(super) struct UserRows {
    /// The plan with a column more: the site.
    pub(super) plan: LogicalPlan,
    /// The columns that name the row's user.
    users: HashMap<Column, Names>,
    /// Columns that no two rows have alike, if it is known.
    unique: Option<Vec<Column>>,
}

/// How well a column names the user of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Names {
    /// If it is not null.
    IfAny,
    /// Always: it is null for the rows of nobody alone.
    Always,
}

/// Aggregate functions whose result does not depend on the order of rows, if none of their values is a double.
const EXACT: [&str; 9] = ["count", "sum", "min", "max", "bool_and", "bool_or", "bit_and", "bit_or", "bit_xor"];

/// Window functions that answer alike for rows that the order does not tell apart.
const RANKS: [&str; 2] = ["rank", "dense_rank"];

impl UserRows {
    /// Whether the values of an expression are never those of two users.
    pub(super) fn name(&self, expr: &Expr) -> bool {
        self.names(expr).is_some()
    }

    fn names(&self, expr: &Expr) -> Option<Names> {
        match expr {
            Expr::Column(column) => self.users.get(column).copied(),
            Expr::Alias(alias) => self.names(&alias.expr),
            Expr::ScalarFunction(function) if function.name() == "coalesce" => {
                let all: Option<Vec<Names>> = function.args.iter().map(|arg| self.names(arg)).collect();
                all?.into_iter().max()
            }
            // As the optimizer writes coalesce.
            Expr::Case(case) if case.expr.is_none() => {
                let mut worst = case.else_expr.as_ref().map_or(Some(Names::IfAny), |expr| self.names(expr))?;
                for (when, then) in &case.when_then_expr {
                    let names = self.names(then)?;
                    let is_there = matches!(&**when, Expr::IsNotNull(expr) if expr == then);
                    worst = worst.min(if is_there { Names::Always } else { names });
                }
                Some(worst)
            }
            _ => None,
        }
    }

    /// Whether rows with the same values are always of the same user.
    pub(super) fn name_always(&self, exprs: &[Expr]) -> bool {
        exprs.iter().any(|expr| self.names(expr) == Some(Names::Always))
    }
}

/// - `visitors`: of each fold the column of its rows that has the visitor id; none if its rows are of several visitors.
pub(super) fn part_of(plan: &LogicalPlan, visitors: &[Option<String>]) -> Result<Part, Why> {
    for expr in plan.expressions() {
        check_row(&expr)?;
    }
    let mut parts = Vec::new();
    for input in plan.inputs() {
        parts.push(part_of(input, visitors)?);
    }
    if let LogicalPlan::TableScan(scan) = plan {
        return rows_of(scan, visitors).map(Part::ByUser);
    }
    if parts.iter().all(|part| matches!(part, Part::Constant(_))) {
        return Ok(Part::Constant(plan.clone()));
    }
    let made = match plan {
        LogicalPlan::Union(union) => put_together(union, parts),
        LogicalPlan::Join(join) => {
            let right = parts.pop().ok_or("a join has two sides")?;
            let left = parts.pop().ok_or("a join has two sides")?;
            joined(join, left, right)
        }
        _ => {
            let Some(Part::ByUser(rows)) = parts.pop() else { return Err("it reads no rows of users".into()) };
            above(plan, rows)
        }
    };
    made.map(Part::ByUser)
}

/// The rows of a fold or of `identities`.
fn rows_of(scan: &TableScan, visitors: &[Option<String>]) -> Result<UserRows, Why> {
    let (site, users) = match RowsTable::place_of(scan) {
        Some(Place::Fold(number)) => {
            let visitor = visitors[number].clone().ok_or("its rows are of several users")?;
            ("site", vec![visitor])
        }
        Some(Place::Identities) => ("site_id", vec!["anonymous_visitor_id".into(), "user_visitor_id".into()]),
        _ => return Err("it reads another table".into()),
    };
    if scan.fetch.is_some() || !scan.filters.is_empty() {
        return Err("it takes only some of the rows".into());
    }
    let schema = scan.source.schema();
    let chosen: Vec<usize> = scan.projection.clone().unwrap_or_else(|| (0..schema.fields().len()).collect());
    let site_place = schema.index_of(site).map_err(|error| error.to_string())?;
    let mut with_site = chosen.clone();
    if !chosen.contains(&site_place) {
        with_site.push(site_place);
    }
    let rows = LogicalPlanBuilder::scan(scan.table_name.clone(), scan.source.clone(), Some(with_site))
        .and_then(|rows| rows.build())
        .map_err(reason_of)?;
    let column = |name: &str| Column::new(Some(scan.table_name.clone()), name);
    let columns = chosen.iter().map(|place| Expr::Column(column(schema.field(*place).name())));
    let plan = project(rows, columns.collect(), Expr::Column(column(site)))?;
    let is_there = |name: &String| chosen.iter().any(|place| schema.field(*place).name() == name);
    let users = users.into_iter().filter(is_there).map(|name| (column(&name), Names::Always)).collect();
    Ok(UserRows { plan, users, unique: None })
}

/// A plan that looks at the rows of a single one.
fn above(plan: &LogicalPlan, rows: UserRows) -> Result<UserRows, Why> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let (mut users, mut passed) = (HashMap::new(), HashMap::new());
            for (place, expr) in projection.expr.iter().enumerate() {
                let name = Column::from(projection.schema.qualified_field(place));
                if let Some(names) = rows.names(expr) {
                    users.insert(name.clone(), names);
                }
                if let Expr::Column(column) = expr.clone().unalias() {
                    passed.insert(column, name);
                }
            }
            let unique = rows.unique.as_ref();
            let unique = unique.and_then(|unique| unique.iter().map(|column| passed.get(column).cloned()).collect());
            let plan = project(rows.plan, projection.expr.clone(), Expr::Column(named(SITE_OF_USER)))?;
            Ok(UserRows { plan, users, unique })
        }
        LogicalPlan::Filter(filter) => {
            let plan = LogicalPlanBuilder::from(rows.plan).filter(filter.predicate.clone());
            let plan = plan.and_then(|plan| plan.build()).map_err(reason_of)?;
            Ok(UserRows { plan, ..rows })
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let named = SubqueryAlias::try_new(Arc::new(rows.plan), alias.alias.clone()).map_err(reason_of)?;
            let named = LogicalPlan::SubqueryAlias(named);
            let columns = columns_of(&alias.schema);
            let site = Expr::Column(Column::new(Some(alias.alias.clone()), SITE_OF_USER));
            let of_alias = |column: &Column| Column::new(Some(alias.alias.clone()), column.name.clone());
            let users = rows.users.iter().map(|(column, names)| (of_alias(column), *names)).collect();
            let unique = rows.unique.map(|unique| unique.iter().map(of_alias).collect());
            Ok(UserRows { plan: project(named, columns, site)?, users, unique })
        }
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => Ok(rows),
        LogicalPlan::Aggregate(aggregate) => grouped(aggregate, rows),
        LogicalPlan::Window(window) => {
            for expr in &window.window_expr {
                check_window(expr, &rows)?;
            }
            looked_through(window, rows)
        }
        _ => Err("it does more to users than filter, join and group them".into()),
    }
}

fn grouped(aggregate: &Aggregate, rows: UserRows) -> Result<UserRows, Why> {
    if aggregate.group_expr.iter().any(|group| matches!(group, Expr::GroupingSet(_))) {
        return Err("it groups the same users several times".into());
    }
    if !rows.name_always(&aggregate.group_expr) {
        return Err("it groups several users together".into());
    }
    for function in &aggregate.aggr_expr {
        check_exact(function, aggregate.input.schema())?;
    }
    let mut groups = aggregate.group_expr.clone();
    groups.push(Expr::Column(named(SITE_OF_USER)));
    let names: Vec<Column> =
        (0..aggregate.group_expr.len()).map(|place| aggregate.schema.qualified_field(place).into()).collect();
    let users = aggregate.group_expr.iter().zip(&names);
    let users = users.filter_map(|(group, name)| Some((name.clone(), rows.names(group)?))).collect();
    let plan = Aggregate::try_new(Arc::new(rows.plan), groups, aggregate.aggr_expr.clone()).map_err(reason_of)?;
    Ok(UserRows { plan: LogicalPlan::Aggregate(plan), users, unique: Some(names) })
}

/// Checks that an aggregate function gives the same for the same rows, whatever their order.
fn check_exact(function: &Expr, schema: &DFSchema) -> Result<(), Why> {
    let Expr::AggregateFunction(called) = function.clone().unalias() else {
        return Err(format!("{function} is no aggregate function that is known here"));
    };
    let name = called.func.name();
    let of_double = called.params.args.iter().any(|arg| !matches!(arg.get_type(schema), Ok(of) if !of.is_floating()));
    let is_exact = EXACT.contains(&name) && !(name == "sum" && of_double) && called.params.order_by.is_empty();
    if is_exact { Ok(()) } else { Err(format!("{name}(…) may depend on the order of rows")) }
}

/// Checks that a window function looks at the rows of one user at a time, and gives the same for the same rows.
fn check_window(expr: &Expr, rows: &UserRows) -> Result<(), Why> {
    let Expr::WindowFunction(window) = expr.clone().unalias() else {
        return Err(format!("{expr} is no window function that is known here"));
    };
    let params = &window.params;
    if !rows.name_always(&params.partition_by) {
        return Err("a window function looks at several users".into());
    }
    let is_listed = |column: &Column| {
        let ordered = params.order_by.iter().map(|sort| &sort.expr);
        params.partition_by.iter().chain(ordered).any(|expr| matches!(expr, Expr::Column(listed) if listed == column))
    };
    let has_order = rows.unique.as_ref().is_some_and(|unique| unique.iter().all(is_listed));
    let name = window.fun.name();
    let of_double =
        params.args.iter().any(|arg| !matches!(arg.get_type(rows.plan.schema()), Ok(of) if !of.is_floating()));
    let steady = match &window.fun {
        WindowFunctionDefinition::AggregateUDF(_) => {
            EXACT.contains(&name) && !(name == "sum" && of_double) && (has_order || params.order_by.is_empty())
        }
        WindowFunctionDefinition::WindowUDF(_) => has_order || RANKS.contains(&name),
    };
    if steady { Ok(()) } else { Err(format!("{name}(…) may depend on the order of rows")) }
}

/// Nobody in particular is another on each site, so windows part the sites, too.
fn looked_through(window: &Window, rows: UserRows) -> Result<UserRows, Why> {
    let by_site = window.window_expr.iter().map(|expr| {
        let Expr::WindowFunction(mut function) = expr.clone().unalias() else { return expr.clone() };
        function.params.partition_by.push(Expr::Column(named(SITE_OF_USER)));
        Expr::WindowFunction(function)
    });
    let by_site: Vec<Expr> = by_site.collect();
    let plan = Window::try_new(by_site, Arc::new(rows.plan)).map_err(reason_of)?;
    let first = plan.schema.fields().len() - window.window_expr.len();
    let mut columns = columns_of(&window.schema);
    let results = columns.len() - window.window_expr.len();
    for (number, column) in columns[results..].iter_mut().enumerate() {
        let (qualifier, field) = window.schema.qualified_field(results + number);
        let value = Expr::Column(plan.schema.qualified_field(first + number).into());
        *column = value.alias_qualified(qualifier.cloned(), field.name());
    }
    let plan = project(LogicalPlan::Window(plan), columns, Expr::Column(named(SITE_OF_USER)))?;
    Ok(UserRows { plan, ..rows })
}

fn joined(join: &Join, left: Part, right: Part) -> Result<UserRows, Why> {
    use JoinType::{Full, Inner, Left, LeftAnti, LeftSemi, Right, RightAnti, RightSemi};
    if join.null_aware {
        return Err("it joins with NOT IN, which looks at all users".into());
    }
    let (kind, mut on) = (join.join_type, join.on.clone());
    let (left_plan, right_plan, mut users, site);
    match (left, right) {
        (Part::ByUser(left), Part::ByUser(right)) => {
            let enough = match join.null_equality {
                NullEquality::NullEqualsNothing => Names::IfAny,
                NullEquality::NullEqualsNull => Names::Always,
            };
            let names = |rows: &UserRows, expr: &Expr| rows.names(expr).is_some_and(|names| names >= enough);
            if !join.on.iter().any(|(one, other)| names(&left, one) && names(&right, other)) {
                return Err("it joins different users".into());
            }
            users = HashMap::new();
            let weaken = |users: HashMap<Column, Names>, is_whole: bool| {
                users.into_iter().map(move |(column, names)| (column, if is_whole { names } else { Names::IfAny }))
            };
            if !matches!(kind, RightSemi | RightAnti) {
                users.extend(weaken(left.users, matches!(kind, Inner | Left | LeftSemi | LeftAnti)));
            }
            if !matches!(kind, LeftSemi | LeftAnti) {
                users.extend(weaken(right.users, matches!(kind, Inner | Right | RightSemi | RightAnti)));
            }
            let (of_left, of_right) = ("site on the left", "site on the right");
            if join.null_equality == NullEquality::NullEqualsNull {
                on.push((Expr::Column(named(of_left)), Expr::Column(named(of_right))));
            }
            left_plan = rename_site(left.plan, of_left)?;
            right_plan = rename_site(right.plan, of_right)?;
            site = match kind {
                Inner | Left | LeftSemi | LeftAnti => Expr::Column(named(of_left)),
                Right | RightSemi | RightAnti => Expr::Column(named(of_right)),
                Full => coalesce(vec![Expr::Column(named(of_left)), Expr::Column(named(of_right))]),
                _ => return Err("it joins users in a way that is not known here".into()),
            };
        }
        (Part::ByUser(left), Part::Constant(right)) if matches!(kind, Inner | Left | LeftSemi | LeftAnti) => {
            (left_plan, right_plan, users) = (left.plan, right, left.users);
            site = Expr::Column(named(SITE_OF_USER));
        }
        (Part::Constant(left), Part::ByUser(right)) if matches!(kind, Inner | Right | RightSemi | RightAnti) => {
            (left_plan, right_plan, users) = (left, right.plan, right.users);
            site = Expr::Column(named(SITE_OF_USER));
        }
        _ => return Err("it joins what has no user with all users".into()),
    }
    let plan = Join::try_new(
        Arc::new(left_plan),
        Arc::new(right_plan),
        on,
        join.filter.clone(),
        kind,
        join.join_constraint,
        join.null_equality,
        false,
    );
    let plan = LogicalPlan::Join(plan.map_err(reason_of)?);
    Ok(UserRows { plan: project(plan, columns_of(&join.schema), site)?, users, unique: None })
}

fn put_together(union: &Union, parts: Vec<Part>) -> Result<UserRows, Why> {
    let mut inputs = Vec::new();
    // What has no user may look like rows of one, so nothing above may take users apart again.
    let all_by_user = parts.iter().all(|part| matches!(part, Part::ByUser(_)));
    let mut names: Vec<Option<Names>> = vec![all_by_user.then_some(Names::Always); union.schema.fields().len()];
    for (part, input) in parts.into_iter().zip(&union.inputs) {
        let columns = columns_of(input.schema());
        let (plan, site) = match part {
            Part::Constant(plan) => (plan, lit(ScalarValue::Utf8View(Some(EVERYWHERE.into())))),
            Part::ByUser(rows) => {
                for (known, column) in names.iter_mut().zip(&columns) {
                    *known = known.and_then(|known| Some(known.min(rows.names(column)?)));
                }
                (rows.plan, Expr::Column(named(SITE_OF_USER)))
            }
        };
        inputs.push(Arc::new(project(plan, columns, site)?));
    }
    let plan = Union::try_new(inputs).map_err(reason_of)?;
    let named = names.into_iter().enumerate();
    let users = named.filter_map(|(place, names)| Some((Column::from(union.schema.qualified_field(place)), names?)));
    let users = users.collect();
    Ok(UserRows { plan: LogicalPlan::Union(plan), users, unique: None })
}

fn named(column: &str) -> Column {
    Column::from_name(column)
}

/// The columns of a plan.
fn columns_of(schema: &DFSchema) -> Vec<Expr> {
    schema.iter().map(Expr::from).collect()
}

/// - `site`: becomes the column of the site, the last one.
fn project(plan: LogicalPlan, mut columns: Vec<Expr>, site: Expr) -> Result<LogicalPlan, Why> {
    let of_site = plan.schema().as_ref();
    let site = match site.get_type(of_site).map_err(reason_of)? {
        DataType::Utf8View => site,
        _ => return Err("its sites are no texts".into()),
    };
    columns.push(site.alias(SITE_OF_USER));
    Projection::try_new(columns, Arc::new(plan)).map(LogicalPlan::Projection).map_err(reason_of)
}

fn rename_site(plan: LogicalPlan, name: &str) -> Result<LogicalPlan, Why> {
    let is_site = |expr: &Expr| matches!(expr, Expr::Column(column) if *column == named(SITE_OF_USER));
    let columns = columns_of(plan.schema());
    let columns = columns.into_iter().map(|expr| if is_site(&expr) { expr.alias(name) } else { expr }).collect();
    Projection::try_new(columns, Arc::new(plan)).map(LogicalPlan::Projection).map_err(reason_of)
}
