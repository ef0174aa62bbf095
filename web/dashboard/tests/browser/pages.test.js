// @ts-check
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { openBrowser, settled } from "./browser.js";
import { startDewpond } from "./server.js";

/** @type {Awaited<ReturnType<typeof startDewpond>>} */
let dewpond;
/** @type {Awaited<ReturnType<typeof openBrowser>>} */
let browser;
before(async () => {
  [dewpond, browser] = await Promise.all([startDewpond({ token: "the-servers-token" }), openBrowser()]);
});
after(async () => {
  await browser?.close();
  await dewpond?.stop();
});

/** A page of somebody who has typed in a key. @param {string} path @param {string} [key] */
async function open(path, key = "the-servers-token") {
  const page = await browser.page(`${dewpond.url}/dashboard/${path}`);
  await page.getByLabel("Read key, or the server's token").or(page.getByRole("button", { name: "Use a read key" })).first().waitFor();
  const byPassword = page.getByRole("button", { name: "Use a read key" });
  if (await byPassword.isVisible()) await byPassword.click();
  await page.getByLabel("Read key, or the server's token").fill(key);
  await page.keyboard.press("Enter");
  await settled(page);
  return page;
}

/** What a page's table says, row by row. @param {import("playwright-core").Locator} table */
const cells = (table) => table.locator("tbody tr").evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent?.trim() ?? "")));

test("a server with a token shows nothing without a key, and a wrong one is refused in words", async () => {
  const page = await browser.page(`${dewpond.url}/dashboard/?site=shop`);
  const byPassword = page.getByRole("button", { name: "Use a read key" });
  const field = page.getByLabel("Read key, or the server's token");
  await field.or(byPassword).first().waitFor();
  if (await byPassword.isVisible()) await byPassword.click();
  assert.equal(await page.locator(".number-card").count(), 0);
  await field.fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").waitFor();
  await field.fill("the-servers-token");
  await page.keyboard.press("Enter");
  await settled(page);
  assert.equal(await page.locator(".number-card").count(), 6);
  // It is this tab's alone.
  assert.equal(await page.evaluate(() => JSON.stringify(localStorage).includes("the-servers-token") || document.cookie.includes("the-servers-token")), false);
  await page.finish();
});

test("whoever has a read key sees its sites and learns of no other", async () => {
  const { stdout } = await dewpond.dewpond("key", "add", "--site", "blog", "--json");
  const page = await open("", JSON.parse(stdout).read_key);
  await page.getByRole("button", { name: "blog", exact: true }).waitFor();
  assert.equal((await page.content()).includes("shop"), false);
  for (const path of ["lake", "?site=shop"]) {
    await page.goto(`${dewpond.url}/dashboard/${path}`);
    await page.getByRole("alert").first().waitFor();
    assert.equal(await page.locator(".number-value, .tile").count(), 0);
  }
  await page.finish();
});

test("the SQL page runs a query, shows it as a chart, saves it, and says where one is wrong", async () => {
  const page = await open("sql?site=shop");
  const editor = page.locator(".editor .cm-content");
  const write = async (/** @type {string} */ sql) => {
    await editor.click();
    await page.keyboard.press("ControlOrMeta+a");
    await page.keyboard.insertText(sql);
  };
  await write("SELECT date, count(*) AS events FROM events WHERE NOT is_bot GROUP BY date ORDER BY date");
  await page.keyboard.press("ControlOrMeta+Enter");
  const answer = page.getByRole("region", { name: "Rows of the answer" });
  await answer.waitFor();
  const expected = await dewpond.rows("SELECT date, count(*) FROM events WHERE NOT is_bot GROUP BY date ORDER BY date");
  assert.deepEqual(await cells(answer), expected.map((row) => row.map(String)));
  await page.getByRole("button", { name: "Chart", exact: true }).click();
  await page.locator(".chart canvas").waitFor();
  assert.equal(await page.locator(".chart tbody tr").count(), expected.length);
  const saving = page.waitForEvent("download");
  await page.getByRole("button", { name: "CSV", exact: true }).click();
  const csv = await readFile(await (await saving).path(), "utf8");
  assert.equal(csv, ["date,events", ...expected.map((row) => row.join(","))].join("\r\n") + "\r\n");
  await page.getByRole("button", { name: "Download" }).click();
  const parquet = page.waitForEvent("download");
  await page.getByRole("button", { name: "PARQUET" }).click();
  assert.equal((await readFile(await (await parquet).path())).subarray(0, 4).toString(), "PAR1");
  await write("SELECT name\nFROM evnts");
  await page.getByRole("button", { name: "Run" }).click();
  const trouble = page.getByRole("alert");
  await trouble.waitFor();
  assert.match((await trouble.textContent()) ?? "", /evnts/);
  await write("SELECT\n  nam FROM events");
  await page.getByRole("button", { name: "Run" }).click();
  await page.getByText(/Line 2, column 3/).waitFor();
  await page.locator(".editor .cm-wrong").waitFor();
  await write("DROP TABLE events");
  await page.getByRole("button", { name: "Run" }).click();
  await page.getByText(/DROP/).last().waitFor();
  assert.match(page.url(), /q=SELECT/);
  await page.getByRole("button", { name: "visitor_id integer" }).first().waitFor();
  await page.finish();
});

