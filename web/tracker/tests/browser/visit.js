// @ts-check
// A page with the tracker on it, in a browser, and a collector: anew for each test.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach } from "node:test";
import { launch } from "./chromium.js";
import { startCollector, until } from "./collector.js";

/** @typedef {import("playwright-core").Page} Page */

/** @type {import("playwright-core").Browser} */
export let browser;
/** @type {Awaited<ReturnType<typeof startCollector>>} */
export let collector;
/** @type {import("playwright-core").BrowserContext} */
export let context;
/** @type {Page} */
export let page;
/** What the page threw. @type {string[]} */
export let errors = [];

before(async () => {
  browser = await launch();
});
after(() => browser.close());

beforeEach(async () => {
  collector = await startCollector();
  context = await browser.newContext();
  page = await context.newPage();
  errors = [];
  context.on("weberror", (error) => errors.push(String(error.error())));
});
afterEach(
  async () => {
    await context.close();
    await collector.stop().catch(() => {});
    assert.deepEqual(errors, []);
  },
  // A browser that hangs fails the test that it hangs after, and not the whole file.
  { timeout: 20_000 },
);

/**
 * Opens a page with the tracker on it.
 *
 * @param {{ attributes?: string, head?: string, body?: string, query?: string }} [content]
 */
export async function open({ attributes = "", head = "", body = "", query = "?site=test" } = {}) {
  collector.pages.set(
    "/",
    `<!doctype html><title>Test</title>${head}
    <script defer src="/tracker.js${query}" ${attributes}></script><body>${body}`,
  );
  await page.goto(`${collector.url}/`);
}

/** From here on a page's time passes by `page.clock.runFor` alone, however busy the machine is. */
export async function stopClock() {
  await page.clock.install();
  await page.clock.pauseAt(Date.now() + 1_000);
}

/** A page that loads another in advance and goes there once there is a page `/go`. */
export function loadsInAdvance() {
  const tracker = '<script defer src="/tracker.js?site=test"></script>';
  collector.pages.set(
    "/",
    `<!doctype html><title>Test</title>${tracker}
    <script type="speculationrules">{"prerender":[{"urls":["/next"],"eagerness":"immediate"}]}</script>
    <script>
      const timer = setInterval(async () => {
        if (!(await fetch("/go")).ok) return;
        clearInterval(timer);
        location.href = "/next";
      }, 100);
    </script>`,
  );
  collector.pages.set(
    "/next",
    `<!doctype html><title>Next</title><script>
      window.dewpond = [["track", "early"]];
      if (document.prerendering) {
        document.addEventListener("prerenderingchange", () => fetch("/shown"));
        setTimeout(() => fetch("/loaded"), 500);
      }
    </script>${tracker}`,
  );
}

/**
 * Records an event, leaves for a page without the tracker, and waits until that is there: closing a context in the
 * middle of a navigation may never end.
 *
 * @param {string} name
 */
export async function leaveWith(name) {
  collector.pages.set("/plain", "<title>Plain</title>no tracker here");
  await page.evaluate((name) => {
    /** @type {any} */ (window).dewpond.track(name);
    // Not at once: a page that leaves while it answers may never answer.
    setTimeout(() => (location.href = "/plain"), 50);
  }, name);
  await page.waitForURL("**/plain");
}

export function pageUrl() {
  collector.pages.set("/", '<!doctype html><title>Test</title><script defer src="/tracker.js?site=test"></script><body>');
  return `${collector.url}/`;
}

/** Waits for events of a name, and returns all there are. @param {string} name @param {number} [count] @param {number} [timeoutMs] */
export async function arrived(name, count = 1, timeoutMs) {
  await until(() => collector.events(name).length >= count, `${count} × ${name}`, timeoutMs);
  return collector.events(name);
}

/** Sends all that waits, whatever the page's clock says. */
export const delivered = () =>
  until(async () => {
    await page.evaluate(() => /** @type {any} */ (window).dewpond.flush());
    return !(await queued()).length;
  }, "an empty queue");

/** The names of all events that arrived. */
export const names = () => collector.events().map(({ name }) => name);

/** Waits for what would be sent by now. */
export const settle = () => page.waitForTimeout(600);

/** What waits in the page's storage. */
export const queued = () =>
  page.evaluate(() => Object.entries(localStorage).filter(([key]) => key.startsWith("dewpond.queue.")).map(([, text]) => String(text)));

/** @param {string} name */
export const objects = (name) => collector.events(name).map(({ object }) => object);

/** From here on `page` is another one. @param {Page} other */
export function turnTo(other) {
  page = other;
}
