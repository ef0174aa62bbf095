// @ts-check
// Reports by e-mail, alerts, imports, destinations, and a share in a frame of another site.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { cards, openBrowser, settled } from "./browser.js";
import { startDewpond, startMailServer } from "./server.js";

/** @type {Awaited<ReturnType<typeof startDewpond>>} */
let dewpond;
/** @type {Awaited<ReturnType<typeof openBrowser>>} */
let browser;
/** @type {Awaited<ReturnType<typeof startMailServer>>} */
let mailbox;
before(async () => {
  mailbox = await startMailServer();
  const flags = mailbox ? ["--smtp-url", `smtp://127.0.0.1:${mailbox.port}`, "--smtp-from", "reports@stats.example", "--public-url", "https://stats.example"] : [];
  [dewpond, browser] = await Promise.all([startDewpond({ days: 20, visitsPerDay: 40, flags }), openBrowser()]);
});
after(async () => {
  await browser?.close();
  await dewpond?.stop();
  await mailbox?.stop();
});

test("somebody is put down for reports, gets one to try, and is taken off by its link", async (context) => {
  if (!mailbox) return context.skip("`make test` installs aiosmtpd");
  const page = await browser.page(`${dewpond.url}/dashboard/email-reports?site=shop`);
  await settled(page);
  await page.getByLabel("E-mail of who gets it").fill("berta@example.com");
  await page.getByLabel("How often").selectOption("month");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByText("berta@example.com").waitFor();
  await page.getByRole("button", { name: "Send a test" }).click();
  await page.getByRole("status").filter({ hasText: "berta@example.com" }).waitFor();
  const [mail] = await mailbox.mails();
  assert.match(mail, /^X-To: berta@example.com/);
  const [, link] = /List-Unsubscribe: <https:\/\/stats\.example([^>]+)>/.exec(mail.replace(/\r?\n /g, "")) ?? [];
  const unsubscribe = await browser.page(dewpond.url + link, { javaScriptEnabled: false });
  await unsubscribe.getByRole("button", { name: "Unsubscribe" }).click();
  await unsubscribe.getByText("No more reports are sent to you.").waitFor();
  await unsubscribe.finish();
  await page.reload();
  await page.getByText("Nobody yet").waitFor();
  await page.finish();
});

test("an import says how many records became what", async () => {
  const page = await browser.page(`${dewpond.url}/dashboard/imports?site=shop`);
  await settled(page);
  const [[events]] = await dewpond.rows("SELECT count(*) FROM events");
  const { results } = await dewpond.ask("/v1/sites/shop/imports");
  assert.equal(results.length, 1);
  assert.equal(results[0].accepted, Number(events));
  await page.getByText("Became events").waitFor();
  await page.finish();
});

test("a destination says how far it is, and is paused and goes on", async () => {
  const server = createServer((_, response) => response.end("ok"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  await dewpond.dewpond("forward", "add", "crm", "--site", "shop", "--webhook", `http://127.0.0.1:${port}/secret-path`);
  const page = await browser.page(`${dewpond.url}/dashboard/destinations?site=shop`);
  const card = page.getByRole("region", { name: "crm" });
  await card.waitFor();
  assert.equal((await page.content()).includes("secret-path"), false);
  await card.getByRole("button", { name: "Pause" }).click();
  await card.getByText("paused").waitFor();
  await card.getByRole("button", { name: "Go on" }).click();
  await card.getByRole("button", { name: "Pause" }).waitFor();
  await page.finish();
  await dewpond.dewpond("forward", "remove", "crm");
  server.close();
  server.closeAllConnections();
});

test("alerts of metrics are there, or how one gets some", async () => {
  const page = await browser.page(`${dewpond.url}/dashboard/alerts?site=shop`);
  await settled(page);
  assert.equal(await page.getByRole("alert").count(), 0);
  await page.getByText("No metric has an alert").waitFor();
  await page.finish();
});

test("a share is shown in a frame of the site that it names, and of no other", async () => {
  const pages = createServer((_, response) => response.writeHead(200, { "Content-Type": "text/html" }).end(`<!doctype html><title>Host</title><body>${snippet}`));
  pages.listen(0, "127.0.0.1");
  await once(pages, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (pages.address());
  let snippet = "";
  const page = await browser.page(`${dewpond.url}/dashboard/account?site=shop&filter=country:is:DE`);
  const shares = page.getByRole("region", { name: "Share links" });
  await shares.getByLabel("Name of the link").fill("For our pages");
  await shares.getByLabel("Pages that may embed it").fill(`http://localhost:${port}`);
  await shares.getByRole("button", { name: "Make a link" }).click();
  await shares.locator(".code pre").nth(1).waitFor();
  snippet = (await shares.locator(".code pre").nth(1).textContent()) ?? "";
  assert.match(snippet, /^<iframe src="http/);
  await page.finish();
  const germans = await dewpond.ask("/v1/stats/aggregate?site=shop&filter=country:is:DE&metrics=sessions");
  const host = await browser.page(`http://localhost:${port}/`);
  const frame = host.frameLocator("iframe");
  await frame.getByRole("heading", { name: "For our pages" }).waitFor();
  await frame.locator('[data-metric="sessions"] [data-value]').waitFor();
  assert.equal(await frame.locator('[data-metric="sessions"] [data-value]').getAttribute("data-value"), String(germans.metrics.sessions));
  assert.equal(await frame.locator("nav").count(), 0);
  assert.equal(await frame.locator("html").getAttribute("data-theme"), "light");
  await host.context().close();
  // The same page by another name is another origin.
  const other = await browser.page(`http://127.0.0.1:${port}/`);
  await other.waitForTimeout(2_000);
  assert.equal(await other.frameLocator("iframe").locator("#app, .cards").count(), 0);
  await other.context().close();
  // Without its secret a frame shows nothing, whoever is signed in here.
  const bare = await browser.page(`${dewpond.url}/dashboard/?embed=1`);
  await bare.getByRole("alert").waitFor();
  assert.deepEqual(await cards(bare), {});
  await bare.finish();
  pages.close();
  pages.closeAllConnections();
});
