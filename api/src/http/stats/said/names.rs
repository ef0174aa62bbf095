//! Names that a request may use, and what was probably meant by one that is not there.

use analytics::typing_distance;

/// Refuses a name, and says what to write instead.
///
/// - `kind`: what it was to be a name of: "metric".
/// - `known`: all names there are.
/// - `elsewhere`: what others call the same, with the name it has here.
pub(in crate::http::stats) fn unknown<'a>(
    kind: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    elsewhere: &[(&str, &str)],
) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let plain = |name: &str| name.to_lowercase().replace(['_', '-', ' '], "");
    let same = known.iter().copied().find(|known| plain(known) == plain(name));
    let translated = elsewhere.iter().find(|(other, _)| plain(other) == plain(name)).map(|(_, here)| *here);
    if let Some(meant) = same.or(translated) {
        return format!("there is no {kind} {name:?}: write {meant}");
    }
    let distance = |known: &&str| typing_distance(&name.to_lowercase(), known);
    match known.iter().copied().min_by_key(distance).filter(|near| distance(near) <= (name.len() / 3).clamp(1, 3)) {
        Some(near) => format!("there is no {kind} {name:?}: did you mean {near}?"),
        None if known.is_empty() => format!("there is no {kind} {name:?}: there is none here"),
        None => format!("there is no {kind} {name:?}: there is {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_said_where_it_can_be_told() {
        for (name, expected) in [
            ("Visitors", "there is no metric \"Visitors\": write visitors"),
            ("page-views", "there is no metric \"page-views\": write page_views"),
            ("visits", "there is no metric \"visits\": write sessions"),
            ("vistors", "there is no metric \"vistors\": did you mean visitors?"),
            ("n", "there is no metric \"n\": there is visitors, sessions, page_views"),
            ("", "there is no metric \"\": there is visitors, sessions, page_views"),
        ] {
            let known = ["visitors", "sessions", "page_views"];
            assert_eq!(unknown("metric", name, known, &[("visits", "sessions")]), expected);
        }
        assert_eq!(unknown("parameter", "x", [], &[]), "there is no parameter \"x\": there is none here");
    }
}
