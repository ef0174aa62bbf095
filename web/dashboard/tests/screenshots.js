// @ts-check
// Pictures of every page, for somebody to look at: light and dark, wide and narrow. The first of them is the README's.
//
//   npm run screenshots [DIRECTORY]      default: ../target/screenshots
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { openBrowser, settled } from "./browser/browser.js";
import { startDewpond } from "./browser/server.js";

const STEPS = encodeURIComponent("path:is:/>>path:is:/pricing>>name:is:signup");
const PAGES = /** @type {const} */ ([
  ["overview", "?site=shop"], ["filtered", "?site=shop&filter=country:is:DE&filter=path:contains:/hats"], ["map", "?site=shop&places=map"], ["details", "?site=shop&details=pages"], ["sites", "?by=site"], ["empty", "?site=shop&range=2020-01-01,2020-01-31"],
  ["live", "live?site=shop"], ["sessions", "sessions?site=shop"], ["people", "people?site=shop"], ["funnel", `funnels?site=shop&steps=${STEPS}`], ["journeys", "journeys?site=shop"], ["retention", "retention?site=shop&range=90d"], ["goals", "goals?site=shop"],
  ["properties", "properties?site=shop&key=plan&event=signup"], ["revenue", "revenue?site=shop"], ["sql", "sql?site=shop"], ["metrics", "metrics?site=shop"], ["metric", "metrics?site=shop&metric=sessions"],
  ["alerts", "alerts?site=shop"], ["email-reports", "email-reports?site=shop"], ["imports", "imports?site=shop"], ["destinations", "destinations?site=shop"], ["setup", "setup?site=shop"], ["quarantine", "quarantine?site=shop"], ["lake", "lake"], ["account", "account"],
]);

const into = resolve(process.argv[2] ?? fileURLToPath(new URL("../../../target/screenshots", import.meta.url)));
await mkdir(into, { recursive: true });
const [dewpond, browser] = await Promise.all([startDewpond({ days: 75, visitsPerDay: 160 }), openBrowser()]);
try {
  for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
    for (const [size, viewport] of /** @type {const} */ ([["wide", { width: 1360, height: 900 }], ["narrow", { width: 390, height: 844 }]])) {
      for (const [name, path] of PAGES) {
        const page = await browser.page(`${dewpond.url}/dashboard/${path}`, { colorScheme, viewport });
        await settled(page);
        await page.screenshot({ path: join(into, `${name}-${colorScheme}-${size}.png`), fullPage: name !== "details" });
        await page.finish();
      }
    }
  }
  const page = await browser.page(`${dewpond.url}/dashboard/?site=shop`, { viewport: { width: 1280, height: 1000 } });
  await settled(page);
  await page.screenshot({ path: fileURLToPath(new URL("../../../docs/dashboard.png", import.meta.url)) });
  await page.finish();
} finally {
  await browser.close();
  await dewpond.stop();
}
console.log(`${PAGES.length * 4} pictures in ${into}`);
