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
  // Its script is loaded by a tag; see `SCRIPTS`.
  umami: `
    window.send = (name) => umami.track(name);
  `,
  amplitude: `
    import * as amplitude from "@amplitude/analytics-browser";
    amplitude.init(WRITE_KEY, {
      serverUrl: COLLECTOR + "/2/httpapi",
      autocapture: { pageViews: true, sessions: false, attribution: false },
      fetchRemoteConfig: false,
    });
    window.send = (name) => amplitude.track(name);
  `,
  mixpanel: `
    import mixpanel from "mixpanel-browser";
    // It flushes every five seconds unless told otherwise: the test's collector is not away for so long.
    mixpanel.init(WRITE_KEY, { api_host: COLLECTOR, track_pageview: true, batch_flush_interval_ms: 500 });
    window.send = (name) => mixpanel.track(name);
  `,
  jitsu: `
    import { jitsuAnalytics } from "@jitsu/js";
    const analytics = jitsuAnalytics({ host: COLLECTOR, writeKey: WRITE_KEY + ":secret" });
    analytics.page();
    window.send = (name) => analytics.track(name);
  `,
};

/** Scripts that a page loads by a tag: the file, and the tag's attributes. */
export const SCRIPTS = {
  umami: {
    file: "node_modules/.umami/package/src/tracker/index.js",
    attributes: 'data-website-id="SITE" data-host-url="COLLECTOR"',
  },
};
