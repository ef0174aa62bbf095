// @ts-check
// Visits the demo site of a real collector as a person would, and prints every event that the tracker put into its
// queue, for somebody to compare with what the collector stored.
//
//   DEWPOND_URL=http://127.0.0.1:8080 node tracker/tests/browser/collector.mjs
//
// - DEWPOND_SITE, DEWPOND_KEY: whose events these are; default: as the demo says, site `demo`.
// - DEWPOND_AWAY_S: how long the collector stays away; default 20.
//
// It writes a line DOWN or UP and waits for a line `ok`: whoever reads stops or starts the collector before answering.
// The last line is `{"events":[…]}`. Anything else goes to stderr. Fails if an event is not acknowledged in the end.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { launch } from "./chromium.js";
import { until } from "./collector.js";

const { DEWPOND_URL, DEWPOND_SITE, DEWPOND_KEY, DEWPOND_AWAY_S } = process.env;
assert.ok(DEWPOND_URL, "DEWPOND_URL says where the collector is");
const demo = `${DEWPOND_URL.replace(/\/$/, "")}/demo/`;
const awayMs = Number(DEWPOND_AWAY_S ?? 20) * 1_000;
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const browser = await launch();
const context = await browser.newContext({ acceptDownloads: true });
/** @type {string[]} */
const errors = [];
context.on("weberror", (error) => errors.push(String(error.error())));
// Nobody leaves this machine.
await context.route("https://example.com/**", (route) =>
  route.fulfill({ contentType: "text/html", body: "<title>Elsewhere</title>elsewhere" }),
);
if (DEWPOND_SITE || DEWPOND_KEY) {
  const query = new URLSearchParams(DEWPOND_KEY ? { key: DEWPOND_KEY } : { site: DEWPOND_SITE ?? "" });
  await context.route(/\/demo\/([a-z]+\.html)?(\?.*)?$/, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: (await response.text()).replace("tracker.js?site=demo", `tracker.js?${query}`) });
  });
}
// What the tracker put into its queue is written down in the page's own storage, since a page that is left takes
// everything else with it.
await context.addInitScript(() => {
  const { dewpond = [] } = /** @type {any} */ (window);
  /** @type {any} */ (window).dewpond = dewpond;
  dewpond.push([
    "onSend",
    (/** @type {string} */ step, /** @type {any[]} */ events) => {
      if (step === "queued") for (const event of events) localStorage.setItem(`seen.${event.event_id}`, JSON.stringify(event));
    },
  ]);
});
const page = await context.newPage();

step("page view, object in view, ping");
await page.goto(demo);
await seen("page_view", 1);
await page.locator("[data-dewpond-view]").scrollIntoViewIfNeeded();
await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
await seen("object_in_view", 1);
await seen("page_ping", 1, 15_000);

step("download, custom event, outbound click, which leaves the page at once");
const download = page.waitForEvent("download");
await page.click("#download");
await download;
await page.click("#custom");
await page.click("#outbound");
await page.waitForURL("https://example.com/**");

step("click by attribute, which leaves the page at once too");
await page.goto(demo);
await page.click('[data-dewpond-click="hero-button"]');
await page.waitForURL("**/shop.html");

step("purchase with revenue");
for (const button of await page.locator("[data-product]").all()) await button.click();
await page.click("#buy");
await seen("purchase", 1);

step("identify");
await page.goto(`${demo}form.html`);
await page.fill("[name=name]", "ada");
await page.selectOption("[name=plan]", "pro");
await page.click("form button:not([type])");
await seen("identify", 1);

step("three routes of a single page, and back");
await page.goto(`${demo}app.html`);
for (const route of ["Morning", "Noon", "Evening"]) await page.click(`text=${route}`);
await page.goBack();
await settled();

