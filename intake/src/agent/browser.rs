//! Browsers, by the rules of uap-core, and the apps that show pages within them.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::Regex;
use ua_parser::user_agent::{Builder, Extractor, Parser};

static BROWSERS: LazyLock<Extractor<'static>> = LazyLock::new(|| {
    let ours = include_str!("../../data/browsers-ours.tsv").lines();
    let listed = include_str!("../../data/browsers.tsv").lines();
    let parsers = ours.chain(listed).filter(|line| !line.starts_with('#')).map(|line| {
        let mut cells = line.split('\t');
        let regex = cells.next().unwrap_or_default().into();
        let mut given = || cells.next().filter(|cell| !cell.is_empty()).map(Into::into);
        Parser {
            regex,
            family_replacement: given(),
            v1_replacement: given(),
            v2_replacement: given(),
            v3_replacement: given(),
            v4_replacement: given(),
        }
    });
    let browsers = Builder::new().push_all(parsers).expect("the patterns of browsers are valid");
    browsers.build().expect("the patterns of browsers fit into one matcher")
});

/// Apps by a part of their agents.
static APPS: LazyLock<(AhoCorasick, Vec<&str>)> = LazyLock::new(|| {
    let lines = include_str!("../../data/apps.tsv").lines().filter(|line| !line.starts_with('#'));
    let (names, signs): (Vec<_>, Vec<_>) = lines.filter_map(|line| line.split_once('\t')).unzip();
    let apps = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(signs);
    (apps.expect("the signs of apps fit into one matcher"), names)
});

/// The app that shows the page, such as Instagram.
pub(super) fn app(user_agent: &str) -> Option<&'static str> {
    let (apps, names) = &*APPS;
    apps.find(user_agent).map(|found| names[found.pattern()])
}

/// Today's browsers as they are without anything added, which are most of what comes. The rules of uap-core say the same
/// of them and take ten times as long.
static PLAIN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^Mozilla/5\.0 \((?:(?:iPhone|iPad|Macintosh)[^()]*\) AppleWebKit/[\d.]+ \(KHTML, like Gecko\) Version/([\d.]+) (?:Mobile/\w+ )?Safari/[\d.]+$",
        r"|(?:Windows NT|Macintosh|X11; Linux|X11; CrOS|Linux; Android)[^()]*\) AppleWebKit/[\d.]+ \(KHTML, like Gecko\) Chrome/([\d.]+) (?:Mobile )?Safari/[\d.]+(?: Edg[eA]?/([\d.]+)| OPR/([\d.]+))?$",
        r"|[^()]*rv:[\d.]+\) Gecko/[\d.]+ Firefox/([\d.]+)$)",
    ))
    .expect("the pattern of plain browsers is valid")
});

fn plain(user_agent: &str) -> Option<(&'static str, String)> {
    let found = PLAIN.captures(user_agent)?;
    let names = [(5, "Firefox"), (4, "Opera"), (3, "Edge"), (2, "Chrome"), (1, "Safari")];
    names.into_iter().find_map(|(group, name)| Some((name, found.get(group)?.as_str().to_owned())))
}

/// The browser and its version. Of an app it is the engine's, since that is what shows the page.
pub(super) fn read(user_agent: &str) -> (Option<String>, Option<String>) {
    if let Some((name, version)) = plain(user_agent) {
        return (Some(name.to_owned()), Some(version));
    }
    let Some(found) = BROWSERS.extract(user_agent) else { return engine(user_agent) };
    let name = name(&found.family);
    let is_app = app(user_agent).is_some() && !BROWSERS_IN_APPS.contains(&name);
    let is_page = user_agent.contains("Mozilla/") || user_agent.contains("WebKit");
    let shows_no_page = APPS_OWN.contains(&name)
        || user_agent.contains(" CFNetwork/") && name != "Safari"
        || name == "Android Browser" && !is_page;
    if is_app || shows_no_page {
        return engine(user_agent);
    }
    if PLATFORMS.contains(&name) {
        let engine = engine(user_agent);
        if engine.0.is_some() {
            return engine;
        }
    }
    let parts = [found.major, found.minor, found.patch, found.patch_minor];
    let parts: Vec<&str> = parts.into_iter().map_while(|part| part.filter(|part| !part.is_empty())).collect();
    let version = (!parts.is_empty()).then(|| parts.join("."));
    (Some(name.to_owned()), version)
}

