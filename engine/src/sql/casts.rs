//! Casts that have a name of their own.
//!
//! DataFusion names a cast after what it casts, so `x`, `x::date` and `x::text` are three columns of one name. As keys of
//! GROUP BY, in aggregates or in windows they are refused, or a rule of the optimizer takes one for another. Where a SELECT
//! has an expression in several forms, a cast of it stands in `coalesce` with nothing else, which has another name: in one
//! for the first such cast, in two for the second. The optimizer takes that away again.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::logical_expr::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident,
    OrderBy, Query, Select, SelectItem, SetExpr, TimezoneInfo, Visitor, VisitorMut,
};

use super::syntax::{call, take};
use super::walk::{walk, walk_mut};

/// Deeper expressions are left as they are: to write them out takes as much stack as they are deep.
const DEPTH_MAX: usize = 8;

/// Gives casts names of their own in each SELECT of a query, but not in queries within it.
pub(super) fn tell_apart(query: &mut Query) {
    match &mut *query.body {
        SetExpr::Select(select) => in_select(select, query.order_by.as_mut()),
        other => in_operands(other),
    }
}

fn in_operands(operands: &mut SetExpr) {
    // A loop to the left, where long chains of UNION are deep.
    let mut left = operands;
    while let SetExpr::SetOperation { left: next, right, .. } = left {
        match &mut **right {
            SetExpr::Select(select) => in_select(select, None),
            right => in_operands(right),
        }
        left = next;
    }
    if let SetExpr::Select(select) = left {
        in_select(select, None);
    }
}

fn in_select(select: &mut Select, order_by: Option<&mut OrderBy>) {
    let mut casts = Casts::default();
    let _ = walk(&select.projection, &mut casts);
    let _ = walk(&select.group_by, &mut casts);
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if casts.forms.is_empty() || !(is_grouped || casts.calls) {
        return;
    }
    let mut plain = Plain { of: &casts.forms, found: HashSet::new(), within: Within::default() };
    let _ = walk(&select.projection, &mut plain);
    let _ = walk(&select.group_by, &mut plain);
    let found = plain.found;
    casts.forms.retain(|name, forms| {
        if found.contains(name) {
            forms.insert(0, String::new());
        }
        forms.len() > 1
    });
    if casts.forms.is_empty() {
        return;
    }

    let mut namer = Namer { forms: casts.forms, changed: false, within: Within::default() };
    for item in &mut select.projection {
        let name = match item {
            SelectItem::UnnamedExpr(expr) if is_small(expr, DEPTH_MAX) => Some(expr.to_string()),
            _ => None,
        };
        namer.changed = false;
        let _ = walk_mut(item, &mut namer);
        if let (SelectItem::UnnamedExpr(expr), Some(name), true) = (&mut *item, name, namer.changed) {
            *item = SelectItem::ExprWithAlias { expr: take(expr), alias: Ident::with_quote('"', name) };
        }
    }
    let _ = walk_mut(&mut select.group_by, &mut namer);
    let _ = walk_mut(&mut select.having, &mut namer);
    let _ = walk_mut(&mut select.qualify, &mut namer);
    let _ = walk_mut(&mut select.distinct, &mut namer);
    if let Some(order_by) = order_by {
        let _ = walk_mut(order_by, &mut namer);
    }
}

/// How deep a walk is within casts and within other queries.
#[derive(Default)]
struct Within {
    casts: usize,
    queries: usize,
}

impl Within {
    fn is_outside(&self) -> bool {
        self.casts == 0 && self.queries == 0
    }
}

/// The casts of each expression, by the expression's name.
#[derive(Default)]
struct Casts {
    forms: HashMap<String, Vec<String>>,
    /// Whether anything is called: it may be an aggregate.
    calls: bool,
    within: Within,
}

