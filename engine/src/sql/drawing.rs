//! What is drawn in a WITH is drawn once.
//!
//! A WITH is planned anew wherever it is named. PostgreSQL keeps the rows of one that draws them (`random() < 0.1`) for
//! those who name it; here each would see another sample, and a query that compares them would be wrong without a word.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::logical_expr::sqlparser::ast::{Cte, Expr, Query, Visit, Visitor};
use datafusion::sql::parser::Statement;

use super::syntax::refusal;
use super::walk::{count_relations, has_expr, walk};
use crate::error::{EngineError, Result};

/// Refuses a WITH that draws and is named more than once.
///
/// - `draws`: whether the function of that name has another value each time.
pub(super) fn check(statement: &Statement, draws: &dyn Fn(&str) -> bool) -> Result<()> {
    match statement {
        Statement::Explain(explain) => check(&explain.statement, draws),
        Statement::Statement(statement) => match walk(&**statement, &mut Finder { draws }) {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(()),
        },
        _ => Ok(()),
    }
}

struct Finder<'a> {
    draws: &'a dyn Fn(&str) -> bool,
}

impl Visitor for Finder<'_> {
    type Break = EngineError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<EngineError> {
        let Some(with) = &query.with else { return ControlFlow::Continue(()) };
        let mut drawn: HashSet<String> = HashSet::new();
        for cte in &with.cte_tables {
            if !self.calls_one(cte) && named(cte, |name| drawn.contains(name)) == 0 {
                continue;
            }
            let name = name_of(cte);
            let times = named(query, |named| named == name);
            if times > 1 {
                return ControlFlow::Break(refusal(
                    format!(
                        "{} is named {times} times, and random() in it draws anew each time: name it once, or choose rows that are the same each time, as with WHERE visitor_id % 100 = 0",
                        cte.alias.name
                    ),
                    cte.alias.name.span,
                ));
            }
            drawn.insert(name);
        }
        ControlFlow::Continue(())
    }
}

impl Finder<'_> {
    fn calls_one(&self, cte: &Cte) -> bool {
        has_expr(cte, |expr| match expr {
            Expr::Function(call) => (self.draws)(&call.name.to_string().to_lowercase()),
            _ => false,
        })
    }
}

fn name_of(cte: &Cte) -> String {
    cte.alias.name.value.to_lowercase()
}

/// How often relations of a name are named in a part of a query.
fn named(part: &impl Visit, is_it: impl Fn(&str) -> bool) -> usize {
    count_relations(part, |relation| is_it(&relation.to_string().to_lowercase()))
}