/// Families of uap-core that are the browser of an agent in which an app is named, too.
const BROWSERS_IN_APPS: &[&str] = &[
    "Chrome",
    "Chromium",
    "Safari",
    "Firefox",
    "Firefox Focus",
    "Edge",
    "Internet Explorer",
    "Opera",
    "Opera Mini",
    "Samsung Internet",
    "Yandex Browser",
    "UC Browser",
    "QQ Browser",
    "MIUI Browser",
    "Huawei Browser",
    "Vivaldi",
    "Brave",
    "DuckDuckGo",
    "Whale",
    "Maxthon",
    "Android Browser",
    "Silk",
    "Puffin",
];

/// Families of uap-core that are a platform: the engine says more, if there is one.
const PLATFORMS: &[&str] = &["HbbTV", "Crosswalk", "NetCast"];

/// Families of uap-core by which apps ask for something, and no page is shown.
const APPS_OWN: &[&str] =
    &["CFNetwork", "Apple Mail", "Mobile Safari UI/WKWebView", "com.apple.WebKit.Networking", "Google", "Dalvik"];

/// The names under which reports show the families of uap-core: a browser's own, whatever it runs on.
fn name(family: &str) -> &str {
    match family {
        "Chrome Mobile" | "Chrome Mobile iOS" | "Chrome Mobile WebView" => "Chrome",
        "Mobile Safari" => "Safari",
        "Firefox Mobile"
        | "Firefox iOS"
        | "Firefox Alpha"
        | "Firefox Beta"
        | "GranParadiso"
        | "Firefox (Shiretoko)"
        | "Firefox (Minefield)"
        | "Firefox (Namoroka)" => "Firefox",
        "Firefox (Focus)" => "Firefox Focus",
        "Edge Mobile" => "Edge",
        "IE" | "IE Mobile" | "IE Large Screen" => "Internet Explorer",
        "Opera Mobile" | "Opera Tablet" => "Opera",
        "DuckDuckGo Mobile" => "DuckDuckGo",
        "MiuiBrowser" => "MIUI Browser",
        "QQ Browser Mobile" | "QQ Browser Mini" => "QQ Browser",
        "Amazon Silk" => "Silk",
        "PaleMoon" | "Pale Moon (Firefox Variant)" => "Pale Moon",
        "BlackBerry WebKit" => "BlackBerry",
        "Android" => "Android Browser",
        "WebKit Nightly" | "Mobile Safari/WKWebView" => "Safari",
        _ => family,
    }
}

fn engine(user_agent: &str) -> (Option<String>, Option<String>) {
    let (name, version) = if let Some(version) = super::system::version_after(user_agent, "OPR/") {
        ("Opera", Some(version))
    } else if user_agent.starts_with("Opera/") {
        ("Opera", super::system::version_after(user_agent, "Version/"))
    } else if let Some(version) = super::system::version_after(user_agent, "Chrome/") {
        ("Chrome", Some(version))
    } else if user_agent.contains("AppleWebKit/")
        && (user_agent.contains("like Mac OS X") || user_agent.contains("Macintosh"))
    {
        ("Safari", super::system::version_after(user_agent, "Version/"))
    } else if user_agent.contains("Android") && user_agent.contains("AppleWebKit/") {
        ("Android Browser", super::system::version_after(user_agent, "Version/"))
    } else {
        return (None, None);
    };
    (Some(name.to_owned()), version)
}
