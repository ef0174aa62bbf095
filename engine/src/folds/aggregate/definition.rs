//! What a fold is: which rows a part of the events gives, how the rows of parts make the rows of the whole, and how the
//! answer comes of them. Each is a plan of its own over ordinary rows, so no state of a library's is ever kept.
//!
//! The rows of a part have the columns `site`, then the groups `k0`, `k1` …, then what is counted once `x0`, `x1` …, then
//! the partial results `p0`, `p1` …. `site` leads, so that one pass makes the rows of all sites.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::utils::{conjunction, disjunction};
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, Cast, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast, col, lit, when,
};
use lake::StateDefinition;

use super::shape::{Shape, Why, reason_of};
use super::stand_in::FoldedTable;
use crate::folds::hash::hash_of;

/// The columns of every folded table by which its rows lie.
pub(in crate::folds) const SITE: &str = "site_id";
pub(in crate::folds) const VISITOR: &str = "visitor_id";

/// Goes up whenever the same definition would give other rows.
const FORMAT: u32 = 1;

/// A fold.
#[derive(Debug)]
pub(in crate::folds) struct Definition {
    /// The table that it folds.
    pub(in crate::folds) table: &'static str,
    /// How the table's rows are folded.
    pub(in crate::folds) folded: FoldedTable,
    /// What must be true of a row, bounds of time aside.
    pub(in crate::folds) conditions: Vec<Expr>,
    /// What rows are grouped by, each once.
    pub(in crate::folds) keys: Vec<Expr>,
    groups: Vec<Expr>,
    /// What is counted once.
    pub(in crate::folds) sets: Vec<Expr>,
    parts: Vec<Part>,
    finishes: Vec<Finish>,
    /// Where rows can be negative, which of them count.
    signed: Option<Signed>,
    pub(in crate::folds) id: StateDefinition,
}

/// Rows of which some take others away: the places of partial results.
#[derive(Debug)]
struct Signed {
    /// How many rows of the table a group has.
    rows: usize,
    /// Sums, each with the number of its values.
    sums: Vec<(usize, usize)>,
}

/// A partial result.
#[derive(Debug)]
struct Part {
    /// Over the rows of the table.
    of_rows: Expr,
    /// Makes one partial result of several.
    merge: Arc<AggregateUDF>,
}

/// How an aggregate function of the query comes of partial results.
#[derive(Debug)]
enum Finish {
    /// It is one.
    Part(usize),
    /// It is one, and 0 where there is none.
    Count(usize),
    /// The quotient of two.
    Average { sum: usize, count: usize, value_type: DataType, count_type: DataType },
    /// A function of the different values of a set.
    Distinct { function: Arc<AggregateUDF>, set: usize },
}

/// What it takes to subtract rows: places of columns among those of the rows of a part.
#[derive(Debug)]
pub(in crate::folds) struct Subtractable {
    /// The first partial result.
    pub(in crate::folds) first_part: usize,
    /// How many rows a group has.
    pub(in crate::folds) rows: usize,
    /// Sums, each with the number of its values.
    pub(in crate::folds) sums: Vec<(usize, usize)>,
}

/// Functions of which partial results make the whole result by the same function.
const OWN_MERGE: [&str; 8] = ["sum", "min", "max", "bool_and", "bool_or", "bit_and", "bit_or", "bit_xor"];

/// Functions of different values that come of them alone.
const OF_DISTINCT: [&str; 5] = ["count", "sum", "min", "max", "avg"];

impl Definition {
    /// - `schema`: of the table.
    /// - `apart`: what never has the same value in two parts.
    pub(in crate::folds) fn new(
        shape: Shape,
        conditions: Vec<Expr>,
        schema: &DFSchema,
        registry: &dyn FunctionRegistry,
        apart: &[Expr],
    ) -> Result<Self, Why> {
        let Shape { table, folded, keys, groups, functions, .. } = shape;
        let mut definition = Self {
            table,
            folded,
            conditions,
            keys,
            groups,
            sets: vec![],
            parts: vec![],
            finishes: vec![],
            signed: None,
            id: StateDefinition([0; 16]),
        };
        let udaf = |name: &str| registry.udaf(name).map_err(|error| error.to_string());
        let (sum, count) = (udaf("sum")?, udaf("count")?);
        for function in functions {
            let finish = definition.take(function, schema, &sum, &count, apart)?;
            definition.finishes.push(finish);
        }
        definition.id = definition.hash(schema).map_err(|error| error.to_string())?;
        Ok(definition)
    }

