// @ts-check
// A Dewpond with the visits of an invented shop, for the tests of the dashboard and its screenshots.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { access, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { sample } from "../sample.js";

const run = promisify(execFile);
const REPOSITORY = fileURLToPath(new URL("../../../../", import.meta.url));
const BINARY = process.env.DEWPOND_BIN ?? join(process.env.CARGO_TARGET_DIR ?? join(REPOSITORY, "target"), "debug/dewpond");

/**
 * Starts all roles on a lake of its own, with the sites `shop` (Europe/Berlin) and `blog`.
 *
 * @param {{ token?: string, days?: number, visitsPerDay?: number, port?: number, flags?: string[] }} [options] `port` of the
 *   dashboard, where somebody has to know it before.
 */
export async function startDewpond({ token, days = 45, visitsPerDay = 60, port = 0, flags: more = [] } = {}) {
  await access(BINARY).catch(() => {
    throw new Error(`there is no ${BINARY}: cargo build -p dewpond, or say by DEWPOND_BIN where it is`);
  });
  const dir = await mkdtemp(join(tmpdir(), "dewpond-dashboard-"));
  const lake = join(dir, "lake");
  const dewpond = (/** @type {string[]} */ ...args) => run(BINARY, [...args, "--lake", lake], { cwd: REPOSITORY });
  const now = new Date();
  for (const [site, seed, share] of /** @type {const} */ ([["shop", 1, 1], ["blog", 2, 0.25]])) {
    const file = join(dir, `${site}.ndjson`);
    await writeFile(file, sample({ now, days, visitsPerDay: visitsPerDay * share, seed, host: `${site}.example` }).join("\n"));
    await dewpond("import", "--site", site, file);
    await dewpond("site", "set", site, "--time-zone", "Europe/Berlin", "--domain", `${site}.example`);
  }
  const flags = ["up", "--lake", lake, "--collector-listen", "127.0.0.1:0", "--analytics-listen", `127.0.0.1:${port}`, "--admin-listen", "127.0.0.1:0", ...more];
  const server = spawn(BINARY, token ? [...flags, "--token", token] : flags, { cwd: REPOSITORY, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  const { collector, analytics } = await new Promise((done, failed) => {
    const read = (/** @type {Buffer} */ bytes) => {
      said += bytes;
      const found = /POST (http:\S+)\/v1\/events[\s\S]*GET {2}(http:\S+)\/metrics[\s\S]*write key/.exec(said);
      if (found) done({ collector: found[1], analytics: found[2] });
    };
    server.stdout.on("data", read);
    server.stderr.on("data", (bytes) => (said += bytes));
    server.once("exit", () => failed(new Error(`it did not start:\n${said}`)));
  });
  return {
    /** Where the dashboard is. */
    url: analytics,
    collector,
    dewpond,
    /** Asks as a program does. @param {string} path @param {unknown} [body] @returns {Promise<any>} */
    async ask(path, body) {
      const headers = /** @type {Record<string, string>} */ ({ "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) });
      const response = await fetch(analytics + path, { headers, ...(body !== undefined && { method: "POST", body: JSON.stringify(body) }) });
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
      return response.json();
    },
    /** Rows of a query. @param {string} sql @param {Record<string, unknown>} [params] @param {string} [site] @returns {Promise<any[][]>} */
    async rows(sql, params = {}, site = "shop") {
      return (await this.ask("/v1/sql", { sql, params, site })).rows;
    },
    /** Sends events by the native protocol. @param {string} key @param {object[]} events */
    async send(key, events) {
      const response = await fetch(`${collector}/v1/events`, { method: "POST", headers: { Authorization: `Bearer ${key}` }, body: JSON.stringify(events) });
      return response.json();
    },
    /** A new write key. @param {string} site @returns {Promise<string>} */
    async writeKey(site) {
      const { stdout } = await dewpond("site", "key", "add", site, "--json");
      return JSON.parse(stdout).write_key;
    },
    async stop() {
      if (server.exitCode === null) {
        const ended = once(server, "exit");
        server.kill("SIGINT");
        await ended;
      }
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** A port that nobody listens on. @returns {Promise<number>} */
export async function freePort() {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  server.close();
  await once(server, "close");
  return port;
}

/**
 * A mail server on this machine, aiosmtpd; undefined where `make test` has not installed it.
 *
 * @returns {Promise<{ port: number, mails: () => Promise<string[]>, stop: () => Promise<void> } | undefined>}
 */
export async function startMailServer() {
  const python = process.env.DEWPOND_TEST_PYTHON;
  if (!python) return undefined;
  const dir = await mkdtemp(join(tmpdir(), "dewpond-mails-"));
  const server = spawn(python, [join(REPOSITORY, "api/tests/smtp/server.py"), dir], { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = await once(server.stdout, "data");
  return {
    port: Number(String(said)),
    async mails() {
      const names = (await readdir(dir)).filter((name) => name.endsWith(".eml")).sort();
      return Promise.all(names.map((name) => readFile(join(dir, name), "utf8")));
    },
    async stop() {
      server.kill("SIGKILL");
      await rm(dir, { recursive: true, force: true });
    },
  };
}
