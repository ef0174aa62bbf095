//! What SDKs in browsers ask for before they send anything: their settings. Without an answer Segment's sends nothing at
//! all, and PostHog's fills the page's console with errors.
//!
//! The answers name no destination but this collector, and switch everything off that it does not have.

use serde_json::{Value, json};

/// Where a page reached the collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Whether by TLS.
    pub securely: bool,
    /// Host and port.
    pub host: String,
}

/// `GET /v1/projects/<write key>/settings` of Segment's CDN, as `@segment/analytics-next` reads it: events go to `/v1` here.
pub fn segment(write_key: &str, reached: &Reached) -> Value {
    let everything = json!({ "__default": { "enabled": true, "integrations": {} } });
    json!({
        "integrations": {
            "Segment.io": {
                "apiKey": write_key,
                "apiHost": format!("{}/v1", reached.host),
                "protocol": if reached.securely { "https" } else { "http" },
                "unbundledIntegrations": [],
                "addBundledMetadata": false,
            },
        },
        "plan": { "track": everything, "identify": everything, "group": everything },
        "edgeFunction": {},
        "analyticsNextEnabled": true,
        "middlewareSettings": { "routingRules": [] },
        "enabledMiddleware": {},
        // The library's figures about itself would go to Segment.
        "metrics": { "sampleRate": 0 },
        "legacyVideoPluginsEnabled": false,
        "remotePlugins": [],
    })
}

/// `GET /sourceConfig` of RudderStack's control plane, as `@rudderstack/analytics-js` reads it: a source without
/// destinations.
pub fn rudderstack(write_key: &str) -> Value {
    json!({
        "source": {
            "id": write_key,
            "name": "dewpond",
            "writeKey": write_key,
            "workspaceId": "dewpond",
            "enabled": true,
            "config": { "statsCollection": { "errors": { "enabled": false }, "metrics": { "enabled": false } } },
            "destinations": [],
            "dataplanes": {},
        },
    })
}

/// `GET /array/<write key>/config` of PostHog's assets, as `posthog-js` reads it. Of surveys it says nothing: told that there
/// are none, the SDK loads its script for them all the same.
pub fn posthog(write_key: &str) -> Value {
    json!({
        "token": write_key,
        "supportedCompression": ["gzip", "gzip-js"],
        "analytics": { "endpoint": "/i/v0/e/" },
        "elementsChainAsString": true,
        "defaultIdentifiedOnly": true,
        "hasFeatureFlags": false,
        "autocapture_opt_out": false,
        "autocaptureExceptions": false,
        "captureDeadClicks": false,
        "capturePerformance": false,
        "conversations": false,
        "heatmaps": false,
        "isAuthenticated": false,
        "logs": { "captureConsoleLogs": false },
        "productTours": false,
        "sessionRecording": false,
        "siteApps": [],
        "toolbarParams": {},
    })
}

/// `GET /array/<write key>/config.js`: the same as a script, which `posthog-js` loads first.
pub fn posthog_script(write_key: &str) -> String {
    let config = json!({ "config": posthog(write_key), "siteApps": [] });
    let key = json!(write_key);
    format!("(function(w){{(w._POSTHOG_REMOTE_CONFIG=w._POSTHOG_REMOTE_CONFIG||{{}})[{key}]={config}}})(window);\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_sends_to_where_the_page_asked() {
        let reached = Reached { securely: true, host: "events.shop.example".to_owned() };
        let settings = &segment("dpw_1", &reached)["integrations"]["Segment.io"];
        assert_eq!(settings["apiHost"], "events.shop.example/v1");
        assert_eq!(settings["protocol"], "https");
        assert_eq!(settings["apiKey"], "dpw_1");
        let reached = Reached { securely: false, host: "127.0.0.1:8080".to_owned() };
        let settings = &segment("dpw_1", &reached)["integrations"]["Segment.io"];
        assert_eq!(
            (settings["apiHost"].as_str(), settings["protocol"].as_str()),
            (Some("127.0.0.1:8080/v1"), Some("http"))
        );
    }

    #[test]
    fn a_key_in_a_script_is_a_text_whatever_it_holds() {
        let script = posthog_script("a\"];alert(1)//\\");
        assert!(script.contains(r#"["a\"];alert(1)//\\"]={"#), "{script}");
    }
}
