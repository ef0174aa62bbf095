// A page for each SDK, set up as its own documentation says, with nothing but the key and the host of a collector. Each
// sends a page view by itself or here, and offers `window.send(name)` for an event.
//
// COLLECTOR, WRITE_KEY and SITE are put in by the bundler.

export const PAGES = {
  segment: `
    import { AnalyticsBrowser } from "@segment/analytics-next";
    const analytics = AnalyticsBrowser.load({ writeKey: WRITE_KEY, cdnURL: COLLECTOR });
    analytics.page();
    window.send = (name) => analytics.track(name);
  `,
  rudderstack: `
    import { RudderAnalytics } from "@rudderstack/analytics-js/bundled";
    const analytics = new RudderAnalytics();
    analytics.load(WRITE_KEY, COLLECTOR, { configUrl: COLLECTOR });
    analytics.page();
    window.send = (name) => analytics.track(name);
  `,
  posthog: `
    import posthog from "posthog-js";
    posthog.init(WRITE_KEY, { api_host: COLLECTOR });
    window.send = (name) => posthog.capture(name);
  `,
  snowplow: `
    import { newTracker, trackPageView, trackSelfDescribingEvent } from "@snowplow/browser-tracker";
    newTracker("sp", COLLECTOR, { appId: SITE });
    trackPageView();
    window.send = (name) => trackSelfDescribingEvent({ event: { schema: "iglu:com.example/" + name + "/jsonschema/1-0-0", data: {} } });
  `,
  plausible: `
    import { init, track } from "@plausible-analytics/tracker";
    init({ domain: SITE, endpoint: COLLECTOR + "/api/event", captureOnLocalhost: true });
    window.send = (name) => track(name, {});
  `,
};
