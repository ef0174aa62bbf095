//! User agents: the robot or the browser, its system and its device.

mod browser;
mod device;
mod hints;
mod robot;
mod system;

use std::sync::{Arc, LazyLock};

use lake::Event;
use quick_cache::sync::Cache;

pub use hints::Hints;
pub use robot::BotKind;

/// What a user agent says. Fields are empty where nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// The kind of robot; none for a person's browser. A robot has neither browser nor system.
    pub bot_kind: Option<BotKind>,
    /// The browser, or the engine of the app that shows the page.
    pub browser: Option<String>,
    /// The browser's version.
    pub browser_version: Option<String>,
    /// The app in which the page was shown.
    pub browser_app: Option<String>,
    /// The system, without its version.
    pub os: Option<String>,
    /// The system's version.
    pub os_version: Option<String>,
    /// `desktop`, `mobile`, `tablet`, `tv`, `console`, `wearable`, `car` or `bot`.
    pub device: Option<String>,
    /// Whether the agent is a program's and not a browser's, be it an HTTP library or an app.
    is_program: bool,
}

/// Longer user agents are cut: what tells robots and browsers stands further ahead.
const USER_AGENT_BYTES_MAX: usize = 1_024;

/// The number of user agents to remember. A site sees few different ones.
const REMEMBERED_MAX: usize = 4_096;

/// User agents that were read before. The result depends on the text alone, so all sites may share it.
static REMEMBERED: LazyLock<Cache<Box<str>, Arc<Agent>>> = LazyLock::new(|| Cache::new(REMEMBERED_MAX));

/// Fills the columns that are derived from the user agent.
///
/// - `hints`: the client hints that came with the user agent.
///
/// Servers send events with an HTTP library for visitors whom they name. Such an event is not a robot's.
pub(crate) fn fill(event: &mut Event, user_agent: &str, hints: Option<&Hints>) {
    let agent = remembered(user_agent);
    let bot_kind = agent.bot_kind.or_else(|| hints.and_then(Hints::bot_kind));
    let names_visitor = event.user_id.is_some() || event.anonymous_id.is_some();
    if bot_kind == Some(BotKind::Library) && names_visitor {
        return;
    }
    event.is_bot = bot_kind.is_some();
    event.bot_kind = bot_kind.map(|kind| kind.name().to_owned());
    if event.is_bot {
        event.device = Some("bot".into());
        return;
    }
    event.browser.clone_from(&agent.browser);
    event.browser_version.clone_from(&agent.browser_version);
    event.browser_app.clone_from(&agent.browser_app);
    event.os.clone_from(&agent.os);
    event.os_version.clone_from(&agent.os_version);
    event.device.clone_from(&agent.device);
    if let Some(hints) = hints {
        hints.fill(event);
    }
}

/// Whether a user agent is a program's, with which servers send events, and not a visitor's.
pub(crate) fn is_library(user_agent: &str) -> bool {
    remembered(user_agent).is_program
}

/// Reads a user agent, or finds it among those that were read before.
pub fn remembered(user_agent: &str) -> Arc<Agent> {
    let user_agent = cut(user_agent);
    if let Some(agent) = REMEMBERED.get(user_agent) {
        return agent;
    }
    let agent = Arc::new(read(user_agent));
    REMEMBERED.insert(user_agent.into(), agent.clone());
    agent
}

/// Makes the tables, for which the first agent would otherwise wait for a tenth of a second.
pub fn make_tables() {
    // A browser: it is looked for among the robots, too.
    read("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36");
}

/// Reads a user agent. Robots are looked for first: most of them call themselves a browser, too.
pub fn read(user_agent: &str) -> Agent {
    let user_agent = cut(user_agent).trim();
    if let Some(kind) = robot::kind_of(user_agent) {
        return Agent {
            bot_kind: Some(kind),
            device: Some("bot".into()),
            is_program: kind == BotKind::Library,
            ..Agent::default()
        };
    }
    let (browser, browser_version) = browser::read(user_agent);
    let (os, os_version) = system::read(user_agent);
    let device = device::read(user_agent, os);
    Agent {
        bot_kind: None,
        // Apps of phones name their system, or Apple's library: they are on the visitor's device.
        is_program: browser.is_none()
            && os.is_none()
            && !user_agent.starts_with("Mozilla/")
            && !user_agent.contains(" CFNetwork/"),
        browser_app: browser::app(user_agent).map(str::to_owned),
        browser,
        browser_version,
        os: os.map(str::to_owned),
        os_version,
        device: device.map(str::to_owned),
    }
}

