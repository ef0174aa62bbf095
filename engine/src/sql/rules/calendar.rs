//! Begins of days, weeks and months are found by dividing, and the calendar is asked once for many rows.
//!
//! Most questions are told apart by days, of a site's time zone or of UTC. Of what they took, `date_trunc('day', occurred_at)` was nine
//! tenths over all events, and `CAST(occurred_at AT TIME ZONE zone AS DATE)` a third over those of a site.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use datafusion::physical_expr::expressions::{CastExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, PhysicalGroupBy};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

use super::physical::{Rule, of_each_operator};
use crate::sql::functions::calendar::{Told, Unit, begin, is_time};

/// Has begins that are selected or grouped by found so. The first of the rules: what is selected may be moved into scans of files.
pub(super) fn begins_by_division() -> Rule {
    of_each_operator("BeginsByDivision", |operator, _| {
        if let Some(projection) = operator.downcast_ref::<ProjectionExec>() {
            return in_projection(projection).map(|rewritten| of(operator, rewritten));
        }
        if let Some(aggregate) = operator.downcast_ref::<AggregateExec>() {
            return in_groups(aggregate).map(|rewritten| of(operator, rewritten));
        }
        Ok(Transformed::no(operator))
    })
}

fn of(
    operator: Arc<dyn ExecutionPlan>,
    rewritten: Option<Arc<dyn ExecutionPlan>>,
) -> Transformed<Arc<dyn ExecutionPlan>> {
    rewritten.map_or_else(|| Transformed::no(operator), Transformed::yes)
}

fn in_projection(projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let schema = projection.input().schema();
    let exprs = projection.expr().iter().map(|ProjectionExpr { expr, alias }| {
        let rewritten = by_division(expr, &schema)?;
        Ok((rewritten.transformed, ProjectionExpr { expr: rewritten.data, alias: alias.clone() }))
    });
    let (rewritten, exprs): (Vec<bool>, Vec<ProjectionExpr>) = exprs.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    if !rewritten.contains(&true) {
        return Ok(None);
    }
    Ok(Some(Arc::new(ProjectionExec::try_new(exprs, projection.input().clone())?)))
}

fn in_groups(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let (schema, groups) = (aggregate.input().schema(), aggregate.group_expr());
    let exprs = groups.expr().iter().map(|(expr, name)| {
        let rewritten = by_division(expr, &schema)?;
        Ok((rewritten.transformed, (rewritten.data, name.clone())))
    });
    let (rewritten, exprs): (Vec<bool>, Vec<_>) = exprs.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    if !rewritten.contains(&true) {
        return Ok(None);
    }
    let groups =
        PhysicalGroupBy::new(exprs, groups.null_expr().to_vec(), groups.groups().to_vec(), groups.has_grouping_set());
    let rewritten = AggregateExec::try_new(
        *aggregate.mode(),
        groups,
        aggregate.aggr_expr().to_vec(),
        aggregate.filter_expr().to_vec(),
        aggregate.input().clone(),
        aggregate.input_schema(),
    )?;
    Ok(Some(Arc::new(rewritten.with_limit_options(aggregate.limit_options()))))
}

/// The same for all calls, so that calls which are the same are found to be at once. The functions ask for none.
fn no_options() -> Arc<ConfigOptions> {
    static OPTIONS: LazyLock<Arc<ConfigOptions>> = LazyLock::new(Arc::default);
    OPTIONS.clone()
}

/// An expression in which begins are found by dividing.
fn by_division(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Transformed<Arc<dyn PhysicalExpr>>> {
    expr.clone().transform_down(|expr| {
        let Some((begin, time)) = begin_of(&expr, schema)? else { return Ok(Transformed::no(expr)) };
        let (name, given) = (begin.name().to_owned(), expr.return_field(schema)?);
        let call = ScalarFunctionExpr::new(&name, Arc::new(begin), vec![time], given, no_options());
        Ok(Transformed::yes(Arc::new(call)))
    })
}

/// A function that tells what an expression does of a time, if there is one, and the time.
fn begin_of(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<(ScalarUDF, Arc<dyn PhysicalExpr>)>> {
    if let Some((unit, time)) = truncated(expr, schema)? {
        return Ok(Some((begin(unit, Told::Time), time)));
    }
    let Some(cast) = expr.downcast_ref::<CastExpr>().filter(|cast| *cast.cast_type() == DataType::Date32) else {
        return Ok(None);
    };
    let time = cast.expr();
    Ok(match truncated(time, schema)? {
        Some((unit, time)) => Some((begin(unit, Told::Date), time)),
        None => is_time(&time.data_type(schema)?).then(|| (begin(Unit::Day, Told::Date), time.clone())),
    })
}

/// What `date_trunc` cuts off of a time.
fn truncated(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<(Unit, Arc<dyn PhysicalExpr>)>> {
    let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>().filter(|call| call.name() == "date_trunc") else {
        return Ok(None);
    };
    let [unit, time] = call.args() else { return Ok(None) };
    let unit = unit.downcast_ref::<Literal>().and_then(|unit| Unit::named(unit.value().try_as_str()??));
    Ok(unit.filter(|_| time.data_type(schema).is_ok_and(|time| is_time(&time))).map(|unit| (unit, time.clone())))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{Field, TimeUnit};
    use datafusion::execution::SessionStateBuilder;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    /// What a query selects is planned as.
    async fn planned(selected: &str) -> String {
        let state = SessionStateBuilder::new().with_config(SessionConfig::new()).with_default_features();
        let context = SessionContext::new_with_state(crate::sql::rules::configure(state).build());
        let time = |name: &str, unit, zone: Option<&str>| {
            Field::new(name, DataType::Timestamp(unit, zone.map(Into::into)), name != "at")
        };
        let fields = vec![
            time("at", TimeUnit::Microsecond, Some("UTC")),
            time("local", TimeUnit::Microsecond, None),
            time("elsewhere", TimeUnit::Microsecond, Some("Asia/Tokyo")),
            time("seconds", TimeUnit::Second, None),
        ];
        let table = datafusion::datasource::MemTable::try_new(Arc::new(Schema::new(fields)), vec![vec![]]).unwrap();
        context.register_table("events", Arc::new(table)).unwrap();
        let plan = context.sql(&format!("SELECT {selected} AS t, count(*) FROM events GROUP BY 1")).await.unwrap();
        let plan = plan.create_physical_plan().await.unwrap();
        datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string()
    }

    #[tokio::test]
    async fn begins_are_found_by_dividing_where_the_times_are_of_utc_or_local() {
        for (selected, expected) in [
            ("date_trunc('day', at)", "begin_of_day(at@0)"),
            ("date_trunc('MONTH', local)", "begin_of_month(local@0)"),
            ("CAST(at AS DATE)", "date_of_day(at@0)"),
            ("CAST(date_trunc('week', local) AS DATE)", "date_of_week(local@0)"),
            ("date_trunc('minute', at)", "date_trunc(minute, at@0)"),
            ("date_trunc('day', elsewhere)", "date_trunc(day, elsewhere@0)"),
            ("CAST(elsewhere AS DATE)", "CAST(elsewhere@0 AS Date32)"),
            ("CAST(seconds AS DATE)", "CAST(seconds@0 AS Date32)"),
        ] {
            let plan = planned(selected).await;
            assert!(plan.contains(&format!("{expected} as ")), "{selected}: {plan}");
        }
    }
}
