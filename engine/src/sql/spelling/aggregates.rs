//! Calls of aggregates: percentiles, counts of pairs, the most frequent value, conditions in the name, sequences of events.

use datafusion::logical_expr::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArgumentClause, HavingBoundKind, UnaryOperator,
};

use super::call::{Call, members, whole_number};
use super::forms;
use super::template::{fill, fill_call};
use crate::error::Result;
use crate::sql::syntax::{text_expr, text_of};

/// So many steps fit beside a time in a number of 128 bits.
pub(in crate::sql) const STEPS_MAX: usize = 32;

/// The call as it is written here; `None` if it is none of these.
pub(super) fn respell(call: &Call<'_>) -> Result<Option<Expr>> {
    let name = call.name.as_str();
    match name {
        "count" if call.is_distinct() && call.args.len() > 1 => of_tuples(call),
        "uniq" | "uniqexact" | "count_distinct" if call.args.len() > 1 => of_tuples(call),
        "sum" | "avg" => match call.args[..] {
            [condition] if is_condition(condition) => {
                fill_call(&format!("{name}(CAST($1 AS BIGINT))"), &[condition], call).map(Some)
            }
            _ => Ok(None),
        },
        "mode" if call.is_distinct() => {
            Err(call.refuse("it takes no DISTINCT: of different values none is the most frequent"))
        }
        "mode" if call.args.is_empty() => match call.function.within_group.as_slice() {
            [by] => {
                let mut function = call.function.clone();
                function.within_group = vec![];
                let plain = Call { function: &function, ..call.renamed("mode", vec![]) };
                fill_call("mode($1)", &[&by.expr], &plain).map(Some)
            }
            _ => Err(call.refuse("write mode(x), or mode() WITHIN GROUP (ORDER BY x)")),
        },
        "any" | "any_value" | "arbitrary" => any_value(call),
        "array_agg" if call.clauses().iter().any(|clause| matches!(clause, FunctionArgumentClause::Limit(_))) => {
            Err(call.refuse(
                "it takes no LIMIT: write (array_agg(x ORDER BY y))[1:3] for the first three, and first_value(x ORDER BY y) for one",
            ))
        }
        "listagg" | "group_concat" | "string_agg" | "wm_concat" => texts(call),
        "topk" | "approx_top_count" => Err(call
            .refuse("it is not here: write SELECT x, count(*) FROM … GROUP BY x ORDER BY count(*) DESC LIMIT 10")),
        "grouparray" if !call.parameters.is_empty() => {
            Err(call.refuse("write (array_agg(x ORDER BY y))[1:10] for the first ten"))
        }
        "windowfunnel" | "window_funnel" => window_funnel(call),
        "sequencematch" | "sequence_match" => sequence_match(call),
        "sequencecount" | "sequence_count" => {
            Err(call.refuse("it is not here: sequence_match('(?1)(?2)', time, …) says whether there is one"))
        }
        "retention" => retained(call),
        "session_start" => session_start(call),
        _ => match percentiles(call)? {
            Some(expr) => Ok(Some(expr)),
            None => with_condition(call),
        },
    }
}

/// Counts different tuples of which no part is null.
fn of_tuples(call: &Call<'_>) -> Result<Option<Expr>> {
    let places: Vec<String> = (1..=call.args.len()).map(|place| format!("${place}")).collect();
    let given: Vec<String> = places.iter().map(|place| format!("{place} IS NOT NULL")).collect();
    let form = format!("count(DISTINCT struct({})) FILTER (WHERE {})", places.join(", "), given.join(" AND "));
    fill_call(&form, &call.args, call).map(Some)
}

