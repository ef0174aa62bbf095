//! Words that what is being typed may become.

/// Words of SQL.
const KEYWORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "LIMIT",
    "OFFSET",
    "WITH",
    "RECURSIVE",
    "AS",
    "AND",
    "OR",
    "NOT",
    "IN",
    "IS NULL",
    "IS NOT NULL",
    "BETWEEN",
    "LIKE",
    "ILIKE",
    "SIMILAR TO",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "JOIN",
    "LEFT JOIN",
    "FULL JOIN",
    "CROSS JOIN",
    "ASOF JOIN",
    "ASOF LEFT JOIN",
    "ON",
    "USING",
    "UNION ALL",
    "EXCEPT",
    "INTERSECT",
    "DISTINCT",
    "FILTER",
    "OVER",
    "PARTITION BY",
    "ROWS BETWEEN",
    "INTERVAL",
    "TIMESTAMP",
    "DATE",
    "AT TIME ZONE",
    "EXPLAIN",
    "ANALYZE",
    "TRUE",
    "FALSE",
    "NULL",
    "DESC",
    "ASC",
    "NULLS LAST",
    "EXISTS",
    "CAST",
    "EXCLUDE",
    "QUALIFY",
    "PIVOT",
];

const COMMANDS: &[&str] = &["\\d", "\\e", "\\q", "\\timing", "\\?"];

/// What there is to be named.
#[derive(Default)]
pub(super) struct Names {
    /// Tables with their columns.
    pub(super) tables: Vec<(String, Vec<String>)>,
    pub(super) functions: Vec<String>,
}

impl Names {
    /// The words that the end of a text may become, and how many characters of it they replace. Columns of tables that the
    /// text names come first.
    pub(super) fn complete(&self, before: &str) -> (usize, Vec<String>) {
        if before.starts_with('\\') {
            let tables =
                before.strip_prefix("\\d ").map(|begun| (begun, self.tables.iter().map(|(name, _)| name.clone())));
            return match tables {
                Some((begun, tables)) => (begun.chars().count(), matching(begun, tables)),
                None => (before.chars().count(), matching(before, COMMANDS.iter().map(ToString::to_string))),
            };
        }
        let start = before
            .rfind(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(0, |end| end + before[end..].chars().next().map_or(0, char::len_utf8));
        let begun = &before[start..];
        if begun.is_empty() {
            return (0, vec![]);
        }
        let lower = before.to_lowercase();
        let tables = || self.tables.iter().map(|(name, _)| name.clone());
        let word_before = before[..start].split_whitespace().next_back().unwrap_or_default();
        if ["from", "join"].iter().any(|word| word_before.eq_ignore_ascii_case(word)) {
            return (begun.chars().count(), matching(begun, tables()));
        }
        let named = self
            .tables
            .iter()
            .filter(|(name, _)| lower.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name));
        let of_named = named.flat_map(|(_, columns)| columns.clone());
        // Who selects first names the table later.
        let of_all = self.tables.iter().flat_map(|(_, columns)| columns.clone());
        let mut words = matching(begun, of_named);
        if words.is_empty() {
            words = matching(begun, of_all);
        }
        let is_upper = begun.chars().any(char::is_uppercase);
        let keywords = KEYWORDS.iter().map(|word| if is_upper { (*word).to_owned() } else { word.to_lowercase() });
        words.extend(matching(begun, tables()));
        words.extend(matching(begun, keywords));
        words.extend(matching(begun, self.functions.iter().map(|name| format!("{name}("))));
        words.dedup();
        (begun.chars().count(), words)
    }
}

/// The words that begin so, in their order, each once.
fn matching(begun: &str, words: impl Iterator<Item = String>) -> Vec<String> {
    let begun = begun.to_lowercase();
    let mut found: Vec<String> = words.filter(|word| word.to_lowercase().starts_with(&begun)).collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_becomes_a_name() {
        let names = Names {
            tables: vec![
                ("events".into(), vec!["name".into(), "event_id".into(), "visitor_id".into()]),
                ("visitors".into(), vec!["visitor_id".into(), "visits".into()]),
            ],
            functions: vec!["date_trunc".into()],
        };
        let check = |before: &str, chars: usize, words: &[&str]| {
            assert_eq!(names.complete(before), (chars, words.iter().map(ToString::to_string).collect()), "{before}");
        };
        check("SELECT * FROM ev", 2, &["events"]);
        check("SELECT na", 2, &["name"]);
        check("SELECT count(*) FROM events WHERE visi", 4, &["visitor_id", "visitors"]);
        check("sel", 3, &["select"]);
        check("SEL", 3, &["SELECT"]);
        check("SELECT date_t", 6, &["date_trunc("]);
        check("SELECT ", 0, &[]);
        check("\\d vis", 3, &["visitors"]);
        check("\\t", 2, &["\\timing"]);
    }
}
