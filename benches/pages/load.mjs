// @ts-check
// How soon the dashboard is there, in headless Chromium: node benches/pages/load.mjs URL SITES RANGE [ROUNDS]
//
// - URL: of a server that answers this machine without a key, such as http://127.0.0.1:8090
// - SITES: names, with commas between them; each round looks at another one.
// - RANGE: two days, 2026-03-02,2026-03-31
//
// Prints a Markdown table: the largest paint of a page that is opened, a click on a row until all of the page is about it, and
// both while nine others do the same at the same moment. The first page of a site is opened before, as the process is warm; a
// click is on another row each time, so that nothing of its answer is kept.
import { openBrowser, settled } from "../../web/dashboard/tests/browser/browser.js";

const [url, names, range, rounds = "5"] = process.argv.slice(2);
if (!range) {
  console.error("usage: node benches/pages/load.mjs URL SITES RANGE [ROUNDS]");
  process.exit(2);
}
const sites = names.split(",");
const browser = await openBrowser();
const address = (/** @type {string} */ site) => `${url}/dashboard/?site=${site}&range=${range}`;
/** Panels whose rows are clicked, one after the other. */
const PANELS = ["pages", "devices", "events", "sources", "places"];

/** Opens a page. Returns it, the largest paint and when nothing was loading any more, in milliseconds. @param {string} site */
async function open(site) {
  const begun = performance.now();
  const page = await browser.page(address(site));
  await settled(page);
  const whole = performance.now() - begun;
  const paint = await page.evaluate(() => new Promise((found) => {
    new PerformanceObserver((list) => found(Math.max(...list.getEntries().map((entry) => entry.startTime)))).observe({ type: "largest-contentful-paint", buffered: true });
  }));
  return { page, paint: Number(paint), whole };
}

/**
 * Clicks on a row and waits until all of the page is about it. Returns the milliseconds, or nothing if there is no such row.
 * @param {import("playwright-core").Page} page @param {string} panel @param {number} nth
 */
async function filter(page, panel, nth) {
  const row = page.locator(`[data-panel="${panel}"] .bars tbody tr th button`).nth(nth);
  if ((await row.count()) === 0) return undefined;
  const milliseconds = await row.evaluate((button) => new Promise((done) => {
    const begun = performance.now();
    const isBusy = () => document.querySelector('[aria-busy="true"], .skeleton');
    const look = () => (isBusy() ? requestAnimationFrame(look) : done(performance.now() - begun));
    /** @type {HTMLElement} */ (button).click();
    // The page says that it loads in the frame after the click.
    requestAnimationFrame(() => requestAnimationFrame(look));
  }));
  await page.goBack();
  await settled(page);
  return Number(milliseconds);
}

/** @param {number[]} numbers @param {number} share */
function quantile(numbers, share) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
}

/** @param {string} what @param {number[]} numbers */
function row(what, numbers) {
  console.log(`| ${what} | ${numbers.length} | ${[0.5, 0.95, 1].map((share) => quantile(numbers, share).toFixed(0)).join(" | ")} |`);
}

console.log("| What | Times | p50 ms | p95 ms | max ms |\n|---|--:|--:|--:|--:|");
for (const site of sites) {
  const opened = await open(site);
  await opened.page.finish();
}
const paints = [], wholes = [], clicks = [];
for (let round = 0; round < Number(rounds); round++) {
  const { page, paint, whole } = await open(sites[round % sites.length]);
  paints.push(paint);
  wholes.push(whole);
  for (const panel of PANELS) {
    const milliseconds = await filter(page, panel, Math.floor(round / sites.length) + 1);
    if (milliseconds !== undefined) clicks.push(milliseconds);
  }
  await page.finish();
}
row("largest paint", paints);
row("whole page", wholes);
row("click on a row, until the whole page is about it", clicks);

// Nine of ten people have machines of their own: what their pages ask for comes without a browser. Each opens another site, of days
// that nobody has asked for, or clicks on another row, so that nothing of it is kept.
const asked = await asks(sites[0]);
const others = (/** @type {(parameters: URLSearchParams, minute: number, row: number) => void} */ change) => Array.from({ length: 9 }, (_, person) => {
  const [minute, row] = [Math.floor(Math.random() * 1_440), Math.floor(Math.random() * 500)];
  const all = asked.map(async (address) => {
    const url = new URL(address);
    url.searchParams.set("site", sites[(person + 1) % sites.length]);
    change(url.searchParams, minute, row);
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`${url}: ${await answer.text()}`);
    return answer.arrayBuffer();
  });
  return Promise.all(all);
});
const nineOpen = () => others((parameters, minute) => {
  if (!parameters.has("date_range")) return;
  const [from, until] = range.split(",").map(Date.parse);
  parameters.delete("date_range");
  parameters.set("from", new Date(from + minute * 60_000).toISOString());
  parameters.set("until", new Date(until + 86_400_000).toISOString());
});
const nineClick = () => others((parameters, _minute, row) => parameters.append("filter", `path:is:/catalogue/${row % 10}/item-${row}`));
const crowdedPaints = [], crowdedClicks = [], crowdedOthers = [];
for (let round = 0; round < Number(rounds); round++) {
  const begun = performance.now();
  const theirs = nineOpen().map((all) => all.then(() => crowdedOthers.push(performance.now() - begun)));
  const { page, paint } = await open(sites[round % sites.length]);
  crowdedPaints.push(paint);
  await Promise.all(theirs);
  const theirClicks = nineClick();
  const milliseconds = await filter(page, "pages", Math.floor(round / sites.length) + 4);
  if (milliseconds !== undefined) crowdedClicks.push(milliseconds);
  await Promise.all(theirClicks);
  await page.finish();
}
row("beside nine others who open a page: largest paint", crowdedPaints);
row("beside nine others who click: click on a row, until the whole page is about it", crowdedClicks);
row("until one of the nine who open a page has all answers", crowdedOthers);
await browser.close();

/** What a page asks the stats API for. @param {string} site */
async function asks(site) {
  const page = await browser.page("about:blank");
  /** @type {string[]} */
  const found = [];
  page.on("request", (request) => { if (request.url().includes("/v1/stats/")) found.push(request.url()); });
  await page.goto(address(site));
  await settled(page);
  await page.finish();
  return found;
}
