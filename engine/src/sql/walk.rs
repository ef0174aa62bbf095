//! Walks through SQL's syntax tree.
//!
//! The library's own walks are compiled once for each visitor, with all of the tree below them: 0.2 MB of the program each. These
//! are compiled once for all visitors.

use std::ops::ControlFlow;

use datafusion::logical_expr::sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};

/// Shows a visitor all parts of a part of a query, until it breaks off.
pub(super) fn walk<B>(part: &impl Visit, visitor: &mut dyn Visitor<Break = B>) -> ControlFlow<B> {
    part.visit(&mut Through(visitor))
}

/// The same for a visitor that changes them.
pub(super) fn walk_mut<B>(part: &mut impl VisitMut, visitor: &mut dyn VisitorMut<Break = B>) -> ControlFlow<B> {
    part.visit(&mut Through(visitor))
}

/// Whether one of the expressions in a part of a query is such a one. An expression is one of those in itself.
pub(super) fn has_expr(part: &impl Visit, mut is_it: impl FnMut(&Expr) -> bool) -> bool {
    struct Finder<'a>(&'a mut dyn FnMut(&Expr) -> bool);
    impl Visitor for Finder<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if (self.0)(expr) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    walk(part, &mut Finder(&mut is_it)).is_break()
}

/// Shows all expressions in a part of a query, each before those in it.
pub(super) fn each_expr(part: &impl Visit, mut show: impl FnMut(&Expr)) {
    has_expr(part, |expr| {
        show(expr);
        false
    });
}

/// How many such relations are named in a part of a query.
pub(super) fn count_relations(part: &impl Visit, is_it: impl Fn(&ObjectName) -> bool) -> usize {
    struct Counter<'a> {
        is_it: &'a dyn Fn(&ObjectName) -> bool,
        found: usize,
    }
    impl Visitor for Counter<'_> {
        type Break = ();

        fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
            self.found += usize::from((self.is_it)(relation));
            ControlFlow::Continue(())
        }
    }
    let mut counter = Counter { is_it: &is_it, found: 0 };
    let _ = walk(part, &mut counter);
    counter.found
}

/// One type for all visitors.
struct Through<'a, V: ?Sized>(&'a mut V);

/// Hands each call on.
macro_rules! hand_on {
    ($($method:ident $part:ty),* $(,)?) => {
        $(fn $method(&mut self, part: $part) -> ControlFlow<B> {
            self.0.$method(part)
        })*
    };
}

impl<B> Visitor for Through<'_, dyn Visitor<Break = B> + '_> {
    type Break = B;

    hand_on! {
        pre_visit_query &Query, post_visit_query &Query,
        pre_visit_select &Select, post_visit_select &Select,
        pre_visit_relation &ObjectName, post_visit_relation &ObjectName,
        pre_visit_table_factor &TableFactor, post_visit_table_factor &TableFactor,
        pre_visit_expr &Expr, post_visit_expr &Expr,
        pre_visit_statement &Statement, post_visit_statement &Statement,
        pre_visit_value &ValueWithSpan, post_visit_value &ValueWithSpan,
    }
}

impl<B> VisitorMut for Through<'_, dyn VisitorMut<Break = B> + '_> {
    type Break = B;

    hand_on! {
        pre_visit_query &mut Query, post_visit_query &mut Query,
        pre_visit_select &mut Select, post_visit_select &mut Select,
        pre_visit_relation &mut ObjectName, post_visit_relation &mut ObjectName,
        pre_visit_table_factor &mut TableFactor, post_visit_table_factor &mut TableFactor,
        pre_visit_expr &mut Expr, post_visit_expr &mut Expr,
        pre_visit_statement &mut Statement, post_visit_statement &mut Statement,
        pre_visit_value &mut ValueWithSpan, post_visit_value &mut ValueWithSpan,
    }
}