/// Whether an expression is true or false by the way it is written.
fn is_condition(expr: &Expr) -> bool {
    use BinaryOperator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
    match expr {
        Expr::BinaryOp { op, .. } => matches!(op, And | Or | Eq | NotEq | Lt | LtEq | Gt | GtEq),
        Expr::UnaryOp { op, .. } => *op == UnaryOperator::Not,
        Expr::Nested(inner) => is_condition(inner),
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::InList { .. }
        | Expr::Between { .. }
        | Expr::Like { .. }
        | Expr::ILike { .. }
        | Expr::IsTrue(_)
        | Expr::IsFalse(_) => true,
        _ => false,
    }
}

/// Some value: the least one, so that it is the same each time. With `HAVING MAX y` that of the row with the greatest `y`.
fn any_value(call: &Call<'_>) -> Result<Option<Expr>> {
    let [arg] = call.args[..] else { return Ok(None) };
    let bound = call.clauses().iter().find_map(|clause| match clause {
        FunctionArgumentClause::Having(bound) => Some(bound),
        _ => None,
    });
    match bound {
        Some(bound) => {
            let direction = if matches!(bound.0, HavingBoundKind::Max) { " DESC" } else { "" };
            let form = format!("first_value($1 ORDER BY $2{direction}, $1) FILTER (WHERE $2 IS NOT NULL)");
            let plain = without_arguments(call.function);
            let call = Call { function: &plain, ..call.renamed(&call.name, call.args.clone()) };
            fill_call(&form, &[arg, &bound.1], &call).map(Some)
        }
        None => fill_call("first_value($1 ORDER BY $1) FILTER (WHERE $1 IS NOT NULL)", &[arg], call).map(Some),
    }
}

/// The call without what stands between its parentheses; FILTER and OVER stay.
fn without_arguments(function: &Function) -> Function {
    use datafusion::logical_expr::sqlparser::ast::FunctionArguments;
    Function { args: FunctionArguments::None, within_group: vec![], ..function.clone() }
}

/// Texts put together, in an order if one is given.
fn texts(call: &Call<'_>) -> Result<Option<Expr>> {
    let between = call.clauses().iter().find_map(|clause| match clause {
        FunctionArgumentClause::Separator(text) => Some(Expr::Value(text.clone())),
        _ => None,
    });
    let order = call.order();
    let is_as_here = call.name == "string_agg" && call.function.within_group.is_empty();
    if is_as_here || call.args.is_empty() {
        return Ok(None);
    }
    let default = text_expr(if call.name == "listagg" { String::new() } else { ",".to_owned() });
    let between = between.as_ref().or(call.args.get(1).copied()).unwrap_or(&default);
    let distinct = if call.is_distinct() { "DISTINCT " } else { "" };
    let mut args = vec![call.args[0], between];
    let mut by = String::new();
    for sort in order {
        args.push(&sort.expr);
        let comma = if by.is_empty() { " ORDER BY" } else { "," };
        let direction = if sort.options.asc == Some(false) { " DESC" } else { "" };
        by += &format!("{comma} ${}{direction}", args.len());
    }
    let plain = without_arguments(call.function);
    let call = Call { function: &plain, ..call.renamed(&call.name, vec![]) };
    // The order of different texts is that of the texts themselves.
    let value = if distinct.is_empty() { "CAST($1 AS VARCHAR)" } else { "$1" };
    let mut expr = fill(&format!("string_agg({distinct}{value}, $2{by})"), &args);
    if let Expr::Nested(inner) = &mut expr
        && let Expr::Function(function) = &mut **inner
    {
        function.filter = call.function.filter.clone();
        function.over = call.function.over.clone();
    }
    Ok(Some(expr))
}