    fn take(
        &mut self,
        function: Expr,
        schema: &DFSchema,
        sum: &Arc<AggregateUDF>,
        count: &Arc<AggregateUDF>,
        apart: &[Expr],
    ) -> Result<Finish, Why> {
        let Expr::AggregateFunction(AggregateFunction { func, params }) = function else {
            return Err(format!("{function} is no aggregate function that is known here"));
        };
        let AggregateFunctionParams { mut args, distinct, filter, order_by: _, null_treatment } = params;
        let name = func.name().to_owned();
        if null_treatment.is_some() {
            return Err(format!("{name}(…) is not known here in this form"));
        }
        // The different values that make the least and the greatest are all values.
        if distinct && !["min", "max"].contains(&name.as_str()) {
            if !OF_DISTINCT.contains(&name.as_str()) || args.len() != 1 {
                return Err(format!("{name}(DISTINCT …) needs all values at a time"));
            }
            if name == "count" && apart.contains(&args[0]) && !self.is_regrouped() {
                // No value is in two parts, so the counts of parts add up.
                let params = AggregateFunctionParams { args, distinct: true, filter, order_by: vec![], null_treatment };
                let of_rows = Expr::AggregateFunction(AggregateFunction { func, params });
                return Ok(Finish::Count(self.part(Part { of_rows, merge: sum.clone() })));
            }
            let value = args.remove(0);
            let value_type = value.get_type(schema).map_err(|error| error.to_string())?;
            if value_type.is_nested() {
                return Err(format!("{name}(DISTINCT …) of several values together needs all values at a time"));
            }
            let value = match filter {
                Some(filter) => when(*filter, value).end().map_err(|error| error.to_string())?,
                None => value,
            };
            return Ok(Finish::Distinct { function: func, set: place_in(&mut self.sets, value) });
        }
        let of_rows = |func: Arc<AggregateUDF>, args: Vec<Expr>| {
            let filter = filter.clone();
            let params =
                AggregateFunctionParams { args, distinct: false, filter, order_by: vec![], null_treatment: None };
            Expr::AggregateFunction(AggregateFunction { func, params })
        };
        match name.as_str() {
            "count" => {
                let part = Part { of_rows: of_rows(func, args), merge: sum.clone() };
                Ok(Finish::Count(self.part(part)))
            }
            name if OWN_MERGE.contains(&name) => {
                let part = Part { of_rows: of_rows(func.clone(), args), merge: func };
                Ok(Finish::Part(self.part(part)))
            }
            "avg" => {
                let value_type = args[0].get_type(schema).map_err(|error| error.to_string())?;
                if !matches!(value_type, DataType::Float64 | DataType::Decimal128(_, _)) {
                    return Err(format!("avg of {value_type} is not known here"));
                }
                // A sum of doubles depends on the order, and nothing can be taken away from it. Whole numbers need not be doubles.
                let summed = whole_number(&args[0], schema).map_err(|error| error.to_string())?;
                let summed = summed.unwrap_or_else(|| args[0].clone());
                let of_sum = Part { of_rows: of_rows(sum.clone(), vec![summed]), merge: sum.clone() };
                let of_count = Part { of_rows: of_rows(count.clone(), args), merge: sum.clone() };
                let count_type = match value_type {
                    DataType::Float64 => DataType::Float64,
                    _ => DataType::Decimal128(20, 0),
                };
                Ok(Finish::Average { sum: self.part(of_sum), count: self.part(of_count), value_type, count_type })
            }
            _ => Err(format!("{name} needs all values at a time: count, sum, min, max and avg do not")),
        }
    }

    /// Whether the query asks for several groupings at a time.
    fn is_regrouped(&self) -> bool {
        self.groups.iter().any(|group| matches!(group, Expr::GroupingSet(_)))
    }

