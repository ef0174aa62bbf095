//! The SQL that queries are written in: everything that sqlparser's generic dialect reads, with the operators as tightly
//! bound as in PostgreSQL.
//!
//! The generic dialect binds `->>` weaker than `=`, so `properties->>'plan' = 'pro'` would be `properties->>('plan' =
//! 'pro')`. The dialect of PostgreSQL has it right, but reads no `EXCLUDE`, `REPLACE`, backticks, trailing commas or
//! `FROM` first.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, ExprWithAlias, LimitClause, PivotValueSource, SelectFlavor, SetExpr, Statement, TableFactor,
    TableWithJoins,
};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::syntax::call;

/// The dialect of queries.
#[derive(Debug)]
pub(crate) struct LakeDialect;

const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

/// What follows `?`, `?|` and `?&`: one key, or a list of which any or all must be there.
fn parse_keys(parser: &mut Parser, left: &Expr, precedence: u8) -> Result<Expr, ParserError> {
    let op = match (parser.consume_token(&Token::Pipe), parser.consume_token(&Token::Ampersand)) {
        (true, _) => Some(BinaryOperator::Or),
        (_, true) => Some(BinaryOperator::And),
        _ => None,
    };
    let right = parser.parse_subexpr(precedence)?;
    let has = |key: Expr| call("json_has_key", vec![left.clone(), key]);
    let Some(op) = op else { return Ok(has(right)) };
    let keys = match right {
        Expr::Array(array) => array.elem,
        _ => vec![],
    };
    let all = keys.into_iter().map(has).reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: op.clone(),
        right: Box::new(right),
    });
    match all {
        Some(all) => Ok(Expr::Nested(Box::new(all))),
        None => Err(ParserError::ParserError("?| and ?& take a list of keys: properties ?| ARRAY['a', 'b']".into())),
    }
}

/// DuckDB's statement `PIVOT t ON name IN ('a', 'b') USING sum(x) GROUP BY k`, as `FROM t PIVOT (sum(x) FOR name IN ('a', 'b'))
/// GROUP BY k`. A query that begins with FROM and has no SELECT is grouped by nothing elsewhere.
fn parse_pivot(parser: &mut Parser) -> Result<Statement, ParserError> {
    const VALUES: &str = "PIVOT takes the values that become columns: PIVOT events ON name IN ('signup', 'purchase') \
                          USING count(*) GROUP BY country";
    let values = || ParserError::ParserError(VALUES.into());
    let table = Box::new(parser.parse_table_factor()?);
    parser.expect_keyword(Keyword::ON)?;
    let column = parser.parse_subexpr(LakeDialect.prec_value(Precedence::Between))?;
    if !parser.parse_keyword(Keyword::IN) || !parser.consume_token(&Token::LParen) {
        return Err(values());
    }
    if matches!(parser.peek_token_ref().token, Token::Word(ref word) if word.keyword == Keyword::SELECT) {
        return Err(values());
    }
    let list = parser.parse_comma_separated(Parser::parse_expr_with_alias)?;
    parser.expect_token(&Token::RParen)?;
    let aggregate_functions = match parser.parse_keyword(Keyword::USING) {
        true => parser.parse_comma_separated(Parser::parse_expr_with_alias)?,
        false => vec![ExprWithAlias { expr: count_all()?, alias: None }],
    };
    let pivot = TableFactor::Pivot {
        table,
        aggregate_functions,
        value_column: vec![column],
        value_source: PivotValueSource::List(list),
        default_on_null: None,
        alias: None,
    };
    let mut query = Parser::new(&LakeDialect).try_with_sql("SELECT * FROM events")?.parse_query()?;
    if let SetExpr::Select(select) = &mut *query.body {
        select.flavor = SelectFlavor::FromFirstNoSelect;
        select.from = vec![TableWithJoins { relation: pivot, joins: vec![] }];
        if let Some(groups) = parser.parse_optional_group_by()? {
            select.group_by = groups;
        }
    }
    query.order_by = parser.parse_optional_order_by()?;
    if parser.parse_keyword(Keyword::LIMIT) {
        let limit = Some(parser.parse_expr()?);
        query.limit_clause = Some(LimitClause::LimitOffset { limit, offset: None, limit_by: vec![] });
    }
    Ok(Statement::Query(query))
}

fn count_all() -> Result<Expr, ParserError> {
    Parser::new(&LakeDialect).try_with_sql("count(*)")?.parse_expr()
}

