//! A text of SQL as statements: where one ends.

/// The first statement of a text, up to its semicolon, and what is behind it. `None` if there is no semicolon that ends one.
pub(super) fn first(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        at += match bytes[at] {
            b';' => return Some((&text[..at], &text[at + 1..])),
            b'\'' => quoted(rest, '\''),
            b'"' => quoted(rest, '"'),
            b'-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => comment(rest),
            b'$' => dollars(rest),
            _ => 1,
        };
        while at < bytes.len() && !text.is_char_boundary(at) {
            at += 1;
        }
    }
    None
}

/// Whether there is nothing but blanks and comments.
pub(super) fn is_empty(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        rest = if rest.starts_with("--") {
            rest.find('\n').map_or("", |end| &rest[end..])
        } else if rest.starts_with("/*") {
            &rest[comment(rest)..]
        } else {
            return rest.is_empty();
        };
        rest = rest.trim_start();
    }
}

/// How long a text in quotes is; all there is if it does not end. A quote that is doubled begins the next one.
fn quoted(text: &str, quote: char) -> usize {
    text[1..].find(quote).map_or(text.len(), |end| end + 2)
}

/// How long a comment is. Comments may be inside comments.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// How long a text between `$tag$` and `$tag$` is; 1 if this begins none, such as `$1`.
fn dollars(text: &str) -> usize {
    let Some(end) = text[1..].find('$') else { return 1 };
    let tag = &text[..end + 2];
    let name = &tag[1..tag.len() - 1];
    if name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return 1;
    }
    text[tag.len()..].find(tag).map_or(text.len(), |body| tag.len() + body + tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_ends_at_a_semicolon_that_is_not_in_quotes_or_comments() {
        for (text, expected) in [
            ("SELECT 1; SELECT 2;", Some(("SELECT 1", " SELECT 2;"))),
            ("SELECT 1", None),
            ("SELECT ';' ;", Some(("SELECT ';' ", ""))),
            ("SELECT 'it''s;' ;", Some(("SELECT 'it''s;' ", ""))),
            ("SELECT \"a;b\" ;x", Some(("SELECT \"a;b\" ", "x"))),
            ("SELECT 1 -- one; two\n;", Some(("SELECT 1 -- one; two\n", ""))),
            ("SELECT /* ; /* ; */ ; */ 'ä' ;", Some(("SELECT /* ; /* ; */ ; */ 'ä' ", ""))),
            ("SELECT $$;$$, $a$;$$;$a$ ;", Some(("SELECT $$;$$, $a$;$$;$a$ ", ""))),
            ("SELECT $1, $2 ;", Some(("SELECT $1, $2 ", ""))),
            ("SELECT 'open ;", None),
        ] {
            assert_eq!(first(text), expected, "{text}");
        }
    }

    #[test]
    fn comments_alone_are_nothing() {
        assert!(is_empty(" \n-- a\n /* b */ "));
        assert!(!is_empty("-- a\nSELECT 1"));
    }
}
