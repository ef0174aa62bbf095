// @ts-check
// People of organisations: the first owner, whom he invites, what he shares, and what others do not see.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { cards, openBrowser, settled } from "./browser.js";
import { startDewpond } from "./server.js";

const TOKEN = "the-servers-token";
const PASSWORD = "a long enough password of ada";
/** @type {Awaited<ReturnType<typeof startDewpond>>} */
let dewpond;
/** @type {Awaited<ReturnType<typeof openBrowser>>} */
let browser;
before(async () => {
  [dewpond, browser] = await Promise.all([startDewpond({ token: TOKEN, days: 20, visitsPerDay: 40 }), openBrowser()]);
});
after(async () => {
  await browser?.close();
  await dewpond?.stop();
});

/** Passkeys want a name, not an address. */
const base = () => dewpond.url.replace("127.0.0.1", "localhost");

/** A page of somebody who signs in. @param {string} path @param {string} email @param {string} password */
async function signIn(path, email, password) {
  const page = await browser.page(`${base()}/dashboard/${path}`);
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await settled(page);
  return page;
}

test("the first owner is made by whoever has the token, adds a site, and sees its first event", async () => {
  const page = await browser.page(`${base()}/dashboard/account`);
  await page.getByLabel("Read key, or the server's token").fill(TOKEN);
  await page.keyboard.press("Enter");
  const first = page.getByRole("region", { name: "Make the first account" });
  await first.getByLabel("E-mail").fill("ada@example.com");
  await first.getByLabel("Password").fill(PASSWORD);
  await first.getByLabel("Organisation").fill("Hats");
  await first.getByRole("button", { name: "Begin" }).click();
  await page.getByRole("heading", { name: "ada@example.com" }).waitFor();
  const organisation = page.getByRole("region", { name: "Hats" });
  await organisation.getByLabel("Name of the site").fill("news");
  await organisation.getByRole("button", { name: "Add a site" }).click();
  const key = (await organisation.locator(".code pre").textContent()) ?? "";
  assert.match(key, /^dpw_/);
  // She sees her site and none of the operator's.
  await page.goto(`${base()}/dashboard/setup`);
  await page.getByText("Waiting for the first event …").waitFor();
  assert.equal(/\bshop\b/.test(await page.locator(".top").innerText()), false);
  await dewpond.send(key, [{ name: "page_view", anonymous_id: "bob", url: "https://news.example/hello" }]);
  await page.getByText(/It works: an event came/).waitFor();
  await dewpond.dewpond("site", "set", "shop", "--organisation", "Hats");
  await page.finish();
});

test("goals, segments, funnels and annotations are kept for the site", async () => {
  const page = await signIn("goals?site=shop", "ada@example.com", PASSWORD);
  await page.getByLabel("Event", { exact: true }).fill("signup");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  const row = page.getByRole("region", { name: "Goals" }).locator("tbody tr");
  await row.waitFor();
  const [[visitors]] = await dewpond.rows("SELECT count(DISTINCT visitor_id) FROM events WHERE name = 'signup' AND NOT is_bot");
  assert.equal(await row.locator("td").first().textContent(), String(visitors));
  await page.goto(`${base()}/dashboard/?site=shop&filter=country:is:DE`);
  await settled(page);
  await page.getByRole("button", { name: "Segments" }).click();
  await page.getByLabel("Name of the segment").fill("Germans");
  await page.getByLabel("Name of the segment").press("Enter");
  await page.getByRole("button", { name: "Germans", exact: true }).waitFor();
  await page.goto(`${base()}/dashboard/?site=shop`);
  await settled(page);
  await page.getByRole("button", { name: "Segments" }).click();
  await page.getByRole("button", { name: "Germans", exact: true }).click();
  await page.waitForURL(/filter=country:is:DE/);
  await page.getByRole("button", { name: "Annotations" }).click();
  await page.getByLabel("What happened").fill("Winter sale");
  await page.getByRole("button", { name: "Write down" }).click();
  await page.getByRole("dialog").getByText("Winter sale").waitFor();
  await page.goto(`${base()}/dashboard/funnels?site=shop&steps=${encodeURIComponent("path:is:/>>name:is:signup")}`);
  await settled(page);
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByLabel("Name of the funnel").fill("To the account");
  await page.getByLabel("Name of the funnel").press("Enter");
  await page.getByRole("button", { name: "To the account", exact: true }).waitFor();
  await page.finish();
});

