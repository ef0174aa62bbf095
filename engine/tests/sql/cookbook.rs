//! The cookbook: every query of `docs/SQL.md` gives the answer that stands below it.

use crate::published::shop;
use crate::shown::lines;

const COOKBOOK: &str = include_str!("../../../docs/SQL.md");

/// The queries with the answers below them.
fn recipes() -> Vec<(&'static str, &'static str)> {
    let mut recipes = Vec::new();
    for part in COOKBOOK.split("```sql\n").skip(1) {
        let (sql, rest) = part.split_once("```\n").unwrap_or_else(|| panic!("a block is not closed: {part}"));
        let answer = rest.strip_prefix("```text\n").and_then(|rest| rest.split_once("```"));
        let (answer, _) = answer.unwrap_or_else(|| panic!("there is no answer below {sql}"));
        recipes.push((sql, answer.trim_end()));
    }
    recipes
}

#[tokio::test]
async fn every_recipe_gives_the_answer_below_it() {
    let session = shop().await;
    let recipes = recipes();
    let mut wrong = String::new();
    for (sql, expected) in &recipes {
        match session.query(sql, &[]).await {
            Ok(answer) => {
                let answer = lines(&answer, "null").join("\n");
                if answer != *expected {
                    wrong += &format!("\n{sql}gives\n{answer}\nand not\n{expected}\n");
                }
            }
            Err(error) => wrong += &format!("\n{sql}is refused: {error}\n"),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(recipes.len() >= 24, "there are only {} recipes", recipes.len());
}
