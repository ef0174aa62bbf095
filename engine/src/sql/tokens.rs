//! Words of other engines that the parser has no place for, as words that it reads.
//!
//! An `ASOF JOIN` with its condition behind ON becomes a `GLOBAL JOIN`: the parser notes the word with the join and nothing
//! else (`spelling::asof` takes it from there). So where somebody wrote GLOBAL, it is left out: it says on which servers of a cluster
//! the join is done, and not what comes out. The `LIMIT` behind a `LIMIT … BY` becomes a `FETCH FIRST`.

use std::collections::HashMap;

use datafusion::logical_expr::sqlparser::keywords::Keyword;
use datafusion::logical_expr::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer, TokenizerError};

use super::dialect::LakeDialect;

/// The tokens of a text for the parser.
pub(super) fn read(sql: &str) -> Result<Vec<TokenWithSpan>, TokenizerError> {
    let tokens = Tokenizer::new(&LakeDialect, sql).tokenize_with_location()?;
    // The parser looks at blanks, too, so they stay.
    let places: Vec<usize> =
        (0..tokens.len()).filter(|place| !matches!(tokens[*place].token, Token::Whitespace(_))).collect();
    let written: Vec<&Token> = places.iter().map(|place| &tokens[*place].token).collect();
    let changes: Vec<(usize, Change)> = joins(&written).into_iter().chain(limits(&written)).collect();
    if changes.is_empty() {
        return Ok(tokens);
    }
    let mut changes: HashMap<usize, Change> =
        changes.into_iter().map(|(place, change)| (places[place], change)).collect();
    let mut read = Vec::with_capacity(tokens.len() + 3 * changes.len());
    for (place, token) in tokens.into_iter().enumerate() {
        let at = token.span;
        let words = match changes.remove(&place) {
            None => {
                read.push(token);
                continue;
            }
            Some(Change::Instead(words)) => words,
            Some(Change::Behind(words)) => {
                read.push(token);
                words
            }
        };
        read.extend(words.iter().map(|keyword| word(*keyword, at)));
    }
    Ok(read)
}

