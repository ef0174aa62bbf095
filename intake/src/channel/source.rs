//! Sources of visits: what kind of site a source is.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The kind of site that a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    /// An assistant that answers with the help of a language model.
    Ai,
    Search,
    Shopping,
    Social,
    Video,
}

/// Categories by host or name; none for hosts that belong to a listed company and are not what it is listed for.
type Sources = HashMap<&'static str, Option<Category>>;

static SOURCES: LazyLock<Sources> = LazyLock::new(|| {
    // Of two tables with one source the later wins.
    let tables = [
        include_str!("../../data/sources.tsv"),
        include_str!("../../data/sources-ga4.tsv"),
        include_str!("../../data/sources-ours.tsv"),
    ];
    let lines = tables.into_iter().flat_map(str::lines).filter(|line| !line.starts_with('#'));
    let mut sources: Sources = lines
        .map(|line| {
            let (category, source) =
                line.split_once('\t').expect("a line of the tables of sources is a category and a source");
            let category = match category {
                "ai" => Some(Category::Ai),
                "search" => Some(Category::Search),
                "shopping" => Some(Category::Shopping),
                "social" => Some(Category::Social),
                "video" => Some(Category::Video),
                _ => None,
            };
            (source, category)
        })
        .collect();
    // Campaigns name a site without its ending, too: `utm_source=wattpad`.
    let mut named: Vec<_> = sources
        .iter()
        .filter(|(_, category)| category.is_some_and(|category| category != Category::Search))
        .filter_map(|(host, category)| Some((name_of_site(host)?, *category)))
        .collect();
    // Two sites of one name, such as `vk.com` and `vk.ru`, are of one kind; should they not be, the answer is the same in
    // every process.
    named.sort_by_key(|(name, category)| (*name, category.map(|category| category as u8)));
    for (name, category) in named {
        sources.entry(name).or_insert(category);
    }
    sources
});

/// Names of sites that are words of their own: `utm_source=app` is not `app.net`.
const WORDS: &[&str] = &[
    "about", "band", "become", "blip", "blog", "blogs", "care", "catch", "chatter", "cross", "gather", "justin",
    "later", "locals", "mail", "messages", "next", "note", "patch", "path", "peach", "post", "price", "scoop",
    "secret", "shop", "target", "there", "upcoming", "very", "vine", "whisper",
];