test("every metric of queries/ has its last answer and every one it ever had", async () => {
  // The job runs each minute; this asks it not to be waited for.
  await dewpond.dewpond("report", "--at", new Date(Date.now() - 3_600_000).toISOString());
  await dewpond.dewpond("report", "--at", new Date(Date.now() - 1_800_000).toISOString());
  const page = await open("metrics?site=shop");
  const link = page.getByRole("button", { name: "page_views", exact: true });
  for (let tries = 0; !(await link.isVisible()) && tries < 30; tries += 1) {
    await page.reload();
    await settled(page);
  }
  await link.click();
  await page.waitForURL(/metric=page_views/);
  await settled(page);
  const [[value, runs]] = await dewpond.rows("SELECT max(value), count(*) FROM reports WHERE metric = 'page_views' AND site_id = 'shop'");
  assert.ok(Number(runs) >= 2);
  const history = await cells(page.locator(".chart"));
  assert.ok(history.length >= 2, `${history.length}`);
  assert.ok(Number(value) > 1_000);
  await page.getByRole("button", { name: "All metrics" }).click();
  await page.getByRole("button", { name: "top_pages", exact: true }).click();
  await page.getByRole("region", { name: "Rows of the answer" }).getByText("/hats", { exact: true }).waitFor();
  await page.finish();
});

test("a funnel has the numbers of the stats API, and its steps stand in the address", async () => {
  const page = await open("funnels?site=shop");
  await page.getByLabel("Value of step 1").fill("/");
  await page.getByLabel("Value of step 2").fill("signup");
  await page.getByLabel("Value of step 2").press("Tab");
  await page.locator(".funnel-step").first().waitFor();
  await settled(page);
  const answer = await dewpond.ask("/v1/stats/funnel?site=shop&date_range=30d&step=path:is:/&step=name:is:signup");
  assert.ok(answer.steps[1].visitors > 0);
  assert.deepEqual(await page.locator(".funnel-step b").allTextContents(), answer.steps.map((/** @type {any} */ step) => step.visitors.toLocaleString("en-GB")));
  const { searchParams } = new URL(page.url());
  assert.equal(searchParams.get("steps"), "path:is:/>>name:is:signup");
  await page.reload();
  await page.locator(".funnel-step").nth(1).waitFor();
  await page.finish();
});

test("a session of the list opens with its events in order", async () => {
  const page = await open("sessions?site=shop");
  const { results } = await dewpond.ask("/v1/stats/sessions?site=shop&date_range=30d&limit=50");
  assert.equal(await page.locator("main tbody tr").count(), results.length);
  await page.locator("main tbody tr a").first().click();
  await page.waitForURL(/session=/);
  await settled(page);
  const id = new URL(page.url()).searchParams.get("session") ?? "";
  const one = await dewpond.ask(`/v1/stats/sessions/${encodeURIComponent(id)}?site=shop`);
  assert.equal(await page.locator(".timeline li").count(), one.events.length);
  assert.deepEqual(await page.locator(".timeline time").evaluateAll((all) => all.map((time) => time.getAttribute("datetime"))), one.events.map((/** @type {any} */ event) => event.occurred_at));
  await page.finish();
});

