// @ts-check
// A browser on the dashboard, and what is read from its pages.
import assert from "node:assert/strict";
import { launch } from "../../../tracker/tests/browser/chromium.js";

/** How long a page may take on a machine that builds something else meanwhile. */
const PATIENCE_MS = 180_000;

export async function openBrowser() {
  const browser = await launch();
  return {
    /**
     * A page with nothing remembered. It fails, at `close`, if the page threw or broke its own policy.
     *
     * @param {string} url @param {import("playwright-core").BrowserContextOptions} [options]
     */
    async page(url, options = {}) {
      const context = await browser.newContext({ locale: "en-GB", timezoneId: "America/New_York", viewport: { width: 1360, height: 900 }, acceptDownloads: true, ...options });
      context.setDefaultTimeout(PATIENCE_MS);
      const page = await context.newPage();
      /** @type {string[]} */
      const errors = [];
      page.on("pageerror", (error) => errors.push(String(error)));
      page.on("console", (message) => {
        // Chromium styles text that replaces a selection in an editor by itself, and refuses that to itself.
        const isEditing = /^Applying inline style/.test(message.text()) && /\/dashboard\/sql/.test(message.location().url) && message.location().lineNumber === 0;
        if (/Content Security Policy/i.test(message.text()) && !isEditing) errors.push(message.text());
      });
      page.on("dialog", (dialog) => {
        errors.push(`a dialog: ${dialog.message()}`);
        void dialog.dismiss();
      });
      await page.goto(url);
      return Object.assign(page, {
        async finish() {
          await context.close();
          assert.deepEqual(errors, []);
        },
      });
    },
    close: () => browser.close(),
  };
}

/** Waits until nothing on the page is loading. @param {import("playwright-core").Page} page */
export async function settled(page) {
  await page.waitForFunction(() => {
    const main = document.querySelector("#main");
    return main && main.children.length > 0 && !document.querySelector('[aria-busy="true"], .skeleton');
  });
}

/** Rows of a panel: its value, then its numbers in full. @param {import("playwright-core").Page} page @param {string} panel @returns {Promise<any[][]>} */
export function panelRows(page, panel) {
  return page.locator(`[data-panel="${panel}"] .bars tbody tr`).evaluateAll((rows) =>
    rows.map((row) => [row.querySelector("th .value")?.textContent, ...[...row.querySelectorAll("td")].map((cell) => Number(cell.title.replace(/[^\d.]/g, "")))]),
  );
}

/** Numbers of the cards, as the server answered them. @param {import("playwright-core").Page} page @returns {Promise<Record<string, number>>} */
export async function cards(page) {
  const found = await page.locator(".number-card").evaluateAll((all) => all.map((card) => [card.getAttribute("data-metric"), Number(card.querySelector("[data-value]")?.getAttribute("data-value"))]));
  return Object.fromEntries(found);
}
