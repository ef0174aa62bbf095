//! Patterns of PostgreSQL in the forms that DataFusion reads.

/// The regular expression that says the same as a pattern of SIMILAR TO, over the whole text.
///
/// `escape` takes the meaning from the character behind it. Fails with words for the author.
pub(super) fn of_similar_to(pattern: &str, escape: char) -> Result<String, String> {
    let mut regex = String::from("^(?s:");
    let mut chars = pattern.chars();
    // Inside brackets every character stands for itself, except the escape.
    let mut in_brackets = false;
    while let Some(c) = chars.next() {
        match c {
            c if c == escape => match chars.next() {
                Some(plain) => push_plain(&mut regex, plain),
                None => return Err(format!("the pattern {pattern:?} ends with the escape {escape:?}: write it twice")),
            },
            '[' if !in_brackets => {
                in_brackets = true;
                regex.push('[');
            }
            ']' => {
                in_brackets = false;
                regex.push(']');
            }
            '[' => regex.push_str("\\["),
            '\\' => regex.push_str("\\\\"),
            c if in_brackets => regex.push(c),
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '.' | '^' | '$' => push_plain(&mut regex, c),
            c => regex.push(c),
        }
    }
    regex.push_str(")$");
    Ok(regex)
}

fn push_plain(regex: &mut String, c: char) {
    if c.is_ascii_punctuation() {
        regex.push('\\');
    }
    regex.push(c);
}

/// The parts of a pattern of `to_char`, the longest first where one begins with another, and what chrono calls them:
/// nothing where it has no such part.
const PARTS: &[(&str, &str)] = &[
    ("FMMonth", "%B"),
    ("FMDay", "%A"),
    ("FMHH24", "%-H"),
    ("FMHH12", "%-I"),
    ("FMMM", "%-m"),
    ("FMDD", "%-d"),
    ("FMHH", "%-I"),
    ("FMMI", "%-M"),
    ("FMSS", "%-S"),
    ("SSSSS", ""),
    ("SSSS", ""),
    ("IDDD", ""),
    ("YYYY", "%Y"),
    ("IYYY", "%G"),
    ("YY", "%y"),
    ("HH24", "%H"),
    ("HH12", "%I"),
    ("HH", "%I"),
    ("MI", "%M"),
    ("MM", "%m"),
    ("Mon", "%b"),
    ("DDD", "%j"),
    ("DD", "%d"),
    ("Dy", "%a"),
    ("ID", "%u"),
    ("IW", "%V"),
    ("SS", "%S"),
    ("MS", "%3f"),
    ("US", "%6f"),
    ("AM", "%p"),
    ("PM", "%p"),
];

/// The pattern of chrono that says the same as one of PostgreSQL's `to_char`. Fails with words for the author.
pub(super) fn of_to_char(pattern: &str) -> Result<String, String> {
    let mut chrono = String::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        if let Some((quoted, behind)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
            chrono.push_str(quoted);
            rest = behind;
            continue;
        }
        // Parts that are numbers are the same in lower case; those that are words would be words in lower case.
        let is_word = |part: &str| part.chars().any(|c| c.is_ascii_lowercase()) || matches!(part, "AM" | "PM");
        let found = PARTS.iter().find(|(part, _)| match is_word(part) {
            true => rest.starts_with(part),
            false => rest.get(..part.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(part)),
        });
        match found.filter(|(_, written)| !written.is_empty()) {
            Some((part, written)) => {
                chrono.push_str(written);
                rest = &rest[part.len()..];
            }
            None if c.is_alphanumeric() => {
                return Err(format!(
                    "to_char does not know {rest:?} in {pattern:?}: write YYYY, MM, DD, HH24, MI, SS, Mon, Dy, IYYY, IW or FMMonth, or a pattern such as '%d %B %Y'"
                ));
            }
            None => {
                chrono.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    Ok(chrono)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_of_similar_to_is_a_regular_expression_of_the_whole_text() {
        let check = |pattern: &str, expected: &str| {
            assert_eq!(of_similar_to(pattern, '\\').as_deref(), Ok(expected), "{pattern}");
        };
        check("/docs/%", "^(?s:/docs/.*)$");
        check("%(b|d)%", "^(?s:.*(b|d).*)$");
        check("a.c", "^(?s:a\\.c)$");
        check("a_c", "^(?s:a.c)$");
        check("10\\%", "^(?s:10\\%)$");
        check("[a-c%]+", "^(?s:[a-c%]+)$");
        check("$1", "^(?s:\\$1)$");
        assert_eq!(of_similar_to("10#%", '#').as_deref(), Ok("^(?s:10\\%)$"));
        assert!(of_similar_to("a\\", '\\').is_err());
    }

    #[test]
    fn a_pattern_of_to_char_is_chronos_or_refused_in_words() {
        let check = |pattern: &str, expected: &str| {
            assert_eq!(of_to_char(pattern).as_deref(), Ok(expected), "{pattern}");
        };
        check("YYYY-MM", "%Y-%m");
        check("yyyy-mm-dd hh24:mi:ss", "%Y-%m-%d %H:%M:%S");
        check("DD Mon YYYY", "%d %b %Y");
        check("IYYY-\"W\"IW", "%G-W%V");
        check("FMMonth FMDD", "%B %-d");
        check("HH12:MI AM", "%I:%M %p");
        check("DDD", "%j");
        for pattern in ["Month", "MON", "Q", "YYYY-MM-DDTHH24"] {
            assert!(of_to_char(pattern).is_err(), "{pattern}");
        }
    }
}
