//! What is asked where other processes do parts of queries.

use std::path::Path;

use analytics::read_queries;

const COOKBOOK: &str = include_str!("../../../docs/SQL.md");

/// Queries whose published events other processes must count, with pending events or without.
pub const ELSEWHERE: [&str; 5] = [
    "SELECT count(DISTINCT user_id), sum(revenue) FROM events",
    "SELECT name, count(*), count(DISTINCT visitor_id), sum(revenue) FROM events GROUP BY name",
    "SELECT date, path, count(DISTINCT user_id), min(occurred_at), max(country) FROM events WHERE is_bot IS NOT TRUE GROUP BY 1, 2",
    "SELECT json_get_str(properties, 'plan') AS plan, count(*) FROM events GROUP BY 1",
    "SELECT DISTINCT country FROM events WHERE path LIKE '/p%'",
];

/// The queries of the metrics, those of the cookbook, and [`ELSEWHERE`], by a name.
///
/// - `dir`: of the metrics.
pub fn queries(dir: &Path) -> Vec<(String, String)> {
    let metrics = read_queries(dir).unwrap().into_iter().map(|query| (query.name, query.sql.unwrap()));
    let recipes = COOKBOOK.split("```sql\n").skip(1).enumerate();
    let recipes =
        recipes.map(|(number, part)| (format!("recipe {number}"), part.split("```").next().unwrap().to_owned()));
    let plain = ELSEWHERE.iter().map(|sql| ((*sql).to_owned(), (*sql).to_owned()));
    metrics.chain(recipes).chain(plain).collect()
}
