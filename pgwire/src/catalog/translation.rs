//! Queries about catalogs, from the SQL of PostgreSQL alone into that of the engine.
//!
//! Queries of people are not touched: only what names a catalog is read here at all.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    GroupByExpr, Ident, JoinOperator, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, TableFactor,
    Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::empty;

/// The schema under which a session has the tables of `information_schema`: the engine has one of that name, which tells
/// the types of Arrow.
pub(crate) const SCHEMA: &str = "pg_information_schema";

/// A query in the engine's SQL; `None` if it names no catalog, or cannot be read, so that the engine says why.
pub(crate) fn translate(sql: &str) -> Option<String> {
    let lower = sql.to_lowercase();
    let marks = [
        "pg_",
        "information_schema",
        "::reg",
        "as reg",
        "current_schema",
        "current_user",
        "session_user",
        "current_catalog",
    ];
    if !marks.iter().any(|mark| lower.contains(mark)) {
        return None;
    }
    let mut statements =
        Parser::new(&PostgreSqlDialect {}).with_recursion_limit(50).try_with_sql(sql).ok()?.parse_statements().ok()?;
    let [statement] = &mut statements[..] else { return None };
    let _ = VisitMut::visit(statement, &mut Translator);
    Some(statement.to_string())
}

struct Translator;

