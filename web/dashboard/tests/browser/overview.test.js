// @ts-check
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { cards, openBrowser, panelRows, settled } from "./browser.js";
import { startDewpond } from "./server.js";

/** @type {Awaited<ReturnType<typeof startDewpond>>} */
let dewpond;
/** @type {Awaited<ReturnType<typeof openBrowser>>} */
let browser;
before(async () => {
  [dewpond, browser] = await Promise.all([startDewpond(), openBrowser()]);
});
after(async () => {
  await browser?.close();
  await dewpond?.stop();
});

/** A day so many days ago, in UTC: far enough from midnight anywhere. @param {number} back */
const dayAgo = (back) => new Date(Date.now() - back * 86_400_000).toISOString().slice(0, 10);
const FIRST = dayAgo(12);
const LAST = dayAgo(4);
const RANGE = `range=${FIRST},${LAST}`;

/** The bounds of a range of days in Berlin, as SQL takes them. @param {string} range @returns {Promise<{ from: string, until: string }>} */
async function bounds(range = `${FIRST},${LAST}`) {
  const { query } = await dewpond.ask(`/v1/stats/aggregate?site=shop&date_range=${range}`);
  return { from: query.from, until: query.until };
}

/** The first nine rows, by the first number, then by name: as panels have them. @param {any[][]} rows */
const firstNine = (rows) => rows.map(([name, ...numbers]) => [name, ...numbers.map(Number)]).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 9);

const IDENTIFIED = "events LEFT JOIN identities ON identities.anonymous_visitor_id = events.visitor_id AND events.user_id IS NULL";
const VISITORS = "count(DISTINCT coalesce(identities.user_visitor_id, events.visitor_id))";
const IN_RANGE = "NOT is_bot AND occurred_at >= $from AND occurred_at < $until";
const BEGAN = "started_at >= $from AND started_at < $until";

test("every card is what SQL says", async () => {
  const page = await browser.page(`${dewpond.url}/dashboard/?site=shop&${RANGE}`);
  await settled(page);
  const range = await bounds();
  const [[visitors, pageViews]] = await dewpond.rows(`SELECT ${VISITORS}, count(*) FILTER (WHERE name = 'page_view') FROM ${IDENTIFIED} WHERE ${IN_RANGE}`, range);
  const [[sessions, bounces, duration, engaged]] = await dewpond.rows(`SELECT count(*), avg(CASE WHEN is_bounce THEN 1.0 ELSE 0.0 END), avg(duration_s), avg(engaged_s) FROM sessions WHERE ${BEGAN}`, range);
  const shown = await cards(page);
  assert.ok(Number(visitors) > 100);
  assert.deepEqual([shown.visitors, shown.page_views, shown.sessions], [Number(visitors), Number(pageViews), Number(sessions)]);
  for (const [name, expected] of [["bounce_rate", bounces], ["duration_s_mean", duration], ["engaged_s_mean", engaged]]) assert.ok(Math.abs(shown[name] - Number(expected)) < 1e-6, `${name}: ${shown[name]}, not ${expected}`);
  await page.finish();
});

test("every panel is what SQL says", async () => {
  const page = await browser.page(`${dewpond.url}/dashboard/?site=shop&${RANGE}`);
  const range = await bounds();
  const ofSessions = (/** @type {string} */ column) => `SELECT ${column}, count(DISTINCT visitor_id), count(*) FROM sessions WHERE ${BEGAN} AND ${column} IS NOT NULL GROUP BY ${column}`;
  const ofEvents = (/** @type {string} */ column, /** @type {string} */ numbers, /** @type {string} */ where) => `SELECT ${column}, ${numbers} FROM ${IDENTIFIED} WHERE ${IN_RANGE} AND ${column} IS NOT NULL AND ${where} GROUP BY ${column}`;
  const views = `${VISITORS}, count(*)`;
  const events = `count(*), ${VISITORS}`;
  for (const [panel, tab, sql] of [
    ["pages", "Pages", ofEvents("path", views, "name = 'page_view'")],
    ["pages", "Entry", ofSessions("entry_page")],
    ["pages", "Exit", ofSessions("exit_page")],
    ["pages", "Hosts", ofEvents("hostname", views, "name = 'page_view'")],
    ["sources", "Channels", ofSessions("channel")],
    ["sources", "Sources", ofSessions("utm_source")],
    ["sources", "Campaigns", ofSessions("utm_campaign")],
    ["sources", "Mediums", ofSessions("utm_medium")],
    ["devices", "Browsers", ofSessions("browser")],
    ["devices", "Systems", ofSessions("os")],
    ["events", "Events", ofEvents("name", events, "name <> 'page_ping'")],
    ["events", "Objects", ofEvents("object", events, "TRUE")],
  ]) {
    await page.locator(`[data-panel="${panel}"]`).getByRole("tab", { name: tab, exact: true }).click();
    await settled(page);
    assert.deepEqual(firstNine(await panelRows(page, panel)), firstNine(await dewpond.rows(sql, range)), `${panel}: ${tab}`);
  }
  const countries = await panelRows(page, "places");
  const expected = firstNine(await dewpond.rows(ofSessions("country"), range));
  assert.deepEqual(countries.map((row) => row.slice(1)).sort(), expected.map((row) => row.slice(1)).sort());
  assert.ok(countries.some(([name]) => name === "Germany"));
  const [[robots]] = await dewpond.rows("SELECT count(*) FROM events WHERE is_bot AND occurred_at >= $from AND occurred_at < $until", range);
  await page.getByText(`${Number(robots).toLocaleString("en-GB")} events of robots`).waitFor();
  await page.finish();
});

