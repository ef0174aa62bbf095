//! Calls of other dialects that are one form here, whatever their arguments are.

use datafusion::logical_expr::sqlparser::ast::Expr;

use super::call::{Call, whole_number};
use super::template::fill_call;
use crate::error::Result;
use crate::sql::syntax::text_of;

/// Names in lower case, how many arguments, and the form.
type Form = (&'static [&'static str], usize, &'static str);

const FORMS: &[Form] = &[
    // Conditions.
    (&["if", "iff", "iif"], 3, "CASE WHEN $1 THEN $2 ELSE $3 END"),
    (&["if"], 2, "CASE WHEN $1 THEN $2 END"),
    (&["ifnull"], 2, "coalesce($1, $2)"),
    (&["isnull"], 1, "$1 IS NULL"),
    (&["isnotnull"], 1, "$1 IS NOT NULL"),
    (&["zeroifnull"], 1, "coalesce($1, 0)"),
    (&["nullifzero"], 1, "nullif($1, 0)"),
    // Numbers.
    (&["mod"], 2, "$1 % $2"),
    (&["div", "intdiv"], 2, "($1 - $1 % $2) / $2"),
    (&["safe_divide", "ieee_divide", "try_divide"], 2, "CAST($1 AS DOUBLE) / nullif(CAST($2 AS DOUBLE), 0)"),
    (&["div0"], 2, "CASE WHEN $2 = 0 THEN 0 ELSE CAST($1 AS DOUBLE) / nullif(CAST($2 AS DOUBLE), 0) END"),
    (
        &["div0null"],
        2,
        "CASE WHEN coalesce($2, 0) = 0 THEN 0 ELSE CAST($1 AS DOUBLE) / nullif(CAST($2 AS DOUBLE), 0) END",
    ),
    (
        &["width_bucket"],
        4,
        "CASE WHEN $2 < $3 THEN CASE WHEN $1 < $2 THEN 0 WHEN $1 >= $3 THEN $4 + 1 \
         ELSE CAST(floor(CAST($1 - $2 AS DOUBLE) / CAST($3 - $2 AS DOUBLE) * $4) AS BIGINT) + 1 END \
         WHEN $2 > $3 THEN CASE WHEN $1 > $2 THEN 0 WHEN $1 <= $3 THEN $4 + 1 \
         ELSE CAST(floor(CAST($2 - $1 AS DOUBLE) / CAST($2 - $3 AS DOUBLE) * $4) AS BIGINT) + 1 END END",
    ),
    // Texts.
    (&["tostring", "str"], 1, "CAST($1 AS VARCHAR)"),
    (&["len", "lengthutf8"], 1, "length($1)"),
    (&["startswith"], 2, "starts_with($1, $2)"),
    (&["endswith"], 2, "ends_with($1, $2)"),
    (&["charindex", "locate"], 2, "strpos($2, $1)"),
    (&["positioncaseinsensitive"], 2, "strpos(lower($1), lower($2))"),
    (&["splitbychar", "splitbystring"], 2, "string_to_array($2, $1)"),
    (&["split", "string_split", "str_split"], 2, "string_to_array($1, $2)"),
    (&["generate_date_array"], 2, "generate_series($1, $2, INTERVAL '1 day')"),
    (&["generate_date_array"], 3, "generate_series($1, $2, $3)"),
    (&["regexp_contains", "match"], 2, "$1 ~ $2"),
    (&["regexp_substr"], 2, "(regexp_match($1, '(' || $2 || ')'))[1]"),
    (
        &["toint8", "toint16", "toint32", "touint8", "touint16", "touint32", "toint64", "touint64"],
        1,
        "CAST($1 AS BIGINT)",
    ),
    (&["toint32ornull", "toint64ornull", "touint32ornull", "touint64ornull"], 1, "TRY_CAST($1 AS BIGINT)"),
    (&["tofloat32", "tofloat64"], 1, "CAST($1 AS DOUBLE)"),
    (&["tofloat64ornull"], 1, "TRY_CAST($1 AS DOUBLE)"),
    // Lists.
    (&["arrayjoin"], 1, "unnest($1)"),
    (&["array_size"], 1, "array_length($1)"),
    (&["has"], 2, "array_has($1, $2)"),
    (&["tuple"], 2, "struct($1, $2)"),
    (&["tuple"], 3, "struct($1, $2, $3)"),
    // Aggregates.
    (&["count_if", "countif"], 1, "count(*) FILTER (WHERE $1)"),
    (&["count_distinct", "countdistinct", "uniqexact", "uniq"], 1, "count(DISTINCT $1)"),
    (&["approx_count_distinct", "uniqcombined", "uniqcombined64", "uniqhll12", "hll"], 1, "approx_distinct($1)"),
    (
        &["arg_max", "argmax"],
        2,
        "first_value($1 ORDER BY $2 DESC, $1) FILTER (WHERE $1 IS NOT NULL AND $2 IS NOT NULL)",
    ),
    (&["arg_min", "argmin"], 2, "first_value($1 ORDER BY $2, $1) FILTER (WHERE $1 IS NOT NULL AND $2 IS NOT NULL)"),
    (&["max_by"], 2, "first_value($1 ORDER BY $2 DESC, $1) FILTER (WHERE $2 IS NOT NULL)"),
    (&["min_by"], 2, "first_value($1 ORDER BY $2, $1) FILTER (WHERE $2 IS NOT NULL)"),
    (&["first"], 1, "first_value($1)"),
    (&["last"], 1, "last_value($1)"),
    (&["laginframe"], 1, "lag($1)"),
    (&["leadinframe"], 1, "lead($1)"),
    (&["logical_or", "boolor_agg", "bool_or_agg"], 1, "bool_or($1)"),
    (&["logical_and", "booland_agg", "every"], 1, "bool_and($1)"),
    (&["list"], 1, "array_agg($1)"),
    (&["grouparray"], 1, "array_agg($1) FILTER (WHERE $1 IS NOT NULL)"),
    (&["groupuniqarray"], 1, "array_agg(DISTINCT $1 ORDER BY $1) FILTER (WHERE $1 IS NOT NULL)"),
    (&["conditional_true_event"], 1, "sum(CASE WHEN $1 THEN 1 ELSE 0 END)"),
    (&["ratio_to_report"], 1, "CAST($1 AS DOUBLE) / nullif(CAST(sum($1) AS DOUBLE), 0)"),
];

