//! A call of a function as it was written, and the words for a call that cannot be.

use datafusion::logical_expr::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    ObjectName, OrderByExpr, Value, ValueWithSpan,
};

use crate::error::EngineError;
use crate::sql::syntax::refusal;

/// A call whose arguments are expressions without names.
pub(super) struct Call<'a> {
    /// In lower case.
    pub(super) name: String,
    /// Those of ClickHouse's first parentheses: `quantile(0.9)(x)`.
    pub(super) parameters: Vec<&'a Expr>,
    pub(super) args: Vec<&'a Expr>,
    pub(super) function: &'a Function,
}

impl<'a> Call<'a> {
    /// The call, if it is one of a plain name with plain arguments.
    pub(super) fn of(function: &'a Function) -> Option<Self> {
        let name = plain_name(&function.name)?;
        let (parameters, args) = (plain(&function.parameters)?, plain(&function.args)?);
        Some(Self { name, parameters, args, function })
    }

    /// The same call with another name and other arguments.
    pub(super) fn renamed(&self, name: &str, args: Vec<&'a Expr>) -> Self {
        Self { name: name.to_owned(), parameters: self.parameters.clone(), args, function: self.function }
    }

    pub(super) fn is_distinct(&self) -> bool {
        matches!(&self.function.args, FunctionArguments::List(list)
            if list.duplicate_treatment == Some(DuplicateTreatment::Distinct))
    }

    /// The clauses behind the arguments, within the parentheses.
    pub(super) fn clauses(&self) -> &'a [FunctionArgumentClause] {
        match &self.function.args {
            FunctionArguments::List(list) => &list.clauses,
            _ => &[],
        }
    }

    /// The order in which an aggregate takes its rows, wherever it stands.
    pub(super) fn order(&self) -> &'a [OrderByExpr] {
        let within = self.clauses().iter().find_map(|clause| match clause {
            FunctionArgumentClause::OrderBy(order) => Some(order.as_slice()),
            _ => None,
        });
        within.unwrap_or(&self.function.within_group)
    }

    /// Whether there is anything around the arguments that only an aggregate takes.
    pub(super) fn is_of_many_rows(&self) -> bool {
        self.is_distinct()
            || !self.clauses().is_empty()
            || self.function.filter.is_some()
            || self.function.over.is_some()
            || !self.function.within_group.is_empty()
    }

    /// That it cannot be answered, and what to write.
    pub(super) fn refuse(&self, message: impl std::fmt::Display) -> EngineError {
        refusal(
            format!("{}: {message}", self.name),
            self.function.name.0.first().map_or_else(
                datafusion::logical_expr::sqlparser::tokenizer::Span::empty,
                datafusion::logical_expr::sqlparser::ast::Spanned::span,
            ),
        )
    }
}

/// A name of one part, in lower case.
pub(super) fn plain_name(name: &ObjectName) -> Option<String> {
    match &name.0[..] {
        [part] => part.as_ident().map(|ident| ident.value.to_lowercase()),
        _ => None,
    }
}

fn plain(args: &FunctionArguments) -> Option<Vec<&Expr>> {
    match args {
        FunctionArguments::None => Some(vec![]),
        FunctionArguments::List(list) => plain_list(&list.args),
        FunctionArguments::Subquery(_) => None,
    }
}

/// The arguments, if they are expressions without names.
pub(super) fn plain_list(args: &[FunctionArg]) -> Option<Vec<&Expr>> {
    let plain = |arg| match arg {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expr)) => Some(expr),
        _ => None,
    };
    args.iter().map(plain).collect()
}

/// A whole number that was written as such.
pub(super) fn whole_number(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.to_string().parse().ok(),
        Expr::Nested(inner) => whole_number(inner),
        Expr::UnaryOp { op: datafusion::logical_expr::sqlparser::ast::UnaryOperator::Minus, expr } => {
            whole_number(expr).map(|number| -number)
        }
        _ => None,
    }
}

/// The members of a list that was written as such: `[a, b]` or `ARRAY[a, b]`.
pub(super) fn members(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Array(array) => Some(&array.elem),
        _ => None,
    }
}
