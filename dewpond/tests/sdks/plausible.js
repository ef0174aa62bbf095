// Plausible's tracker, which is made for browsers: it gets the few globals it asks for. The domain selects the site.
// Events have neither id nor visitor: each differs from the others in its address or in `n`, because two that are the
// same within a second are one to the server. This SDK cannot send revenue: it drops the field.

import tracker from "plausible-tracker";

import { inGroups } from "./groups.js";

// The module is CommonJS with a default export of its own.
const Plausible = tracker.default;

const CALLS = [
  (plausible, n, domain, callback) => {
    plausible.trackPageview({ url: `https://${domain}/products/${n}` }, { callback });
    return { kind: "page_view", event: "page_view", path: `/products/${n}` };
  },
  (plausible, n, _, callback) => {
    plausible.trackEvent("Button Clicked", { props: { n, label: "Grüezi 👋" }, callback });
    return { kind: "custom", event: "Button Clicked", path: "/cart" };
  },
  (plausible, n, domain, callback) => {
    const at = { url: `https://${domain}/#/order/${n}`, hashMode: true };
    plausible.trackEvent("Order Completed", { props: { n, paid: true }, callback }, at);
    return { kind: "custom", event: "Order Completed", path: "/" };
  },
];

/** Sends `count` events; see `send.js` for the shape of what it takes and returns. Needs no `key`. */
export async function send({ url, domain, count }) {
  const failures = [];
  const removeGlobals = addGlobals(domain, failures);
  try {
    const plausible = Plausible({ domain, apiHost: url });
    return await inGroups(count, async (n) => {
      let description;
      await new Promise((callback) => {
        description = CALLS[n % CALLS.length](plausible, n, domain, callback);
      });
      // The tracker calls back on a failure, too, and does not say so.
      if (failures.length > 0) throw new Error("plausible did not deliver every event", { cause: failures[0] });
      return { n, user: null, anonymous: null, ...description };
    });
  } finally {
    removeGlobals();
  }
}

/** Makes this a page of `domain`. Returns what undoes it: other SDKs behave differently where there is a `window`. */
function addGlobals(domain, failures) {
  const globals = {
    location: { hostname: domain, href: `https://${domain}/cart`, protocol: "https:" },
    document: { referrer: "https://search.example/" },
    window: { innerWidth: 1200, localStorage: {} },
    XMLHttpRequest: class {
      #request = { headers: {} };

      open(method, url) {
        Object.assign(this.#request, { method, url });
      }

      setRequestHeader(name, value) {
        this.#request.headers[name] = value;
      }

      async send(body) {
        const { url, ...rest } = this.#request;
        try {
          const response = await fetch(url, { ...rest, body });
          const text = await response.text();
          if (!response.ok) failures.push(new Error(`${response.status} ${text}`));
        } catch (error) {
          failures.push(error);
        }
        this.readyState = 4;
        this.onreadystatechange();
      }
    },
  };
  Object.assign(globalThis, globals);
  return () => Object.keys(globals).forEach((name) => delete globalThis[name]);
}