/// What the generic dialect answers, this one answers.
macro_rules! as_generic {
    ($($question:ident),* $(,)?) => {
        $(fn $question(&self) -> bool {
            GenericDialect.$question()
        })*
    };
}

impl Dialect for LakeDialect {
    /// The parser also asks for dialects by name; there this one is the generic one.
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn parse_statement(&self, parser: &mut Parser) -> Option<Result<Statement, ParserError>> {
        parser.parse_keyword(Keyword::PIVOT).then(|| parse_pivot(parser))
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        GenericDialect.is_delimited_identifier_start(ch)
    }

    /// Without the `#` and `@` of other dialects: in `properties#>>'{a,b}'` they begin an operator.
    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        POSTGRES.prec_value(precedence)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        match &parser.peek_token_ref().token {
            // Outside PostgreSQL's dialect it is part of the operand, and no operator.
            Token::Word(word) if word.keyword == Keyword::COLLATE => None,
            // Not a parameter: those of queries have names.
            Token::Placeholder(mark) if mark == "?" => Some(Ok(POSTGRES.prec_value(Precedence::PgOther))),
            _ => POSTGRES.get_next_precedence(parser),
        }
    }

    /// The parser takes all that follows for the right side: in `a IS NOT DISTINCT FROM b AND c` also `AND c`.
    ///
    /// `properties ? 'plan'` is read here, too: the tokenizer takes the mark for a parameter.
    fn parse_infix(&self, parser: &mut Parser, left: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        if matches!(&parser.peek_token_ref().token, Token::Placeholder(mark) if mark == "?") {
            parser.next_token();
            return Some(parse_keys(parser, left, precedence));
        }
        let negated = if parser.parse_keywords(&[Keyword::IS, Keyword::DISTINCT, Keyword::FROM]) {
            false
        } else if parser.parse_keywords(&[Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM]) {
            true
        } else {
            return None;
        };
        let left = Box::new(left.clone());
        Some(parser.parse_subexpr(precedence).map(|right| match negated {
            true => Expr::IsNotDistinctFrom(left, Box::new(right)),
            false => Expr::IsDistinctFrom(left, Box::new(right)),
        }))
    }

    as_generic! {
        supports_unicode_string_literal,
        supports_partition_by_after_order_by,
        supports_array_join_syntax,
        supports_group_by_expr,
        supports_group_by_with_modifier,
        supports_left_associative_joins_without_parens,
        supports_connect_by,
        supports_match_recognize,
        supports_pipe_operator,
        supports_start_transaction_modifier,
        supports_window_function_null_treatment_arg,
        supports_dictionary_syntax,
        supports_window_clause_named_window_reference,
        supports_parenthesized_set_variables,
        supports_select_wildcard_except,
        support_map_literal_syntax,
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_extract_comma_syntax,
        supports_create_view_comment_syntax,
        supports_parens_around_table_factor,
        supports_values_as_table_factor,
        supports_create_index_with_clause,
        supports_explain_with_utility_options,
        supports_limit_comma,
        supports_update_order_by,
        supports_from_first_select,
        supports_projection_trailing_commas,
        supports_asc_desc_in_column_definition,
        supports_try_convert,
        supports_bitwise_shift_operators,
        supports_comment_on,
        supports_load_extension,
        supports_named_fn_args_with_assignment_operator,
        supports_struct_literal,
        supports_empty_projections,
        supports_nested_comments,
        supports_multiline_comment_hints,
        supports_user_host_grantee,
        supports_string_escape_constant,
        supports_array_typedef_with_brackets,
        supports_match_against,
        supports_set_names,
        supports_comma_separated_set_assignments,
        supports_filter_during_aggregation,
        supports_select_wildcard_exclude,
        supports_data_type_signed_suffix,
        supports_interval_options,
        supports_quote_delimited_string,
        supports_select_wildcard_replace,
        supports_select_wildcard_ilike,
        supports_select_wildcard_rename,
        supports_optimize_table,
        supports_install,
        supports_detach,
        supports_prewhere,
        supports_with_fill,
        supports_limit_by,
        supports_interpolate,
        supports_settings,
        supports_select_format,
        supports_comment_optimizer_hint,
        supports_constraint_keyword_without_name,
        supports_key_column_option,
        supports_comma_separated_trim,
        supports_cte_without_as,
        supports_select_item_multi_column_alias,
        supports_xml_expressions,
    }
}
