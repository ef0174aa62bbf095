//! What a share says, of those that are kept with a site. Pure.

use chrono::{DateTime, Utc};
use lake::SavedItem;
use serde_json::Value;

/// Origins whose pages may show one link.
const ORIGINS_MAX: usize = 10;

/// Whether a share has a token of this hash. Takes as long for a guess that is nearly right as for any other.
pub(in crate::http) fn has_token(share: &SavedItem, hash: &str) -> bool {
    let kept = share.says.get("token_hash").and_then(Value::as_str).and_then(|kept| blake3::Hash::from_hex(kept).ok());
    // Compared in constant time, by `blake3`.
    kept.zip(blake3::Hash::from_hex(hash).ok()).is_some_and(|(kept, sent)| kept == sent)
}

/// The hash of its password, if it has one.
pub(in crate::http) fn password(share: &SavedItem) -> Option<&str> {
    share.says.get("password_hash").and_then(Value::as_str)
}

/// Whether it has a password.
pub(in crate::http) fn has_password(share: &SavedItem) -> bool {
    password(share).is_some()
}

/// When it ends, if it does.
pub(in crate::http) fn expires_at(share: &SavedItem) -> Option<DateTime<Utc>> {
    share.says.get("expires_at").and_then(Value::as_str).and_then(|time| time.parse().ok())
}

/// Whether it has not ended.
pub(in crate::http) fn is_open(share: &SavedItem, now: DateTime<Utc>) -> bool {
    expires_at(share).is_none_or(|end| now < end)
}

/// Whose pages may show it in a frame.
pub(in crate::http) fn origins(share: &SavedItem) -> Vec<String> {
    let kept = share.says.get("origins").and_then(Value::as_array).into_iter().flatten();
    let kept: Vec<String> = kept.filter_map(Value::as_str).map(str::to_owned).collect();
    // They go into a header, whoever wrote the document.
    origin_forms(&kept).unwrap_or_default()
}

/// Origins as browsers write them. Fails with words for whoever wrote them.
pub(in crate::http) fn origin_forms(origins: &[String]) -> Result<Vec<String>, String> {
    if origins.len() > ORIGINS_MAX {
        return Err(format!("a link may be embedded by the pages of {ORIGINS_MAX} origins at most"));
    }
    let form = |origin: &String| {
        let url = url::Url::parse(origin.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.filter(|url| url.path() == "/" && url.query().is_none() && url.username().is_empty());
        let form = url.map(|url| url.origin().ascii_serialization());
        // A star in a host is everybody's pages.
        form.filter(|form| !form.contains(['*', ';', ',', ' ']))
            .ok_or_else(|| format!("{origin:?} is no origin: write https://www.example.com"))
    };
    let mut forms = origins.iter().map(form).collect::<Result<Vec<_>, _>>()?;
    forms.sort();
    forms.dedup();
    Ok(forms)
}

/// The filters that hold for whoever has the link.
pub(in crate::http) fn filters(share: &SavedItem) -> Vec<Value> {
    share.says.get("filters").and_then(Value::as_array).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        for (origin, expected) in [
            ("https://www.example.com", Some("https://www.example.com")),
            (" HTTPS://WWW.Example.com/ ", Some("https://www.example.com")),
            ("https://www.example.com:443", Some("https://www.example.com")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("https://bücher.example", Some("https://xn--bcher-kva.example")),
            ("https://*.example.com", None),
            ("*", None),
            ("www.example.com", None),
            ("https://www.example.com/page", None),
            ("https://a.example; script-src *", None),
            ("javascript:alert(1)", None),
            ("null", None),
            ("", None),
        ] {
            let found = origin_forms(&[origin.to_owned()]).ok();
            assert_eq!(found, expected.map(|expected| vec![expected.to_owned()]), "{origin}");
        }
        assert!(origin_forms(&vec!["https://a.example".to_owned(); 11]).is_err());
    }
}
