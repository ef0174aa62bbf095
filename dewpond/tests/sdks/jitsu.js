// Jitsu's SDK, in Node. The key selects the site, and the SDK insists on a secret behind it. Every event has an id. The SDK
// remembers who was identified, for all of a process, so every call says who it is about.

import { jitsuAnalytics } from "@jitsu/js";

import { inGroups } from "./groups.js";

const CALLS = [
  (jitsu, n, who) => ({
    result: jitsu.track("Order Completed", { n, revenue: n + 0.5, currency: "EUR" }, who),
    sent: { kind: "custom", event: "Order Completed", revenue: n + 0.5, currency: "EUR" },
  }),
  (jitsu, n, who, domain) => ({
    result: jitsu.page({ n, url: `https://${domain}/products/${n}`, title: "Product" }, who),
    sent: { kind: "page_view", event: "page_view", path: `/products/${n}` },
  }),
  (jitsu, n, who) => ({
    result: jitsu.track("Button Clicked", { n, label: "Grüezi 👋" }, who),
    sent: { kind: "custom", event: "Button Clicked" },
  }),
  (jitsu, n, who) => ({
    result: jitsu.identify(who.userId, { n, plan: "pro" }, who),
    sent: { kind: "identify", event: "identify" },
  }),
  (jitsu, n, who) => ({
    result: jitsu.group("acme", { n }, who),
    sent: { kind: "group", event: "group" },
  }),
];

/** Sends `count` events; see `send.js` for the shape of what it takes and returns. */
export async function send({ url, key, domain, count }) {
  const errors = [];
  const jitsu = jitsuAnalytics({
    host: url,
    writeKey: `${key}:secret`,
    s2s: true,
    errorPolicy: (message) => errors.push(message),
  });
  const sent = await inGroups(count, async (n) => {
    const who = { userId: `user-${n % 5}`, anonymousId: `anonymous-${n % 5}` };
    const { result, sent } = CALLS[n % CALLS.length](jitsu, n, who, domain);
    await result;
    return { n, user: who.userId, anonymous: who.anonymousId, ...sent };
  });
  if (errors.length > 0) throw new Error("jitsu did not deliver every event", { cause: errors[0] });
  return sent;
}
