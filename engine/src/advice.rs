//! Messages of DataFusion about a query in words for its author: what is wrong, and what to write.

use datafusion::common::utils::datafusion_strsim::levenshtein;

/// Functions of other engines, in lower case, and what says the same here.
const FUNCTIONS: &[(&[&str], &str)] = &[
    (&["decode"], "CASE WHEN … THEN … WHEN … THEN … END"),
    (&["anylast"], "last_value(x ORDER BY t)"),
    (&["divide"], "a / nullif(b, 0)"),
    (&["toweek"], "extract(week FROM t), whose weeks begin on Monday"),
    (&["dayofweek", "weekday"], "extract(dow FROM t), where 0 is Sunday, or extract(isodow FROM t), where 7 is"),
    (&["monthname", "dayname"], "to_char(t, '%B') or '%b', and '%A' or '%a'"),
    (&["tumble", "hop"], "date_bin('15 minutes', t)"),
    (
        &["strptime", "parse_timestamp", "parse_date", "parsedatetime", "str_to_date", "parsedatetimebesteffort"],
        "to_timestamp(x, '%d/%m/%Y')",
    ),
    (&["months_between"], "date_diff('month', start, end), or age(end, start)"),
    (&["histogram"], "width_bucket(x, low, high, count) and GROUP BY it"),
    (&["regexp_matches", "extractall"], "x ~ '…', or regexp_extract(x, '…', 1) for a part of it"),
    (
        &["domain", "domainwithoutwww", "parse_url", "net_host", "cutquerystring"],
        "the column hostname, and path, query and referrer_host",
    ),
    (&["int", "safe_cast"], "x::int, or try_cast(x AS int)"),
    (&["float"], "x::float"),
    (&["todecimal64", "todecimal128"], "x::numeric(18, 4)"),
    (&["sequence", "numbers"], "generate_series(day1, day2, INTERVAL '1 day')"),
    (&["cardinality_of", "size"], "array_length(x)"),
    (&["runningdifference", "neighbor"], "x - lag(x) OVER (ORDER BY t)"),
    (&["runningaccumulate"], "sum(x) OVER (ORDER BY t)"),
    (&["groupconcat", "string_aggregate"], "string_agg(x, ',')"),
    (
        &["uniqstate", "sumstate", "countstate", "uniqmerge", "summerge", "countmerge"],
        "count(DISTINCT x), sum(x) or count(*) over the events themselves",
    ),
];

/// Functions that somebody may have mistyped differ from the right name by so many letters.
const SLIPS_MAX: usize = 2;

/// A message about a query in words for its author. What is not known here stays as it is, without the request to file a
/// report about it.
pub(crate) fn in_plain_words(message: &str) -> String {
    if let Some(name) = between(message, "Invalid function '", "'") {
        return unknown_function(name, between(message, "Did you mean '", "'"));
    }
    if let Some(call) = between(message, "No function matches the given name and argument types '", "'") {
        return no_such_call(call, message);
    }
    if let Some(table) = between(message, "table '", "' not found") {
        let table = table.rsplit('.').next().unwrap_or(table);
        return format!(
            "there is no table {table}: there is events, sessions, visitor_days, visitors, identities, reports, imported_days and quarantine"
        );
    }
    if let Some(column) = between(message, "column \"", "\" must appear in the GROUP BY clause") {
        let column = unqualified(column);
        return format!("{column} has many values in a group: name it in GROUP BY, or write min({column})");
    }
    if let Some(field) = message.strip_prefix("Ambiguous reference to unqualified field ") {
        return format!("{field} is a column of two tables: write one of them before it, such as e.{field}");
    }
    if message.starts_with("Projections require unique expression names")
        && let Some(expr) = between(message, "expression \"", "\" at position")
    {
        return format!("two columns have the name of {}: give one of them another with AS", unqualified(expr));
    }
    let message = message.split("\nThis issue was likely caused by a bug").next().unwrap_or(message);
    message.trim_start_matches("Internal error: ").to_owned()
}

/// That something is not supported. DataFusion prints pages of the parser's own form of it: its name is enough.
pub(crate) fn unsupported(message: &str) -> String {
    const LENGTH_MAX: usize = 200;
    let message = in_plain_words(message);
    let short = match message.char_indices().nth(LENGTH_MAX) {
        Some(_) => message.split(['{', '(']).next().unwrap_or(&message).trim(),
        None => &message,
    };
    match short.to_lowercase().contains("not supported") {
        true => short.to_owned(),
        false => format!("this is not supported: {short}"),
    }
}

