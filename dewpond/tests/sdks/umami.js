// Umami's SDK for Node. The website, here a domain, selects the site. Events have neither id nor visitor: each differs
// from the others in `n`, because two that are the same within a second are one to the server.

import { Umami } from "@umami/node";

import { inGroups } from "./groups.js";

const CALLS = [
  (umami, n, domain) => [
    umami.track({ hostname: domain, url: `/products/${n}`, title: "Product", language: "de-CH", screen: "1920x1080" }),
    { kind: "page_view", event: "page_view", path: `/products/${n}` },
  ],
  (umami, n) => [
    umami.track("Button Clicked", { n, label: "Grüezi 👋" }),
    { kind: "custom", event: "Button Clicked" },
  ],
  (umami, n, domain) => [
    umami.track({
      name: "Order Completed",
      hostname: domain,
      url: "/thanks",
      data: { n, revenue: n + 0.5, currency: "EUR" },
    }),
    { kind: "custom", event: "Order Completed", path: "/thanks", revenue: n + 0.5, currency: "EUR" },
  ],
  (umami, n) => [
    umami.identify({ n, plan: "pro" }),
    { kind: "identify", event: "identify" },
  ],
];

/** Sends `count` events; see `send.js` for the shape of what it takes and returns. Needs no `key`. */
export async function send({ url, domain, count }) {
  const umami = new Umami({ websiteId: domain, hostUrl: url });
  return inGroups(count, async (n) => {
    const [request, description] = CALLS[n % CALLS.length](umami, n, domain);
    const response = await request;
    const body = await response.text();
    // To a robot the answer is 200 all the same, and tells of no session.
    if (!response.ok || !JSON.parse(body).sessionId) {
      throw new Error(`umami did not deliver event ${n}: ${response.status} ${body}`);
    }
    return { n, user: null, anonymous: null, ...description };
  });
}