impl VisitorMut for Translator {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        // What it would be ordered by is about to go.
        if reads_nothing(query) {
            query.order_by = None;
            query.limit_clause = None;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        name_columns(select);
        if finds_nothing(select) {
            empty_out(select);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        let names: Vec<String> = relation.0.iter().map(name_of).collect();
        match &*names.iter().map(String::as_str).collect::<Vec<_>>() {
            [name] if name.starts_with("pg_") => {
                relation.0.insert(0, ObjectNamePart::Identifier(Ident::new("pg_catalog")));
            }
            [.., "information_schema", _] => {
                let table = relation.0.pop().expect("it has two parts");
                relation.0 = vec![ObjectNamePart::Identifier(Ident::new(SCHEMA)), table];
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        // Subqueries are looked at before their inside is rewritten.
        match expr {
            Expr::Subquery(query) if reads_nothing(query) => *expr = null(),
            Expr::Exists { subquery, negated } if reads_nothing(subquery) => {
                *expr = Expr::value(Value::Boolean(*negated));
            }
            // A list of what a subquery finds is not known to the engine: in catalogs here it is empty.
            Expr::Function(function) if is_named(function, "array") => {
                if let FunctionArguments::Subquery(_) = function.args {
                    *expr = call("make_array", vec![]);
                }
            }
            Expr::Subquery(query) => take_one(query),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Collate { expr: inner, .. } => *expr = take(inner),
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                if let Some(Value::SingleQuotedString(escape)) = escape_char.take().map(|escape| escape.value)
                    && escape != "\\"
                {
                    **pattern = escaped_by_backslash(take(pattern), &escape);
                }
            }
            Expr::BinaryOp { op, .. } => {
                if let BinaryOperator::PGCustomBinaryOperator(parts) = op
                    && let Some(plain) = parts.last().and_then(|name| operator(name))
                {
                    *op = plain;
                }
            }
            Expr::Cast { expr: inner, data_type, .. } => {
                if let Some(translated) = translate_cast(inner, data_type) {
                    *expr = translated;
                }
            }
            // Counts up to it have to be written out.
            Expr::Function(function) if is_named(function, "array_upper") && is_of_schemas(function) => {
                *expr = Expr::value(Value::Number("2".into(), false));
            }
            Expr::Function(function) => translate_function(function),
            Expr::Identifier(name) if name.quote_style.is_none() => {
                let names = ["current_user", "session_user", "current_role", "current_catalog", "current_schema"];
                if let Some(name) = names.iter().find(|known| name.value.eq_ignore_ascii_case(known)) {
                    *expr = call(name, vec![]);
                }
            }
            Expr::CompoundIdentifier(parts) if parts.len() == 3 && parts[0].value == "information_schema" => {
                parts[0].value = SCHEMA.to_owned();
            }
            _ => {}
        }
        if let Expr::Function(function) = expr
            && KEYWORDS.iter().any(|keyword| is_named(function, keyword))
        {
            function.args = FunctionArguments::None;
        }
        ControlFlow::Continue(())
    }
}

/// Functions that are called without parentheses.
const KEYWORDS: [&str; 3] = ["current_user", "session_user", "current_catalog"];

/// The same pattern with the engine's only escape. No name in the catalogs has another one in it.
fn escaped_by_backslash(pattern: Expr, escape: &str) -> Expr {
    let text = |text: &str| Expr::value(Value::SingleQuotedString(text.to_owned()));
    let plain = call("replace", vec![pattern, text("\\"), text("\\\\")]);
    call("replace", vec![plain, text(escape), text("\\")])
}

/// Columns that are about to be rewritten keep the names that PostgreSQL gives them, as far as no two are the same, which the
/// engine does not take.
fn name_columns(select: &mut Select) {
    let mut taken = Vec::new();
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        let Some(name) = column_name(expr) else { continue };
        let alias = Ident::with_quote('"', distinct(name, &mut taken));
        *item = SelectItem::ExprWithAlias { expr: take(expr), alias };
    }
}

/// A name that was not taken before.
fn distinct(name: String, taken: &mut Vec<String>) -> String {
    let before = taken.iter().filter(|taken| **taken == name).count();
    taken.push(name.clone());
    if before == 0 { name } else { format!("{name}_{}", before + 1) }
}

/// Leaves the names of the columns and nothing else of a SELECT that finds nothing.
fn empty_out(select: &mut Select) {
    let is_named = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    if !select.projection.iter().all(is_named) {
        return;
    }
    let mut taken = Vec::new();
    for item in &mut select.projection {
        let name = match item {
            SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => name.value.clone(),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => {
                names.last().map(|name| name.value.clone()).unwrap_or_default()
            }
            _ => "?column?".to_owned(),
        };
        let alias = Ident::with_quote('"', distinct(name, &mut taken));
        *item = SelectItem::ExprWithAlias { expr: null(), alias };
    }
    select.from.clear();
    select.distinct = None;
    select.group_by = GroupByExpr::Expressions(vec![], vec![]);
    select.having = None;
    select.selection = Some(Expr::value(Value::Boolean(false)));
}

fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Function(function) => Some(name_of(function.name.0.last()?)),
        Expr::Cast { expr, data_type, .. } => {
            // A value is named after the last of its types.
            let mut inner = expr;
            while let Expr::Cast { expr: next, .. } = &**inner {
                inner = next;
            }
            match &**inner {
                Expr::Identifier(name) => Some(name.value.clone()),
                Expr::CompoundIdentifier(names) => Some(names.last()?.value.clone()),
                inner => column_name(inner).or_else(|| Some(data_type.to_string().to_lowercase())),
            }
        }
        Expr::Case { .. } => Some("case".into()),
        Expr::Exists { .. } => Some("exists".into()),
        Expr::Nested(inner) => column_name(inner),
        Expr::Subquery(query) => match &*query.body {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(name.value.clone()),
                SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => Some(names.last()?.value.clone()),
                SelectItem::UnnamedExpr(expr) => column_name(expr),
                SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// Whether a query finds nothing because it reads a table that has no rows.
fn reads_nothing(query: &Query) -> bool {
    matches!(&*query.body, SetExpr::Select(select) if finds_nothing(select))
}

/// Whether a SELECT finds nothing because it reads a table that has no rows, and not by an outer join.
fn finds_nothing(select: &Select) -> bool {
    // One that counts has a row even of nothing, unless it counts by something.
    let counts = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => is_aggregate(expr),
        _ => false,
    };
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    if !is_grouped && select.projection.iter().any(counts) {
        return false;
    }
    select.from.iter().any(|tables| {
        let is_inner = |join: &JoinOperator| {
            matches!(join, JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_))
        };
        let is_left = |join: &JoinOperator| matches!(join, JoinOperator::Left(_) | JoinOperator::LeftOuter(_));
        let keeps_left = tables.joins.iter().all(|join| is_inner(&join.join_operator) || is_left(&join.join_operator));
        keeps_left
            && (has_no_rows(&tables.relation)
                || tables.joins.iter().any(|join| is_inner(&join.join_operator) && has_no_rows(&join.relation)))
    })
}

