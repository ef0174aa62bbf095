//! Codes of countries, from what exports call them. Pure.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The two letters of a country, from these or from its name in English; `None` if it is neither.
pub(super) fn code(text: &str) -> Option<&'static str> {
    static NAMES: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
        let lines = include_str!("../../data/countries.tsv").lines().filter(|line| !line.starts_with('#'));
        let named = lines.filter_map(|line| line.split_once('\t'));
        named.flat_map(|(name, code)| [(name, code), (code, code)]).collect()
    });
    let text = text.trim();
    let found = if text.len() == 2 { NAMES.get(&*text.to_uppercase()) } else { NAMES.get(&*text.to_lowercase()) };
    found.copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_one_country() {
        for (text, expected) in [
            ("DE", Some("DE")),
            ("de", Some("DE")),
            ("Germany", Some("DE")),
            // GA4 and Amplitude, now and some years ago.
            ("United States", Some("US")),
            ("Türkiye", Some("TR")),
            ("Turkey", Some("TR")),
            ("Czechia", Some("CZ")),
            ("Bosnia & Herzegovina", Some("BA")),
            ("Myanmar (Burma)", Some("MM")),
            ("(not set)", None),
            ("XX", None),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
    }
}