test("a click on a row filters everything, and a click on its chip takes that back", async () => {
  const page = await browser.page(`${dewpond.url}/dashboard/?site=shop&${RANGE}`);
  await settled(page);
  const before = await cards(page);
  await page.locator('[data-panel="places"]').getByRole("button", { name: "Germany" }).click();
  await page.waitForURL(/filter=country:is:DE/);
  await settled(page);
  const range = await bounds();
  const [[sessions, visitors]] = await dewpond.rows(`SELECT count(*), count(DISTINCT visitor_id) FROM sessions WHERE ${BEGAN} AND country = 'DE'`, range);
  const filtered = await cards(page);
  assert.deepEqual([filtered.sessions, filtered.visitors], [Number(sessions), Number(visitors)]);
  assert.ok(filtered.sessions < before.sessions);
  assert.deepEqual((await panelRows(page, "places")).map(([name]) => name), ["Germany"]);
  await page.getByRole("button", { name: "Remove the filter: Country is Germany" }).click();
  await settled(page);
  assert.deepEqual(await cards(page), before);
  await page.goBack();
  await page.waitForURL(/filter=country:is:DE/);
  await page.finish();
});

test("the filter form takes several values and what is not typed right is never sent", async () => {
  const page = await browser.page(`${dewpond.url}/dashboard/?site=shop&${RANGE}`);
  await settled(page);
  await page.keyboard.press("f");
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("combobox", { name: "What" }).selectOption("path");
  await dialog.getByRole("combobox", { name: "Condition" }).selectOption("contains");
  await dialog.getByLabel("Value", { exact: true }).fill("/hats");
  await dialog.getByLabel("Value", { exact: true }).press("Enter");
  await dialog.getByLabel("Value", { exact: true }).fill("a,b|c\\d");
  await dialog.getByRole("button", { name: "Apply" }).click();
  await settled(page);
  assert.deepEqual(new URL(page.url()).searchParams.getAll("filter"), ["path:contains:/hats,a\\,b\\|c\\\\d"]);
  const { query } = await dewpond.ask(`/v1/stats/aggregate?${new URLSearchParams([["site", "shop"], ["filter", "path:contains:/hats,a\\,b\\|c\\\\d"]])}`);
  assert.deepEqual(query.filters, [["contains", "path", ["/hats", "a,b|c\\d"]]]);
  assert.ok((await panelRows(page, "pages")).every(([path]) => path.startsWith("/hats")));
  await page.finish();
});

test("a point of the chart leads to its day, and the day is shown by hours", async () => {
  const page = await browser.page(`${dewpond.url}/dashboard/?site=shop&${RANGE}`);
  await settled(page);
  await page.getByRole("button", { name: "Show as a table" }).click();
  const row = page.locator(".chart-table tbody tr").nth(2);
  const visitors = Number(await row.locator("td").last().textContent());
  await row.getByRole("button").click();
  await page.waitForURL(/range=(\d{4}-\d\d-\d\d),\1/);
  await settled(page);
  assert.equal((await cards(page)).visitors, visitors);
  assert.equal(await page.locator(".chart tbody tr").count(), 24);
  await page.goBack();
  await settled(page);
  // The same by a click into the drawing.
  const canvas = await page.locator(".u-over").boundingBox();
  assert.ok(canvas);
  await page.mouse.move(canvas.x + canvas.width * 0.5, canvas.y + 50);
  await page.mouse.click(canvas.x + canvas.width * 0.5, canvas.y + 50);
  await page.waitForURL(/range=(\d{4}-\d\d-\d\d),\1/);
  await page.finish();
});

test("the comparison is the range before, and can be switched off", async () => {
  const page = await browser.page(`${dewpond.url}/dashboard/?site=shop&${RANGE}`);
  await settled(page);
  const answer = await dewpond.ask(`/v1/stats/aggregate?site=shop&date_range=${FIRST},${LAST}&compare=previous_period&metrics=visitors`);
  const shown = await page.locator('[data-metric="visitors"] .number-before').textContent();
  assert.ok(shown?.includes(answer.comparison.metrics.visitors.toLocaleString("en-GB")), shown ?? "");
  assert.equal(await page.locator(".chart thead th").count(), 3);
  await page.keyboard.press("x");
  await page.waitForURL(/compare=none/);
  await settled(page);
  assert.equal(await page.locator(".chart thead th").count(), 2);
  assert.equal(await page.locator(".number-before").count(), 0);
  await page.finish();
});