test("a share link shows its site with its filter, after its password, until it is revoked", async () => {
  const page = await signIn("account?site=shop&filter=country:is:DE", "ada@example.com", PASSWORD);
  const shares = page.getByRole("region", { name: "Share links" });
  await shares.getByLabel("Name of the link").fill("For the press");
  await shares.getByLabel("Password of the link").fill("press only");
  await shares.getByRole("button", { name: "Make a link" }).click();
  const link = (await shares.locator(".code pre").textContent()) ?? "";
  const guest = await browser.page(link);
  await guest.getByLabel("Password").fill("wrong");
  await guest.getByRole("button", { name: "Open" }).click();
  await guest.getByRole("alert").waitFor();
  await guest.getByLabel("Password").fill("press only");
  await guest.getByRole("button", { name: "Open" }).click();
  await settled(guest);
  assert.equal(new URL(guest.url()).hash, "");
  const germans = await dewpond.ask("/v1/stats/aggregate?site=shop&filter=country:is:DE&metrics=sessions");
  assert.equal((await cards(guest)).sessions, germans.metrics.sessions);
  assert.equal(await guest.getByRole("link", { name: "SQL" }).count(), 0);
  await shares.getByRole("button", { name: "Revoke" }).click();
  await shares.getByRole("button", { name: "Really revoke?" }).click();
  await shares.getByText("For the press").waitFor({ state: "detached" });
  await guest.reload();
  await guest.locator(".sign-in").waitFor();
  await guest.finish();
  await page.finish();
});

test("a viewer sees and changes nothing, and another organisation sees nothing", async () => {
  const page = await signIn("account", "ada@example.com", PASSWORD);
  const organisation = page.getByRole("region", { name: "Hats" });
  await organisation.getByRole("button", { name: "Invite" }).click();
  const link = (await organisation.locator(".code pre").textContent()) ?? "";
  await page.finish();
  const viewer = await browser.page(link);
  await viewer.getByRole("heading", { name: "Join Hats" }).waitFor();
  await viewer.getByLabel("E-mail").fill("vic@example.com");
  await viewer.getByLabel("Password").fill("a long enough password of vic");
  await viewer.getByRole("button", { name: "Make an account and join" }).click();
  await settled(viewer);
  await viewer.goto(`${base()}/dashboard/goals?site=shop`);
  await settled(viewer);
  await viewer.getByRole("region", { name: "Goals" }).getByText("signup").first().waitFor();
  assert.equal(await viewer.getByRole("button", { name: /Add|Delete/ }).count(), 0);
  const refused = await viewer.evaluate(() => fetch("/v1/sites/shop/goals", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name: "x", kind: "event", value: "x", filters: [] }) }).then((response) => response.status));
  assert.equal(refused, 403);
  await viewer.finish();
  const { stdout } = await dewpond.dewpond("user", "add", "eve@example.com", "--organisation", "Others");
  const password = /password\W+(\S+)/i.exec(stdout)?.[1] ?? stdout.trim().split(/\s+/).at(-1) ?? "";
  const other = await browser.page(`${base()}/dashboard/?site=shop`);
  await other.getByLabel("E-mail").fill("eve@example.com");
  await other.getByLabel("Password").fill(password);
  await other.getByRole("button", { name: "Sign in", exact: true }).click();
  await other.getByRole("alert").first().waitFor();
  assert.equal(await other.locator(".number-card").count(), 0);
  assert.equal((await other.content()).includes("Hats"), false);
  await other.finish();
});

test("a passkey signs in without a password", async () => {
  const page = await signIn("account", "ada@example.com", PASSWORD);
  const session = await page.context().newCDPSession(page);
  await session.send("WebAuthn.enable");
  await session.send("WebAuthn.addVirtualAuthenticator", { options: { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true } });
  await page.getByLabel("Name of the passkey").fill("laptop");
  await page.getByRole("button", { name: "Add a passkey" }).click();
  await page.getByText("laptop").waitFor();
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await page.getByRole("button", { name: "Sign in with a passkey" }).click();
  await page.getByRole("heading", { name: "ada@example.com" }).waitFor();
  await page.finish();
});
