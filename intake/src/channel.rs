//! Channels: how a visit came, in the default channel grouping of Google Analytics 4.
//!
//! The rules are those of <https://support.google.com/analytics/answer/9756891>, in the same order. They look at
//! source and medium. The campaign names these, else a click id does, else the referrer. The lists of sites are
//! shorter than Google's, which has several hundred entries.

use std::collections::HashMap;
use std::sync::LazyLock;

use lake::Event;
use url::form_urlencoded;

/// Fills `event.channel`, unless the sender did. A page that was reached from the same host has no channel: only the
/// first page of the visit has. Nor has an event without a page.
pub(crate) fn fill(event: &mut Event) {
    if event.channel.is_some() || (event.url.is_none() && event.utm_source.is_none() && event.utm_medium.is_none()) {
        return;
    }
    let clicked = event.query.as_deref().and_then(clicked_ad);
    let campaign = event.utm_source.is_some() || event.utm_medium.is_some() || event.utm_campaign.is_some();
    let site = |host: &Option<String>| host.as_deref().map(|host| host.trim_start_matches("www.").to_owned());
    let is_internal = event.referrer_host.is_some() && site(&event.referrer_host) == site(&event.hostname);
    if is_internal && !campaign && clicked.is_none() {
        return;
    }
    let referrer = event.referrer_host.as_deref().filter(|_| !is_internal);
    let lower = |text: &Option<String>| text.as_deref().unwrap_or_default().to_lowercase();
    let (mut source, mut medium) = (lower(&event.utm_source), lower(&event.utm_medium));
    if let (Some((ad_source, ad_medium)), true) = (clicked, source.is_empty() && medium.is_empty()) {
        (source, medium) = (ad_source.to_owned(), ad_medium.to_owned());
    }
    if source.is_empty() && medium.is_empty() && event.utm_campaign.is_none() {
        source = referrer.unwrap_or("(direct)").to_lowercase();
        medium = match referrer {
            None => "(none)".into(),
            Some(_) if sites_of(&source).search => "organic".into(),
            Some(_) => "referral".into(),
        };
    }
    event.channel = Some(channel(&source, &medium, &lower(&event.utm_campaign)).to_owned());
}

/// Source and medium by the click ids that advertisers add to addresses.
fn clicked_ad(query: &str) -> Option<(&'static str, &'static str)> {
    // Most addresses carry none: look once before decoding every parameter.
    if !(query.contains("clid") || query.contains("clkid") || query.contains("braid") || query.contains("li_fat_id")) {
        return None;
    }
    form_urlencoded::parse(query.as_bytes()).find_map(|(name, _)| match &*name {
        "gclid" | "gbraid" | "wbraid" => Some(("google", "cpc")),
        "dclid" => Some(("dfa", "cpm")),
        "msclkid" => Some(("bing", "cpc")),
        "ttclid" => Some(("tiktok", "cpc")),
        "twclid" => Some(("twitter", "cpc")),
        "li_fat_id" => Some(("linkedin", "cpc")),
        // Facebook adds it to every link, paid or not.
        "fbclid" => Some(("facebook", "social")),
        _ => None,
    })
}

fn channel(source: &str, medium: &str, campaign: &str) -> &'static str {
    let paid = medium.contains("cp") || matches!(medium, "ppc" | "retargeting") || medium.starts_with("paid");
    let site = sites_of(source);
    let shop = site.shopping || campaign_is_shopping(campaign);
    let names_email = |text: &str| matches!(text, "email" | "e-mail" | "e_mail" | "e mail");
    if source == "(direct)" && matches!(medium, "(none)" | "(not set)") {
        "Direct"
    } else if campaign.contains("cross-network") {
        "Cross-network"
    } else if paid && shop {
        "Paid Shopping"
    } else if paid && site.search {
        "Paid Search"
    } else if paid && site.social {
        "Paid Social"
    } else if paid && site.video {
        "Paid Video"
    } else if matches!(medium, "display" | "banner" | "expandable" | "interstitial" | "cpm") {
        "Display"
    } else if paid {
        "Paid Other"
    } else if shop {
        "Organic Shopping"
    } else if site.social
        || matches!(medium, "social" | "social-network" | "social-media" | "sm" | "social network" | "social media")
    {
        "Organic Social"
    } else if site.video || medium.contains("video") {
        "Organic Video"
    } else if site.search || medium == "organic" {
        "Organic Search"
    } else if matches!(medium, "referral" | "app" | "link") {
        "Referral"
    } else if names_email(source) || names_email(medium) {
        "Email"
    } else if medium == "affiliate" {
        "Affiliates"
    } else if medium == "audio" {
        "Audio"
    } else if source == "sms" || medium == "sms" {
        "SMS"
    } else if medium.ends_with("push")
        || medium.contains("mobile")
        || medium.contains("notification")
        || source == "firebase"
    {
        "Mobile Push Notifications"
    } else {
        "Unassigned"
    }
}