impl Visitor for Casts {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.within.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.within.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.within.is_outside()
            && let Some((name, form)) = name_and_form(expr)
        {
            let forms = self.forms.entry(name).or_default();
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
        self.calls |= matches!(expr, Expr::Function(_));
        self.within.casts += usize::from(is_cast(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.within.casts -= usize::from(is_cast(expr));
        ControlFlow::Continue(())
    }
}

/// Which of the expressions that are cast occur without a cast, too.
struct Plain<'a> {
    of: &'a HashMap<String, Vec<String>>,
    found: HashSet<String>,
    within: Within,
}

impl Visitor for Plain<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.within.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.within.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.within.is_outside()
            && !is_cast(expr)
            && let Some(name) = name_of(expr)
            && self.of.contains_key(&name)
        {
            self.found.insert(name);
        }
        self.within.casts += usize::from(is_cast(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.within.casts -= usize::from(is_cast(expr));
        ControlFlow::Continue(())
    }
}

/// Gives casts their names.
struct Namer {
    forms: HashMap<String, Vec<String>>,
    changed: bool,
    within: Within,
}

impl VisitorMut for Namer {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.within.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.within.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.within.casts += usize::from(is_cast(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.within.casts -= usize::from(is_cast(expr));
        if self.within.is_outside()
            && let Some((name, form)) = name_and_form(expr)
            && let Some(forms) = self.forms.get(&name)
        {
            let place = forms.iter().position(|other| *other == form).unwrap_or(0);
            for _ in 0..place {
                *expr = call("coalesce", vec![take(expr)]);
                self.changed = true;
            }
        }
        ControlFlow::Continue(())
    }
}

fn is_cast(expr: &Expr) -> bool {
    matches!(expr, Expr::Cast { .. })
}

/// The name of what a cast casts, and the types to which it is cast.
fn name_and_form(cast: &Expr) -> Option<(String, String)> {
    if !is_cast(cast) {
        return None;
    }
    let (mut expr, mut form) = (cast, String::new());
    loop {
        match expr {
            Expr::Cast { kind, expr: inner, data_type, .. } => {
                let is_try = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
                form = format!("{form} {}{}", if is_try { "try " } else { "" }, type_name(data_type));
                expr = inner;
            }
            Expr::Nested(inner) => expr = inner,
            inner => return Some((name_of(inner)?, form)),
        }
    }
}

/// What DataFusion would take for the name of an expression: of a column without its table, which may be left out.
fn name_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.to_lowercase()),
        Expr::Identifier(column) => Some(column.value.to_lowercase()),
        Expr::Nested(inner) => name_of(inner),
        expr => is_small(expr, DEPTH_MAX).then(|| expr.to_string()),
    }
}

fn is_small(expr: &Expr, depth_max: usize) -> bool {
    let Some(depth_max) = depth_max.checked_sub(1) else { return false };
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) => true,
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => is_small(inner, depth_max),
        Expr::BinaryOp { left, right, .. } => is_small(left, depth_max) && is_small(right, depth_max),
        Expr::Function(function) => match &function.args {
            FunctionArguments::List(list) => list.args.iter().all(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) => is_small(arg, depth_max),
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => true,
                _ => false,
            }),
            FunctionArguments::None => true,
            FunctionArguments::Subquery(_) => false,
        },
        _ => false,
    }
}

/// One name for a type, however it is written.
fn type_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => "int",
        DataType::BigInt(_) | DataType::Int8(_) | DataType::Int64 => "bigint",
        DataType::Text
        | DataType::String(_)
        | DataType::Varchar(None)
        | DataType::CharVarying(None)
        | DataType::CharacterVarying(None) => "text",
        DataType::Float(ExactNumberInfo::None)
        | DataType::Double(_)
        | DataType::DoublePrecision
        | DataType::Float8
        | DataType::Float64 => "double",
        DataType::Numeric(digits) | DataType::Decimal(digits) | DataType::Dec(digits) => {
            return format!("numeric{digits}");
        }
        DataType::Bool | DataType::Boolean => "boolean",
        DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => "timestamp",
        other => return other.to_string(),
    };
    name.to_owned()
}