/// What becomes of a token.
enum Change {
    /// These words stand in its place.
    Instead(&'static [Keyword]),
    /// These words stand behind it.
    Behind(&'static [Keyword]),
}

fn joins(written: &[&Token]) -> Vec<(usize, Change)> {
    let change = |place: usize| {
        keyword(written.get(place + 1)).filter(|next| begins_join(*next))?;
        match keyword(written.get(place))? {
            Keyword::GLOBAL => Some((place, Change::Instead(&[]))),
            Keyword::ASOF if !has_match_condition(&written[place + 1..]) => {
                Some((place, Change::Instead(&[Keyword::GLOBAL])))
            }
            _ => None,
        }
    };
    (0..written.len()).filter_map(change).collect()
}

fn begins_join(word: Keyword) -> bool {
    use Keyword::{ASOF, CROSS, FULL, INNER, JOIN, LEFT, RIGHT};
    matches!(word, ASOF | JOIN | INNER | LEFT | RIGHT | FULL | CROSS)
}

/// Whether a join has its condition as Snowflake writes it, behind the table.
fn has_match_condition(join: &[&Token]) -> bool {
    let mut depth = 0_usize;
    for (place, token) in join.iter().enumerate().skip(1) {
        match (token, keyword(join.get(place))) {
            (Token::LParen, _) => depth += 1,
            (Token::RParen, _) if depth == 0 => return false,
            (Token::RParen, _) => depth -= 1,
            (_, Some(Keyword::MATCH_CONDITION)) if depth == 0 => return true,
            (_, Some(Keyword::ON | Keyword::USING | Keyword::WHERE)) if depth == 0 => return false,
            _ => {}
        }
    }
    false
}

fn limits(written: &[&Token]) -> Vec<(usize, Change)> {
    let mut changes = Vec::new();
    // Of each query that is open, whether it has had a LIMIT … BY.
    let mut limited = vec![false];
    for (place, token) in written.iter().enumerate() {
        match token {
            Token::LParen => limited.push(false),
            Token::RParen if limited.len() > 1 => drop(limited.pop()),
            Token::SemiColon => limited = vec![false],
            _ => {}
        }
        let is_limited = limited.last_mut().expect("the outermost query is never closed");
        match keyword(Some(token)) {
            Some(Keyword::BY) if place >= 2 && keyword(written.get(place - 2)) == Some(Keyword::LIMIT) => {
                *is_limited = true;
            }
            Some(Keyword::SELECT | Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT) => *is_limited = false,
            Some(Keyword::LIMIT)
                if *is_limited && matches!(written.get(place + 1), Some(Token::Number(..) | Token::Placeholder(_))) =>
            {
                *is_limited = false;
                changes.push((place, Change::Instead(&[Keyword::FETCH, Keyword::FIRST])));
                changes.push((place + 1, Change::Behind(&[Keyword::ROWS, Keyword::ONLY])));
            }
            _ => {}
        }
    }
    changes
}

/// The keyword that a token is, if it is not quoted.
fn keyword(token: Option<&&Token>) -> Option<Keyword> {
    match token? {
        Token::Word(word) if word.quote_style.is_none() && word.keyword != Keyword::NoKeyword => Some(word.keyword),
        _ => None,
    }
}

fn word(keyword: Keyword, at: Span) -> TokenWithSpan {
    TokenWithSpan { token: Token::make_keyword(&format!("{keyword:?}")), span: at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nearest_join_is_marked_unless_its_condition_stands_apart() {
        check("FROM a ASOF JOIN b ON a.t >= b.t", "FROM a GLOBAL JOIN b ON a.t >= b.t");
        check("FROM a asof left join (SELECT 1) b USING (t)", "FROM a GLOBAL left join ( SELECT 1 ) b USING ( t )");
        check(
            "FROM a ASOF JOIN b MATCH_CONDITION (a.t >= b.t) ON a.k = b.k",
            "FROM a ASOF JOIN b MATCH_CONDITION ( a.t >= b.t ) ON a.k = b.k",
        );
        check(
            "FROM (SELECT 1 FROM a ASOF JOIN b) ASOF JOIN c MATCH_CONDITION (x >= y)",
            "FROM ( SELECT 1 FROM a GLOBAL JOIN b ) ASOF JOIN c MATCH_CONDITION ( x >= y )",
        );
        check("SELECT \"asof\" FROM asof", "SELECT \"asof\" FROM asof");
    }

    #[test]
    fn where_a_join_is_done_elsewhere_does_not_matter() {
        check("FROM a GLOBAL LEFT JOIN b ON x = y", "FROM a LEFT JOIN b ON x = y");
        check("FROM a GLOBAL ASOF JOIN b ON x > y", "FROM a GLOBAL JOIN b ON x > y");
        check("SELECT global FROM a", "SELECT global FROM a");
    }

    #[test]
    fn the_limit_of_all_groups_stands_behind_that_of_each() {
        check("ORDER BY x LIMIT 1 BY y LIMIT 10", "ORDER BY x LIMIT 1 BY y FETCH FIRST 10 ROWS ONLY");
        check(
            "(SELECT 1 LIMIT 2 BY f(y), z LIMIT $n) LIMIT 3",
            "( SELECT 1 LIMIT 2 BY f ( y ) , z FETCH FIRST $n ROWS ONLY ) LIMIT 3",
        );
        check("(SELECT 1 LIMIT 2 BY y) LIMIT 3", "( SELECT 1 LIMIT 2 BY y ) LIMIT 3");
        check("SELECT 1 LIMIT 2; SELECT 1 LIMIT 3", "SELECT 1 LIMIT 2 ; SELECT 1 LIMIT 3");
    }

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        let mut words = Vec::new();
        for token in read(sql).unwrap() {
            if !matches!(token.token, Token::Whitespace(_)) {
                words.push(token.token.to_string());
            }
        }
        assert_eq!(words.join(" ").replace(" . ", "."), expected);
    }
}