step("the collector goes away and comes back");
await order("DOWN");
const end = Date.now() + awayMs;
for (let n = 0; Date.now() < end; n += 1) {
  await page.evaluate((n) => /** @type {any} */ (window).dewpond.track("while_away", { n }), n);
  await page.waitForTimeout(200);
}
await order("UP");
await settled();

step("a reload while the collector does not answer");
await context.route("**/v1/events", (route) => route.abort());
await page.evaluate(() => /** @type {any} */ (window).dewpond.track("before_reload"));
const sessionBefore = (await seen("before_reload", 1))[0].session_id;
await page.reload();
await context.unroute("**/v1/events");
await page.evaluate(() => /** @type {any} */ (window).dewpond.track("after_reload"));
assert.equal((await seen("after_reload", 1))[0].session_id, sessionBefore);
await settled();

step("a new session after thirty minutes");
const later = await context.newPage();
await later.goto(`${demo}app.html`);
await later.evaluate(() => /** @type {any} */ (window).dewpond.track("before_pause"));
await settled();
await later.clock.setFixedTime(Date.now() + 1_810_000);
await later.evaluate(() => /** @type {any} */ (window).dewpond.track("after_pause"));
// Sent by this page, whose sent_at tells the collector what its clock is worth.
await settled();
assert.notEqual((await seen("after_pause", 1))[0].session_id, (await seen("before_pause", 1))[0].session_id);
await later.close();

step("consent");
await page.goto(`${demo}privacy.html`);
await page.evaluate(() => /** @type {any} */ (window).dewpond.track("held_back"));
await page.waitForTimeout(600);
assert.equal((await all()).filter(({ name }) => name === "held_back").length, 0);
await page.click("#agree");
await seen("held_back", 1);
await settled();

step("opting out and in");
await page.click("#opt-out");
await page.evaluate(() => /** @type {any} */ (window).dewpond.track("unwanted"));
await page.goto(demo);
await page.evaluate(() => /** @type {any} */ (window).dewpond.track("unwanted"));
await page.waitForTimeout(600);
await page.evaluate(() => {
  /** @type {any} */ (window).dewpond.optIn();
  /** @type {any} */ (window).dewpond.track("wanted");
});
await seen("wanted", 1);
await settled();

const events = await all();
await browser.close();
process.stdin.destroy();
assert.deepEqual(errors, [], "the page threw");
const names = new Set(events.map(({ name }) => name));
assert.ok(!names.has("unwanted"));
for (const name of ["file_download", "outbound_click", "object_interaction", "wave", "add_to_cart", "form_sent"]) {
  assert.ok(names.has(name), `${name} is missing`);
}
console.log(JSON.stringify({ events }));

/** @param {string} what */
function step(what) {
  console.error(`- ${what}`);
}

/** Tells whoever runs this what to do, and waits until it is done. @param {"DOWN" | "UP"} what */
async function order(what) {
  console.log(what);
  const { value } = await lines.next();
  assert.equal(value?.trim(), "ok");
}

/** Everything the tracker put into its queue, in the order of time. */
async function all() {
  const texts = await page.evaluate(() =>
    Object.entries(localStorage)
      .filter(([key]) => key.startsWith("seen."))
      .map(([, text]) => String(text)),
  );
  return texts.map((text) => JSON.parse(text)).sort((a, b) => (a.event_id < b.event_id ? -1 : 1));
}

/** Waits for events of a name. @param {string} name @param {number} count @param {number} [timeoutMs] @returns {Promise<any[]>} */
function seen(name, count, timeoutMs) {
  return until(
    async () => {
      const events = (await all()).filter((event) => event.name === name);
      return events.length >= count && events;
    },
    `${count} × ${name}`,
    timeoutMs,
  ).then((events) => events || []);
}

/** Waits until every event has been acknowledged. After a failure the next try may be a minute away. */
function settled() {
  return until(
    () => page.evaluate(() => !Object.keys(localStorage).some((key) => key.startsWith("dewpond.queue."))),
    "an empty queue",
    90_000,
  );
}
