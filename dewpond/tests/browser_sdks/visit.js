// Visits a page with an SDK in Chromium, while the collector is there and while it is away.
//
//   node visit.js SDK URL KEY SITE
//
// It writes a line SENT, DOWN or UP and waits for a line `ok`: whoever reads looks for what has been sent, or stops or
// starts the collector, before answering. The last line is `{"errors":[…],"elsewhere":[…]}`: what the page's console says
// is wrong while the collector is there, and the addresses elsewhere that the SDK asked for.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { PAGES, SCRIPTS } from "./pages.js";

const USER_AGENT =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

const [sdk, url, key, site] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const bundle = await build({
  stdin: { contents: PAGES[sdk], resolveDir: fileURLToPath(new URL(".", import.meta.url)) },
  define: { COLLECTOR: JSON.stringify(url), WRITE_KEY: JSON.stringify(key), SITE: JSON.stringify(site) },
  bundle: true,
  write: false,
  logLevel: "error",
});
const files = { "/page.js": bundle.outputFiles[0].text };
let tags = '<script src="/page.js"></script>';
if (SCRIPTS[sdk]) {
  const { file, attributes } = SCRIPTS[sdk];
  files["/sdk.js"] = await readFile(new URL(file, import.meta.url), "utf8");
  tags = `<script defer src="/sdk.js" ${attributes.replace("SITE", site).replace("COLLECTOR", url)}></script>${tags}`;
}
const server = createServer((request, response) => {
  const script = files[request.url];
  response.writeHead(200, { "Content-Type": script ? "text/javascript" : "text/html" });
  response.end(script ?? `<!doctype html><title>Shop &amp; more</title>${tags}<h1>Shop</h1>`);
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));

const browser = await chromium.launch({
  executablePath: process.env.DEWPOND_CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    // SDKs leave out robots, and so does every metric: a browser that somebody looks at.
    `--user-agent=${USER_AGENT}`,
  ],
});
const context = await browser.newContext();
await context.addInitScript(() => Object.defineProperty(navigator, "webdriver", { get: () => false }));
const elsewhere = [];
await context.route(
  (address) => address.hostname !== "127.0.0.1",
  (route) => {
    elsewhere.push(route.request().url());
    return route.abort();
  },
);
const page = await context.newPage();
const errors = [];
const note = (text) => errors.push(text);
page.on("console", (message) => message.type() === "error" && note(message.text()));
page.on("pageerror", (error) => note(String(error)));

await page.goto(`http://127.0.0.1:${server.address().port}/shop`);
await page.waitForFunction(() => "send" in window);
const send = (name) => page.evaluate((name) => void window.send(name), name);
await send("before");
await ask("SENT");
const found = [...errors];
await ask("DOWN");
await send("away");
await sleep(2_000);
await ask("UP");
// Some send what waits only with the next event.
await send("after");
await ask("SENT");
await browser.close();
server.close();
console.log(JSON.stringify({ errors: found, elsewhere }));
process.exit(0);

/** Tells the parent, and waits until it has done its part. */
async function ask(line) {
  console.log(line);
  const { value } = await lines.next();
  if (value !== "ok") throw new Error(`expected ok, got ${value}`);
}
