//! The rules of DataFusion's physical optimizer, found by their names, and rules of our own among them.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

pub(super) type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// What becomes of an operator whose inputs have been rewritten.
type Rewrite = fn(Arc<dyn ExecutionPlan>, &ConfigOptions) -> Result<Transformed<Arc<dyn ExecutionPlan>>>;

/// A rule of our own that rewrites each operator of a plan by itself, from the bottom up. Columns stay as they are.
pub(super) fn of_each_operator(name: &'static str, rewrite: Rewrite) -> Rule {
    Arc::new(OfEachOperator { name, rewrite })
}

#[derive(Debug)]
struct OfEachOperator {
    name: &'static str,
    rewrite: Rewrite,
}

impl PhysicalOptimizerRule for OfEachOperator {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|operator| (self.rewrite)(operator, config)).data()
    }

    fn name(&self) -> &str {
        self.name
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The rule that leaves sorts out where it takes rows to be in order already.
pub(super) const DECIDES_ORDER: &str = "EnsureRequirements";

/// The rules, with others right before and right behind the one of a name.
pub(super) fn around(rules: Vec<Rule>, name: &str, before: &[Rule], behind: &[Rule]) -> Vec<Rule> {
    let mut all = Vec::new();
    for rule in rules {
        let (before, behind) = if rule.name() == name { (before, behind) } else { (&[][..], &[][..]) };
        all.extend_from_slice(before);
        all.push(rule);
        all.extend_from_slice(behind);
    }
    all
}

/// The rules, with `bind` around those of these names.
pub(super) fn bound(rules: Vec<Rule>, names: &[&str], bind: impl Fn(Rule) -> Rule) -> Vec<Rule> {
    let bound = |rule: Rule| if names.contains(&rule.name()) { bind(rule) } else { rule };
    rules.into_iter().map(bound).collect()
}

/// The names of rules, in their order.
#[cfg(test)]
pub(super) fn names_of(rules: &[Rule]) -> Vec<&str> {
    rules.iter().map(|rule| rule.name()).collect()
}