/// That there is no column of a name, and what may have been meant.
///
/// - `columns`: those there are.
pub(crate) fn unknown_column(name: &str, columns: &[String]) -> String {
    let near = columns.iter().min_by_key(|column| levenshtein(&column.to_lowercase(), &name.to_lowercase()));
    let near = near.filter(|column| levenshtein(&column.to_lowercase(), &name.to_lowercase()) <= SLIPS_MAX);
    match near {
        Some(column) if column.to_lowercase() == name.to_lowercase() => {
            format!("there is no column {name}: write \"{column}\", in double quotes")
        }
        Some(column) => format!("there is no column {name}: did you mean {column}?"),
        None if columns.is_empty() => format!("there is no column {name}: there is no table to read it from"),
        None => format!(
            "there is no column {name}; a text stands in single quotes: '{name}'. The columns are {}",
            columns.join(", ")
        ),
    }
}

fn unknown_function(name: &str, suggested: Option<&str>) -> String {
    let lower = name.to_lowercase();
    if let Some((_, instead)) = FUNCTIONS.iter().find(|(names, _)| names.contains(&lower.as_str())) {
        return format!("there is no function {name}: write {instead}");
    }
    match suggested {
        Some(near) if levenshtein(near, &lower) <= SLIPS_MAX => {
            format!("there is no function {name}: did you mean {near}?")
        }
        _ => format!("there is no function {name}"),
    }
}

fn no_such_call(call: &str, message: &str) -> String {
    let name = call.split('(').next().unwrap_or(call);
    if matches!(name, "sum" | "avg") && call.contains("Boolean") {
        let share = if name == "avg" { ", divided by count(*)::numeric" } else { "" };
        return format!("{name} takes numbers: to count what is true, write count(*) FILTER (WHERE …){share}");
    }
    if name == "timezone" {
        return "AT TIME ZONE takes a timestamp, and the name of a zone, such as 'Europe/Berlin'".to_owned();
    }
    let mut forms: Vec<&str> =
        message.split_once("Candidate functions:").map_or("", |(_, forms)| forms).lines().map(str::trim).collect();
    forms.retain(|form| !form.is_empty() && !form.contains("UserDefined"));
    forms.dedup();
    match forms.as_slice() {
        [] => format!("there is no {call}: cast the arguments"),
        forms => format!("there is no {call}: there is {}", forms.join(", ")),
    }
}

/// A column without its table. Any other expression stays as it is.
fn unqualified(column: &str) -> &str {
    let is_column = column.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    if is_column { column.rsplit('.').next().unwrap_or(column) } else { column }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_to_write() {
        check(
            "Invalid function 'weekday'.\nDid you mean 'week'?",
            "there is no function weekday: write extract(dow FROM t)",
        );
        check("Invalid function 'Histogram'.\nDid you mean 'x'?", "write width_bucket(");
        check("Invalid function 'cuont'.\nDid you mean 'count'?", "did you mean count?");
        check("Invalid function 'frobnicate'.\nDid you mean 'concat'?", "there is no function frobnicate");
        check(
            "table 'datafusion.public.evnts' not found",
            "there is no table evnts: there is events, sessions, visitor_days, visitors, identities, reports, imported_days and quarantine",
        );
        check(
            "Function 'sum' failed. No function matches the given name and argument types 'sum(Boolean)'. You might",
            "write count(*) FILTER (WHERE …)",
        );
        check(
            "No function matches the given name and argument types 'lower(Int64)'. You\n\tCandidate functions:\n\tlower(String)\n",
            "there is no lower(Int64): there is lower(String)",
        );
        check(
            "Column in SELECT must be: column \"events.name\" must appear in the GROUP BY clause or must be",
            "name it in GROUP BY, or write min(name)",
        );
        check("Internal error: x\nThis issue was likely caused by a bug in DataFusion's code. Please", "x");
        check("something else", "something else");
    }

    #[test]
    fn what_is_not_supported_is_named_and_no_more() {
        assert_eq!(unsupported("LATERAL VIEWS"), "this is not supported: LATERAL VIEWS");
        assert_eq!(unsupported("FETCH clause is not supported yet"), "FETCH clause is not supported yet");
        let tree = format!("Unsupported ast node Match {{ {} }}", "x".repeat(500));
        assert_eq!(unsupported(&tree), "this is not supported: Unsupported ast node Match");
    }

    #[track_caller]
    fn check(message: &str, part: &str) {
        let plain = in_plain_words(message);
        assert!(plain.contains(part) && !plain.contains("bug report"), "{message:?} became {plain:?}");
    }

    #[test]
    fn a_column_that_is_not_there_may_be_a_slip_or_a_text() {
        let columns = ["name".to_owned(), "visitor_id".to_owned(), "Plan".to_owned()];
        assert_eq!(unknown_column("visiter_id", &columns), "there is no column visiter_id: did you mean visitor_id?");
        assert_eq!(unknown_column("plan", &columns), "there is no column plan: write \"Plan\", in double quotes");
        let text = unknown_column("purchase", &columns);
        assert!(text.contains("single quotes: 'purchase'") && text.ends_with("name, visitor_id, Plan"), "{text}");
    }

    #[test]
    fn no_function_is_in_the_table_twice() {
        let mut names: Vec<&str> = FUNCTIONS.iter().flat_map(|(names, _)| *names).copied().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(names.iter().all(|name| *name == name.to_lowercase()));
    }
}
