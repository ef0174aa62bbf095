//! The rules of DataFusion's physical optimizer, found by their names.

use std::sync::Arc;

use datafusion::physical_optimizer::PhysicalOptimizerRule;

pub(super) type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

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
