// @ts-check
// How events are sent, whatever happens to the page or the collector.
import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./collector.js";
/** @typedef {import("playwright-core").Page} Page */
import { arrived, collector, context, delivered, leaveWith, open, page, queued, turnTo } from "./visit.js";

test("the collector goes and comes back: nothing is lost and nothing doubled", async () => {
  await open();
  await arrived("page_view");
  await collector.stop();
  for (let n = 0; n < 120; n += 1) {
    await page.evaluate((n) => /** @type {any} */ (window).dewpond.track("while_away", { n }), n);
    await page.waitForTimeout(30);
  }
  await collector.start();
  const events = await arrived("while_away", 120, 30_000);
  assert.deepEqual(events.map(({ properties }) => properties.n), [...Array(120).keys()]);
  await until(async () => !(await queued()).length, "an empty queue");
  assert.ok(collector.bodies.every(({ events }) => events.length <= 50));
});

test("a page that is reloaded while the collector is away keeps its events", async () => {
  await open();
  await arrived("page_view");
  await page.route("**/v1/events", (route) => route.abort());
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("before_reload"));
  await page.reload();
  assert.equal((await queued()).filter((text) => text.includes("before_reload")).length, 1);
  await page.unroute("**/v1/events");
  await arrived("before_reload");
  await until(async () => !(await queued()).length, "an empty queue");
});

test("a tab that was closed while the collector was away leaves its events to the next", async () => {
  await open();
  await arrived("page_view");
  await context.route("**/v1/events", (route) => route.abort());
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("orphan"));
  await page.close({ runBeforeUnload: false });
  await context.unroute("**/v1/events");
  turnTo(await context.newPage());
  await open();
  await arrived("orphan");
});

test("two tabs that send at the same time lose nothing", async () => {
  await open();
  const other = await context.newPage();
  await other.goto(`${collector.url}/`);
  const record = (/** @type {Page} */ tab, /** @type {string} */ name) =>
    tab.evaluate(async (name) => {
      for (let n = 0; n < 100; n += 1) {
        /** @type {any} */ (window).dewpond.track(name);
        if (n % 10 === 0) await new Promise((done) => setTimeout(done, 60));
      }
    }, name);
  await Promise.all([record(page, "one"), record(other, "other")]);
  await arrived("one", 100);
  await arrived("other", 100);
});

test("an event recorded just before the page is left is delivered", async () => {
  await open();
  await arrived("page_view");
  await leaveWith("last_words");
  await arrived("last_words");
});

test("a page of another origin sends without asking first, and delivers while it is left", async () => {
  const elsewhere = collector.url.replace("127.0.0.1", "localhost");
  collector.pages.set("/", `<title>Test</title><script defer src="${collector.url}/tracker.js?site=test"></script>`);
  await page.goto(`${elsewhere}/`);
  await until(async () => !(await queued()).length, "an empty queue");
  await leaveWith("last_words");
  const [words] = await arrived("last_words");
  assert.equal(words.url, `${elsewhere}/`);
  assert.ok(collector.requests.every(({ method }) => method === "POST"));
});

test("what was sent on leaving stays in the queue until an answer covers it", async () => {
  await open();
  await arrived("page_view");
  await until(async () => !(await queued()).length, "an empty queue");
  collector.answers.push({ status: 503 });
  await leaveWith("last_words");
  await until(() => collector.answers.length === 0, "the refused request");
  assert.equal((await queued()).length, 1);
  await page.goto(`${collector.url}/`);
  await arrived("last_words");
});

test("a pause that the collector asks for is kept", async () => {
  await open();
  await arrived("page_view");
  collector.answers.push({ status: 429, headers: { "Retry-After": "2" } });
  const before = Date.now();
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("patient"));
  await page.waitForTimeout(500);
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("later"));
  await arrived("patient");
  assert.ok(Date.now() - before >= 2_000);
});

test("a batch that is too large is halved until it is taken", async () => {
  await open();
  await arrived("page_view");
  const requests = collector.requests.length;
  collector.answers.push({ status: 413 }, { status: 413 });
  await page.evaluate(() => {
    for (let n = 0; n < 8; n += 1) /** @type {any} */ (window).dewpond.track("many");
  });
  await arrived("many", 8);
  assert.deepEqual(collector.bodies.slice(1).map(({ events }) => events.length), [2, 4, 2]);
  assert.equal(collector.requests.length - requests, 5);
});

test("events that the collector refuses are dropped, and later ones come through", async () => {
  await open();
  await arrived("page_view");
  collector.answers.push({ status: 400 });
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("bad"));
  await until(async () => !(await queued()).length, "an empty queue");
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("good"));
  await arrived("good");
  assert.equal(collector.events("bad").length, 0);
});

test("large events are sent in several requests, and one that no request can carry is dropped", async () => {
  await open();
  await page.evaluate(() => {
    for (let n = 0; n < 6; n += 1) /** @type {any} */ (window).dewpond.track("large", { text: "ä".repeat(10_000) });
    /** @type {any} */ (window).dewpond.track("huge", { text: "x".repeat(70_000) });
    /** @type {any} */ (window).dewpond.track("end");
  });
  await arrived("large", 6);
  await arrived("end");
  assert.equal(collector.events("huge").length, 0);
  assert.ok(collector.bodies.length >= 3);
});
