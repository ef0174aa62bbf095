// Snowplow's SDK for Node. The app id, here a domain, selects the site; every event has an id.

import { setTimeout as sleep } from "node:timers/promises";

import {
  buildPagePing,
  buildPageView,
  buildScreenView,
  buildSelfDescribingEvent,
  buildStructEvent,
  newTracker,
} from "@snowplow/node-tracker";

// Far above what the SDK needs: a bound for a server that never takes the events.
const DELIVERY_MS_MAX = 60_000;

const CALLS = [
  (n, domain) => [
    buildPageView({
      pageUrl: `https://${domain}/products/${n}`,
      pageTitle: "Product",
      referrer: "https://search.example/",
    }),
    { kind: "page_view", event: "page_view", path: `/products/${n}` },
  ],
  (n, domain) => [
    buildPagePing({ pageUrl: `https://${domain}/products/${n}`, pageTitle: "Product", maxYOffset: n }),
    { kind: "page_ping", event: "page_ping", path: `/products/${n}` },
  ],
  (n) => [
    buildStructEvent({ category: "shop", action: "add-to-basket", label: "Grüezi 👋", value: n + 0.5 }),
    { kind: "custom", event: "add-to-basket" },
  ],
  (n) => [
    buildSelfDescribingEvent({
      event: {
        schema: "iglu:com.example/order_completed/jsonschema/1-0-0",
        data: { n, revenue: n + 0.5, currency: "EUR" },
      },
    }),
    { kind: "custom", event: "order_completed", revenue: n + 0.5, currency: "EUR" },
  ],
  (n) => [
    buildScreenView({ name: "Home", id: `00000000-0000-4000-8000-${String(n).padStart(12, "0")}` }),
    { kind: "screen", event: "screen" },
  ],
];

/** Sends `count` events; see `send.js` for the shape of what it takes and returns. Needs no `key`. */
export async function send({ url, domain, count }) {
  const { protocol, hostname, port } = new URL(url);
  let delivered = 0;
  let refused;
  const tracker = newTracker(
    { namespace: "dewpond", appId: domain },
    {
      endpoint: hostname,
      protocol: protocol.replace(":", ""),
      port: Number(port) || undefined,
      onRequestSuccess: (events) => (delivered += events.length),
      onRequestFailure: (failure) => (refused = failure.willRetry ? refused : failure),
    },
  );

  const sent = [];
  for (let n = 0; n < count; n++) {
    const user = n % 2 === 0 ? `user-${n % 5}` : null;
    const anonymous = `anonymous-${n % 5}`;
    tracker.setUserId(user);
    tracker.setDomainUserId(anonymous);
    const [event, description] = CALLS[n % CALLS.length](n, domain);
    const context = { schema: "iglu:com.example/position/jsonschema/1-0-0", data: { n } };
    tracker.track(event, [context]);
    sent.push({ n, user, anonymous, ...description });
  }

  // A flush tries once, and one that finds another under way returns at once.
  const deadline = Date.now() + DELIVERY_MS_MAX;
  while (delivered < count) {
    await tracker.flush();
    await sleep(50);
    if (refused || Date.now() > deadline) {
      throw new Error(`snowplow delivered ${delivered} of ${count} events`, { cause: refused });
    }
  }
  return sent;
}
