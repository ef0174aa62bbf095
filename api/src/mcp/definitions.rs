//! What a model is told of the tools.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

/// All tools.
pub(super) fn tools() -> Vec<Tool> {
    let site = json!({
        "type": "string",
        "description": "The site to read. Without it: all that may be read."
    });
    let time =
        |which: &str| json!({ "type": "string", "description": format!("{which}, such as 2026-03-01T00:00:00Z") });
    vec![
        tool(
            "list_metrics",
            "List the metrics with their definitions: what each counts, with its edge cases. With the name of one, its SQL, \
             too.",
            json!({ "metric": { "type": "string", "description": "The name of one metric." } }),
            &[],
        ),
        tool(
            "read_report",
            "Read the latest report: the newest value or rows of every metric, of the whole lake or of a site.",
            json!({ "site": site }),
            &[],
        ),
        tool(
            "read_metric_history",
            "Read what the reports said of one metric over time, oldest first; of the last 30 days unless a period is given.",
            json!({
                "metric": { "type": "string", "description": "The metric's name, as list_metrics has it." },
                "site": site,
                "from": time("The first moment"),
                "until": time("The moment after the last"),
            }),
            &["metric"],
        ),
        tool("describe_tables", "Describe the tables that SQL can ask, with their columns and types.", json!({}), &[]),
        tool(
            "run_sql",
            "Answer one read-only SQL query in the dialect of PostgreSQL. Returns at most 1000 rows: count, group, or add a \
             LIMIT. Every query may name $now, $until (now), $from (midnight 29 days ago), $today, $time_zone and $site. \
             Properties of an event are JSON: properties->>'plan'.",
            json!({
                "sql": { "type": "string", "description": "One SELECT; WITH names its parts." },
                "params": {
                    "type": "object",
                    "description": "Values for the query's $names.",
                    "additionalProperties": { "type": ["string", "number", "boolean", "null"] }
                },
                "site": site,
            }),
            &["sql"],
        ),
    ]
}

fn tool(name: &'static str, description: &'static str, properties: Value, required: &[&str]) -> Tool {
    let schema = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    let schema: JsonObject = serde_json::from_value(schema).expect("it is an object");
    Tool::new(name, description, Arc::new(schema)).with_annotations(ToolAnnotations::new().read_only(true))
}

/// What is in a table.
pub(super) fn about(table: &str) -> &'static str {
    match table {
        "events" => "one row for each event, robots' among them (is_bot)",
        "sessions" => "one row for each visit: a run of events of a visitor without a long pause",
        "visitor_days" => "one row for each visitor and day of the site's time zone",
        "visitors" => "one row for each visitor, with the first and the last event",
        "identities" => "which anonymous ids belong to which user",
        "reports" => "what each run of each metric answered",
        "imported_days" => "numbers of days that other products counted, by kind (days, pages, sources, …); no events",
        "quarantine" => "events that were refused, with the reason, for 30 days",
        _ => "",
    }
}