    /// Adds what it takes to subtract the rows of some of the table from those of all: how many rows a group has, and how many
    /// values a sum. Where visitors are counted once, each has rows of their own, of which some may take others away. Fails in
    /// words if that is not enough.
    pub(in crate::folds) fn make_subtractable(
        &mut self,
        schema: &DFSchema,
        registry: &dyn FunctionRegistry,
    ) -> Result<Subtractable, Why> {
        let of_visitors = match &self.sets[..] {
            [] => false,
            [Expr::Column(column)] if column.name == VISITOR && self.folded == FoldedTable::ByVisitor => true,
            _ => return Err("it keeps different values".into()),
        };
        let udaf = |name: &str| registry.udaf(name).map_err(reason_of);
        let (sum, count) = (udaf("sum")?, udaf("count")?);
        let of_rows = |args, filter| {
            let params =
                AggregateFunctionParams { args, distinct: false, filter, order_by: vec![], null_treatment: None };
            Expr::AggregateFunction(AggregateFunction { func: count.clone(), params })
        };
        let mut counts = Vec::new();
        for (place, part) in self.parts.iter().enumerate() {
            let Expr::AggregateFunction(AggregateFunction { func, params }) = &part.of_rows else { continue };
            let value_type = part.of_rows.get_type(schema).map_err(reason_of)?;
            match (func.name(), value_type) {
                ("count", _) => {}
                ("sum", DataType::Int64 | DataType::Decimal128(..)) => {
                    counts.push((place, of_rows(params.args.clone(), params.filter.clone())));
                }
                (name, value_type) => {
                    return Err(format!("{name}(…) of {value_type} of all tells nothing of that without some"));
                }
            }
        }
        let mut sums = Vec::new();
        for (place, of_rows) in counts {
            sums.push((place, self.part(Part { of_rows, merge: sum.clone() })));
        }
        let rows = self.part(Part { of_rows: of_rows(vec![lit(1_i64)], None), merge: sum });
        self.id = self.hash(schema).map_err(reason_of)?;
        let first_part = self.group_names().len();
        self.signed = of_visitors.then(|| Signed { rows, sums: sums.clone() });
        let place = |part: usize| first_part + part;
        let sums = sums.into_iter().map(|(sum, values)| (place(sum), place(values))).collect();
        Ok(Subtractable { first_part, rows: place(rows), sums })
    }

    fn part(&mut self, part: Part) -> usize {
        match self.parts.iter().position(|known| known.of_rows == part.of_rows) {
            Some(place) => place,
            None => {
                self.parts.push(part);
                self.parts.len() - 1
            }
        }
    }

    /// Whether some of its rows may take others away. Then each is of one visitor.
    pub(in crate::folds) fn is_signed(&self) -> bool {
        self.signed.is_some()
    }

    /// Whether what it makes of rows of the table adds up, whichever rows of a visitor they are.
    pub(in crate::folds) fn adds_up(&self) -> bool {
        let is_distinct = |expr: &Expr| matches!(expr, Expr::AggregateFunction(function) if function.params.distinct);
        !self.results().any(is_distinct)
    }

    /// The partial results, over the rows of the table.
    pub(in crate::folds) fn results(&self) -> impl Iterator<Item = &Expr> {
        self.parts.iter().map(|part| &part.of_rows)
    }

    fn hash(&self, schema: &DFSchema) -> Result<StateDefinition> {
        let mut texts = vec![format!("{FORMAT} datafusion {}", datafusion::DATAFUSION_VERSION), self.table.to_owned()];
        // The order of conditions is the optimizer's.
        let mut conditions: Vec<String> = self.conditions.iter().map(Expr::to_string).collect();
        conditions.sort_unstable();
        conditions.dedup();
        for list in [
            conditions,
            self.keys.iter().map(Expr::to_string).collect(),
            self.sets.iter().map(Expr::to_string).collect(),
            self.results().map(Expr::to_string).collect(),
        ] {
            texts.push(list.len().to_string());
            texts.extend(list);
        }
        // The same words over another type mean something else.
        for name in names_in(self.exprs()) {
            texts.push(name.to_owned());
            texts.push(schema.field_with_unqualified_name(name)?.data_type().to_string());
        }
        for expr in self.exprs() {
            texts.push(expr.get_type(schema)?.to_string());
        }
        Ok(StateDefinition(hash_of(texts)))
    }

    /// All expressions over the table's columns.
    fn exprs(&self) -> impl Iterator<Item = &Expr> {
        self.conditions.iter().chain(&self.keys).chain(&self.sets).chain(self.results())
    }