/// GA4's `^(.*(([^a-df-z]|^)shop|shopping).*)$`: "shop" at the beginning, after an "e", or after anything but a letter.
fn campaign_is_shopping(campaign: &str) -> bool {
    campaign.contains("shopping")
        || campaign.match_indices("shop").any(|(at, _)| {
            let before = campaign[..at].chars().next_back();
            before.is_none_or(|before| before == 'e' || !before.is_ascii_lowercase())
        })
}

/// Which lists a source is in.
#[derive(Clone, Copy, Default)]
struct Sites {
    search: bool,
    social: bool,
    video: bool,
    shopping: bool,
}

/// The lists that a source is in: as a name (`google`), or as a host (`www.google.co.uk`).
fn sites_of(source: &str) -> Sites {
    // Links on pages of these hosts come from people's mails and documents, not from search results or posts.
    const NOT_THE_SITE: [&str; 7] =
        ["mail.", "docs.", "drive.", "calendar.", "accounts.", "sites.", "com.google.android.gm"];
    if NOT_THE_SITE.iter().any(|beginning| source.starts_with(beginning)) {
        return Sites::default();
    }
    if let Some(sites) = LISTED.get(source) {
        return *sites;
    }
    // The domains above the host (`t.co`), then the name that was registered: `news.google.co.uk` is Google's, and
    // `ask.metafilter.com` is not Ask's.
    let mut domains =
        source.match_indices('.').map(|(dot, _)| &source[dot + 1..]).filter(|domain| domain.contains('.'));
    domains
        .find_map(|domain| LISTED.get(domain))
        .or_else(|| LISTED.get(registered_name(source)?))
        .copied()
        .unwrap_or_default()
}

/// The label before the public suffix, near enough without the list of all of them: `google` of `www.google.co.uk`.
fn registered_name(host: &str) -> Option<&str> {
    let mut labels = host.rsplit('.');
    let (last, second) = (labels.next()?, labels.next()?);
    let is_suffix =
        last.len() == 2 && matches!(second, "co" | "com" | "net" | "org" | "ac" | "gov" | "edu" | "or" | "ne");
    if is_suffix { labels.next() } else { Some(second) }
}

static LISTED: LazyLock<HashMap<&str, Sites>> = LazyLock::new(|| {
    let mut listed: HashMap<&str, Sites> = HashMap::new();
    let mut add = |list: &'static [&'static str], mark: fn(&mut Sites)| {
        list.iter().for_each(|name| mark(listed.entry(name).or_default()));
    };
    add(SEARCH, |sites| sites.search = true);
    add(SOCIAL, |sites| sites.social = true);
    add(VIDEO, |sites| sites.video = true);
    add(SHOPPING, |sites| sites.shopping = true);
    listed
});

const SEARCH: &[&str] = &[
    "360.cn",
    "ask",
    "baidu",
    "bing",
    "brave.com",
    "cn.bing",
    "daum",
    "duckduckgo",
    "ecosia.org",
    "google",
    "kagi.com",
    "lycos",
    "mojeek",
    "naver",
    "presearch",
    "qwant",
    "rambler",
    "seznam",
    "sogou",
    "so.com",
    "startpage",
    "swisscows",
    "yahoo",
    "yandex",
    "you.com",
];

const SOCIAL: &[&str] = &[
    "bsky.app",
    "discord",
    "facebook",
    "fb",
    "flickr",
    "ig",
    "instagram",
    "linkedin",
    "lnkd.in",
    "l.facebook.com",
    "mastodon.social",
    "medium.com",
    "meetup",
    "messenger.com",
    "news.ycombinator.com",
    "ok.ru",
    "pinterest",
    "quora",
    "reddit",
    "slack",
    "snapchat",
    "stackoverflow",
    "t.co",
    "t.me",
    "telegram",
    "threads.net",
    "tiktok",
    "tumblr",
    "twitter",
    "vk.com",
    "wechat",
    "weibo",
    "whatsapp",
    "x.com",
    "xing",
];

const VIDEO: &[&str] = &[
    "bilibili",
    "crackle",
    "curiositystream",
    "dailymotion",
    "disneyplus",
    "hulu",
    "iqiyi",
    "netflix",
    "ted.com",
    "twitch",
    "vimeo",
    "wistia",
    "youku",
    "youtu.be",
    "youtube",
];

