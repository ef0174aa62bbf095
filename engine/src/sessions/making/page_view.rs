//! Which page view a ping belongs to.
//!
//! A tracker that says so is believed: ours sends `page_view_id`, Snowplow's the context `web_page`, PostHog's
//! `$pageview_id`. Otherwise it is the page, by host and path, within its session: two tabs with the same page are one
//! then.

use lake::EventId;
use serde_json::Value;

/// A page view, as far as pings tell: equal for all pings of one.
pub(crate) type PageViewKey = u128;

/// Tells the page views of pings. Remembers the last one, because pings of one page view follow each other.
#[derive(Debug, Default)]
pub(crate) struct PageViews {
    last: Option<([Option<Box<str>>; 3], PageViewKey)>,
}

impl PageViews {
    /// The page view of a ping.
    pub(crate) fn of_ping(
        &mut self,
        properties: Option<&str>,
        hostname: Option<&str>,
        path: Option<&str>,
    ) -> PageViewKey {
        let asked = [properties, hostname, path];
        if let Some((last, key)) = &self.last
            && last.iter().zip(asked).all(|(last, asked)| last.as_deref() == asked)
        {
            return *key;
        }
        let key = key_of(properties, hostname, path);
        self.last = Some((asked.map(|text| text.map(Into::into)), key));
        key
    }
}

fn key_of(properties: Option<&str>, hostname: Option<&str>, path: Option<&str>) -> PageViewKey {
    let id = match properties.and_then(client_id) {
        Some(id) => EventId::derived(&[b"page view", id.as_bytes()]),
        None => {
            let text = |text: Option<&str>| text.unwrap_or_default().as_bytes().to_vec();
            EventId::derived(&[b"page", &text(hostname), &text(path)])
        }
    };
    u128::from_be_bytes(id.0)
}

/// The id that the client gave its page view.
fn client_id(properties: &str) -> Option<String> {
    if !["page_view_id", "$pageview_id", "/web_page/"].iter().any(|sign| properties.contains(sign)) {
        return None;
    }
    let properties: Value = serde_json::from_str(properties).ok()?;
    let text = |value: &Value| match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let contexts = properties["contexts"].as_array().into_iter().flatten();
    let mut pages = contexts
        .filter(|context| context["schema"].as_str().is_some_and(|schema| schema.contains("/web_page/")))
        .filter_map(|context| text(&context["data"]["id"]));
    text(&properties["page_view_id"]).or_else(|| text(&properties["$pageview_id"])).or_else(|| pages.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_id_decides_and_else_the_page() {
        check(r#"{"page_view_id":"a"} h /x"#, r#"{"page_view_id":"a"} h /y"#, true);
        check(r#"{"page_view_id":"a"} h /x"#, r#"{"page_view_id":"b"} h /x"#, false);
        let snowplow = |id| {
            format!(r#"{{"contexts":[{{"schema":"iglu:c/web_page/jsonschema/1-0-0","data":{{"id":"{id}"}}}}]}} h /x"#)
        };
        check(&snowplow("a"), &snowplow("a"), true);
        check(&snowplow("a"), &snowplow("b"), false);
        check(r#"{"$pageview_id":"a"} h /x"#, r#"{"$pageview_id":"b"} h /x"#, false);
        check("{} h /x", r#"{"page_view_id":""} h /x"#, true);
        check("{} h /x", "{} h /y", false);
        check("{} g /x", "{} h /x", false);
        check("{ h /x", "{} h /x", true);
    }

    /// Compares two pings, each as properties, host and path. What was asked before must not matter.
    #[track_caller]
    fn check(one: &str, other: &str, same: bool) {
        let mut remembering = PageViews::default();
        let mut key = |ping: &str| {
            let [properties, hostname, path] = ping.split(' ').collect::<Vec<_>>()[..] else { panic!("{ping}") };
            let [once, again] = [0, 1].map(|_| remembering.of_ping(Some(properties), Some(hostname), Some(path)));
            assert_eq!((once, again), (key_of(Some(properties), Some(hostname), Some(path)), once));
            once
        };
        assert_eq!(key(one) == key(other), same, "{one} | {other}");
    }
}