test("details can be searched, ordered and saved, and a name that a spreadsheet would run is text in the file", async () => {
  const key = await dewpond.writeKey("blog");
  await dewpond.send(key, [{ name: "=HYPERLINK(\"http://evil.example\")", anonymous_id: "eve", url: "https://blog.example/" }, { name: "plain, with a comma", anonymous_id: "eve", url: "https://blog.example/" }, { name: "zebra", anonymous_id: "eve", url: "https://blog.example/" }]);
  const page = await browser.page(`${dewpond.url}/dashboard/?site=blog&range=today`);
  await settled(page);
  await page.getByRole("button", { name: "Details of Events" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "plain, with a comma" }).waitFor();
  const saving = page.waitForEvent("download");
  await dialog.getByRole("button", { name: "CSV" }).click();
  const csv = await readFile(await (await saving).path(), "utf8");
  const lines = csv.split("\r\n");
  assert.equal(lines[0], "name,events,visitors,sessions");
  assert.ok(lines.includes(`"'=HYPERLINK(""http://evil.example"")",1,1,1`), csv);
  assert.ok(lines.includes(`"plain, with a comma",1,1,1`), csv);
  await dialog.getByRole("searchbox").fill("COMMA");
  await page.waitForFunction(() => document.querySelectorAll("dialog tbody tr").length === 1);
  await dialog.getByRole("searchbox").fill("");
  await dialog.getByRole("button", { name: "Event", exact: true }).click();
  await page.waitForFunction(() => {
    const names = [...document.querySelectorAll("dialog tbody th")].map((cell) => cell.textContent ?? "");
    return names.length > 2 && names.every((name, at) => at === 0 || names[at - 1] <= name);
  });
  await page.finish();
});

test("names and properties of events are text, whatever is in them", async () => {
  const evil = `<img src=x onerror="alert(1)"><script>alert(2)</script>`;
  const key = await dewpond.writeKey("blog");
  const event = { anonymous_id: evil, user_id: evil, title: evil, object: evil, url: `https://blog.example/${encodeURIComponent(evil)}?utm_source=${encodeURIComponent(evil)}&utm_campaign=${encodeURIComponent(evil)}`, referrer: "javascript:alert(3)", properties: { [evil]: evil } };
  const answer = await dewpond.send(key, [{ ...event, name: "page_view" }, { ...event, name: evil }, { ...event, name: "" }, { name: evil.repeat(200), anonymous_id: "x" }]);
  assert.equal(answer.accepted, 2);
  for (const path of ["", "live", "sessions", "properties", "quarantine", "setup", "journeys", `?filter=${encodeURIComponent(`name:is:${evil}`)}`, `?range=${encodeURIComponent(evil)}`, `?metric=${encodeURIComponent(evil)}`]) {
    const page = await browser.page(`${dewpond.url}/dashboard/${path}${path.includes("?") ? "&" : "?"}site=blog`);
    await settled(page).catch(async () => page.getByRole("alert").first().waitFor());
    assert.equal(await page.locator("img, script:not([src]), [onerror]").count(), 0, path);
    await page.finish();
  }
  const page = await browser.page(`${dewpond.url}/dashboard/?site=blog&range=today`);
  await page.locator('[data-panel="events"]').getByText(evil).first().waitFor();
  await page.finish();
});

test("keys choose ranges and pages, but not while somebody types", async () => {
  const page = await browser.page(`${dewpond.url}/dashboard/?site=shop`);
  await settled(page);
  for (const [key, url] of /** @type {[string, RegExp][]} */ ([["t", /range=today/], ["ArrowLeft", /range=yesterday/], ["ArrowRight", /range=today/], ["w", /range=7d/], ["l", /range=12mo/]])) {
    await page.keyboard.press(key);
    await page.waitForURL(url);
  }
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("2");
  await page.waitForURL(/dashboard\/live/);
  await page.keyboard.press("1");
  await page.waitForURL(/dashboard\/\?/);
  await page.keyboard.press("f");
  await page.getByRole("dialog").getByLabel("Value", { exact: true }).pressSequentially("today");
  assert.match(page.url(), /range=12mo/);
  await page.finish();
});

test("a range without visits says so, and a server that goes away leaves the numbers and says why they are old", async () => {
  const page = await browser.page(`${dewpond.url}/dashboard/?site=shop&range=2020-01-01,2020-01-31`);
  await settled(page);
  assert.equal((await cards(page)).visitors, 0);
  await page.locator('[data-panel="pages"]').getByText("Nothing in this range").waitFor();
  await page.goto(`${dewpond.url}/dashboard/?site=shop&${RANGE}`);
  await settled(page);
  const before = await cards(page);
  await page.context().route("**/v1/**", (route) => route.abort());
  await page.getByRole("button", { name: "Sessions" }).first().click();
  await page.getByText("The server cannot be reached.").first().waitFor();
  assert.deepEqual(await cards(page), before);
  await page.context().unroute("**/v1/**");
  await page.getByRole("button", { name: "Try again" }).first().click();
  await settled(page);
  await page.finish();
});