    /// The column of its rows that has the visitor id; none if its rows are of several visitors.
    pub(in crate::folds) fn visitor_column(&self) -> Option<String> {
        let is_visitor = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name == VISITOR);
        let key = self.keys.iter().position(is_visitor).map(|place| format!("k{place}"));
        key.or_else(|| self.sets.iter().position(is_visitor).map(|place| format!("x{place}")))
    }

    /// The names of the columns that rows are grouped by.
    fn group_names(&self) -> Vec<String> {
        let keys = (0..self.keys.len()).map(|n| format!("k{n}"));
        let sets = (0..self.sets.len()).map(|n| format!("x{n}"));
        ["site".to_owned()].into_iter().chain(keys).chain(sets).collect()
    }

    fn part_names(&self) -> impl Iterator<Item = String> + use<> {
        (0..self.parts.len()).map(|n| format!("p{n}"))
    }

    /// The rows of a part.
    ///
    /// - `events`: a plan of rows of the table.
    /// - `bounds`: further conditions.
    pub(in crate::folds) fn of_part(&self, events: LogicalPlan, bounds: Vec<Expr>) -> Result<LogicalPlan> {
        let mut rows = LogicalPlanBuilder::from(events);
        if let Some(condition) = conjunction(self.conditions.iter().cloned().chain(bounds)) {
            rows = rows.filter(condition)?;
        }
        let rows = rows.build()?;
        // With one set its values group the partial results, too: one look at the events is enough.
        let whole = match &self.sets[..] {
            [] | [_] => self.grouped(&rows, |_| true, true)?,
            sets => {
                let mut whole = self.grouped(&rows, |_| false, true)?;
                for set in 0..sets.len() {
                    whole = whole.union(self.grouped(&rows, |other| other == set, false)?.build()?)?;
                }
                whole
            }
        };
        // What may become a state has an order that it always has.
        let names = if self.is_signed() { vec!["site".to_owned()] } else { self.group_names() };
        whole.sort(names.iter().map(|name| col(name).sort(true, true)))?.build()
    }

    fn grouped(
        &self,
        rows: &LogicalPlan,
        has_set: impl Fn(usize) -> bool,
        has_parts: bool,
    ) -> Result<LogicalPlanBuilder> {
        let schema = rows.schema();
        let null_of = |expr: &Expr| -> Result<Expr> { Ok(lit(ScalarValue::try_new_null(&expr.get_type(schema)?)?)) };
        let named = |prefix: &str, n: usize, expr: Expr| expr.alias(format!("{prefix}{n}"));
        let (mut groups, mut columns) = (vec![col(SITE).alias("site")], vec![col("site")]);
        for (n, key) in self.keys.iter().enumerate() {
            groups.push(named("k", n, key.clone()));
            columns.push(col(format!("k{n}")));
        }
        for (n, set) in self.sets.iter().enumerate() {
            if has_set(n) {
                groups.push(named("x", n, set.clone()));
                columns.push(col(format!("x{n}")));
            } else {
                columns.push(named("x", n, null_of(set)?));
            }
        }
        let mut parts = Vec::new();
        for (n, part) in self.parts.iter().enumerate() {
            if has_parts {
                parts.push(named("p", n, part.of_rows.clone()));
                columns.push(col(format!("p{n}")));
            } else {
                columns.push(named("p", n, null_of(&part.of_rows)?));
            }
        }
        // Groups are columns first, so that none is computed in the aggregate under a name of its own.
        LogicalPlanBuilder::from(rows.clone()).aggregate(groups, parts)?.project(columns)
    }

    /// The columns of the table that the rows of a part are made of, and those that tell visitors apart.
    pub(in crate::folds) fn columns(&self, bounds: &[Expr]) -> BTreeSet<String> {
        names_in(self.exprs().chain(bounds)).into_iter().chain([SITE, VISITOR]).map(str::to_owned).collect()
    }

    /// The rows of the whole, from the rows of parts.
    ///
    /// - `with_site`: whether rows of different sites stay apart.
    fn merged(&self, parts: LogicalPlan, with_site: bool) -> Result<LogicalPlan> {
        let names = self.group_names();
        let groups: Vec<Expr> = names.iter().skip(usize::from(!with_site)).map(col).collect();
        let schema = parts.schema().clone();
        let merges = self.merges();
        let mut columns = groups.clone();
        for name in self.part_names() {
            // A sum of sums may have a wider type.
            columns.push(cast(col(&name), schema.field_with_unqualified_name(&name)?.data_type().clone()).alias(&name));
        }
        LogicalPlanBuilder::from(parts).aggregate(groups, merges)?.project(columns)?.build()
    }

    fn merges(&self) -> Vec<Expr> {
        self.part_names().zip(&self.parts).map(|(name, part)| part.merge.call(vec![col(&name)]).alias(&name)).collect()
    }

    /// The rows of the whole, those of a site one after the other, from the rows of parts.
    pub(in crate::folds) fn merge(&self, parts: LogicalPlan) -> Result<LogicalPlan> {
        let mut whole = LogicalPlanBuilder::from(self.merged(parts, true)?);
        if self.is_signed() {
            let is_left = self.part_names().map(|name| coalesce(vec![col(name), lit(0_i64)]).not_eq(lit(0_i64)));
            whole = whole.filter(disjunction(is_left).unwrap_or_else(|| lit(true)))?;
        }
        whole.sort([col("site").sort(true, true)])?.build()
    }

    /// The groups that have rows, once those that take others away have done so.
    fn settled(&self, merged: LogicalPlan) -> Result<LogicalPlan> {
        let Some(Signed { rows, sums }) = &self.signed else { return Ok(merged) };
        let names: Vec<String> = self.part_names().collect();
        let columns = merged.schema().columns().into_iter().map(|column| {
            let sum = sums.iter().find(|(sum, _)| names[*sum] == column.name);
            let Some((_, values)) = sum else { return Ok(Expr::Column(column)) };
            // A sum of no values is none.
            let has_values = col(&names[*values]).not_eq(lit(0_i64));
            Ok(when(has_values, Expr::Column(column.clone())).end()?.alias(column.name))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let has_rows = col(&names[*rows]).gt(lit(0_i64));
        LogicalPlanBuilder::from(merged).filter(has_rows)?.project(columns)?.build()
    }

    /// What stands in the query for its aggregate: the same columns, made of the rows of parts.
    pub(in crate::folds) fn finish(&self, parts: LogicalPlan, aggregate: &Aggregate) -> Result<LogicalPlan> {
        let rows = match self.sets.is_empty() {
            true => parts,
            // Each value of a set once, in whichever parts and sites it is.
            false => self.settled(self.merged(parts, false)?)?,
        };
        let regrouped = self.is_regrouped();
        let mut functions = self.merges();
        for (n, finish) in self.finishes.iter().enumerate() {
            if let Finish::Distinct { function, set } = finish {
                let params = AggregateFunctionParams {
                    args: vec![col(format!("x{set}"))],
                    // Over fewer groups a value is there more than once.
                    distinct: regrouped,
                    filter: None,
                    order_by: vec![],
                    null_treatment: None,
                };
                let function = AggregateFunction { func: function.clone(), params };
                functions.push(Expr::AggregateFunction(function).alias(format!("f{n}")));
            }
        }
        let answer = LogicalPlanBuilder::from(rows).aggregate(self.groups.clone(), functions)?;
        let schema = answer.schema().clone();
        let groups = aggregate.schema.fields().len() - self.finishes.len();
        let mut columns = Vec::new();
        for place in 0..aggregate.schema.fields().len() {
            let (qualifier, field) = aggregate.schema.qualified_field(place);
            let value = match place.checked_sub(groups) {
                // Groups that are written differently may be the same key.
                None if !regrouped => self.groups[place].clone(),
                None => Expr::from(schema.qualified_field(place)),
                Some(n) => self.finished(n)?,
            };
            let value = match value.get_type(&schema)? == *field.data_type() {
                true => value,
                false => cast(value, field.data_type().clone()),
            };
            columns.push(value.alias_qualified(qualifier.cloned(), field.name()));
        }
        answer.project(columns)?.build()
    }

    fn finished(&self, n: usize) -> Result<Expr> {
        let part = |n: usize| col(format!("p{n}"));
        Ok(match &self.finishes[n] {
            Finish::Part(place) => part(*place),
            Finish::Count(place) => coalesce(vec![part(*place), lit(0_i64)]),
            Finish::Average { sum, count, value_type, count_type } => {
                let sum = match value_type {
                    DataType::Float64 => cast(part(*sum), DataType::Float64),
                    _ => part(*sum),
                };
                sum / cast(part(*count), count_type.clone())
            }
            Finish::Distinct { .. } => col(format!("f{n}")),
        })
    }
}

/// The whole number as which a double came into being, as a decimal, which sums exactly.
fn whole_number(value: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let Expr::Cast(Cast { expr, .. }) = value else { return Ok(None) };
    let is_whole = expr.get_type(schema)?.is_integer();
    Ok(is_whole.then(|| cast((**expr).clone(), DataType::Decimal128(20, 0))))
}

/// The columns that expressions name.
fn names_in<'a>(exprs: impl Iterator<Item = &'a Expr>) -> BTreeSet<&'a str> {
    exprs.flat_map(Expr::column_refs).map(|column| column.name()).collect()
}

fn place_in(list: &mut Vec<Expr>, expr: Expr) -> usize {
    match list.iter().position(|known| *known == expr) {
        Some(place) => place,
        None => {
            list.push(expr);
            list.len() - 1
        }
    }
}