test("journeys, retention, revenue and properties have the numbers of the stats API", async () => {
  const page = await open("journeys?site=shop");
  const paths = await dewpond.ask("/v1/stats/paths?site=shop&date_range=30d&steps=4&limit=8");
  await page.getByText("Show as a table").click();
  const rows = await cells(page.locator(".more-table"));
  assert.deepEqual(rows.map((row) => Number(row[3].replace(/\D/g, ""))), paths.links.map((/** @type {any} */ link) => link.sessions));
  await page.goto(`${dewpond.url}/dashboard/retention?site=shop`);
  await settled(page);
  const { cohorts } = await dewpond.ask("/v1/stats/retention?site=shop&date_range=30d&interval=week");
  assert.deepEqual((await cells(page.locator(".grid"))).slice(1).map((row) => Number(row[1].replace(/\D/g, ""))), cohorts.map((/** @type {any} */ cohort) => cohort.visitors));
  await page.goto(`${dewpond.url}/dashboard/revenue?site=shop`);
  await settled(page);
  const money = await dewpond.ask("/v1/stats/aggregate?site=shop&date_range=30d&metrics=revenue,transactions&currency=EUR");
  const shown = await page.locator(".number-value").allTextContents();
  assert.equal(Number(shown[0].replace(/[^\d.]/g, "")), Number(money.metrics.revenue));
  assert.equal(Number(shown[1].replace(/\D/g, "")), money.metrics.transactions);
  await page.goto(`${dewpond.url}/dashboard/properties?site=shop`);
  await page.getByRole("button", { name: /^plan signup/ }).click();
  const plans = await dewpond.ask("/v1/stats/breakdown?site=shop&date_range=30d&dimensions=properties.plan&metrics=events&filter=name:is:signup&filter=properties.plan:exists");
  await page.locator(".bars tbody tr").first().waitFor();
  await settled(page);
  assert.deepEqual(await page.locator(".bars .value").allTextContents(), plans.results.map((/** @type {any} */ row) => row.dimensions["properties.plan"]));
  await page.finish();
});

test("waiting for the first event becomes the event, and a refused one says why", async () => {
  await dewpond.dewpond("site", "add", "new");
  const key = await dewpond.writeKey("new");
  const page = await open("setup?site=new");
  await page.getByText("Waiting for the first event …").waitFor();
  const answer = await dewpond.send(key, [{ name: "first_steps", anonymous_id: "ada", url: "https://new.example/welcome" }, { anonymous_id: "ada" }]);
  assert.equal(answer.accepted, 1);
  await page.getByText(/It works: an event came/).waitFor();
  await page.getByText("https://new.example/welcome").waitFor();
  await page.goto(`${dewpond.url}/dashboard/quarantine?site=new`);
  await page.getByText(answer.rejected[0].reason).first().waitFor();
  await page.goto(`${dewpond.url}/dashboard/live?site=new`);
  await page.getByRole("region", { name: "Newest events" }).last().getByText("first_steps").waitFor();
  await page.goto(`${dewpond.url}/dashboard/lake`);
  await page.getByText("Published events").waitFor();
  await page.finish();
});

test("in German everything is German, and times are those of the site", async () => {
  const page = await browser.page(`${dewpond.url}/dashboard/?site=shop`, { locale: "de-DE" });
  const byPassword = page.getByRole("button", { name: "Einen Leseschlüssel verwenden" });
  const field = page.getByLabel("Leseschlüssel oder Token des Servers");
  await field.or(byPassword).first().waitFor();
  if (await byPassword.isVisible()) await byPassword.click();
  await field.fill("the-servers-token");
  await page.keyboard.press("Enter");
  await settled(page);
  assert.equal(await page.locator("h1").textContent(), "Überblick");
  assert.equal(await page.locator("html").getAttribute("lang"), "de");
  const { complete_until } = await dewpond.ask("/v1/stats/aggregate?site=shop");
  const until = (await page.locator(".standing").textContent())?.match(/endgültig bis (\d\d):\d\d/);
  // The browser is in New York, the site in Berlin.
  assert.equal(until?.[1], complete_until.slice(11, 13));
  await page.finish();
});
