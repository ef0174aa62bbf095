//! Channels: how a visit came, in the default channel grouping of Google Analytics 4.
//!
//! The rules are those of <https://support.google.com/analytics/answer/9756891>, in the same order. They look at
//! source and medium. The campaign names these, else a click id does, else a parameter such as `ref`, else the referrer.

mod click;
mod source;

use lake::Event;

use self::source::Category;

/// Fills `event.channel`, unless the sender did. A page that was reached from the same host has no channel: only the
/// first page of the visit has. Nor has an event without a page.
pub(crate) fn fill(event: &mut Event) {
    if event.channel.is_some() || (event.url.is_none() && event.utm_source.is_none() && event.utm_medium.is_none()) {
        return;
    }
    let clicked = event.query.as_deref().and_then(click::source_and_medium);
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
        let mut named =
            click::named_sources(event.query.as_deref().unwrap_or_default()).map(|named| named.to_lowercase());
        // `?source=menu` says nothing of where a visit came from, and is left to the referrer.
        let named = named.find(|named| source::category(named).is_some() || (is_host(named) && referrer.is_none()));
        source = named.unwrap_or_else(|| referrer.unwrap_or("(direct)").to_lowercase());
        medium = match &*source {
            "(direct)" => "(none)".into(),
            source if source::category(source) == Some(Category::Search) => "organic".into(),
            _ => "referral".into(),
        };
    }
    event.channel = Some(channel(&source, &medium, &lower(&event.utm_campaign)).to_owned());
}

/// The channel of a page that was reached from `referrer`; none within a site.
pub fn channel_of(url: &str, referrer: Option<&str>) -> Option<String> {
    let mut event = Event { url: Some(url.into()), referrer: referrer.map(str::to_owned), ..Event::default() };
    crate::address::fill(&mut event);
    fill(&mut event);
    event.channel
}