const SHOPPING: &[&str] = &[
    "alibaba",
    "aliexpress",
    "amazon",
    "ebay",
    "etsy",
    "idealo",
    "igshopping",
    "mercadolibre",
    "rakuten",
    "shop.app",
    "shopify",
    "shopping.google.com",
    "shopzilla",
    "stripe.com",
    "temu",
    "walmart",
    "zalando",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address;

    #[test]
    fn without_a_campaign_the_referrer_tells() {
        check("https://shop.example/", None, "Direct");
        check("https://shop.example/", Some("https://www.google.co.uk/"), "Organic Search");
        check("https://shop.example/", Some("https://duckduckgo.com/"), "Organic Search");
        check("https://shop.example/", Some("https://t.co/x"), "Organic Social");
        check("https://shop.example/", Some("https://m.youtube.com/"), "Organic Video");
        check("https://shop.example/", Some("https://www.amazon.de/"), "Organic Shopping");
        check("https://shop.example/", Some("https://blog.example/"), "Referral");
        check("https://shop.example/", Some("https://mail.google.com/"), "Referral");
        check("https://shop.example/", Some("https://example.google/"), "Referral");
        check("https://shop.example/", Some("https://ask.metafilter.com/"), "Referral");
        check("https://shop.example/", Some("https://ig.ft.com/"), "Referral");
        check("https://shop.example/", Some("android-app://com.google.android.gm/"), "Referral");
        check("https://shop.example/", Some("https://l.facebook.com/"), "Organic Social");
    }

    #[test]
    fn a_campaign_comes_before_the_referrer() {
        let google = Some("https://www.google.com/");
        check("https://a.example/?utm_source=google&utm_medium=cpc", google, "Paid Search");
        check("https://a.example/?utm_source=Google&utm_medium=CPC&utm_campaign=shoes-shop", google, "Paid Shopping");
        check("https://a.example/?utm_source=instagram&utm_medium=paid_social", None, "Paid Social");
        check("https://a.example/?utm_source=youtube&utm_medium=cpv", None, "Paid Video");
        check("https://a.example/?utm_source=x&utm_medium=banner", None, "Display");
        check("https://a.example/?utm_source=x&utm_medium=ppc", None, "Paid Other");
        check("https://a.example/?utm_source=x&utm_campaign=workshop", None, "Unassigned");
        check("https://a.example/?utm_source=x&utm_campaign=eshop", None, "Organic Shopping");
        check("https://a.example/?utm_source=news&utm_medium=email", google, "Email");
        check("https://a.example/?utm_source=partner&utm_medium=affiliate", None, "Affiliates");
        check("https://a.example/?utm_source=sms", None, "SMS");
        check("https://a.example/?utm_source=app&utm_medium=web_push", None, "Mobile Push Notifications");
        check("https://a.example/?utm_campaign=a-cross-network-b", None, "Cross-network");
        check("https://a.example/?utm_source=x&utm_medium=audio", None, "Audio");
        check("https://a.example/?utm_source=x&utm_medium=nonsense", None, "Unassigned");
    }

    #[test]
    fn click_ids_stand_for_a_campaign() {
        check("https://a.example/?gclid=x", Some("https://www.google.com/"), "Paid Search");
        check("https://a.example/?msclkid=x", None, "Paid Search");
        check("https://a.example/?ttclid=x", None, "Paid Social");
        check("https://a.example/?fbclid=x", None, "Organic Social");
        check("https://a.example/?dclid=x", None, "Display");
        check("https://a.example/?fbclid=x&utm_source=news", None, "Unassigned");
        check("https://a.example/?gclid=x&utm_source=google&utm_medium=organic", None, "Organic Search");
    }

    #[test]
    fn within_a_site_there_is_no_channel() {
        check("https://a.example/b", Some("https://a.example/a"), "-");
        check("https://a.example/b", Some("https://www.a.example/a"), "-");
        check("https://a.example/b?utm_source=x&utm_medium=email", Some("https://a.example/a"), "Email");
        let mut event = Event::default();
        fill(&mut event);
        assert_eq!(event.channel, None);
    }

    #[track_caller]
    fn check(url: &str, referrer: Option<&str>, expected: &str) {
        let mut event = Event { url: Some(url.into()), referrer: referrer.map(str::to_owned), ..Event::default() };
        address::fill(&mut event);
        fill(&mut event);
        assert_eq!(event.channel.as_deref().unwrap_or("-"), expected, "{url} from {referrer:?}");
    }
}
