// @ts-check
// Signing in with a company, by a provider that is real: oidc-provider, on this machine.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
// @ts-expect-error: it comes without types.
import Provider from "oidc-provider";
import { openBrowser, settled } from "./browser.js";
import { freePort, startDewpond } from "./server.js";

const TOKEN = "the-servers-token";
const PASSWORD = "a long enough password of ada";

/** Whom the company knows, by what they type there. @type {Record<string, { email: string, email_verified: boolean, name: string }>} */
const PEOPLE = {
  ada: { email: "ada@example.com", email_verified: true, name: "Ada Lovelace" },
  grace: { email: "Grace@Example.com", email_verified: true, name: "Grace Hopper" },
  hedy: { email: "hedy@example.com", email_verified: false, name: "Hedy Lamarr" },
  mallory: { email: "mallory@elsewhere.example", email_verified: true, name: "Mallory" },
};

/** What becomes of the company's answers on their way. @type {(token: string) => string} */
let tamper = (token) => token;
/** @type {import("node:http").Server} */
let company;
/** @type {Awaited<ReturnType<typeof startDewpond>>} */
let dewpond;
/** @type {Awaited<ReturnType<typeof openBrowser>>} */
let browser;
/** @type {string} */
let dir;
/** @type {string} */
let base;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "dewpond-companies-"));
  const [port, companyPort] = [await freePort(), await freePort()];
  base = `http://localhost:${port}`;
  const issuer = `http://localhost:${companyPort}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: "dewpond", client_secret: "a secret of the company", redirect_uris: [`${base}/v1/auth/oidc/example/callback`] }],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    pkce: { methods: ["S256"], required: () => true },
    cookies: { keys: ["a key of the company"] },
    findAccount: (/** @type {unknown} */ _, /** @type {string} */ id) => ({ accountId: id, claims: async () => ({ sub: id, ...PEOPLE[id] }) }),
  });
  provider.use(async (/** @type {any} */ context, /** @type {() => Promise<void>} */ next) => {
    await next();
    if (context.path === "/token" && context.body?.id_token) context.body = { ...context.body, id_token: tamper(context.body.id_token) };
  });
  company = provider.listen(companyPort);
  await once(company, "listening");
  await writeFile(join(dir, "secret"), "a secret of the company\n");
  const file = join(dir, "providers.toml");
  await writeFile(file, `[[provider]]\nid = "example"\nname = "Example Inc."\nissuer = "${issuer}"\nclient_id = "dewpond"\nsecret_file = "secret"\ndomains = ["example.com"]\norganisation = "Hats"\nrole = "viewer"\n`);
  [dewpond, browser] = await Promise.all([startDewpond({ token: TOKEN, days: 12, visitsPerDay: 30, port, flags: ["--public-url", base, "--sign-in-providers", file] }), openBrowser()]);
  await dewpond.ask("/v1/auth/register", { email: "ada@example.com", password: PASSWORD, organisation: "Hats", tokens: "body" });
  await dewpond.dewpond("site", "set", "shop", "--organisation", "Hats");
});
after(async () => {
  await browser?.close();
  await dewpond?.stop();
  company?.close();
  company?.closeAllConnections();
  await rm(dir, { recursive: true, force: true });
});

/** Types a name on the company's page, and agrees. @param {import("playwright-core").Page} page @param {string} who */
async function atTheCompany(page, who) {
  await page.getByPlaceholder("Enter any login").fill(who);
  await page.getByPlaceholder("and password").fill("anything");
  await page.getByRole("button", { name: "Sign-in" }).click();
  await page.getByRole("button", { name: "Continue" }).click();
}

/** A page of whoever went to the company. @param {string} who @param {string} [path] */
async function comesBack(who, path = "?site=shop&range=7d") {
  const page = await browser.page(`${base}/dashboard/${path}`);
  await page.getByRole("link", { name: "Sign in with Example Inc." }).click();
  await atTheCompany(page, who);
  return page;
}

/** Whether a browser is signed in. Not by a script of the page: one without scripts asks nothing. @param {import("playwright-core").Page} page */
const statusOfMe = async (page) => (await page.request.get(`${base}/v1/me`)).status();

test("somebody of the company signs in, becomes what the file says, and sees what he wanted to see", async () => {
  const page = await comesBack("grace");
  await page.waitForURL(`${base}/dashboard/?site=shop&range=7d`);
  await settled(page);
  const me = await page.evaluate(() => fetch("/v1/me").then((response) => response.json()));
  assert.deepEqual([me.user.email, me.user.name, me.organisations[0].name, me.organisations[0].role, me.user.has_password], ["grace@example.com", "Grace Hopper", "Hats", "viewer", false]);
  const cookies = await page.context().cookies(base);
  assert.ok(cookies.every(({ httpOnly }) => httpOnly) && !cookies.some(({ name }) => name === "dewpond_begun"), JSON.stringify(cookies));
  await page.finish();
});

test("whom the company may not vouch for is not signed in, and hears why", async () => {
  for (const [who, why] of /** @type {const} */ ([["hedy", /has not made sure/], ["mallory", /addresses of elsewhere.example/]])) {
    const page = await comesBack(who);
    await page.getByText(why).waitFor();
    assert.equal(await statusOfMe(page), 401);
    await page.finish();
  }
});

test("an account with a password is connected by whoever is in it, and by nobody else", async () => {
  const stranger = await comesBack("ada");
  await stranger.getByText(/there is an account of your e-mail address already/).waitFor();
  await stranger.finish();
  const page = await browser.page(`${base}/dashboard/account`);
  await page.getByLabel("E-mail").fill("ada@example.com");
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("button", { name: "Connect" }).click();
  await atTheCompany(page, "ada");
  await page.getByText("connected").waitFor();
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await page.getByRole("link", { name: "Sign in with Example Inc." }).click();
  // The company still knows her.
  await page.getByRole("heading", { name: "ada@example.com" }).waitFor();
  await page.getByRole("button", { name: "Disconnect" }).click();
  await page.getByRole("button", { name: "Really disconnect?" }).click();
  await page.getByRole("button", { name: "Connect" }).waitFor();
  await page.finish();
  const evil = await browser.page(`${base}/dashboard/sign-in`);
  const status = await evil.evaluate(() => fetch("/v1/me/identities/example", { method: "POST", body: "{}" }).then((response) => response.status));
  assert.equal(status, 401);
  await evil.finish();
});

test("an answer is taken once, by the browser that asked, and leads nowhere else", async () => {
  const page = await browser.page(`${base}/dashboard/`);
  /** @type {string[]} */
  const callbacks = [];
  page.on("request", (request) => {
    if (request.url().includes("/callback")) callbacks.push(request.url());
  });
  await page.goto(`${base}/v1/auth/oidc/example?next=${encodeURIComponent("//evil.example/dashboard/")}`);
  await atTheCompany(page, "grace");
  await page.waitForURL(`${base}/dashboard/`);
  const [callback] = callbacks;
  // The same once more, in the same browser and in another.
  await page.goto(callback);
  await page.getByText(/this answer is to no question of this browser/).waitFor();
  await page.finish();
  const other = await browser.page(callback);
  await other.getByText(/this answer is to no question of this browser/).waitFor();
  // Whoever leads a browser that has asked to his own answer is refused.
  await other.goto(`${base}/v1/auth/oidc/example`);
  await other.goto(callback);
  await other.getByText(/this answer is to no question of this browser/).waitFor();
  assert.equal(await statusOfMe(other), 401);
  await other.finish();
});

test("what the company did not sign for this question is not believed", async () => {
  const answers = /** @type {Record<string, (token: string) => string>} */ ({
    "a name that was changed on the way": (token) => {
      const [head, body, signature] = token.split(".");
      const claims = JSON.parse(Buffer.from(body, "base64url").toString());
      return [head, Buffer.from(JSON.stringify({ ...claims, sub: "ada" })).toString("base64url"), signature].join(".");
    },
    "no signature": (token) => [Buffer.from('{"alg":"none"}').toString("base64url"), token.split(".")[1], ""].join("."),
  });
  for (const [name, change] of Object.entries(answers)) {
    tamper = change;
    const page = await comesBack("grace");
    await page.getByText(/Example Inc. has not shown who you are/).waitFor();
    assert.equal(await statusOfMe(page), 401, name);
    await page.finish();
  }
  tamper = (token) => token;
  const page = await browser.page(`${base}/dashboard/`);
  const begun = await page.request.get(`${base}/v1/auth/oidc/example`, { maxRedirects: 0 });
  await page.goto(begun.headers().location.replace(/nonce=\w+/, "nonce=another"));
  await atTheCompany(page, "grace");
  await page.getByText(/Example Inc. has not shown who you are/).waitFor();
  await page.finish();
});
