//! Robots: whether a user agent is one, and of what kind.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::bytes::{Regex, RegexBuilder};
use ua_parser::user_agent::{Builder, Extractor, Parser};

/// What a robot does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BotKind {
    /// Fills the index of a search engine.
    Search,
    /// Gathers texts for a language model.
    AiCrawler,
    /// Fetches a page for a person who asks an assistant.
    AiAssistant,
    /// Looks whether a site is up, fast, safe or whole.
    Monitor,
    /// An HTTP library: a script, or a server.
    Library,
    /// A browser that a program drives.
    Automation,
    /// Makes the preview of a link.
    Preview,
    /// Reads feeds.
    Feed,
    /// Anything else, such as tools for search engine optimisation, scanners and archives.
    Other,
}

impl BotKind {
    /// The value of the column `bot_kind`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::AiCrawler => "ai-crawler",
            Self::AiAssistant => "ai-assistant",
            Self::Monitor => "monitor",
            Self::Library => "library",
            Self::Automation => "automation",
            Self::Preview => "preview",
            Self::Feed => "feed",
            Self::Other => "other",
        }
    }

    fn named(name: &str) -> Option<Self> {
        let kinds = [
            Self::Search,
            Self::AiCrawler,
            Self::AiAssistant,
            Self::Monitor,
            Self::Library,
            Self::Automation,
            Self::Preview,
            Self::Feed,
            Self::Other,
        ];
        kinds.into_iter().find(|kind| kind.name() == name)
    }
}

/// A table of names: a matcher, and of each its kind and whether it counts at the beginning alone.
struct Names {
    names: AhoCorasick,
    kinds: Vec<BotKind>,
    only_first: Vec<bool>,
}

impl Names {
    fn new(lines: impl Iterator<Item = (BotKind, String)>, in_any_case: bool) -> Self {
        let (kinds, names): (Vec<_>, Vec<String>) = lines.unzip();
        // Networks have an app and a robot of one name. The robot's agent begins with it.
        let only_first = names.iter().map(|name| name.starts_with('^')).collect();
        let names = names.iter().map(|name| name.trim_start_matches('^'));
        let names = AhoCorasick::builder().ascii_case_insensitive(in_any_case).build(names);
        Self { names: names.expect("the names of robots fit into one matcher"), kinds, only_first }
    }

    /// The kind of the first name in the table that stands in the text as a word of its own: `Lua` is not in `Luakit`.
    /// Names of libraries come last, because robots say what they are made with.
    fn kind_in(&self, text: &str, may_be_library: bool) -> Option<BotKind> {
        let bytes = text.as_bytes();
        let is_letter = |at: Option<&u8>| at.is_some_and(u8::is_ascii_alphanumeric);
        let found = self.names.find_overlapping_iter(text).filter(|found| {
            let begins = !is_letter(bytes.get(found.start()))
                || !is_letter(found.start().checked_sub(1).and_then(|at| bytes.get(at)));
            let ends =
                !is_letter(bytes.get(found.end() - 1)) || !bytes.get(found.end()).is_some_and(u8::is_ascii_alphabetic);
            let is_there = !self.only_first[found.pattern()] || found.start() == 0;
            begins && ends && is_there && (may_be_library || self.kinds[found.pattern()] != BotKind::Library)
        });
        found
            .map(|found| found.pattern())
            .min_by_key(|name| (self.kinds[*name] == BotKind::Library, *name))
            .map(|first| self.kinds[first])
    }
}

fn lines(table: &'static str) -> impl Iterator<Item = (BotKind, &'static str)> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (kind, text) = line.split_once('\t').expect("a line of the tables of robots is a kind and a pattern");
        (BotKind::named(kind).expect("the tables of robots have only kinds that there are"), text)
    })
}

/// Our own table, which comes first as it knows kinds that the other does not.
static OURS: LazyLock<Names> = LazyLock::new(|| {
    Names::new(lines(include_str!("../../data/robots-ours.tsv")).map(|(kind, name)| (kind, name.to_owned())), true)
});

