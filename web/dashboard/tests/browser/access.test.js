// @ts-check
// Whether everybody can use it: axe on every page in both themes, and no page wider than a phone.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { openBrowser, settled } from "./browser.js";
import { startDewpond } from "./server.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const STEPS = encodeURIComponent("path:is:/>>path:is:/pricing>>name:is:signup");
/** Every page, and what can lie over it. */
const PAGES = [
  "?site=shop&filter=country:is:DE", "?site=shop&places=map", "?site=shop&details=pages", "?by=site", "live?site=shop", "sessions?site=shop", "people?site=shop", `funnels?site=shop&steps=${STEPS}`, "journeys?site=shop", "retention?site=shop",
  "goals?site=shop", "properties?site=shop&key=plan&event=signup", "revenue?site=shop", "sql?site=shop", "metrics?site=shop", "setup?site=shop", "quarantine?site=shop", "alerts?site=shop", "email-reports?site=shop", "imports?site=shop", "destinations?site=shop", "lake", "account", "sign-in", "no-such-page",
];

/** @type {Awaited<ReturnType<typeof startDewpond>>} */
let dewpond;
/** @type {Awaited<ReturnType<typeof openBrowser>>} */
let browser;
before(async () => {
  [dewpond, browser] = await Promise.all([startDewpond({ days: 20, visitsPerDay: 40 }), openBrowser()]);
});
after(async () => {
  await browser?.close();
  await dewpond?.stop();
});

/** @param {import("playwright-core").Page} page */
const ready = (page) => (page.url().endsWith("sign-in") ? page.locator(".sign-in form").waitFor() : settled(page));

for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
  test(`axe finds nothing serious on any page, ${colorScheme}`, async () => {
    for (const path of PAGES) {
      const page = await browser.page(`${dewpond.url}/dashboard/${path}`, { colorScheme });
      await ready(page);
      // Not by a script of the page, whose policy forbids it.
      const found = await page.evaluate(`${AXE}; axe.run(document, { resultTypes: ["violations"] })`);
      const serious = /** @type {any} */ (found).violations.filter((/** @type {any} */ violation) => ["serious", "critical"].includes(violation.impact));
      assert.deepEqual(serious.map((/** @type {any} */ violation) => [path, violation.id, violation.nodes.slice(0, 3).map((/** @type {any} */ node) => `${node.html.slice(0, 160)} ${node.failureSummary}`)]), []);
      await page.finish();
    }
  });
}

test("no page is wider than a phone", async () => {
  for (const path of PAGES) {
    const page = await browser.page(`${dewpond.url}/dashboard/${path}`, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    await ready(page);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `${path}: ${width}`);
    await page.finish();
  }
});

test("everything on the overview can be reached and used by the keyboard", async () => {
  const page = await browser.page(`${dewpond.url}/dashboard/?site=shop`);
  await settled(page);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Skip to the numbers");
  await page.locator('[data-metric="sessions"]').focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(/metric=sessions/);
  await page.locator('[data-panel="devices"] [role="tab"][aria-selected="true"]').focus();
  await page.keyboard.press("ArrowRight");
  await page.waitForURL(/devices=systems/);
  await settled(page);
  await page.locator('[data-panel="devices"] .value').first().focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(/filter=os:is:/);
  await page.finish();
});

for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
  test(`without JavaScript the numbers are a click away, and axe finds nothing serious, ${colorScheme}`, async () => {
    const page = await browser.page(`${dewpond.url}/dashboard/`, { javaScriptEnabled: false, colorScheme });
    await page.locator("noscript a").click();
    await page.getByLabel("Site").selectOption("shop");
    await page.getByRole("button", { name: "Show" }).click();
    await page.waitForURL(/site=shop/);
    const { metrics } = await dewpond.ask("/v1/stats/aggregate?site=shop&date_range=30d&metrics=visitors");
    assert.equal(await page.locator(".number-value").first().textContent(), Number(metrics.visitors).toLocaleString("en-GB"));
    const pages = await dewpond.ask("/v1/stats/breakdown?site=shop&date_range=30d&dimensions=path&metrics=visitors&filter=name:is:page_view&limit=10");
    const shown = await page.locator("section", { has: page.getByRole("heading", { name: "Pages" }) }).locator("tbody tr").evaluateAll((rows) => rows.map((row) => [...row.children].slice(0, 2).map((cell) => cell.textContent)));
    assert.deepEqual(shown, pages.results.map((/** @type {any} */ row) => [row.dimensions.path, Number(row.metrics.visitors).toLocaleString("en-GB")]));
    await page.finish();
    const checked = await browser.page(`${dewpond.url}/dashboard/numbers?site=shop`, { colorScheme });
    const found = await checked.evaluate(`${AXE}; axe.run(document, { resultTypes: ["violations"] })`);
    const serious = /** @type {any} */ (found).violations.filter((/** @type {any} */ violation) => ["serious", "critical"].includes(violation.impact));
    assert.deepEqual(serious.map((/** @type {any} */ violation) => [violation.id, violation.nodes[0].html]), []);
    await checked.setViewportSize({ width: 360, height: 740 });
    const width = await checked.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `${width}`);
    await checked.finish();
  });
}
