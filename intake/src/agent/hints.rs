//! Client hints: what Chromium browsers say in headers because their user agents no longer do.

use http::HeaderMap;
use lake::Event;

use super::robot::BotKind;

/// The client hints of a request, `Sec-CH-UA` and its like. Empty where the browser sent none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    brand: Option<String>,
    brand_version: Option<String>,
    platform: Option<String>,
    platform_version: Option<String>,
    is_mobile: bool,
    form_factor: Option<&'static str>,
}

/// No browser's hint is longer: a list has three or four brands.
const HEADER_BYTES_MAX: usize = 512;

/// `142.0.7444.176` has fourteen.
const VERSION_CHARS_MAX: usize = 32;

impl Hints {
    /// Reads the hints among the headers of a request; none if it has none.
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        // Each event of a request gets a copy of them.
        let header = |name: &str| {
            let value =
                headers.get(name).map(|value| value.as_bytes()).filter(|value| value.len() <= HEADER_BYTES_MAX)?;
            std::str::from_utf8(value).ok()
        };
        let text = |name: &str| header(name).map(unquoted).filter(|text| !text.is_empty()).map(str::to_owned);
        let brands = header("sec-ch-ua-full-version-list").or_else(|| header("sec-ch-ua"));
        let (platform, is_mobile) = (text("sec-ch-ua-platform"), header("sec-ch-ua-mobile"));
        if brands.is_none() && platform.is_none() && is_mobile.is_none() {
            return None;
        }
        let (brand, brand_version) = brands.and_then(brand).unzip();
        Some(Self {
            brand,
            brand_version,
            platform,
            platform_version: text("sec-ch-ua-platform-version").filter(|version| version.len() <= VERSION_CHARS_MAX),
            is_mobile: is_mobile == Some("?1"),
            form_factor: header("sec-ch-ua-form-factors").and_then(form_factor),
        })
    }

    /// The kind of robot whose brand this is.
    pub(super) fn bot_kind(&self) -> Option<BotKind> {
        self.brand.as_deref().filter(|brand| brand.contains("Headless")).map(|_| BotKind::Automation)
    }

    /// Sets right what the user agent keeps back.
    pub(super) fn fill(&self, event: &mut Event) {
        if let Some(name) = self.brand.as_deref().and_then(browser) {
            // Chrome's brand is also that of browsers built on it, which their user agents name.
            let is_news = name != "Chrome" || matches!(event.browser.as_deref(), None | Some("Chromium"));
            if event.browser.as_deref() != Some(name) && is_news {
                event.browser = Some(name.to_owned());
                event.browser_version.clone_from(&self.brand_version);
            } else if event.browser.as_deref() == Some(name)
                && let Some(version) = self.brand_version.as_deref().filter(|version| version.contains('.'))
            {
                event.browser_version = Some(version.to_owned());
            }
        }
        if let Some(system) = self.platform.as_deref().and_then(system) {
            if event.os.as_deref() != Some(system) {
                event.os = Some(system.to_owned());
                event.os_version = None;
            }
            if let Some(version) = &self.platform_version {
                event.os_version = match system {
                    "Windows" => windows(version).map(str::to_owned).or(event.os_version.take()),
                    _ => Some(without_zeros(version).to_owned()),
                };
            }
        }
        if let Some(device) = self.form_factor {
            event.device = Some(device.into());
        } else if self.is_mobile && event.device.as_deref() == Some("desktop") {
            event.device = Some("mobile".into());
        }
    }
}

/// The brand that says most, and its version: `"Chromium";v="142", "Brave";v="142", "Not_A Brand";v="99"`.
fn brand(list: &str) -> Option<(String, String)> {
    let brands = list.split("\",").filter_map(|item| {
        let (name, version) = item.split_once(";v=")?;
        let version = unquoted(version);
        (version.len() <= VERSION_CHARS_MAX).then(|| (unquoted(name), version))
    });
    // Browsers add a brand that is none, spelt differently each time, so that nobody relies on the list.
    let is_brand = |name: &str| !(name.contains("Not") && name.contains("Brand"));
    let rank = |name: &str| match name {
        "Chromium" => 0,
        "Google Chrome" | "Android WebView" => 1,
        _ => 2,
    };
    let (name, version) = brands.filter(|(name, _)| is_brand(name)).max_by_key(|(name, _)| rank(name))?;
    Some((name.to_owned(), version.to_owned()))
}

/// A browser by its brand; none of one that only shows the pages of others.
fn browser(brand: &str) -> Option<&str> {
    match brand {
        "Google Chrome" => Some("Chrome"),
        "Microsoft Edge" | "Microsoft Edge WebView2" => Some("Edge"),
        "Opera GX" | "Opera Mobile" => Some("Opera"),
        "YaBrowser" | "Yandex" => Some("Yandex Browser"),
        "Samsung Internet" | "Brave" | "Opera" | "Vivaldi" | "DuckDuckGo" | "Whale" => Some(brand),
        // Names of apps that are not known to be browsers would fill the column with one value each.
        _ => None,
    }
}

fn system(platform: &str) -> Option<&str> {
    match platform {
        "Windows" | "macOS" | "Linux" | "Android" | "iOS" | "Fuchsia" => Some(platform),
        "Chrome OS" | "Chromium OS" => Some("Chrome OS"),
        _ => None,
    }
}

/// The version by which people call a Windows, by that of its API contract. Those before 10 have none, and browsers
/// number them from 0.1.
fn windows(version: &str) -> Option<&'static str> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    match (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) {
        (0, 1) => Some("7"),
        (0, 2) => Some("8"),
        (0, 3) => Some("8.1"),
        (0, _) => None,
        (1..=12, _) => Some("10"),
        _ => Some("11"),
    }
}

/// Hints write `14.0.0` where user agents write `14`.
fn without_zeros(version: &str) -> &str {
    let mut version = version;
    while let Some(shorter) = version.strip_suffix(".0") {
        version = shorter;
    }
    version
}

fn form_factor(list: &str) -> Option<&'static str> {
    list.split(',').find_map(|item| match unquoted(item) {
        "Desktop" => Some("desktop"),
        "Mobile" => Some("mobile"),
        "Tablet" => Some("tablet"),
        "Watch" | "XR" => Some("wearable"),
        "Automotive" => Some("car"),
        _ => None,
    })
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches('"')
}
