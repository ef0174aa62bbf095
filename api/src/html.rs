//! Text within HTML. Pure.

/// A text as it stands between tags and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // No browser shows these, and some are not allowed at all.
            char if char.is_control() && char != '\n' && char != '\t' => escaped.push('\u{fffd}'),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_only_ever_text() {
        for (text, expected) in [
            ("/hats & caps", "/hats &amp; caps"),
            ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
            ("\"><script>", "&quot;&gt;&lt;script&gt;"),
            ("it's", "it&#39;s"),
            ("a\0b", "a\u{fffd}b"),
            ("/größe", "/größe"),
        ] {
            assert_eq!(escape(text), expected);
        }
    }
}