fn has_no_rows(table: &TableFactor) -> bool {
    match table {
        TableFactor::Table { name, args: None, .. } => {
            name.0.last().is_some_and(|name| empty::is_empty(&name_of(name)))
        }
        TableFactor::Derived { subquery, .. } => reads_nothing(subquery),
        TableFactor::NestedJoin { table_with_joins, .. } if table_with_joins.joins.is_empty() => {
            has_no_rows(&table_with_joins.relation)
        }
        _ => false,
    }
}

/// A subquery that stands for a value finds one at most, which the engine wants to see: its smallest is the same.
fn take_one(query: &mut Query) {
    let SetExpr::Select(select) = &mut *query.body else { return };
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] = &mut select.projection[..] else {
        return;
    };
    if select.from.is_empty() || is_aggregate(expr) {
        return;
    }
    *expr = call("min", vec![std::mem::replace(expr, null())]);
    query.limit_clause = None;
    query.order_by = None;
}

fn is_aggregate(expr: &Expr) -> bool {
    let names = ["count", "sum", "min", "max", "avg", "string_agg", "array_agg", "bool_or", "bool_and", "json_agg"];
    match expr {
        Expr::Function(function) => names.iter().any(|name| is_named(function, name)),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => is_aggregate(expr),
        _ => false,
    }
}

fn operator(name: &str) -> Option<BinaryOperator> {
    Some(match name {
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "=" => BinaryOperator::Eq,
        "<>" => BinaryOperator::NotEq,
        "~~" => BinaryOperator::PGLikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "||" => BinaryOperator::StringConcat,
        "+" => BinaryOperator::Plus,
        "<" => BinaryOperator::Lt,
        ">" => BinaryOperator::Gt,
        _ => return None,
    })
}

/// A cast to a type that only PostgreSQL has.
fn translate_cast(inner: &mut Expr, data_type: &mut DataType) -> Option<Expr> {
    let name = match data_type {
        DataType::Regclass => "regclass".to_owned(),
        DataType::Custom(name, _) => name_of(name.0.last()?),
        _ => return None,
    };
    // A column has numbers, anything else that is made into one names what it is.
    let is_text = match inner {
        Expr::Value(value) => matches!(value.value, Value::SingleQuotedString(_)),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Cast { .. } => false,
        _ => true,
    };
    Some(match &*name {
        // A number of what is named, and the name of what is numbered.
        "regclass" if is_text => call("regclass_oid", vec![std::mem::replace(inner, null())]),
        "regclass" => call("regclass_name", vec![std::mem::replace(inner, null())]),
        "regtype" if is_text => call("to_regtype", vec![std::mem::replace(inner, null())]),
        "regtype" => call("format_type", vec![std::mem::replace(inner, null()), null()]),
        "regnamespace" => call("regnamespace_oid", vec![std::mem::replace(inner, null())]),
        "oid" | "xid" | "cid" => {
            // A name that has a number already.
            if matches!(inner, Expr::Function(function) if is_named(function, "regclass_oid")) {
                return Some(std::mem::replace(inner, null()));
            }
            *data_type = DataType::BigInt(None);
            return None;
        }
        "regproc" | "regprocedure" | "regoper" | "regrole" | "name" | "char" | "text" | "sql_identifier"
        | "character_data" | "yes_or_no" | "int2vector" | "oidvector" | "pg_node_tree" | "aclitem" | "varchar" => {
            *data_type = DataType::Text;
            return None;
        }
        "int4" | "int2" | "int8" | "cardinal_number" => {
            *data_type = DataType::BigInt(None);
            return None;
        }
        "bool" => {
            *data_type = DataType::Boolean;
            return None;
        }
        _ => return None,
    })
}

fn translate_function(function: &mut Function) {
    let Some(name) = function.name.0.last().map(name_of) else { return };
    // One of pg_catalog is one of everybody's.
    let name = match &*name {
        "pg_get_indexdef" if arguments(function) == 3 => "pg_get_indexdef".to_owned(),
        _ => name,
    };
    function.name = ObjectName::from(vec![Ident::new(name)]);
    if let FunctionArguments::None = function.args {
        function.args = list(vec![]);
    }
}