/// The robots of crawler-user-agents whose patterns are plain texts, which is most of them.
static LISTED: LazyLock<Names> = LazyLock::new(|| {
    Names::new(
        lines(include_str!("../../data/robots.tsv")).filter_map(|(kind, pattern)| Some((kind, plain(pattern)?))),
        false,
    )
});

/// The other robots of crawler-user-agents.
static PATTERNS: LazyLock<Extractor<'static>> = LazyLock::new(|| {
    let listed = lines(include_str!("../../data/robots.tsv")).filter(|(_, pattern)| plain(pattern).is_none());
    let parsers = listed.map(|(kind, pattern)| Parser {
        regex: pattern.into(),
        family_replacement: Some(kind.name().into()),
        ..Parser::default()
    });
    let robots = Builder::new().push_all(parsers).expect("the patterns of robots are valid");
    robots.build().expect("the patterns of robots fit into one matcher")
});

/// The text that a pattern stands for, if it has nothing but escapes.
fn plain(pattern: &str) -> Option<String> {
    let mut text = String::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => text.push(letters.next().filter(|letter| !letter.is_ascii_alphanumeric())?),
            '^' | '$' | '.' | '|' | '?' | '*' | '+' | '(' | ')' | '[' | ']' | '{' | '}' => return None,
            _ => text.push(letter),
        }
    }
    Some(text)
}

/// What gives away a robot that nobody has listed: words such as "bot" and "crawl".
static WORDS: LazyLock<Regex> = LazyLock::new(|| signs(|sign| !sign.starts_with('^')));

/// The shapes of agents that no browser has.
static SHAPES: LazyLock<Regex> = LazyLock::new(|| signs(|sign| sign.starts_with('^')));

/// What old phones and televisions have in agents that otherwise look like a program's.
static ODD_DEVICES: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let signs = [
        "MIDP",
        "UCBrowser",
        "Opera",
        "opera/",
        "NETTV",
        "HbbTV",
        "MAUI",
        "CE-HTML",
        "SonyEricsson",
        "Nokia",
        "Presto/",
        "QQBrowser",
        "iPhone1",
        "iPhone6",
        "iPhone7",
        "iPhone8",
        "iPhoneX",
        "iPhoneSE",
        "smarttv_",
        "GoogleTV",
        "Mozilla 5.0 (",
        "NetFront",
        "AmigaOS",
        "BeOS",
        "Haiku",
        "Syllable",
        "Polaris",
        "Kindle/",
        "WAP-Browser",
        "Maui_Browser",
        "SEGASATURN",
        "(PlayStation",
        "iPodTouch",
        "nook browser",
        "Embedded Web Browser",
        "Google Earth/",
        // Umami's SDK for servers, which names no visitor.
        "Mozilla/5.0 Umami/",
        "Avant Browser",
        "Apple-iP",
        "(Compatible; Windows NT",
    ];
    AhoCorasick::new(signs).expect("the signs of odd devices fit into one matcher")
});

/// A name with a version, or a bare name: how programs call themselves, and no browser for twenty years.
static PROGRAM: LazyLock<Regex> = LazyLock::new(|| regex(r"^[\w .:()+-]{1,60}(?:/v?[\w.+-]+)?(?:$|[ ;,(])"));

/// Words of unlisted robots that tell their kind.
static KIND_WORDS: &[(&str, BotKind)] = &[
    ("feed", BotKind::Feed),
    ("rss", BotKind::Feed),
    ("podcast", BotKind::Feed),
    ("preview", BotKind::Preview),
    ("monitor", BotKind::Monitor),
    ("uptime", BotKind::Monitor),
    ("pingdom", BotKind::Monitor),
    ("checker", BotKind::Monitor),
    ("headless", BotKind::Automation),
    ("selenium", BotKind::Automation),
    ("webdriver", BotKind::Automation),
    ("search", BotKind::Search),
    ("powershell", BotKind::Library),
    ("jsoup", BotKind::Library),
];

