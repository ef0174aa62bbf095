// A page for each SDK, set up as its own documentation says, with nothing but the key and the host of a collector. Each
// sends a page view by itself or here, and offers `window.send(name)` for an event.
//
// URL, KEY and SITE are put in by the bundler.

export const PAGES = {
  segment: `
    import { AnalyticsBrowser } from "@segment/analytics-next";
    const analytics = AnalyticsBrowser.load({ writeKey: KEY, cdnURL: URL });
    analytics.page();
    window.send = (name) => analytics.track(name);
  `,
  rudderstack: `
    import { RudderAnalytics } from "@rudderstack/analytics-js/bundled";
    const analytics = new RudderAnalytics();
    analytics.load(KEY, URL, { configUrl: URL });
    analytics.page();
    window.send = (name) => analytics.track(name);
  `,
  posthog: `
    import posthog from "posthog-js";
    posthog.init(KEY, { api_host: URL });
    window.send = (name) => posthog.capture(name);
  `,
  snowplow: `
    import { newTracker, trackPageView, trackSelfDescribingEvent } from "@snowplow/browser-tracker";
    newTracker("sp", URL, { appId: SITE });
    trackPageView();
    window.send = (name) => trackSelfDescribingEvent({ event: { schema: "iglu:com.example/" + name + "/jsonschema/1-0-0", data: {} } });
  `,
  plausible: `
    import { init, track } from "@plausible-analytics/tracker";
    init({ domain: SITE, endpoint: URL + "/api/event", captureOnLocalhost: true });
    window.send = (name) => track(name, {});
  `,
};
