// PostHog's SDK for Node. The project's key selects the site; every event has an id.

import { PostHog } from "posthog-node";

// PostHog knows one id of a person, whether they are signed in or not: it is reported as the user.
const CALLS = [
  (posthog, n, user) => {
    const properties = { n, revenue: n + 0.5, currency: "EUR" };
    posthog.capture({ distinctId: user, event: "Order Completed", properties });
    return { kind: "custom", event: "Order Completed", user, revenue: n + 0.5, currency: "EUR" };
  },
  (posthog, n, user, domain) => {
    const properties = { n, $current_url: `https://${domain}/products/${n}`, title: "Product" };
    posthog.capture({ distinctId: user, event: "$pageview", properties });
    return { kind: "page_view", event: "page_view", user, path: `/products/${n}` };
  },
  (posthog, n, user, domain) => {
    const properties = { n, label: "Grüezi 👋", $current_url: `https://${domain}/cart` };
    posthog.capture({ distinctId: user, event: "Button Clicked", properties, groups: { company: "acme" } });
    return { kind: "custom", event: "Button Clicked", user, path: "/cart" };
  },
  (posthog, n, user) => {
    posthog.identify({ distinctId: user, properties: { n, plan: "pro" } });
    return { kind: "identify", event: "identify", user };
  },
  (posthog, n, user) => {
    posthog.capture({ distinctId: user, event: "$screen", properties: { n, $screen_name: "Home" } });
    return { kind: "screen", event: "screen", user };
  },
  (posthog, n, user) => {
    posthog.groupIdentify({ groupType: "company", groupKey: "acme", properties: { n }, distinctId: user });
    return { kind: "group", event: "group", user };
  },
  (posthog, n, user) => {
    posthog.alias({ distinctId: user, alias: `anonymous-${n % 5}` });
    return { kind: "alias", event: "alias", user };
  },
];

/** Sends `count` events; see `send.js` for the shape of what it takes and returns. */
export async function send({ url, key, domain, count }) {
  const posthog = new PostHog(key, { host: url });
  const errors = [];
  let delivered = 0;
  posthog.on("error", (error) => errors.push(error));
  posthog.on("flush", (messages) => (delivered += messages.length));

  const sent = [];
  for (let n = 0; n < count; n++) {
    const description = CALLS[n % CALLS.length](posthog, n, `user-${n % 5}`, domain);
    sent.push({ n, anonymous: null, ...description });
  }
  // Resolves whether or not the events were taken.
  await posthog.shutdown();
  if (delivered !== count) {
    throw new Error(`posthog delivered ${delivered} of ${count} events`, { cause: errors[0] });
  }
  return sent;
}