/// Whether a mail service or a mail program loads the pictures of a mail that somebody opened, as Apple's does under the
/// bare name of Mozilla. To a site these are HTTP libraries: what they ask for may name the person, and is then theirs.
fn is_mail_image_proxy(user_agent: &str) -> bool {
    user_agent == "Mozilla/5.0"
        || user_agent.contains("GoogleImageProxy")
        || user_agent.starts_with("YahooMailProxy")
        || user_agent.starts_with("Microsoft Office/") && user_agent.contains("Microsoft Outlook")
}

/// The kind of robot that a user agent is; none if it is a person's.
pub(super) fn kind_of(user_agent: &str) -> Option<BotKind> {
    if is_mail_image_proxy(user_agent) {
        return Some(BotKind::Library);
    }
    let is_browser = user_agent.starts_with("Mozilla/");
    let text = without_model(user_agent);
    // Browsers have the names of many things in their agents, and so the names of some libraries.
    let ours = OURS.kind_in(&text, !is_browser);
    if ours.is_some_and(|kind| kind != BotKind::Library) {
        return ours;
    }
    let listed = LISTED.kind_in(&text, true);
    if listed.is_some_and(|kind| kind != BotKind::Library) {
        return listed;
    }
    if let Some(found) = PATTERNS.extract(&text) {
        return BotKind::named(&found.family);
    }
    if let Some(library) = ours.or(listed) {
        return Some(library);
    }
    let has = |signs: &Regex| signs.is_match(text.as_bytes());
    if ODD_DEVICES.is_match(user_agent) {
        return None;
    }
    let is_robot = has(&WORDS);
    if !is_robot && !has(&SHAPES) {
        return None;
    }
    let lower = user_agent.to_ascii_lowercase();
    // Apps that show a page add words of every kind to the agent of its engine.
    let is_app = is_browser && super::browser::app(user_agent).is_some();
    if is_app && !["bot", "crawl", "spider"].iter().any(|word| lower.contains(word)) {
        return None;
    }
    if let Some((_, kind)) = KIND_WORDS.iter().find(|(word, _)| lower.contains(word)) {
        return Some(*kind);
    }
    // Servers have names such as "shop-server", which tell no more than that a program sends.
    let calls_itself_robot = ["bot", "crawl", "spider", "scrap", "http"].iter().any(|word| lower.contains(word));
    let is_program = !is_browser && !calls_itself_robot && has(&PROGRAM);
    Some(if is_program { BotKind::Library } else { BotKind::Other })
}

/// The agent without the model of an Android device. There are models called "M bot 60", "Tornado" and "Discovery II".
fn without_model(user_agent: &str) -> Cow<'_, str> {
    let model = || {
        let begin = user_agent.find('(')? + 1;
        let end = begin + user_agent[begin..].find(") ")?;
        let comment = &user_agent[begin..end];
        if !comment.contains("Android") || comment.contains("compatible") {
            return None;
        }
        // What stands behind the build is no part of the model: robots put their names there.
        let build = comment.find("Build/").and_then(|build| Some(build + comment[build..].find(';')?));
        Some((begin, begin + build.unwrap_or(comment.len())))
    };
    match model() {
        Some((begin, end)) => format!("{}{}", &user_agent[..begin], &user_agent[end..]).into(),
        None => user_agent.into(),
    }
}

fn signs(of: impl Fn(&str) -> bool) -> Regex {
    let signs: Vec<&str> = include_str!("../../data/robot-signs-ours.tsv")
        .lines()
        .chain(include_str!("../../data/robot-signs.tsv").lines())
        .filter(|sign| !sign.is_empty() && !sign.starts_with('#') && of(sign))
        .collect();
    regex(&signs.join("|"))
}

fn regex(pattern: &str) -> Regex {
    let mut regex = RegexBuilder::new(pattern);
    regex.case_insensitive(true).unicode(false).dfa_size_limit(16 << 20);
    regex.build().expect("the signs of robots are valid patterns")
}
