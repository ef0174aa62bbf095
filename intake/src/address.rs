//! Addresses: host, path, query and campaign of the page, and the host of the referrer.

use lake::Event;
use url::Url;

/// Fills the columns that are derived from `event.url` and `event.referrer`. A campaign that the client names itself
/// stays: it knows better than the address.
///
/// A relative address fills path and query if it begins with a slash, and nothing otherwise.
pub(crate) fn fill(event: &mut Event) {
    event.referrer_host = event.referrer.as_deref().and_then(parse).and_then(|url| Some(url.host_str()?.to_owned()));
    let Some(address) = event.url.as_deref() else { return };
    let Some(url) = parse(address) else {
        if address.starts_with('/') {
            let (path, query) = split_relative(address);
            (event.path, event.query) = (Some(path.to_owned()), query.map(str::to_owned));
        }
        return;
    };
    event.hostname = url.host_str().map(str::to_owned);
    if !url.cannot_be_a_base() {
        event.path = Some(url.path().to_owned());
    }
    event.query = url.query().filter(|query| !query.is_empty()).map(str::to_owned);
    fill_campaign(event, &url);
}

fn fill_campaign(event: &mut Event, url: &Url) {
    // Most addresses carry no campaign: look once before decoding every parameter.
    if !url.query().is_some_and(|query| query.contains("utm_")) {
        return;
    }
    for (name, value) in url.query_pairs() {
        let column = match &*name {
            "utm_source" => &mut event.utm_source,
            "utm_medium" => &mut event.utm_medium,
            "utm_campaign" => &mut event.utm_campaign,
            "utm_term" => &mut event.utm_term,
            "utm_content" => &mut event.utm_content,
            _ => continue,
        };
        if column.is_none() && !value.is_empty() {
            *column = Some(value.into_owned());
        }
    }
}

fn parse(address: &str) -> Option<Url> {
    // "//host/path" takes the scheme of the page, which does not matter here.
    if address.starts_with("//") { Url::parse(&format!("https:{address}")) } else { Url::parse(address) }.ok()
}

fn split_relative(address: &str) -> (&str, Option<&str>) {
    let address = address.split_once('#').map_or(address, |(before, _)| before);
    match address.split_once('?') {
        Some((path, query)) => (path, Some(query).filter(|query| !query.is_empty())),
        None => (address, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        check("https://Shop.example:8443/a/b?q=1#top", "shop.example | /a/b | q=1");
        check("https://shop.example", "shop.example | / | -");
        check("https://shop.example/?", "shop.example | / | -");
        check("//shop.example/a", "shop.example | /a | -");
        check("https://bücher.example/ä", "xn--bcher-kva.example | /%C3%A4 | -");
    }

    #[test]
    fn an_address_that_is_not_absolute_has_a_path_at_most() {
        check("/a/b?q=1#top", "- | /a/b | q=1");
        check("a/b", "- | - | -");
        check("not an address", "- | - | -");
        check("mailto:ada@example.com", "- | - | -");
        check("https://", "- | - | -");
    }

    #[test]
    fn campaigns_are_decoded() {
        let mut event = Event {
            url: Some("https://a.example/?utm_source=news+letter&utm_medium=e%2Dmail&utm_campaign=&utm_term=x".into()),
            utm_term: Some("from the client".into()),
            ..Event::default()
        };
        fill(&mut event);
        assert_eq!(event.utm_source.as_deref(), Some("news letter"));
        assert_eq!(event.utm_medium.as_deref(), Some("e-mail"));
        assert_eq!(event.utm_campaign, None);
        assert_eq!(event.utm_term.as_deref(), Some("from the client"));
    }

    #[test]
    fn a_referrer_has_a_host_if_it_is_an_address() {
        for (referrer, host) in [("https://search.example/?q=a", Some("search.example")), ("direct", None)] {
            let mut event = Event { referrer: Some(referrer.into()), ..Event::default() };
            fill(&mut event);
            assert_eq!(event.referrer_host.as_deref(), host);
        }
    }

    /// Compares `hostname | path | query`.
    #[track_caller]
    fn check(url: &str, expected: &str) {
        let mut event = Event { url: Some(url.into()), ..Event::default() };
        fill(&mut event);
        let parts = [event.hostname, event.path, event.query].map(|part| part.unwrap_or("-".into()));
        assert_eq!(parts.join(" | "), expected, "{url}");
        assert_eq!(event.url.as_deref(), Some(url));
    }
}
