// Sends events to a server through an official SDK, unmodified but for its host, and says what it sent:
//
//     npm ci --ignore-scripts --omit=optional
//     node send.js --sdk segment --url http://127.0.0.1:8080 --key dpw_… --domain shop.example --count 40
//
// prints one line, {"sdk":…,"sent":[…]}, once the SDK has reported every event delivered. Otherwise it prints
// nothing, says why on standard error, and exits with 1.

import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

/**
 * One event that was sent.
 *
 * @typedef {object} Sent
 * @property {number} n 0, 1, …: also a property of every event whose protocol and kind have room for one.
 * @property {"custom"|"page_view"|"page_ping"|"screen"|"identify"|"group"|"alias"} kind What the call meant.
 * @property {string} event The name the caller gave, or else the kind.
 * @property {string|null} user The id of the user, of the protocols that have one.
 * @property {string|null} anonymous The id of the visitor who is not signed in, of the protocols that have one.
 * @property {string=} path Of the page it happened on.
 * @property {number=} revenue
 * @property {string=} currency
 */

/** Each has a module of its name that exports `send({ url, key, domain, count }): Promise<Sent[]>`. */
export const SDKS = [
  "segment",
  "rudderstack",
  "posthog",
  "umami",
  "snowplow",
  "plausible",
  "amplitude",
  "mixpanel",
  "jitsu",
  "otel_json",
  "otel_protobuf",
];

async function main() {
  const { values } = parseArgs({
    options: {
      sdk: { type: "string" },
      url: { type: "string" },
      key: { type: "string", default: "unused" },
      domain: { type: "string", default: "shop.example" },
      count: { type: "string", default: "40" },
    },
  });
  const { sdk, url, key, domain, count } = values;
  if (!SDKS.includes(sdk)) throw new Error(`--sdk is one of ${SDKS.join(", ")}`);
  if (!url) throw new Error("--url is the address of the server, for example http://127.0.0.1:8080");

  // Standard output is for the answer; SDKs log there.
  console.log = console.info = console.debug = console.error;
  const { send } = await import(`./${sdk}.js`);
  const sent = await send({ url, key, domain, count: Number(count) });
  process.stdout.write(`${JSON.stringify({ sdk, sent })}\n`);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
}