/// The call as it is written here; `None` if it is none of these.
pub(super) fn respell(call: &Call<'_>) -> Result<Option<Expr>> {
    if !call.parameters.is_empty() {
        return Ok(None);
    }
    if call.name == "multiif" && call.args.len() >= 3 && call.args.len() % 2 == 1 {
        let mut cases = String::from("CASE");
        for place in (1..call.args.len()).step_by(2) {
            cases += &format!(" WHEN ${place} THEN ${}", place + 1);
        }
        cases += &format!(" ELSE ${} END", call.args.len());
        return fill_call(&cases, &call.args, call).map(Some);
    }
    if call.name == "regexp_extract" {
        return group_of(call).map(Some);
    }
    let known = |(names, args, _): &&Form| *args == call.args.len() && names.contains(&call.name.as_str());
    match FORMS.iter().find(known) {
        Some((_, _, form)) => fill_call(form, &call.args, call).map(Some),
        None => Ok(None),
    }
}

/// The part of a text that a pattern finds: BigQuery gives the group, DuckDB all of it.
fn group_of(call: &Call<'_>) -> Result<Expr> {
    match call.args[..] {
        [text, pattern] => match text_of(pattern) {
            Some(written) if !written.contains('(') => {
                fill_call("(regexp_match($1, $2))[1]", &[text, pattern], call)
            }
            _ => Err(call.refuse(
                "is it the group or all of it? Write regexp_extract(x, '…', 1) for the first group, and 0 for what the whole pattern finds",
            )),
        },
        [text, pattern, group] => match whole_number(group) {
            Some(0) => fill_call("(regexp_match($1, '(' || $2 || ')'))[1]", &[text, pattern], call),
            Some(group @ 1..) => fill_call(&format!("(regexp_match($1, $2))[{group}]"), &[text, pattern], call),
            _ => Err(call.refuse("the third one is the number of a group: 1, or 0 for all that the pattern finds")),
        },
        _ => Err(call.refuse("write regexp_extract(x, '…', 1)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::spelling::template::fill;

    #[test]
    fn every_form_is_sql_and_is_there_once() {
        let mut known = Vec::new();
        for (names, args, form) in FORMS {
            let one = Expr::Identifier("x".into());
            let places: Vec<&Expr> = (0..*args).map(|_| &one).collect();
            assert!(!fill(form, &places).to_string().contains('$'), "{form}");
            for name in *names {
                assert_eq!(*name, name.to_lowercase());
                assert!(!known.contains(&(*name, *args)), "{name} is there twice");
                known.push((*name, *args));
            }
        }
    }
}
