//! What each tool does.

use std::collections::BTreeMap;

use analytics::{MetricScope, QueryFile};
use engine::{QueryResult, column_names, to_json_rows};
use serde_json::{Map, Value, json};

use super::definitions::about;
use crate::http::caller::reader::Reader;
use crate::http::error::ApiError;
use crate::http::reports;
use crate::http::sql::asked::{Asked, params};
use crate::http::sql::question::Question;
use crate::http::state::Api;

/// Rows that a model reads of one answer, and their bytes.
const ROWS_MAX: usize = 1_000;
const ROWS_BYTES_MAX: usize = 256 << 10;

type Arguments = Map<String, Value>;

/// Calls a tool. Fails in words for whoever called it.
pub(super) async fn call(api: &Api, reader: &Reader, tool: &str, arguments: Arguments) -> Result<Value, ApiError> {
    reader.check_may_ask_sql()?;
    match tool {
        "list_metrics" => {
            let [metric] = texts(arguments, ["metric"])?;
            list_metrics(api, reader, metric.as_deref())
        }
        "read_report" => {
            let [site] = texts(arguments, ["site"])?;
            let site = reader.site_of_report(site)?;
            let (mut report, mut trouble) = reports::latest_report(api, site.as_deref()).await?;
            if let Reader::Sites { .. } = reader {
                trouble = trouble.map(|_| reports::TROUBLE.to_owned());
                reports::hush_report(&mut report);
            }
            Ok(json!({ "report": report, "trouble": trouble }))
        }
        "read_metric_history" => {
            let [metric, site, from, until] = texts(arguments, ["metric", "site", "from", "until"])?;
            let site = reader.site_of_report(site)?;
            let is_confined = matches!(reader, Reader::Sites { .. });
            if let Some(metric) = metric.as_deref().filter(|_| is_confined) {
                // What was ever reported of the whole lake is not for whoever reads some sites.
                check_metric(&readable(api, reader)?, metric)?;
            }
            let _turn = api.turn(reader).await?;
            let mut history = reports::history(api, metric, site, from, until).await?;
            if is_confined {
                history["points"].as_array_mut().into_iter().flatten().for_each(reports::hush);
            }
            Ok(history)
        }
        "describe_tables" => {
            let [] = texts(arguments, [])?;
            describe_tables(api, reader).await
        }
        "run_sql" => {
            let mut arguments = arguments;
            let values = match arguments.remove("params") {
                None | Some(Value::Null) => Map::new(),
                Some(Value::Object(values)) => values,
                Some(_) => return Err(ApiError::invalid("params is an object with a value for each $name")),
            };
            let [sql, site] = texts(arguments, ["sql", "site"])?;
            let sql = sql.ok_or_else(|| ApiError::invalid("give the query as sql"))?;
            let params = params(values).map_err(ApiError::invalid)?;
            run_sql(api, reader, Asked { sql, params, site }).await
        }
        unknown => Err(ApiError::NotFound(format!("there is no tool {unknown}"))),
    }
}

/// The values of arguments that are texts, in the order of their names. Fails in words if there is another one.
fn texts<const N: usize>(mut arguments: Arguments, names: [&str; N]) -> Result<[Option<String>; N], ApiError> {
    let mut wrong = None;
    let values = names.map(|name| match arguments.remove(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        Some(_) => {
            wrong = Some(format!("{name} is a text"));
            None
        }
    });
    if let Some(name) = arguments.keys().next() {
        wrong = Some(format!("there is no argument {name:?}: there is {}", names.join(", ")));
    }
    wrong.map_or(Ok(values), |wrong| Err(ApiError::invalid(wrong)))
}

/// The metrics of which somebody may see reports.
fn readable(api: &Api, reader: &Reader) -> Result<Vec<QueryFile>, ApiError> {
    let mut queries =
        api.jobs.main().queries().map_err(|error| ApiError::NotYet(format!("the metrics cannot be read: {error}")))?;
    queries.retain(|query| is_readable(reader, query.header.scope));
    Ok(queries)
}

fn is_readable(reader: &Reader, scope: MetricScope) -> bool {
    match (reader, scope) {
        (Reader::Everything, _) | (_, MetricScope::Site | MetricScope::Both) => true,
        (Reader::Sites { .. }, MetricScope::Lake) => false,
    }
}

fn check_metric(queries: &[QueryFile], name: &str) -> Result<(), ApiError> {
    let known: Vec<&str> = queries.iter().map(|query| query.name.as_str()).collect();
    match known.contains(&name) {
        true => Ok(()),
        false => Err(ApiError::NotFound(format!("there is no metric {name}: there is {}", known.join(", ")))),
    }
}

