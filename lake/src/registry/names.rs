//! Domains and origins in the one form in which they are compared. Pure.
//!
//! People write `bücher.example` and browsers `xn--bcher-kva.example`; both mean the same host, and so do `Shop.Example.` and
//! `shop.example`.

use std::borrow::Cow;

use url::{Origin, Url};

/// Longer than any domain, and than the ids that other protocols have instead.
const DOMAIN_BYTES_MAX: usize = 255;

/// How to write an origin, for refusals.
const ORIGIN_EXAMPLES: &str = "write scheme and host, as in https://shop.example, https://*.shop.example for all hosts below, \
                               capacitor://localhost for an app, or null for pages without an origin";

/// A domain, or an id that a protocol has instead, in the form in which they are compared.
///
/// ```
/// assert_eq!(lake::domain_form("Bücher.Example."), "xn--bcher-kva.example");
/// assert_eq!(lake::domain_form("Shop-1"), "shop-1");
/// ```
pub fn domain_form(name: &str) -> Cow<'_, str> {
    let name = name.trim();
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_ascii() {
        return match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => name.to_ascii_lowercase().into(),
            false => name.into(),
        };
    }
    // An id need not be a domain.
    let ascii = idna::domain_to_ascii(name).unwrap_or_else(|_| name.to_lowercase());
    ascii.strip_suffix('.').unwrap_or(&ascii).to_owned().into()
}

/// The form of a domain that a site is to have, or why it cannot be one.
pub(super) fn domain(name: &str) -> Result<String, String> {
    let form = domain_form(name);
    let is_odd = |char: char| char.is_whitespace() || char.is_control() || char == '/' || char == ',';
    if name.contains('*') {
        return Err(format!("{name:?} is not a domain: list each domain, separated by commas"));
    }
    if form.is_empty() || form.len() > DOMAIN_BYTES_MAX || form.contains(is_odd) {
        return Err(format!("{name:?} is not a domain; write it as in shop.example, without https://"));
    }
    Ok(form.into_owned())
}