fn cut(user_agent: &str) -> &str {
    &user_agent[..user_agent.floor_char_boundary(USER_AGENT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::{HeaderName, HeaderValue};

    use super::*;

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

    #[test]
    fn browsers_of_today_are_recognised() {
        check(CHROME, "Chrome 142.0.0.0 | Windows 10 | desktop");
        check(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
            "Safari 18.5 | macOS 10.15.7 | desktop",
        );
        check(
            "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
            "Firefox 145.0 | Linux - | desktop",
        );
        check(&format!("{CHROME} Edg/142.0.0.0"), "Edge 142.0.0.0 | Windows 10 | desktop");
        check(&format!("{CHROME} OPR/126.0.0.0"), "Opera 126.0.0.0 | Windows 10 | desktop");
        check(
            "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
            "Chrome 142.0.0.0 | Chrome OS 14541.0.0 | desktop",
        );
        check(
            "Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
            "Samsung Internet 25.0 | Android 14 | mobile",
        );
        check(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) EdgiOS/141.0.3537.99 Version/18.0 Mobile/15E148 Safari/604.1",
            "Edge 141.0.3537.99 | iOS 18.5 | mobile",
        );
    }

    #[test]
    fn a_browser_of_yesterday_is_no_robot() {
        check(
            "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; SLCC2)",
            "Internet Explorer 8.0 | Windows 7 | desktop",
        );
        check("Opera/9.80 (Windows NT 5.1; U; en) Presto/2.10.229 Version/11.62", "Opera 11.62 | Windows XP | desktop");
        check(
            "Mozilla/5.0 (Linux; Android 7.0; M bot 60 Build/NRD90M) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/67.0.3396.87 Mobile Safari/537.36",
            "Chrome 67.0.3396.87 | Android 7.0 | mobile",
        );
        check(
            "Mozilla/5.0 (Linux; Android 4.4.2; Tornado 348 Build/KOT49H) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/48.0.2564.95 Mobile Safari/537.36",
            "Chrome 48.0.2564.95 | Android 4.4.2 | mobile",
        );
        check(
            "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0.4430.82 Mobile Safari/537.36",
            "Chrome 90.0.4430.82 | Android 9 | mobile",
        );
    }

    #[test]
    fn devices_are_told_apart() {
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";
        check(phone, "Safari 18.5 | iOS 18.5 | mobile");
        let android = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0";
        check(&format!("{android} Mobile Safari/537.36"), "Chrome 142.0.0.0 | Android 10 | mobile");
        check(&format!("{android} Safari/537.36"), "Chrome 142.0.0.0 | Android 10 | tablet");
        for (user_agent, device) in [
            (
                "Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1.2 Mobile/15E148 Safari/604.1",
                "tablet",
            ),
            (
                "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) 76.0.3809.146/6.0 TV Safari/537.36",
                "tv",
            ),
            (
                "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0.5359.211 Safari/537.36 WebAppManager",
                "tv",
            ),
            (
                "Mozilla/5.0 (Linux; Android 9; AFTMM Build/PS7285; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/120.0.0.0 Mobile Safari/537.36",
                "tv",
            ),
            ("Roku/DVP-12.0 (12.0.0.4182-55)", "tv"),
            (
                "Mozilla/5.0 (PlayStation; PlayStation 5/8.20) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Safari/605.1.15",
                "console",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox Series X) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 Edge/44.18363.8131",
                "console",
            ),
            (
                "Mozilla/5.0 (Nintendo Switch; WifiWebAuthApplet) AppleWebKit/609.4 (KHTML, like Gecko) NF/6.0.3.16.5 NintendoBrowser/5.1.0.22433",
                "console",
            ),
            (
                "Mozilla/5.0 (Linux; Android 11; SM-R890) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/1.0 Chrome/92.0.4515.166 Mobile Safari/537.36",
                "wearable",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; Quest 3) AppleWebKit/537.36 (KHTML, like Gecko) OculusBrowser/35.0 Chrome/126.0.0.0 VR Safari/537.36",
                "wearable",
            ),
        ] {
            assert_eq!(read(user_agent).device.as_deref(), Some(device), "{user_agent}");
        }
    }

    #[test]
    fn apps_that_show_a_page_are_named_beside_their_engine() {
        let ios = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148";
        let android = "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UQ1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/142.0.0.0 Mobile Safari/537.36";
        for (user_agent, app, browser) in [
            (format!("{ios} [FBAN/FBIOS;FBAV/450.0.0.38;FBBV/1]"), "Facebook", "Safari"),
            (format!("{ios} [FBAN/MessengerForiOS;FBAV/450.0]"), "Messenger", "Safari"),
            (format!("{ios} Instagram 300.0.0.29.110 (iPhone14,3; iOS 18_5; de_DE)"), "Instagram", "Safari"),
            (format!("{ios} Snapchat/12.60.0.42 (like Safari/8615.2.9.0.3, panda)"), "Snapchat", "Safari"),
            (format!("{ios} LinkedInApp/9.29.6258"), "LinkedIn", "Safari"),
            (format!("{ios} MicroMessenger/8.0.44(0x18002c2f) NetType/WIFI Language/zh_CN"), "WeChat", "Safari"),
            (format!("{ios} musical_ly_33.0.0 BytedanceWebview/d8a21c6"), "TikTok", "Safari"),
            (format!("{ios} Barcelona 300.0 (iPhone14,3)"), "Threads", "Safari"),
            (format!("{android} [FB_IAB/FB4A;FBAV/450.0.0.38;]"), "Facebook", "Chrome"),
            (format!("{android} [Pinterest/Android]"), "Pinterest", "Chrome"),
            (format!("{android} Line/13.20.0/IAB"), "Line", "Chrome"),
            (format!("{android};KAKAOTALK 10.4.5"), "KakaoTalk", "Chrome"),
            (format!("{android} GSA/15.0.0"), "Google", "Chrome"),
        ] {
            let agent = read(&user_agent);
            let found = (agent.bot_kind, agent.browser_app.as_deref(), agent.browser.as_deref());
            assert_eq!(found, (None, Some(app), Some(browser)), "{user_agent}");
        }
    }

    #[test]
    fn robots_are_found_behind_the_browser_that_they_claim_to_be() {
        for (user_agent, kind) in [
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "search"),
            (
                "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                "search",
            ),
            (
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/116.0.1938.76 Safari/537.36",
                "search",
            ),
            (
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
                "ai-crawler",
            ),
            (
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)",
                "ai-crawler",
            ),
            (
                "Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 (compatible; Bytespider; spider-feedback@bytedance.com)",
                "ai-crawler",
            ),
            ("meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)", "ai-crawler"),
            (
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; ChatGPT-User/1.0; +https://openai.com/bot",
                "ai-assistant",
            ),
            (
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Perplexity-User/1.0; +https://perplexity.ai/perplexity-user)",
                "ai-assistant",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/142.0.0.0 Safari/537.36",
                "automation",
            ),
            (
                "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1",
                "automation",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Cypress/13.6.0 Chrome/114.0.5735.289 Electron/25.8.4 Safari/537.36",
                "automation",
            ),
            (
                "Mozilla/5.0 (Linux; Android 11; moto g power (2022)) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Mobile Safari/537.36 Chrome-Lighthouse",
                "monitor",
            ),
            ("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "monitor"),
            ("Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)", "monitor"),
            ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "preview"),
            ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "preview"),
            ("WhatsApp/2.23.20.0", "preview"),
            ("Feedly/1.0 (+http://www.feedly.com/fetcher.html; 16 subscribers)", "feed"),
            ("curl/8.5.0", "library"),
            ("python-requests/2.32.3", "library"),
            ("Go-http-client/1.1", "library"),
            ("okhttp/4.12.0", "library"),
            ("axios/1.7.2", "library"),
            ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "other"),
            ("SomeBot/1.0 (+https://bot.example)", "other"),
        ] {
            let agent = read(user_agent);
            assert_eq!(agent.bot_kind.map(BotKind::name), Some(kind), "{user_agent}");
            assert_eq!((agent.browser, agent.device.as_deref()), (None, Some("bot")), "{user_agent}");
        }
    }

    #[test]
    fn a_library_is_a_robot_unless_it_sends_for_a_visitor() {
        for user_agent in [
            "python-requests/2.32.3",
            "axios/1.7.2",
            "GuzzleHttp/7",
            "okhttp/4.12.0",
            "Dart/3.3 (dart:io)",
            // SDKs.
            "analytics-node/2.1.0",
            "analytics-kotlin/1.16.3",
            "posthog-python/3.5.0",
            "posthog-flutter/4.0.0",
            "rudder-sdk-python/2.0",
            "snowplow-java-tracker/1.0",
            "Umami Node",
            // What loads the pictures of a mail: Gmail, Yahoo, Apple's privacy protection, Outlook.
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
            "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
            "Mozilla/5.0",
            "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.12026; Pro)",
            // Servers that give themselves a name.
            "backend",
            "my-backend/2.3",
            "shop-server 1.0",
            "insight-service/7 (audit library)",
        ] {
            let mut event = Event::default();
            fill(&mut event, user_agent, None);
            assert_eq!((event.is_bot, event.bot_kind.as_deref()), (true, Some("library")), "{user_agent}");
            assert!(is_library(user_agent), "{user_agent}");
            for named in [
                Event { user_id: Some("u".into()), ..Event::default() },
                Event { anonymous_id: Some("a".into()), ..Event::default() },
            ] {
                let mut event = named.clone();
                fill(&mut event, user_agent, None);
                assert_eq!(event, named, "{user_agent}");
            }
        }
        let mut event = Event { user_id: Some("u".into()), ..Event::default() };
        fill(&mut event, "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", None);
        assert!(event.is_bot);
    }

    #[test]
    fn an_app_of_a_phone_is_neither_robot_nor_browser() {
        for (user_agent, os) in [
            // URLSession on iOS, with the app's name; it says neither iOS nor macOS.
            ("MyApp/1.0 CFNetwork/1410.0.3 Darwin/22.6.0", None),
            ("SHOP%20App/3 CFNetwork/1568.200.51 Darwin/24.1.0", None),
            // HttpURLConnection on Android.
            ("Dalvik/2.1.0 (Linux; U; Android 13; Pixel 7 Build/TQ3A.230805.001)", Some("Android")),
            // Agents that apps write themselves.
            ("com.example.app/1.0 (Linux; Android 14; Pixel 8)", Some("Android")),
            ("MyGame/1.0 (iPhone; iOS 17.5; Scale/3.00)", Some("iOS")),
            // Umami's SDK, whose events have no visitor but for their sender.
            ("Mozilla/5.0 Umami/0.4.0", None),
        ] {
            let agent = read(user_agent);
            assert_eq!((agent.bot_kind, agent.browser, agent.os.as_deref()), (None, None, os), "{user_agent}");
            assert!(!is_library(user_agent), "{user_agent}");
        }
    }

    #[test]
    fn client_hints_say_what_the_user_agent_keeps_back() {
        const BRANDS: &str = "sec-ch-ua";
        const FULL: &str = "sec-ch-ua-full-version-list";
        const MOBILE: &str = "sec-ch-ua-mobile";
        const PLATFORM: &str = "sec-ch-ua-platform";
        const VERSION: &str = "sec-ch-ua-platform-version";
        const FORM: &str = "sec-ch-ua-form-factors";
        let windows = (PLATFORM, r#""Windows""#);
        for (headers, expected) in [
            // Windows 11, 10, 8.1, 8 and 7 in Chrome, and versions that there are not.
            (vec![windows, (VERSION, r#""19.0.0""#)], "Chrome 142.0.0.0 | Windows 11 | desktop"),
            (vec![windows, (VERSION, r#""15.0.0""#)], "Chrome 142.0.0.0 | Windows 11 | desktop"),
            (vec![windows, (VERSION, r#""13.0.0""#)], "Chrome 142.0.0.0 | Windows 11 | desktop"),
            (vec![windows, (VERSION, r#""10.0.0""#)], "Chrome 142.0.0.0 | Windows 10 | desktop"),
            (vec![windows, (VERSION, r#""0.3.0""#)], "Chrome 142.0.0.0 | Windows 8.1 | desktop"),
            (vec![windows, (VERSION, r#""0.2.0""#)], "Chrome 142.0.0.0 | Windows 8 | desktop"),
            (vec![windows, (VERSION, r#""0.1.0""#)], "Chrome 142.0.0.0 | Windows 7 | desktop"),
            (vec![windows, (VERSION, r#""0.0.0""#)], "Chrome 142.0.0.0 | Windows 10 | desktop"),
            (vec![windows, (VERSION, r#""""#)], "Chrome 142.0.0.0 | Windows 10 | desktop"),
            // Brave, Edge, Opera, Vivaldi, Samsung and Yandex by their brands; Chrome and Chromium under theirs.
            (
                vec![(BRANDS, r#""Chromium";v="142", "Brave";v="142", "Not_A Brand";v="99""#), (MOBILE, "?0")],
                "Brave 142 | Windows 10 | desktop",
            ),
            (
                vec![(BRANDS, r#""Not=A?Brand";v="24","Microsoft Edge";v="142","Chromium";v="142""#)],
                "Edge 142 | Windows 10 | desktop",
            ),
            (
                vec![(BRANDS, r#""Opera GX";v="124", "Chromium";v="140", "(Not(A:Brand";v="8""#)],
                "Opera 124 | Windows 10 | desktop",
            ),
            (
                vec![(BRANDS, r#""Chromium";v="142", "Vivaldi";v="7.7", " Not A;Brand";v="99""#)],
                "Vivaldi 7.7 | Windows 10 | desktop",
            ),
            (
                vec![
                    (BRANDS, r#""Samsung Internet";v="28.0", "Chromium";v="130", "Not/A)Brand";v="8""#),
                    (MOBILE, "?1"),
                    (PLATFORM, r#""Android""#),
                    (VERSION, r#""14.0.0""#),
                ],
                "Samsung Internet 28.0 | Android 14 | mobile",
            ),
            (
                vec![(BRANDS, r#""Chromium";v="140", "YaBrowser";v="25.10", "Not)A;Brand";v="24""#)],
                "Yandex Browser 25.10 | Windows 10 | desktop",
            ),
            (
                vec![(BRANDS, r#""Chromium";v="142", "Google Chrome";v="142", "Not?A_Brand";v="99""#)],
                "Chrome 142.0.0.0 | Windows 10 | desktop",
            ),
            (vec![(BRANDS, r#""Chromium";v="142", "Not?A_Brand";v="99""#)], "Chrome 142.0.0.0 | Windows 10 | desktop"),
            // Whole versions, which take precedence over the short ones.
            (
                vec![
                    (BRANDS, r#""Chromium";v="142", "Google Chrome";v="142""#),
                    (
                        FULL,
                        r#""Not;A=Brand";v="8.0.0.0", "Chromium";v="142.0.7444.60", "Google Chrome";v="142.0.7444.60""#,
                    ),
                ],
                "Chrome 142.0.7444.60 | Windows 10 | desktop",
            ),
            // Chrome on a Mac, an Android phone, a Chromebook and Linux.
            (vec![(PLATFORM, r#""macOS""#), (VERSION, r#""15.1.0""#)], "Chrome 142.0.0.0 | macOS 15.1 | desktop"),
            (vec![(PLATFORM, r#""macOS""#), (VERSION, r#""26.0.0""#)], "Chrome 142.0.0.0 | macOS 26 | desktop"),
            (vec![(PLATFORM, r#""Android""#), (MOBILE, "?1")], "Chrome 142.0.0.0 | Android - | mobile"),
            (
                vec![(PLATFORM, r#""Chrome OS""#), (VERSION, r#""16433.41.0""#)],
                "Chrome 142.0.0.0 | Chrome OS 16433.41 | desktop",
            ),
            (vec![(PLATFORM, r#""Linux""#), (VERSION, r#""6.8.0""#)], "Chrome 142.0.0.0 | Linux 6.8 | desktop"),
            // Tablets, headsets, watches and cars say their shape.
            (vec![(FORM, r#""Tablet""#), (MOBILE, "?0")], "Chrome 142.0.0.0 | Windows 10 | tablet"),
            (vec![(FORM, r#""XR""#), (MOBILE, "?0")], "Chrome 142.0.0.0 | Windows 10 | wearable"),
            (vec![(FORM, r#""Automotive", "Tablet""#), (MOBILE, "?0")], "Chrome 142.0.0.0 | Windows 10 | car"),
            // A Chrome without a window, whatever user agent it was given.
            (vec![(BRANDS, r#""HeadlessChrome";v="142", "Chromium";v="142""#)], "- - | - - | bot"),
            // A brand that is no browser here does not lend Chrome its version.
            (
                vec![(BRANDS, r#""Chromium";v="142", "Avast Secure Browser";v="131.0.2.3""#)],
                "Chrome 142.0.0.0 | Windows 10 | desktop",
            ),
            (
                vec![(BRANDS, r#""Android WebView";v="142", "Chromium";v="142""#)],
                "Chrome 142.0.0.0 | Windows 10 | desktop",
            ),
            // What proxies and scripts make of them.
            (vec![(BRANDS, "nonsense"), (PLATFORM, r#""""#)], "Chrome 142.0.0.0 | Windows 10 | desktop"),
            (vec![(BRANDS, ""), (MOBILE, "?0")], "Chrome 142.0.0.0 | Windows 10 | desktop"),
            (vec![(PLATFORM, r#""Unknown""#), (VERSION, r#""1""#)], "Chrome 142.0.0.0 | Windows 10 | desktop"),
        ] {
            check_hints(&headers, expected);
        }
    }

    #[test]
    fn hints_leave_the_browser_that_the_agent_names() {
        let miui = "Mozilla/5.0 (Linux; U; Android 14; de-de; 2201116SG Build/UKQ1) AppleWebKit/537.36 (KHTML, like Gecko) \
                    Version/4.0 Chrome/112.0.5615.136 Mobile Safari/537.36 XiaoMi/MiuiBrowser/14.25.1-gn";
        let mut headers = HeaderMap::new();
        let brands = r#""Google Chrome";v="112", "Chromium";v="112", "Not:A-Brand";v="99""#;
        headers.insert("sec-ch-ua", HeaderValue::from_static(brands));
        let mut event = Event::default();
        fill(&mut event, miui, Hints::of_headers(&headers).as_ref());
        assert_eq!(event.browser, read(miui).browser);
        assert_ne!(event.browser.as_deref(), Some("Chrome"));
    }

    #[test]
    fn a_hint_longer_than_any_browsers_is_none() {
        let mut headers = HeaderMap::new();
        headers.insert("sec-ch-ua-platform", HeaderValue::from_static("\"Windows\""));
        let version = format!("\"{}\"", "1.".repeat(10_000));
        headers.insert("sec-ch-ua-platform-version", HeaderValue::from_str(&version).unwrap());
        let mut event = Event::default();
        fill(&mut event, CHROME, Hints::of_headers(&headers).as_ref());
        assert_eq!(event.os_version.as_deref(), Some("10"));
    }

    #[test]
    fn nonsense_is_nobody() {
        check("", "- - | - - | -");
        check("Mozilla/5.0", "- - | - - | bot");
    }

    #[test]
    fn a_long_user_agent_is_cut_and_not_ignored() {
        check(&format!("{CHROME} {}", "ä".repeat(5_000)), "Chrome 142.0.0.0 | Windows 10 | desktop");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_right_where_a_buffer_is_used_again() {
        let mut buffer = String::new();
        for n in 0..REMEMBERED_MAX + 100 {
            buffer.clear();
            buffer.push_str(&format!("Mozilla/5.0 (X11; Linux x86_64; rv:{n}.0) Gecko/20100101 Firefox/{n}.0"));
            for _ in 0..2 {
                assert_eq!(remembered(&buffer).browser_version, Some(format!("{n}.0")));
            }
        }
        assert!(REMEMBERED.len() <= REMEMBERED_MAX);
    }

    /// Compares `browser version | system version | device`.
    #[track_caller]
    fn check(user_agent: &str, expected: &str) {
        check_event(user_agent, None, expected);
    }

    #[track_caller]
    fn check_hints(headers: &[(&'static str, &'static str)], expected: &str) {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        check_event(CHROME, Hints::of_headers(&headers).as_ref(), expected);
    }

    #[track_caller]
    fn check_event(user_agent: &str, hints: Option<&Hints>, expected: &str) {
        let mut event = Event::default();
        fill(&mut event, user_agent, hints);
        assert_eq!(event.is_bot, event.device.as_deref() == Some("bot"), "{user_agent}");
        assert_eq!(event.is_bot, event.bot_kind.is_some(), "{user_agent}");
        let parts = [event.browser, event.browser_version, event.os, event.os_version, event.device];
        let [browser, browser_version, os, os_version, device] = parts.map(|part| part.unwrap_or("-".into()));
        assert_eq!(format!("{browser} {browser_version} | {os} {os_version} | {device}"), expected, "{user_agent}");
    }
}
