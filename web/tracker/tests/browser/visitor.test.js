// @ts-check
// Who a visitor is, and what may be known of him.
import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./collector.js";
import { arrived, collector, context, open, page, queued, settle } from "./visit.js";

test("after opting out nothing is sent, in other tabs and after a reload neither, until opting in", async () => {
  await open();
  await arrived("page_view");
  const other = await context.newPage();
  await other.goto(`${collector.url}/`);
  await arrived("page_view", 2);
  await page.evaluate(() => /** @type {any} */ (window).dewpond.optOut());
  await other.evaluate(() => /** @type {any} */ (window).dewpond.track("unwanted"));
  await page.reload();
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("unwanted"));
  await settle();
  assert.equal(collector.events().length, 2);
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), ["dewpond.out"]);

  await page.evaluate(() => {
    /** @type {any} */ (window).dewpond.optIn();
    /** @type {any} */ (window).dewpond.track("wanted");
  });
  await arrived("wanted");
});

test("without consent nothing is sent or stored; with it, what happened before is sent too", async () => {
  await open({ attributes: 'data-consent="required"' });
  await page.evaluate(() => {
    for (let n = 0; n < 150; n += 1) /** @type {any} */ (window).dewpond.track("held", { n });
    /** @type {any} */ (window).dewpond.identify("ada");
  });
  await settle();
  assert.equal(collector.requests.length, 0);
  assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length), 0);

  await page.evaluate(() => /** @type {any} */ (window).dewpond.consent(true));
  const views = await arrived("page_view");
  assert.ok(views[0].anonymous_id && views[0].session_id);
  await settle();
  assert.equal(collector.events().length, 100);
});

test("consent withdrawn forgets the visitor and what was not sent", async () => {
  await open({ attributes: 'data-consent="required"' });
  await page.evaluate(() => /** @type {any} */ (window).dewpond.consent(true));
  await arrived("page_view");
  await page.evaluate(() => {
    /** @type {any} */ (window).dewpond.track("unwanted");
    /** @type {any} */ (window).dewpond.consent(false);
    /** @type {any} */ (window).dewpond.track("unwanted");
  });
  await settle();
  assert.equal(collector.events("unwanted").length, 0);
  assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length), 0);
});

test("with Global Privacy Control no ids are stored or sent, if the site respects it", async () => {
  await page.addInitScript(() => Object.defineProperty(navigator, "globalPrivacyControl", { value: true }));
  await open({ attributes: "data-respect-gpc data-cookie" });
  await page.evaluate(() => /** @type {any} */ (window).dewpond.identify("ada"));
  const [view] = await arrived("page_view");
  assert.deepEqual([view.anonymous_id, view.session_id, view.user_id], [undefined, undefined, undefined]);
  await until(async () => !(await queued()).length, "an empty queue");
  assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length), 0);
});

test("a cookie goes along only if the site says so, and then there is no anonymous_id", async () => {
  await context.addCookies([{ name: "visitor", value: "v1", url: collector.url }]);
  await open();
  await arrived("page_view");
  assert.equal(collector.requests[0].headers.cookie, undefined);
  await open({ attributes: "data-cookie" });
  const [, view] = await arrived("page_view", 2);
  assert.equal(collector.requests.at(-1)?.headers.cookie, "visitor=v1");
  assert.equal(view.anonymous_id, undefined);
});

test("a session outlives a reload and exactly thirty minutes, and ends after longer", async () => {
  const start = Date.now();
  await page.clock.setFixedTime(start);
  await open({ attributes: 'data-pings="off"' });
  const [first] = await arrived("page_view");
  await page.reload();
  const [, second] = await arrived("page_view", 2);
  assert.equal(second.session_id, first.session_id);

  await page.clock.setFixedTime(start + 1_800_000);
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("in_time"));
  assert.equal((await arrived("in_time"))[0].session_id, first.session_id);

  await page.clock.setFixedTime(start + 3_600_001);
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("too_late"));
  const [late] = await arrived("too_late");
  assert.notEqual(late.session_id, first.session_id);
  assert.equal(late.anonymous_id, first.anonymous_id);
});
