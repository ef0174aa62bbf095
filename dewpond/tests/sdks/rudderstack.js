// RudderStack's SDK for Node. The write key selects the site; every event has an id.

import { setImmediate as turn } from "node:timers/promises";

import Analytics from "@rudderstack/rudder-sdk-node";

import { call } from "./calls.js";

/** Sends `count` events; see `send.js` for the shape of what it takes and returns. */
export async function send({ url, key, domain, count }) {
  const errors = [];
  // Without an error handler, a flush that the SDK starts by itself would end the process when it fails.
  const analytics = new Analytics(key, { dataPlaneUrl: url, errorHandler: (error) => errors.push(error) });

  const sent = [];
  let settled = 0;
  for (let n = 0; n < count; n++) {
    const { method, message, sent: description } = call(n, domain);
    analytics[method](message, () => settled++);
    sent.push(description);
  }
  // One flush sends one batch, however many wait; and the SDK calls back a turn after its promise resolves.
  while (settled < count) {
    await analytics.flush();
    await turn();
  }
  if (errors.length > 0) throw new Error("rudderstack did not deliver every event", { cause: errors[0] });
  return sent;
}
