//! User agents: browser, operating system, device, and whether it is a bot.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use lake::Event;
use parking_lot::Mutex;
use woothee::parser::{Parser, WootheeResult};

/// A parsed user agent. Fields are empty where nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Agent {
    browser: Option<String>,
    browser_version: Option<String>,
    os: Option<String>,
    os_version: Option<String>,
    device: Option<String>,
    is_bot: bool,
    is_library: bool,
}

/// Longer user agents are not parsed: no browser sends them, and remembering them would cost memory.
const USER_AGENT_BYTES_MAX: usize = 1_024;

/// The number of user agents to remember. Parsing one takes about 2 µs, half as long as the rest of an event; finding
/// it here takes 0.07 µs. A site sees few different ones.
const REMEMBERED_MAX: usize = 4_096;

/// User agents that were parsed before. The result depends on the text alone, so all sites may share it.
static REMEMBERED: LazyLock<Mutex<HashMap<Box<str>, Arc<Agent>>>> = LazyLock::new(Mutex::default);

/// Fills the columns that are derived from the user agent.
pub(crate) fn fill(event: &mut Event, user_agent: &str) {
    let agent = read(user_agent);
    event.browser.clone_from(&agent.browser);
    event.browser_version.clone_from(&agent.browser_version);
    event.os.clone_from(&agent.os);
    event.os_version.clone_from(&agent.os_version);
    event.device.clone_from(&agent.device);
    event.is_bot = agent.is_bot;
}

/// Whether a user agent is an HTTP library's, with which servers send events, and not a visitor's.
pub(crate) fn is_library(user_agent: &str) -> bool {
    read(user_agent).is_library
}

fn read(user_agent: &str) -> Arc<Agent> {
    if user_agent.len() > USER_AGENT_BYTES_MAX {
        return Arc::default();
    }
    if let Some(agent) = REMEMBERED.lock().get(user_agent) {
        return agent.clone();
    }
    let agent = Arc::new(parse(user_agent));
    let mut remembered = REMEMBERED.lock();
    // This is rare, and frequent user agents are back at once.
    if remembered.len() >= REMEMBERED_MAX {
        remembered.clear();
    }
    remembered.insert(user_agent.into(), agent.clone());
    agent
}

fn parse(user_agent: &str) -> Agent {
    // A user agent that does not look like a browser is a program's.
    let unknown = || Agent { is_library: !user_agent.starts_with("Mozilla/"), ..Agent::default() };
    let Some(found) = Parser::new().parse(user_agent) else { return unknown() };
    // "misc" means HTTP libraries: neither a browser nor a bot.
    if found.category == "misc" {
        return unknown();
    }
    let device = device(&found, user_agent);
    Agent {
        browser: known(found.name),
        browser_version: known(found.version),
        os: known(found.os),
        os_version: known(&found.os_version),
        is_bot: device == Some("bot"),
        is_library: false,
        device: device.map(str::to_owned),
    }
}

fn device(found: &WootheeResult, user_agent: &str) -> Option<&'static str> {
    // On Android, tablets leave "Mobile" out.
    let tablet = found.os == "iPad" || (found.os == "Android" && !user_agent.contains("Mobile"));
    match found.category {
        "crawler" => Some("bot"),
        "pc" => Some("desktop"),
        "smartphone" if tablet => Some("tablet"),
        "smartphone" | "mobilephone" => Some("mobile"),
        "appliance" => Some("appliance"),
        _ => None,
    }
}

fn known(text: &str) -> Option<String> {
    (!text.is_empty() && text != woothee::woothee::VALUE_UNKNOWN).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_of_today_are_recognised() {
        check(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
            "Chrome 142.0.0.0 | Windows 10 NT 10.0 | desktop",
        );
        check(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
            "Safari 18.5 | Mac OSX 10.15.7 | desktop",
        );
        check(
            "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
            "Firefox 145.0 | Linux - | desktop",
        );
        check(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
            "Edge 142.0.0.0 | Windows 10 NT 10.0 | desktop",
        );
    }

    #[test]
    fn phones_and_tablets_are_told_apart() {
        check(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
            "Safari 18.5 | iPhone 18.5 | mobile",
        );
        check(
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
            "Chrome 142.0.0.0 | Android 10 | mobile",
        );
        check(
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
            "Chrome 142.0.0.0 | Android 10 | tablet",
        );
    }

    #[test]
    fn crawlers_are_robots_and_the_libraries_of_servers_are_not() {
        check("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot - | - - | bot");
        check("SomeBot/1.0 (+https://bot.example)", "misc crawler - | - - | bot");
        check("python-requests/2.32.3", "- - | - - | -");
        check("Go-http-client/1.1", "- - | - - | -");
        check("curl/8.5.0", "- - | - - | -");
    }

    #[test]
    fn nonsense_is_nobody() {
        check("", "- - | - - | -");
        check("-", "- - | - - | -");
        check(&"x".repeat(10_000), "- - | - - | -");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        for n in 0..REMEMBERED_MAX + 10 {
            read(&format!("agent {n}"));
        }
        assert!(REMEMBERED.lock().len() <= REMEMBERED_MAX);
    }

    /// Compares `browser version | system version | device`.
    #[track_caller]
    fn check(user_agent: &str, expected: &str) {
        let mut event = Event::default();
        fill(&mut event, user_agent);
        assert_eq!(event.is_bot, event.device.as_deref() == Some("bot"));
        let parts = [event.browser, event.browser_version, event.os, event.os_version, event.device];
        let [browser, browser_version, os, os_version, device] = parts.map(|part| part.unwrap_or("-".into()));
        assert_eq!(format!("{browser} {browser_version} | {os} {os_version} | {device}"), expected, "{user_agent}");
    }
}