/// Percentiles, one or a list of them.
fn percentiles(call: &Call<'_>) -> Result<Option<Expr>> {
    let (name, args) = (call.name.as_str(), call.args.as_slice());
    let name = match name.strip_suffix("if").filter(|name| name.starts_with("quantile")) {
        // The condition is put around it first.
        Some(_) => return with_condition(call),
        None => name,
    };
    let kind = match name {
        "quantile" | "quantiles" | "percentile" | "quantile_cont" | "percentile_cont" => Percentile::Between,
        "quantile_disc" | "percentile_disc" => Percentile::Rank,
        "quantileexact" | "quantilesexact" => Percentile::Place,
        "approx_quantile" | "approx_percentile" | "percentile_approx" | "quantiletdigest" | "quantilestdigest"
        | "quantiletiming" | "quantilestiming" => Percentile::Approximate,
        "approx_quantiles" => return bounds_of_quantiles(call),
        _ => return Ok(None),
    };
    let within = call.function.within_group.as_slice();
    if name.starts_with("percentile_") && !within.is_empty() {
        // PostgreSQL's. One level is DataFusion's own, and so is its order.
        let ([levels], [by]) = (args, within) else { return Ok(None) };
        let Some(levels) = members(levels) else {
            return match kind {
                Percentile::Rank => {
                    let direction = if by.options.asc == Some(false) { " DESC" } else { "" };
                    of_levels(call, &[levels], &by.expr, kind, direction, false).map(Some)
                }
                _ => Ok(None),
            };
        };
        if by.options.asc == Some(false) {
            return Err(call.refuse("several levels are in ascending order: write 1 - level for each"));
        }
        return of_levels(call, &levels.iter().collect::<Vec<_>>(), &by.expr, kind, "", true).map(Some);
    }
    if call.function.over.is_some() {
        return Err(call.refuse(
            "it takes no OVER: group in a subquery, with percentile_cont(0.9) WITHIN GROUP (ORDER BY x), and join it",
        ));
    }
    let levels = call.parameters.as_slice();
    match (levels, args) {
        ([], [value]) if name.starts_with("quantile") && !name.contains('_') => {
            of_levels(call, &[&fill("0.5", &[])], value, kind, "", false).map(Some)
        }
        ([], [value, level]) => match members(level) {
            Some(levels) => of_levels(call, &levels.iter().collect::<Vec<_>>(), value, kind, "", true).map(Some),
            None => of_levels(call, &[level], value, kind, "", false).map(Some),
        },
        ([_, ..], [value]) => of_levels(call, levels, value, kind, "", name.starts_with("quantiles")).map(Some),
        _ => Err(call.refuse("write percentile_cont(0.9) WITHIN GROUP (ORDER BY x)")),
    }
}

#[derive(Clone, Copy)]
enum Percentile {
    /// Between the two values next to it.
    Between,
    /// The first value with so great a share of the values at or below it.
    Rank,
    /// The value at that place, counted from 0.
    Place,
    Approximate,
}

fn of_levels(
    call: &Call<'_>,
    levels: &[&Expr],
    value: &Expr,
    kind: Percentile,
    direction: &str,
    is_list: bool,
) -> Result<Expr> {
    if call.is_distinct() {
        return Err(call.refuse("it takes no DISTINCT: select the different rows in a subquery first"));
    }
    // A subscript would become nth_value(), whose place may be no aggregate.
    let one = |place: usize| match kind {
        Percentile::Between => format!("percentile_cont(${place}) WITHIN GROUP (ORDER BY $1)"),
        Percentile::Approximate => format!("approx_percentile_cont(${place}) WITHIN GROUP (ORDER BY $1)"),
        Percentile::Rank => format!(
            "array_element(array_agg($1 ORDER BY $1{direction}) FILTER (WHERE $1 IS NOT NULL), greatest(CAST(ceil(${place} * count($1)) AS BIGINT), 1))"
        ),
        Percentile::Place => format!(
            "array_element(array_agg($1 ORDER BY $1) FILTER (WHERE $1 IS NOT NULL), least(CAST(floor(${place} * count($1)) AS BIGINT) + 1, count($1)))"
        ),
    };
    let mut args = vec![value];
    args.extend(levels);
    let parts: Vec<String> = (2..=args.len()).map(one).collect();
    let form = if is_list { format!("[{}]", parts.join(", ")) } else { parts.join(", ") };
    let plain = without_arguments(call.function);
    fill_call(&form, &args, &Call { function: &plain, ..call.renamed(&call.name, vec![]) })
}

