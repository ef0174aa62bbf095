// Amplitude's SDK for Node. The key selects the site; every event has an id.

import * as amplitude from "@amplitude/analytics-node";

const CALLS = [
  (client, n, who) => ({
    result: client.track(
      { event_type: "Order Completed", price: n + 0.25, quantity: 2, currency: "EUR" },
      { n },
      who,
    ),
    sent: { kind: "custom", event: "Order Completed", revenue: 2 * n + 0.5, currency: "EUR" },
  }),
  (client, n, who, domain) => ({
    result: client.track(
      "[Amplitude] Page Viewed",
      { n, "[Amplitude] Page Location": `https://${domain}/products/${n}`, "[Amplitude] Page Title": "Product" },
      who,
    ),
    sent: { kind: "page_view", event: "page_view", path: `/products/${n}` },
  }),
  (client, n, who) => ({
    result: client.track("Button Clicked", { n, label: "Grüezi 👋" }, who),
    sent: { kind: "custom", event: "Button Clicked" },
  }),
  (client, n, who) => ({
    result: client.identify(new amplitude.Identify().set("plan", "pro").add("visits", n), who),
    sent: { kind: "identify", event: "identify" },
  }),
  (client, n, who) => ({
    result: client.groupIdentify("company", "acme", new amplitude.Identify().set("seats", n), who),
    sent: { kind: "group", event: "group" },
  }),
  (client, n, who) => ({
    result: client.revenue(new amplitude.Revenue().setProductId(`p-${n}`).setPrice(n + 0.25).setQuantity(2), who),
    sent: { kind: "custom", event: "revenue_amount", revenue: 2 * n + 0.5 },
  }),
];

/** Sends `count` events; see `send.js` for the shape of what it takes and returns. */
export async function send({ url, key, domain, count }) {
  const client = amplitude.createInstance();
  await client.init(key, { serverUrl: `${url}/2/httpapi`, flushIntervalMillis: 200, flushMaxRetries: 6 }).promise;
  const calls = [];
  for (let n = 0; n < count; n++) {
    const who = { user_id: `user-${n % 5}`, device_id: `anonymous-${n % 5}` };
    const { result, sent } = CALLS[n % CALLS.length](client, n, who, domain);
    calls.push({ result, sent: { n, user: who.user_id, anonymous: who.device_id, ...sent } });
  }
  for (const { result } of calls) {
    const { code, message } = await result.promise;
    if (code !== 200) throw new Error(`amplitude did not deliver every event: ${code} ${message}`);
  }
  return calls.map(({ sent }) => sent);
}
