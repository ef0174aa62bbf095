//! Addresses: host, path, query and campaign of the page, and the host of the referrer.
//!
//! One page has one host and one path, however its address is spelt: see [`normal_path`].

use std::borrow::Cow;

use lake::Event;
use url::{Url, form_urlencoded};

/// Fills the columns that are derived from `event.url` and `event.referrer`. A campaign that the client names itself
/// stays: it knows better than the address.
///
/// A relative address fills path and query if it begins with a slash, and nothing otherwise.
pub(crate) fn fill(event: &mut Event) {
    event.referrer_host = event.referrer.as_deref().and_then(parse).as_ref().and_then(host);
    let Some(address) = event.url.as_deref() else { return };
    let (url, is_relative) = match parse(address) {
        Some(url) => (url, false),
        None if address.starts_with('/') => match below_no_host(address) {
            Some(url) => (url, true),
            None => return,
        },
        None => return,
    };
    if !is_relative {
        event.hostname = host(&url);
    }
    let (route, route_query) = route(&url);
    if !url.cannot_be_a_base() {
        let path = normal_path(if url.path().is_empty() { "/" } else { url.path() });
        event.path = Some(match route {
            Some(route) => format!("{path}#{}", normal_path(route)),
            None => path.into_owned(),
        });
    }
    event.query = url.query().filter(|query| !query.is_empty()).map(str::to_owned);
    fill_campaign(event, url.query());
    fill_campaign(event, route_query);
}

/// The host of an address. One with a dot at its end is the same host.
fn host(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(host.strip_suffix('.').unwrap_or(host).to_lowercase()).filter(|host| !host.is_empty())
}

/// The route of a page that keeps it behind the `#`, as in `/#/pricing`, and the query there. The tracker takes a route for a
/// page of its own too. Other fragments are places on a page, and a route to the root is the page itself.
fn route(url: &Url) -> (Option<&str>, Option<&str>) {
    let Some(fragment) = url.fragment().filter(|fragment| fragment.starts_with(['/', '!'])) else {
        return (None, None);
    };
    let (route, query) = fragment.split_once('?').map_or((fragment, None), |(route, query)| (route, Some(query)));
    let is_root = matches!(route, "/" | "!" | "!/");
    ((!is_root).then_some(route), query)
}

/// A path in the form of RFC 3986, section 6.2.2: escapes in capitals, none for characters that need none, and one for each
/// character that no path may have. `/%7eada`, `/~ada` and `/%7Eada` are one page; `/a%2Fb` and `/a/b` are two.
fn normal_path(path: &str) -> Cow<'_, str> {
    if !path.bytes().any(|byte| b"%|[]^\\".contains(&byte)) {
        return path.into();
    }
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find(['%', '|', '[', ']', '^', '\\']) {
        normal.push_str(&rest[..at]);
        let digits = rest.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let (byte, length) = match (rest.as_bytes()[at], digits) {
            (b'%', Some(digits)) => (u8::from_str_radix(digits, 16).expect("these are hexadecimal digits"), 3),
            (byte, _) => (byte, 1),
        };
        match byte {
            b'-' | b'.' | b'_' | b'~' => normal.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => normal.push(byte.into()),
            // A percent sign that begins no escape.
            b'%' if length == 1 => normal.push('%'),
            _ => normal.push_str(&format!("%{byte:02X}")),
        }
        rest = &rest[at + length..];
    }
    normal.push_str(rest);
    normal.into()
}