/// The form of an origin that a site is to allow, or why it cannot be one.
pub(super) fn origin(text: &str) -> Result<String, String> {
    let text = text.trim();
    let lower = text.to_lowercase();
    let wrong = |why: &str| Err(format!("{text:?} is not an origin{why}; {ORIGIN_EXAMPLES}"));
    if lower == "null" {
        return Ok(lower);
    }
    if lower == "*" {
        return Err("write any to allow the pages of every origin".into());
    }
    let Some((scheme, rest)) = lower.split_once("://") else { return wrong("") };
    if scheme.contains('*') {
        return wrong(": a scheme has no wildcard");
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((_, below)) = host.split_once('*') else {
        return form_of_origin(&lower).map(Cow::into_owned).map_or_else(|| wrong(""), Ok);
    };
    if below.is_empty() && host == "*" && !is_of_the_web(scheme) {
        // The extensions of Firefox have a host of their own in each browser.
        return Ok(format!("{scheme}://*"));
    }
    let Some(below) = host.strip_prefix("*.").filter(|below| !below.contains('*')) else {
        return wrong(": a wildcard stands for all that is before the first dot of a host");
    };
    let Some(base) = form_of_origin(&format!("{scheme}://{below}")).map(Cow::into_owned) else { return wrong("") };
    let base = &base[scheme.len() + "://".len()..];
    let host = base.split(':').next().unwrap_or_default();
    let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
    if is_address || !(host.contains('.') || host == "localhost") {
        return wrong(": that would be more than one owner's hosts");
    }
    Ok(format!("{scheme}://*.{base}"))
}

/// Whether pages of an origin may send, by the origins that are allowed.
///
/// - `allowed`: in the form of [`origin`]. `https://*.shop.example` allows every host below `shop.example`, at any depth,
///   and not `shop.example` itself.
/// - `origin`: as a browser names it.
pub(super) fn is_allowed(allowed: &[String], origin: &str) -> bool {
    let Some(origin) = form_of_origin(origin) else { return false };
    allowed.iter().any(|allowed| match allowed.split_once("://*") {
        Some((scheme, below)) => {
            let host = origin.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
            host.is_some_and(|host| match below {
                "" => !host.is_empty(),
                _ => host.strip_suffix(below).is_some_and(|before| !before.is_empty()),
            })
        }
        None => **allowed == *origin,
    })
}

/// Schemes whose origins browsers define.
fn is_of_the_web(scheme: &str) -> bool {
    matches!(scheme, "http" | "https" | "ws" | "wss" | "ftp")
}

/// An origin as it is compared; `None` if it is none.
///
/// Apps and browser extensions have schemes of their own (`capacitor`, `ionic`, `tauri`, `chrome-extension`), which the URL
/// standard gives no origin. Browsers name scheme and host for them, too.
fn form_of_origin(origin: &str) -> Option<Cow<'_, str>> {
    if origin == "null" {
        return Some(origin.into());
    }
    let (scheme, rest) = origin.split_once("://")?;
    if is_of_the_web(&scheme.to_ascii_lowercase()) {
        let url = Url::parse(origin).ok()?;
        let Origin::Tuple(..) = url.origin() else { return None };
        let form = url.origin().ascii_serialization();
        // A dot at its end makes a host no other host.
        let host = url.host_str()?;
        return Some(match host.strip_suffix('.') {
            Some(short) => form.replacen(host, short, 1).into(),
            None => form.into(),
        });
    }
    let is_scheme = scheme.starts_with(|char: char| char.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_host = host.bytes().all(|byte| byte.is_ascii_graphic() && !b"@,*\"'<>\\".contains(&byte));
    let is_file = scheme.eq_ignore_ascii_case("file") && host.is_empty();
    (is_scheme && is_host && (is_file || !host.is_empty()))
        .then(|| format!("{scheme}://{host}").to_ascii_lowercase().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_domain_has_one_form() {
        for (written, form) in [
            ("bücher.example", "xn--bcher-kva.example"),
            // macOS: the u and its dots apart.
            ("bu\u{308}cher.example", "xn--bcher-kva.example"),
            ("BÜCHER.Example", "xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("XN--Bcher-Kva.example.", "xn--bcher-kva.example"),
            // The dot of Japanese keyboards.
            ("日本。example", "xn--wgv71a.example"),
            ("straße.example", "xn--strae-oqa.example"),
            (" Shop.Example. ", "shop.example"),
            ("localhost:3000", "localhost:3000"),
            // Umami's website ids, Snowplow's app ids.
            ("B0F1C2D3-4E5F-6071-8293-A4B5C6D7E8F9", "b0f1c2d3-4e5f-6071-8293-a4b5c6d7e8f9"),
            ("My_App 1", "my_app 1"),
            ("12345", "12345"),
        ] {
            assert_eq!(domain_form(written), form, "{written}");
            assert_eq!(domain_form(form), form, "a form is its own form");
        }
    }

    #[test]
    fn what_is_no_domain_is_refused_with_what_to_write() {
        for (written, reason) in [
            ("https://shop.example", "without https://"),
            ("", "is not a domain"),
            (".", "is not a domain"),
            ("*.shop.example", "list each domain"),
        ] {
            let refused = domain(written).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }

    #[test]
    fn one_origin_has_one_form() {
        for (written, form) in [
            ("https://Shop.example/a", "https://shop.example"),
            ("https://shop.example:443", "https://shop.example"),
            ("http://shop.example:80/", "http://shop.example"),
            ("https://shop.example.", "https://shop.example"),
            ("https://bücher.example:8443", "https://xn--bcher-kva.example:8443"),
            ("http://[2001:DB8::1]:80", "http://[2001:db8::1]"),
            // Capacitor on iOS and on Android; Ionic; Tauri on macOS and on Windows.
            ("capacitor://localhost", "capacitor://localhost"),
            ("https://localhost", "https://localhost"),
            ("ionic://localhost/", "ionic://localhost"),
            ("tauri://localhost", "tauri://localhost"),
            ("http://tauri.localhost", "http://tauri.localhost"),
            (
                "chrome-extension://ABCDEFGHIJKLMNOPabcdefghijklmnop/popup.html",
                "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            ),
            ("moz-extension://*", "moz-extension://*"),
            // Electron; VS Code; Obsidian.
            ("app://-", "app://-"),
            ("vscode-webview://0f1e", "vscode-webview://0f1e"),
            ("app://obsidian.md", "app://obsidian.md"),
            // Cordova on old Android; pages from a disk and sandboxed frames.
            ("file:///", "file://"),
            ("null", "null"),
            ("https://*.shop.example", "https://*.shop.example"),
            ("https://*.Bücher.example:443/", "https://*.xn--bcher-kva.example"),
            ("http://*.localhost:3000", "http://*.localhost:3000"),
        ] {
            assert_eq!(origin(written).as_deref(), Ok(form), "{written}");
            assert_eq!(origin(form).as_deref(), Ok(form), "a form is its own form");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused_with_what_to_write() {
        for (written, reason) in [
            ("shop.example", "write scheme and host"),
            ("localhost:3000", "write scheme and host"),
            ("*.shop.example", "write scheme and host"),
            ("*", "write any"),
            ("https://", "write scheme and host"),
            ("mailto:ada@shop.example", "write scheme and host"),
            ("https://*", "all that is before the first dot"),
            ("*://shop.example", "a scheme has no wildcard"),
            ("https://shop.*", "all that is before the first dot"),
            ("https://a*.shop.example", "all that is before the first dot"),
            ("https://*.*.example", "all that is before the first dot"),
            ("https://*.com", "more than one owner's"),
            ("https://*.192.0.2.1", "more than one owner's"),
        ] {
            let refused = origin(written).unwrap_err();
            assert!(refused.contains(reason), "{written}: {refused}");
        }
    }

    #[test]
    fn a_page_may_send_if_its_origin_is_allowed() {
        for (allowed, may, may_not) in [
            (
                "https://shop.example",
                "https://shop.example",
                "http://shop.example https://shop.example:8443 https://a.shop.example",
            ),
            (
                "https://*.shop.example",
                "https://a.shop.example https://a.b.shop.example https://a.shop.example.",
                "https://shop.example https://evilshop.example https://shop.example.evil.example http://a.shop.example \
                 https://a.shop.example:8443 https://.shop.example null https://evil.example/.shop.example",
            ),
            (
                "https://*.shop.example:8443",
                "https://a.shop.example:8443",
                "https://a.shop.example https://a.shop.example:18443",
            ),
            ("https://*.bücher.example", "https://a.xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            (
                "capacitor://localhost",
                "capacitor://localhost",
                "ionic://localhost https://localhost capacitor://localhost:1",
            ),
            ("moz-extension://*", "moz-extension://0b5f6c0e-1", "chrome-extension://0b5f6c0e-1 moz-extension://"),
            ("null", "null", "file:// https://shop.example"),
            ("file://", "file://", "null"),
        ] {
            let allowed = [origin(allowed).unwrap()];
            for page in may.split_whitespace() {
                assert!(is_allowed(&allowed, page), "{allowed:?} {page}");
            }
            for page in may_not.split_whitespace() {
                assert!(!is_allowed(&allowed, page), "{allowed:?} {page}");
            }
        }
    }
}
