//! Click ids: what advertisers, networks and mail tools add to addresses.

use std::borrow::Cow;

use url::form_urlencoded;

/// Source and medium by the parameters of an address; the first that is known counts, and a paid one before others.
pub(super) fn source_and_medium(query: &str) -> Option<(&'static str, &'static str)> {
    let found = form_urlencoded::parse(query.as_bytes()).filter_map(|(name, _)| of_parameter(&name));
    found.reduce(|first, next| if is_paid(first.1) || !is_paid(next.1) { first } else { next })
}

fn is_paid(medium: &str) -> bool {
    matches!(medium, "cpc" | "cpm")
}

fn of_parameter(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match &*name.to_ascii_lowercase() {
        "gclid" | "gbraid" | "wbraid" | "gad_source" | "gad_campaignid" | "gclsrc" => ("google", "cpc"),
        "dclid" => ("dfa", "cpm"),
        // Free listings of Google's shopping results.
        "srsltid" => ("google shopping", "organic"),
        "msclkid" => ("bing", "cpc"),
        "yclid" | "ymclid" => ("yandex", "cpc"),
        "ysclid" => ("yandex", "organic"),
        "ttclid" => ("tiktok", "cpc"),
        "twclid" => ("twitter", "cpc"),
        "li_fat_id" => ("linkedin", "cpc"),
        "rdt_cid" => ("reddit", "cpc"),
        "sccid" | "sc_click_id" => ("snapchat", "cpc"),
        "qclid" => ("quora", "cpc"),
        "tblci" | "tbclickid" => ("taboola", "cpc"),
        "dicbo" | "obclid" => ("outbrain", "cpc"),
        "vmcid" => ("yahoo", "cpc"),
        // These networks add theirs to every link, paid or not.
        "fbclid" => ("facebook", "social"),
        "igshid" | "igsh" => ("instagram", "social"),
        "epik" => ("pinterest", "social"),
        "irclickid" | "cjevent" | "awc" | "ransiteid" | "sscid" => ("affiliate", "affiliate"),
        "mc_cid" | "mc_eid" => ("mailchimp", "email"),
        "_hsenc" | "_hsmi" => ("hubspot", "email"),
        "mkt_tok" => ("marketo", "email"),
        "_kx" | "_ke" => ("klaviyo", "email"),
        "ck_subscriber_id" => ("kit", "email"),
        "ml_subscriber" | "ml_subscriber_hash" => ("mailerlite", "email"),
        "vero_id" | "vero_conv" => ("getvero", "email"),
        "oly_anon_id" | "oly_enc_id" => ("omeda", "email"),
        "sfmc_sub" | "sfmc_id" => ("salesforce", "email"),
        "elqtrackid" | "elqtrack" => ("eloqua", "email"),
        "dm_i" => ("dotdigital", "email"),
        "bsft_clkid" | "bsft_eid" => ("blueshift", "email"),
        "inf_contact_key" => ("keap", "email"),
        "_bta_tid" | "_bta_c" => ("bronto", "email"),
        "vgo_ee" => ("activecampaign", "email"),
        "ss_email_id" => ("squarespace", "email"),
        "wickedid" => ("wickedreports", "email"),
        _ => return None,
    })
}

/// The sources that an address names without a campaign: `?ref=producthunt`, `?source=newsletter.example`.
pub(super) fn named_sources(query: &str) -> impl Iterator<Item = Cow<'_, str>> {
    // Most addresses have none: look once before decoding every parameter.
    let query = if query.contains("ref=") || query.contains("source=") { query } else { "" };
    form_urlencoded::parse(query.as_bytes())
        .filter(|(name, value)| matches!(&**name, "ref" | "source") && !value.is_empty())
        .map(|(_, value)| value)
}
