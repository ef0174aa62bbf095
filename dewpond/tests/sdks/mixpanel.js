// Mixpanel's SDK for Node. The token selects the site. Events have an id if the caller gives one, and updates of profiles a
// time. The SDK never tries again: its callers do.

import { promisify } from "node:util";

import mixpanel from "mixpanel";

import { inGroups } from "./groups.js";

const TRIES_MAX = 3;

const CALLS = [
  (client, n, user) => ({
    call: (done) => {
      const properties = { distinct_id: user, n, $insert_id: `order-${n}`, revenue: n + 0.5, currency: "EUR" };
      client.track("Order Completed", properties, done);
    },
    sent: { kind: "custom", event: "Order Completed", revenue: n + 0.5, currency: "EUR" },
  }),
  (client, n, user, domain) => ({
    call: (done) => {
      const properties = { distinct_id: user, n, $insert_id: `view-${n}`, $current_url: `https://${domain}/products/${n}` };
      client.track("$mp_web_page_view", properties, done);
    },
    sent: { kind: "page_view", event: "page_view", path: `/products/${n}` },
  }),
  (client, n, user) => ({
    call: (done) => {
      const properties = { distinct_id: user, n, $insert_id: `click-${n}`, label: "Grüezi 👋" };
      client.track_batch([{ event: "Button Clicked", properties }], (errors) => done(errors?.[0]));
    },
    sent: { kind: "custom", event: "Button Clicked" },
  }),
  (client, n, user, _, startedAt) => ({
    call: (done) => client.import("Imported", startedAt, { distinct_id: user, n, $insert_id: `import-${n}` }, done),
    sent: { kind: "custom", event: "Imported" },
  }),
  (client, n, user, _, startedAt) => ({
    call: (done) => client.people.set(user, { n, plan: "pro" }, { $time: startedAt }, done),
    sent: { kind: "identify", event: "identify" },
  }),
  (client, n, user, _, startedAt) => ({
    call: (done) => client.people.track_charge(user, n + 0.5, { $time: startedAt, n }, done),
    sent: { kind: "custom", event: "charge", revenue: n + 0.5 },
  }),
  (client, n, _user, _, startedAt) => ({
    call: (done) => client.groups.set("company", "acme", { n }, { $time: startedAt }, done),
    sent: { kind: "group", event: "group", user: null },
  }),
  (client, n, user) => ({
    call: (done) => {
      const properties = { distinct_id: `anonymous-${n % 5}`, alias: user, n, $insert_id: `alias-${n}` };
      client.track("$create_alias", properties, done);
    },
    sent: { kind: "alias", event: "alias" },
  }),
];

/** Sends `count` events; see `send.js` for the shape of what it takes and returns. */
export async function send({ url, key, domain, count }) {
  const { protocol, host } = new URL(url);
  // Its imports insist on a secret; `key` is that of plain HTTP. It warns that this is old.
  const quiet = { trace() {}, debug() {}, info() {}, warn() {}, error: console.error };
  const client = mixpanel.init(key, { protocol: protocol.slice(0, -1), host, key, logger: quiet });
  const startedAt = new Date();
  return inGroups(count, async (n) => {
    const user = `user-${n % 5}`;
    const { call, sent } = CALLS[n % CALLS.length](client, n, user, domain, startedAt);
    for (let left = TRIES_MAX; ; left--) {
      try {
        await promisify(call)();
        return { n, user, anonymous: null, ...sent };
      } catch (error) {
        if (left === 1) throw new Error(`mixpanel did not deliver event ${n}`, { cause: error });
      }
    }
  });
}
