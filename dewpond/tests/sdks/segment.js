// Segment's SDK for Node. The write key selects the site; every event has an id.

import { Analytics } from "@segment/analytics-node";

import { call } from "./calls.js";

/** Sends `count` events; see `send.js` for the shape of what it takes and returns. */
export async function send({ url, key, domain, count }) {
  const analytics = new Analytics({ writeKey: key, host: url });
  const errors = [];
  analytics.on("error", (error) => errors.push(error.reason ?? error));

  const sent = [];
  for (let n = 0; n < count; n++) {
    const { method, message, sent: description } = call(n, domain);
    analytics[method](message);
    sent.push(description);
  }
  await analytics.closeAndFlush();
  if (errors.length > 0) throw new Error("segment did not deliver every event", { cause: errors[0] });
  return sent;
}