/// The name of the site that has a domain of its own; none for hosts below one, and for short names, which stand for much.
fn name_of_site(host: &'static str) -> Option<&'static str> {
    let (name, ending) = host.split_once('.')?;
    let is_domain =
        !ending.contains('.') || matches!(ending, "co.uk" | "co.jp" | "ne.jp" | "co.kr" | "com.br" | "com.au");
    (is_domain && name.len() > 3 && !WORDS.contains(&name)).then_some(name)
}

/// Labels that may stand before the domain of a search engine or a shop. Others are something else of the same
/// company: `support.google.com`, `finance.yahoo.com`, `aws.amazon.com`. Two letters are a country or `m`.
const SAME_SITE: &[&str] = &[
    "www",
    "www2",
    "search",
    "search1",
    "images",
    "image",
    "lens",
    "mobile",
    "html",
    "lite",
    "safe",
    "touch",
    "wap",
    "web",
    "websearch",
    "suche",
    "espanol",
    "malaysia",
    "qc",
    "asia",
    "smile",
    "shop",
    "store",
    "amp",
    "home",
    "start",
    "noai",
    "results",
];

/// The kind of site that a source is: a name (`google`) or a host (`www.google.co.uk`), in lower case.
///
/// The whole host is looked for before the domains above it, and these before the name of a company that has a domain in
/// every country.
pub(super) fn category(source: &str) -> Option<Category> {
    let source = source.strip_prefix("www.").unwrap_or(source).trim_end_matches('.');
    if let Some(category) = SOURCES.get(source) {
        return *category;
    }
    for (dot, _) in source.match_indices('.') {
        let domain = &source[dot + 1..];
        if !domain.contains('.') {
            break;
        }
        if let Some(category) = SOURCES.get(domain) {
            return category.filter(|category| is_same_site(*category, &source[..dot]));
        }
    }
    let (front, company) = company(source)?;
    let category = *SOURCES.get(&*format!("{company}.*"))?;
    category.filter(|category| is_same_site(*category, front))
}

fn is_same_site(category: Category, front: &str) -> bool {
    !matches!(category, Category::Search | Category::Shopping)
        || front.split('.').all(|label| label.len() <= 2 || SAME_SITE.contains(&label))
}

/// What stands before the name that a company registered, and the name: `news` and `google` of `news.google.co.uk`. Near
/// enough without the list of all public suffixes.
fn company(host: &str) -> Option<(&str, &str)> {
    let (rest, last) = host.rsplit_once('.')?;
    let is_country = last.len() == 2;
    if !is_country && last != "com" {
        return None;
    }
    let is_suffix = |label: &str| matches!(label, "co" | "com" | "net" | "org" | "or" | "ne");
    let rest = match rest.rsplit_once('.') {
        Some((rest, second)) if is_country && is_suffix(second) => rest,
        _ => rest,
    };
    Some(rest.rsplit_once('.').unwrap_or(("", rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_search_hosts_of_a_company_are_search() {
        for host in [
            "google.com",
            "www.google.co.uk",
            "google.com.br",
            "images.google.de",
            "de.search.yahoo.com",
            "uk.yahoo.com",
            "ya.ru",
        ] {
            assert_eq!(category(host), Some(Category::Search), "{host}");
        }
        for host in [
            "support.google.com",
            "translate.google.com",
            "cloud.google.com",
            "finance.yahoo.com",
            "docs.google.com",
            "drive.google.com",
            "mail.yahoo.com",
            "mail.google.com",
            "calendar.google.com",
            "accounts.google.com",
            "example.google",
            "passport.yandex.ru",
            "ask.metafilter.com",
            "ask.example",
            "google.example.com",
            "notgoogle.com",
        ] {
            assert_eq!(category(host), None, "{host}");
        }
    }

    #[test]
    fn only_the_shops_of_a_company_are_shops() {
        for host in ["amazon.de", "www.amazon.co.jp", "smile.amazon.com", "m.ebay.fr", "allegro.pl"] {
            assert_eq!(category(host), Some(Category::Shopping), "{host}");
        }
        for host in ["aws.amazon.com", "developer.amazon.com", "sellercentral.amazon.de"] {
            assert_eq!(category(host), None, "{host}");
        }
    }

    #[test]
    fn small_networks_are_known_by_host_and_by_name() {
        for source in ["43things", "activerain.com", "activerain", "ig", "gooblog", "kin.naver.com", "pinboard.in"] {
            assert_eq!(category(source), Some(Category::Social), "{source}");
        }
        assert_eq!(category("crackle"), Some(Category::Video));
        assert_eq!(category("igshopping"), Some(Category::Shopping));
        assert_eq!(category("googlemybusiness"), Some(Category::Search));
        // Hosts of a known company that are not what it is known for, and words that are names of sites, too.
        for source in ["mail.yandex.ru", "play.google.com", "s3.amazonaws.com", "blip", "cross", "justin", "scoop"] {
            assert_eq!(category(source), None, "{source}");
        }
    }

    #[test]
    fn the_whole_host_comes_first() {
        for (host, expected) in [
            ("ask.fm", Category::Social),
            ("ask.com", Category::Search),
            ("plus.google.com", Category::Social),
            ("groups.google.com", Category::Social),
            ("gemini.google.com", Category::Ai),
            ("copilot.microsoft.com", Category::Ai),
            ("shopping.yahoo.co.jp", Category::Shopping),
            ("blog.naver.com", Category::Social),
            ("music.youtube.com", Category::Video),
            ("somebody.tumblr.com", Category::Social),
            ("chat.deepseek.com", Category::Ai),
        ] {
            assert_eq!(category(host), Some(expected), "{host}");
        }
    }
}
