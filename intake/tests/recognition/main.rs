//! Real user agents and referrers, and what they are. The tables lie beside this file.

use intake::agent::{self, BotKind};
use intake::channel_of;

#[test]
fn robots_that_name_themselves_are_recognised() {
    for [kind, who, user_agent] in rows(include_str!("robots.tsv")) {
        let agent = agent::read(user_agent);
        assert_eq!(agent.bot_kind.map(BotKind::name), Some(kind), "{who}: {user_agent}");
        assert_eq!((agent.browser, agent.device.as_deref()), (None, Some("bot")), "{who}: {user_agent}");
    }
}

#[test]
fn apps_that_show_a_page_are_named_beside_their_engine() {
    for [app, engine, user_agent] in rows(include_str!("apps.tsv")) {
        let agent = agent::read(user_agent);
        let found = (agent.bot_kind, agent.browser_app.as_deref(), agent.browser.as_deref());
        assert_eq!(found, (None, Some(app), Some(engine)), "{user_agent}");
    }
}

#[test]
fn everyday_referrers_have_their_channel() {
    for [channel, referrer] in rows(include_str!("referrers.tsv")) {
        assert_eq!(channel_of("https://shop.example/", Some(referrer)).as_deref(), Some(channel), "{referrer}");
    }
}

#[test]
fn parameters_of_an_address_tell_its_channel() {
    for [channel, parameters, who] in rows(include_str!("parameters.tsv")) {
        let url = format!("https://shop.example/?{parameters}");
        assert_eq!(channel_of(&url, None).as_deref(), Some(channel), "{parameters}, of {who}");
    }
}

/// The rows of a table, less its comments.
fn rows<const N: usize>(table: &str) -> Vec<[&str; N]> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let rows: Vec<_> = lines
        .map(|line| <[&str; N]>::try_from(line.split('\t').collect::<Vec<_>>()).expect("a line has a cell a column"))
        .collect();
    assert!(!rows.is_empty());
    rows
}
