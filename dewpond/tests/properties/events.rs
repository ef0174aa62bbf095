//! Generates events of every kind, and the rows they must become.

use lake::{Event, EventId};
use proptest::option;
use proptest::prelude::*;

pub const DAY_US: i64 = 86_400_000_000;

/// A row of the table `events`: one text per column, in order.
pub type Row = Vec<String>;

/// Texts that some step may handle wrongly.
pub fn text() -> impl Strategy<Value = Option<String>> {
    option::of(prop_oneof![
        Just(String::new()),
        Just("null".to_owned()),
        Just("\u{0}\u{1f}\u{7f}\u{fffd}".to_owned()),
        Just("ẞ\u{301}🦀\u{202e}abc".to_owned()),
        Just("x".repeat(3_000)),
        "[ -~]{1,12}",
        "\\PC{1,12}",
        any::<String>(),
    ])
}

/// Times of a few days, around the limits of what a lake accepts, and before the epoch.
fn time_us() -> impl Strategy<Value = i64> {
    let day = prop_oneof![Just(0_i64), Just(-1), Just(-365 * 50), Just(20_513), Just(20_514), Just(47_846)];
    let within = prop_oneof![Just(0), Just(DAY_US - 1), Just(999), Just(1_000), 0..DAY_US];
    (day, within).prop_map(|(day, within_us)| day * DAY_US + within_us)
}

fn integer() -> impl Strategy<Value = Option<i64>> {
    option::of(prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), 0..5_i64, any::<i64>()])
}

fn money_e4() -> impl Strategy<Value = Option<i128>> {
    const LIMIT: i128 = 999_999_999_999_999_999;
    option::of(prop_oneof![Just(-LIMIT), Just(LIMIT), Just(0), Just(-1), -LIMIT..=LIMIT])
}

prop_compose! {
    /// An event with something odd in every column. Its id is one of a million, so copies are rare.
    pub fn event()(
        id in 0..1_000_000_u32,
        site in "[a-z._-]{1,3}",
        name in prop_oneof![Just("page_view".to_owned()), Just(String::new()), "\\PC{1,8}"],
        (occurred_at_us, delay_us) in (time_us(), prop_oneof![Just(0), Just(1), 0..DAY_US]),
        (corrected_by_us, visitor_id) in (option::of(-DAY_US..DAY_US), integer()),
        texts in prop::collection::vec(text(), 32),
        revenue_e4 in money_e4(),
        is_bot in any::<bool>(),
    ) -> Event {
        let mut texts = texts.into_iter();
        let mut text = || texts.next().expect("there are as many texts as text columns");
        Event {
            event_id: EventId::from_client(&id.to_string()),
            site_id: site.into(),
            name,
            occurred_at_us,
            received_at_us: occurred_at_us + delay_us,
            corrected_by_us,
            id_assigned: false,
            visitor_id,
            user_id: text(),
            anonymous_id: text(),
            session_id: text(),
            url: text(),
            hostname: text(),
            path: text(),
            query: text(),
            title: text(),
            referrer: text(),
            referrer_host: text(),
            channel: text(),
            utm_source: text(),
            utm_medium: text(),
            utm_campaign: text(),
            utm_term: text(),
            utm_content: text(),
            browser: text(),
            browser_version: text(),
            browser_app: text(),
            os: text(),
            os_version: text(),
            device: text(),
            country: text(),
            region: text(),
            city: text(),
            language: text(),
            screen: text(),
            viewport: text(),
            object: text(),
            revenue_e4,
            currency: text(),
            properties: text(),
            is_bot,
            bot_kind: text(),
            protocol: "native",
            sdk: None,
        }
    }
}

/// The row that an event must become, written by hand so that it is independent of the code under test.
pub fn row(event: &Event) -> Row {
    let text = |text: &Option<String>| text.as_ref().map_or(NULL.to_owned(), |text| format!("{text:?}"));
    let integer = |integer: Option<i64>| integer.map_or(NULL.to_owned(), |integer| integer.to_string());
    let date = event.occurred_at_us.div_euclid(DAY_US);
    vec![
        format!("{:?}", event.event_id.0),
        format!("{:?}", &*event.site_id),
        format!("{:?}", event.name),
        event.occurred_at_us.to_string(),
        event.received_at_us.to_string(),
        integer(event.visitor_id),
        text(&event.user_id),
        text(&event.anonymous_id),
        text(&event.session_id),
        text(&event.url),
        text(&event.hostname),
        text(&event.path),
        text(&event.query),
        text(&event.title),
        text(&event.referrer),
        text(&event.referrer_host),
        text(&event.channel),
        text(&event.utm_source),
        text(&event.utm_medium),
        text(&event.utm_campaign),
        text(&event.utm_term),
        text(&event.utm_content),
        text(&event.browser),
        text(&event.browser_version),
        text(&event.os),
        text(&event.os_version),
        text(&event.device),
        text(&event.country),
        text(&event.region),
        text(&event.city),
        text(&event.language),
        text(&event.screen),
        text(&event.viewport),
        text(&event.object),
        event.revenue_e4.map_or(NULL.to_owned(), |money| money.to_string()),
        text(&event.currency),
        text(&event.properties),
        event.is_bot.to_string(),
        format!("{:?}", event.protocol),
        text(&event.sdk),
        text(&event.bot_kind),
        text(&event.browser_app),
        date.to_string(),
    ]
}

/// A null in a [`Row`]. Texts are in quotes.
pub const NULL: &str = "null";