fn channel(source: &str, medium: &str, campaign: &str) -> &'static str {
    let paid = medium.contains("cp") || matches!(medium, "ppc" | "retargeting") || medium.starts_with("paid");
    let category = source::category(source);
    let is = |wanted: Category| category == Some(wanted);
    let shop = is(Category::Shopping) || campaign_is_shopping(campaign);
    let names_email = |text: &str| matches!(text, "email" | "e-mail" | "e_mail" | "e mail");
    if source == "(direct)" && matches!(medium, "(none)" | "(not set)") {
        "Direct"
    } else if campaign.contains("cross-network") {
        "Cross-network"
    } else if paid && shop {
        "Paid Shopping"
    } else if paid && is(Category::Search) {
        "Paid Search"
    } else if paid && is(Category::Social) {
        "Paid Social"
    } else if paid && is(Category::Video) {
        "Paid Video"
    } else if matches!(medium, "display" | "banner" | "expandable" | "interstitial" | "cpm") {
        "Display"
    } else if paid {
        "Paid Other"
    } else if is(Category::Ai) || matches!(medium, "ai-assistant" | "ai assistant" | "ai_assistant") {
        "AI Assistant"
    } else if shop {
        "Organic Shopping"
    } else if is(Category::Social)
        || matches!(medium, "social" | "social-network" | "social-media" | "sm" | "social network" | "social media")
    {
        "Organic Social"
    } else if is(Category::Video) || medium.contains("video") {
        "Organic Video"
    } else if is(Category::Search) || medium == "organic" {
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

fn is_host(text: &str) -> bool {
    text.contains('.') && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

/// GA4's `^(.*(([^a-df-z]|^)shop|shopping).*)$`: "shop" at the beginning, after an "e", or after anything but a letter.
fn campaign_is_shopping(campaign: &str) -> bool {
    campaign.contains("shopping")
        || campaign.match_indices("shop").any(|(at, _)| {
            let before = campaign[..at].chars().next_back();
            before.is_none_or(|before| before == 'e' || !before.is_ascii_lowercase())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        check("https://a.example/?utm_source=partner&utm_medium=banner", None, "Display");
        check("https://a.example/?utm_source=partner&utm_medium=ppc", None, "Paid Other");
        check("https://a.example/?utm_source=partner&utm_campaign=workshop", None, "Unassigned");
        check("https://a.example/?utm_source=partner&utm_campaign=eshop", None, "Organic Shopping");
        check("https://a.example/?utm_source=news&utm_medium=email", google, "Email");
        check("https://a.example/?utm_source=partner&utm_medium=affiliate", None, "Affiliates");
        check("https://a.example/?utm_source=sms", None, "SMS");
        check("https://a.example/?utm_source=app&utm_medium=web_push", None, "Mobile Push Notifications");
        check("https://a.example/?utm_campaign=a-cross-network-b", None, "Cross-network");
        check("https://a.example/?utm_source=partner&utm_medium=audio", None, "Audio");
        check("https://a.example/?utm_source=partner&utm_medium=nonsense", None, "Unassigned");
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
    fn click_ids_of_mail_tools_and_networks_stand_for_a_campaign_too() {
        for (parameter, expected) in [
            ("gad_source=1", "Paid Search"),
            ("gbraid=x", "Paid Search"),
            ("yclid=x", "Paid Search"),
            ("ysclid=x", "Organic Search"),
            ("srsltid=x", "Organic Shopping"),
            ("rdt_cid=x", "Paid Social"),
            ("ScCid=x", "Paid Social"),
            ("epik=x", "Organic Social"),
            ("igshid=x", "Organic Social"),
            ("tblci=x", "Paid Other"),
            ("mc_cid=x&mc_eid=y", "Email"),
            ("_hsenc=x", "Email"),
            ("mkt_tok=x", "Email"),
            ("_kx=x", "Email"),
            ("cjevent=x", "Affiliates"),
            ("fbclid=x&gclid=y", "Paid Search"),
        ] {
            check(&format!("https://a.example/?{parameter}"), None, expected);
        }
    }

    #[test]
    fn assistants_come_before_search() {
        for host in [
            "chatgpt.com",
            "chat.openai.com",
            "www.perplexity.ai",
            "claude.ai",
            "gemini.google.com",
            "copilot.microsoft.com",
            "chat.deepseek.com",
            "grok.com",
            "chat.mistral.ai",
            "duck.ai",
        ] {
            check("https://a.example/", Some(&format!("https://{host}/")), "AI Assistant");
        }
        check("https://a.example/?utm_source=chatgpt.com", None, "AI Assistant");
        check("https://a.example/?utm_source=perplexity", None, "AI Assistant");
        check("https://a.example/?utm_source=partner&utm_medium=ai-assistant", None, "AI Assistant");
        check("https://a.example/?utm_source=chatgpt.com&utm_medium=cpc", None, "Paid Other");
        check("https://a.example/", Some("android-app://com.openai.chatgpt/"), "AI Assistant");
    }

    #[test]
    fn apps_and_short_hosts_are_those_of_their_sites() {
        for (referrer, expected) in [
            ("https://www.threads.com/", "Organic Social"),
            ("https://pin.it/x", "Organic Social"),
            ("https://redd.it/x", "Organic Social"),
            ("https://www.msn.com/", "Organic Search"),
            ("https://ya.ru/", "Organic Search"),
            ("https://search.brave.com/", "Organic Search"),
            ("android-app://com.google.android.googlequicksearchbox/", "Organic Search"),
            ("android-app://com.reddit.frontpage/", "Organic Social"),
            ("android-app://com.google.android.youtube/", "Organic Video"),
            ("https://youtu.be/x", "Organic Video"),
            ("https://support.google.com/", "Referral"),
            ("https://aws.amazon.com/", "Referral"),
            ("https://ask.fm/", "Organic Social"),
            ("https://github.com/", "Referral"),
        ] {
            check("https://a.example/", Some(referrer), expected);
        }
    }

    #[test]
    fn an_address_may_name_its_source_without_a_campaign() {
        check("https://a.example/?ref=producthunt", None, "Organic Social");
        check("https://a.example/?ref=blog.example", None, "Referral");
        check("https://a.example/?source=google", None, "Organic Search");
        check("https://a.example/?source=menu", None, "Direct");
        check("https://a.example/?ref=menu", Some("https://www.google.com/"), "Organic Search");
        check("https://a.example/?ref=menu&utm_source=sms", None, "SMS");
    }

    #[test]
    fn within_a_site_there_is_no_channel() {
        check("https://a.example/b", Some("https://a.example/a"), "-");
        check("https://a.example/b", Some("https://www.a.example/a"), "-");
        check("https://a.example/b?utm_source=partner&utm_medium=email", Some("https://a.example/a"), "Email");
        let mut event = Event::default();
        fill(&mut event);
        assert_eq!(event.channel, None);
    }

    #[track_caller]
    fn check(url: &str, referrer: Option<&str>, expected: &str) {
        assert_eq!(channel_of(url, referrer).as_deref().unwrap_or("-"), expected, "{url} from {referrer:?}");
    }
}