fn arguments(function: &Function) -> usize {
    match &function.args {
        FunctionArguments::List(list) => list.args.len(),
        _ => 0,
    }
}

/// Whether it is asked of `current_schemas`, which are two.
fn is_of_schemas(function: &Function) -> bool {
    let FunctionArguments::List(list) = &function.args else { return false };
    matches!(
        list.args.first(),
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(inner)))) if is_named(inner, "current_schemas")
    )
}

fn is_named(function: &Function, name: &str) -> bool {
    function.name.0.last().is_some_and(|last| name_of(last) == name)
}

/// A name as the engine compares it.
fn name_of(part: &ObjectNamePart) -> String {
    match part.as_ident() {
        Some(ident) if ident.quote_style.is_some() => ident.value.clone(),
        Some(ident) => ident.value.to_lowercase(),
        None => part.to_string(),
    }
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: list(args),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

fn list(args: Vec<Expr>) -> FunctionArguments {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] })
}

fn null() -> Expr {
    Expr::value(Value::Null)
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, null())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_of_people_are_not_touched() {
        for sql in ["SELECT count(*) FROM events", "SELECT 'x'::text", "no SQL pg_", "SELECT 1 FROM pg_class; SELECT 2"]
        {
            assert_eq!(translate(sql), None, "{sql}");
        }
    }

    #[test]
    fn queries_about_catalogs_are_translated() {
        check("SELECT oid FROM pg_class", "SELECT oid FROM pg_catalog.pg_class");
        check("SELECT 1 FROM information_schema.tables", "SELECT 1 FROM pg_information_schema.tables");
        check(
            "SELECT pg_catalog.format_type(a.atttypid, NULL) FROM pg_catalog.pg_attribute a",
            "SELECT format_type(a.atttypid, NULL) AS \"format_type\" FROM pg_catalog.pg_attribute a",
        );
        check(
            "SELECT 1 FROM pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(events)$' COLLATE pg_catalog.default",
            "SELECT 1 FROM pg_catalog.pg_class c WHERE c.relname ~ '^(events)$'",
        );
        check("SELECT 'events'::regclass::oid", "SELECT regclass_oid('events') AS \"oid\"");
        check(
            "SELECT c.oid::pg_catalog.regclass FROM pg_class c",
            "SELECT regclass_name(c.oid) AS \"oid\" FROM pg_catalog.pg_class c",
        );
        check(
            "SELECT (SELECT adbin FROM pg_attrdef WHERE adrelid = c.oid) FROM pg_class c",
            "SELECT NULL AS \"adbin\" FROM pg_catalog.pg_class c",
        );
        check(
            "SELECT (SELECT n.nspname FROM pg_namespace n WHERE n.oid = c.relnamespace) AS s FROM pg_class c",
            "SELECT (SELECT min(n.nspname) AS \"min\" FROM pg_catalog.pg_namespace n WHERE n.oid = c.relnamespace) AS s FROM pg_catalog.pg_class c",
        );
        check(
            "SELECT polname, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), 'x' FROM pg_policy ORDER BY polcmd",
            "SELECT NULL AS \"polname\", NULL AS \"pg_get_expr\", NULL AS \"pg_get_expr_2\", NULL AS \"?column?\" WHERE false",
        );
        check(
            "SELECT c.oid FROM pg_class c, pg_inherits i WHERE c.oid = i.inhparent UNION ALL SELECT oid FROM pg_class ORDER BY 1",
            "SELECT NULL AS \"oid\" WHERE false UNION ALL SELECT oid FROM pg_catalog.pg_class ORDER BY 1",
        );
        check(
            "SELECT s.r FROM generate_series(1, array_upper(current_schemas(false), 1)) AS s(r), pg_class",
            "SELECT s.r FROM generate_series(1, 2) AS s (r), pg_catalog.pg_class",
        );
        check("SELECT count(*) FROM pg_index", "SELECT count(*) AS \"count\" FROM pg_catalog.pg_index");
        check("SELECT current_user", "SELECT current_user AS \"current_user\"");
    }

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        assert_eq!(translate(sql).as_deref(), Some(expected));
    }
}