/// BigQuery's `approx_quantiles(x, n)`: the bounds of n groups of equal size, n + 1 of them.
fn bounds_of_quantiles(call: &Call<'_>) -> Result<Option<Expr>> {
    const GROUPS_MAX: i64 = 20;
    match call.args[..] {
        [value, count] => match whole_number(count) {
            Some(count) if (1..=GROUPS_MAX).contains(&count) => {
                let levels: Vec<Expr> =
                    (0..=count).map(|place| fill(&format!("{}", place as f64 / count as f64), &[])).collect();
                let levels: Vec<&Expr> = levels.iter().collect();
                of_levels(call, &levels, value, Percentile::Rank, "", true).map(Some)
            }
            _ => Err(call.refuse("name those you need: percentile_disc(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY x)")),
        },
        _ => Err(call.refuse("it takes a value and a number: approx_quantiles(x, 4)")),
    }
}

/// `approx_quantiles(x, 100)[OFFSET(90)]`: one of the bounds.
pub(super) fn bound_of_quantiles(call: &Call<'_>, place: i64) -> Result<Option<Expr>> {
    if call.name != "approx_quantiles" {
        return Ok(None);
    }
    let [value, count] = call.args[..] else { return Ok(None) };
    let Some(count) = whole_number(count).filter(|count| (1..=100_000).contains(count)) else { return Ok(None) };
    if !(0..=count).contains(&place) {
        return Err(call.refuse(format!("there are {} bounds, from OFFSET(0) to OFFSET({count})", count + 1)));
    }
    let level = fill(&format!("{}", place as f64 / count as f64), &[]);
    of_levels(call, &[&level], value, Percentile::Rank, "", false).map(Some)
}

/// ClickHouse's aggregates with a condition for the last argument: `sumIf(x, c)`, `uniqIf(x, c)`, `avg_if(x, c)`.
fn with_condition(call: &Call<'_>) -> Result<Option<Expr>> {
    const KNOWN: [&str; 20] = [
        "sum",
        "avg",
        "min",
        "max",
        "count",
        "uniq",
        "uniqexact",
        "any",
        "argmax",
        "argmin",
        "arg_max",
        "arg_min",
        "quantile",
        "quantiles",
        "quantileexact",
        "median",
        "grouparray",
        "groupuniqarray",
        "array_agg",
        "mode",
    ];
    let Some(inner) = call.name.strip_suffix("if").map(|name| name.trim_end_matches('_')) else { return Ok(None) };
    if !KNOWN.contains(&inner) {
        return Ok(None);
    }
    let Some((condition, args)) = call.args.split_last().filter(|(_, args)| !args.is_empty() || inner == "count")
    else {
        return Err(call.refuse("the condition is its last argument: sum_if(x, c), or write sum(x) FILTER (WHERE c)"));
    };
    let mut function = call.function.clone();
    let own = function.filter.take();
    function.filter = Some(Box::new(match own {
        Some(own) => fill("$1 AND $2", &[&own, condition]),
        None => (*condition).clone(),
    }));
    let renamed =
        Call { name: inner.to_owned(), parameters: call.parameters.clone(), args: args.to_vec(), function: &function };
    if let Some(expr) = forms::respell(&renamed)? {
        return Ok(Some(expr));
    }
    if let Some(expr) = respell(&renamed)? {
        return Ok(Some(expr));
    }
    let places: Vec<String> = (1..=args.len()).map(|place| format!("${place}")).collect();
    let mut expr = fill(&format!("{inner}({})", places.join(", ")), args);
    if let Expr::Nested(inner) = &mut expr
        && let Expr::Function(plain) = &mut **inner
    {
        plain.filter = function.filter.clone();
        plain.over = function.over.clone();
    }
    Ok(Some(expr))
}