fn fill_campaign(event: &mut Event, query: Option<&str>) {
    // Most addresses carry no campaign: look once before decoding every parameter.
    let Some(query) = query.filter(|query| query.contains("utm_")) else { return };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
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

/// An address without a host, below a host that does not matter.
fn below_no_host(address: &str) -> Option<Url> {
    Url::parse("https://page.invalid").ok()?.join(address).ok()
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
    fn one_page_has_one_path_however_it_is_spelt() {
        for (page, spellings) in [
            // Browsers escape in capitals; Java, PHP before 5.3 and many feeds in small letters; servers log what was sent.
            ("/%C3%A4", "/%C3%A4 /%c3%a4 /%C3%a4 /ä"),
            // Old Firefox and Perl escape the tilde; JavaScript's escape() and Java letters and more.
            ("/~ada", "/~ada /%7Eada /%7eada"),
            ("/a-b_c.d", "/a-b_c.d /a%2Db%5Fc%2ed /%61-b_%63.d"),
            ("/a%20b", "/a%20b"),
            // Python's requests and curl send these as they were written, browsers too.
            ("/a%7Cb", "/a|b /a%7Cb /a%7cb"),
            ("/%5Bslug%5D", "/[slug] /%5Bslug%5D /%5bslug%5d"),
            ("/x%5Ey", "/x^y /x%5Ey /x%5ey"),
            ("/b", "/a/../b /./b /a/%2e%2E/b"),
            // Not equal by the standard: an escaped delimiter is data.
            ("/a%2Fb", "/a%2Fb /a%2fb"),
            ("/a%2Cb", "/a%2cb"),
            ("/a+b", "/a+b"),
            ("/100%", "/100%"),
            ("/100%zz%4", "/100%zz%4"),
            ("/%25C3", "/%25C3 /%25%433"),
        ] {
            for spelling in spellings.split(' ') {
                check(&format!("https://shop.example{spelling}"), &format!("shop.example | {page} | -"));
                check(spelling, &format!("- | {page} | -"));
            }
        }
    }

    #[test]
    fn one_host_has_one_name() {
        check("https://SHOP.example.:443/", "shop.example | / | -");
        check("capacitor://LocalHost", "localhost | / | -");
        check("app://-/index.html", "- | /index.html | -");
        check("file:///srv/a.html", "- | /srv/a.html | -");
        check("https://straße.example/", "xn--strae-oqa.example | / | -");
    }

    #[test]
    fn a_route_behind_the_hash_is_a_page_and_a_place_on_a_page_is_none() {
        // Vue Router, React's HashRouter; Angular's HashLocationStrategy; Backbone.
        check("https://shop.example/#/pricing", "shop.example | /#/pricing | -");
        check("https://shop.example/app/?a=b#/pricing?plan=pro", "shop.example | /app/#/pricing | a=b");
        // AngularJS, and what Google once asked for.
        check("https://shop.example/#!/pricing", "shop.example | /#!/pricing | -");
        check("https://shop.example/#!pricing", "shop.example | /#!pricing | -");
        check("https://shop.example/#/%c3%a4/ä", "shop.example | /#/%C3%A4/%C3%A4 | -");
        check("/#/pricing", "- | /#/pricing | -");
        // The root of the routes is the page itself.
        for root in ["#", "#/", "#!", "#!/", "#/?a=b"] {
            check(&format!("https://shop.example/{root}"), "shop.example | / | -");
        }
        // Places on a page, text fragments, tokens of a login.
        for place in ["#top", "#:~:text=hats", "#access_token=1", "#pricing/2"] {
            check(&format!("https://shop.example/a{place}"), "shop.example | /a | -");
        }
    }

    #[test]
    fn a_campaign_may_stand_in_the_route() {
        for url in ["https://a.example/#/offer?utm_source=news", "https://a.example/#/?utm_source=news"] {
            let mut event = Event { url: Some(url.into()), ..Event::default() };
            fill(&mut event);
            assert_eq!(event.utm_source.as_deref(), Some("news"));
        }
    }

    #[test]
    fn an_address_that_is_not_absolute_has_a_path_at_most() {
        check("/a/b?q=1#top", "- | /a/b | q=1");
        check("a/b", "- | - | -");
        check("not an address", "- | - | -");
        check("mailto:ada@example.com", "- | - | -");
        check("https://", "- | - | -");
        check("/", "- | / | -");
        check("/?", "- | / | -");
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