fn list_metrics(api: &Api, reader: &Reader, only: Option<&str>) -> Result<Value, ApiError> {
    let queries = readable(api, reader)?;
    if let Some(name) = only {
        check_metric(&queries, name)?;
    }
    let chosen = queries.iter().filter(|query| only.is_none_or(|name| query.name == name));
    Ok(json!({ "metrics": chosen.map(|query| metric(query, only.is_some())).collect::<Vec<_>>() }))
}

fn metric(query: &QueryFile, with_sql: bool) -> Value {
    let header = &query.header;
    let mut metric = json!({
        "name": query.name,
        "title": header.title,
        "definition": query.sql.as_deref().map(definition).unwrap_or_default(),
        "unit": header.unit,
        "reports": match header.scope {
            MetricScope::Lake => "of the whole lake",
            MetricScope::Site => "of each site",
            MetricScope::Both => "of the whole lake and of each site",
        },
        "schedule": header.schedule.as_ref().map(ToString::to_string),
    });
    match &query.sql {
        Err(reason) => metric["error"] = json!(reason),
        Ok(sql) if with_sql => metric["sql"] = json!(sql),
        Ok(_) => {}
    }
    metric
}

/// The comment at the top of a query.
fn definition(sql: &str) -> String {
    let comment = sql.lines().map_while(|line| line.strip_prefix("--"));
    let lines: Vec<&str> = comment.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    lines.join("\n").trim().to_owned()
}

async fn describe_tables(api: &Api, reader: &Reader) -> Result<Value, ApiError> {
    let sql = include_str!("columns.sql").to_owned();
    let answer = run_sql(api, reader, Asked { sql, params: vec![], site: None }).await?;
    let mut tables: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for row in answer["rows"].as_array().into_iter().flatten() {
        let column = json!({ "name": row[1], "type": row[2], "nullable": row[3] == "YES" });
        tables.entry(row[0].as_str().unwrap_or_default()).or_default().push(column);
    }
    let table = |(name, columns)| json!({ "name": name, "about": about(name), "columns": columns });
    Ok(json!({ "tables": tables.into_iter().map(table).collect::<Vec<_>>() }))
}

async fn run_sql(api: &Api, reader: &Reader, asked: Asked) -> Result<Value, ApiError> {
    let _turn = api.turn(reader).await?;
    let mut limited = Question::prepare(api, reader, asked).await?.put().await?;
    let schema = limited.schema();
    let (mut rows, mut bytes, mut is_whole) = (vec![], 0, true);
    'answer: while let Some(batch) = limited.next().await.map_err(ApiError::Query)? {
        let batch = QueryResult { schema: schema.clone(), batches: vec![batch] };
        let values = to_json_rows(&batch).map_err(|error| ApiError::invalid(error.to_string()))?;
        for row in values {
            let row = Value::from(row);
            bytes += row.to_string().len();
            if rows.len() == ROWS_MAX || bytes > ROWS_BYTES_MAX {
                is_whole = false;
                break 'answer;
            }
            rows.push(row);
        }
    }
    let columns = column_names(&QueryResult { schema, batches: vec![] });
    let mut answer = json!({ "columns": columns, "row_count": rows.len(), "is_whole": is_whole });
    if !is_whole {
        answer["note"] = json!("there are more rows: count or group them, ask for fewer columns, or add a LIMIT");
    }
    answer["rows"] = rows.into();
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::caller::reader::By;

    #[test]
    fn the_definition_of_a_metric_is_the_comment_at_its_top() {
        let sql = "-- Events, of all time.\n--\n-- Robots do not count.\nSELECT 1\n-- not this\n";
        assert_eq!(definition(sql), "Events, of all time.\n\nRobots do not count.");
        assert_eq!(definition("SELECT 1"), "");
    }

    #[test]
    fn whoever_reads_some_sites_hears_of_their_metrics() {
        let one = Reader::Sites { sites: ["shop".into()].into(), share: None, by: By::Key };
        let seen =
            |reader| [MetricScope::Lake, MetricScope::Site, MetricScope::Both].map(|scope| is_readable(reader, scope));
        assert_eq!(seen(&one), [false, true, true]);
        assert_eq!(seen(&Reader::Everything), [true; 3]);
    }

    #[test]
    fn an_argument_that_no_tool_has_is_refused() {
        let read = |arguments: Value| {
            let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
            texts(arguments, ["site"]).map_err(|refused| refused.words()["message"].as_str().unwrap().to_owned())
        };
        assert_eq!(read(json!({ "site": "shop" })), Ok([Some("shop".into())]));
        assert_eq!(read(json!({ "site": null })), Ok([None]));
        assert_eq!(read(json!({ "site": 1 })), Err("site is a text".into()));
        assert_eq!(read(json!({ "Site": "shop" })), Err("there is no argument \"Site\": there is site".into()));
    }
}