/// The events of a sequence as one list: their times, and which of the conditions each meets.
fn sequence(call: &Call<'_>, time: &Expr, conditions: &[&Expr]) -> Result<Expr> {
    if conditions.is_empty() || conditions.len() > STEPS_MAX {
        return Err(call.refuse(format!("it takes a time and 1 to {STEPS_MAX} conditions")));
    }
    let places: Vec<String> = (2..conditions.len() + 2).map(|place| format!("${place}")).collect();
    let form = format!("array_agg(moment($1, {})) FILTER (WHERE {})", places.join(", "), places.join(" OR "));
    let args: Vec<&Expr> = std::iter::once(time).chain(conditions.iter().copied()).collect();
    if call.is_distinct() || !call.order().is_empty() {
        return Err(call.refuse("it takes neither DISTINCT nor ORDER BY: events are taken in the order of their time"));
    }
    fill_call(&form, &args, call)
}

fn window_funnel(call: &Call<'_>) -> Result<Option<Expr>> {
    const FORM: &str = "write window_funnel(INTERVAL '1 hour', occurred_at, name = 'a', name = 'b')";
    let (window, time, conditions) = match (call.parameters.as_slice(), call.args.as_slice()) {
        // ClickHouse's window is in seconds.
        ([seconds], [time, conditions @ ..]) => match whole_number(seconds) {
            Some(seconds) => (fill(&format!("INTERVAL '{seconds} seconds'"), &[]), time, conditions),
            None => return Err(call.refuse(FORM)),
        },
        ([_, _, ..], _) => return Err(call.refuse("strict modes are not here: sequence_match knows what lies between")),
        ([], [window, time, conditions @ ..]) => ((*window).clone(), time, conditions),
        _ => return Err(call.refuse(FORM)),
    };
    let moments = sequence(call, time, conditions)?;
    Ok(Some(fill("funnel_steps($1, $2)", &[&moments, &window])))
}

fn sequence_match(call: &Call<'_>) -> Result<Option<Expr>> {
    let (pattern, time, conditions) = match (call.parameters.as_slice(), call.args.as_slice()) {
        ([pattern], [time, conditions @ ..]) | ([], [pattern, time, conditions @ ..]) => (*pattern, time, conditions),
        _ => return Err(call.refuse("write sequence_match('(?1).*(?2)', occurred_at, name = 'a', name = 'b')")),
    };
    if text_of(pattern).is_none() {
        return Err(
            call.refuse("its pattern is a text: sequence_match('(?1).*(?2)', occurred_at, name = 'a', name = 'b')")
        );
    }
    let moments = sequence(call, time, conditions)?;
    Ok(Some(fill("sequence_matches($1, $2)", &[&moments, pattern])))
}

/// For each condition 1 if some row meets it and some row the first one, else 0.
fn retained(call: &Call<'_>) -> Result<Option<Expr>> {
    if call.args.is_empty() || call.args.len() > STEPS_MAX {
        return Err(call.refuse(format!("it takes 1 to {STEPS_MAX} conditions")));
    }
    let met = |place: usize| format!("CASE WHEN bool_or($1) AND bool_or(${place}) THEN 1 ELSE 0 END");
    let met: Vec<String> = (1..=call.args.len()).map(met).collect();
    fill_call(&format!("[{}]", met.join(", ")), &call.args, call).map(Some)
}

/// Whether a visitor's event begins a session: the first one, and each after a pause longer than the gap.
fn session_start(call: &Call<'_>) -> Result<Option<Expr>> {
    let [visitor, time, gap] = call.args[..] else {
        return Err(call.refuse("write session_start(visitor_id, occurred_at, INTERVAL '30 minutes')"));
    };
    if call.is_of_many_rows() {
        return Err(call.refuse("it is a window function with a window of its own, and takes no clauses"));
    }
    let form = "coalesce($2 - lag($2) OVER (PARTITION BY $1 ORDER BY $2) > $3, true)";
    Ok(Some(fill(form, &[visitor, time, gap])))
}
