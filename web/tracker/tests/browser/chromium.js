// @ts-check
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

/**
 * A browser that somebody looks at: the collector takes a headless one for a robot, and leaves its events out of every metric.
 */
const USER_AGENT =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

const EXECUTABLE = process.env.DEWPOND_CHROMIUM ?? "/usr/bin/chromium";

const FLAGS = [
  "--headless",
  // A context's own user agent is not that of requests which outlive their page.
  `--user-agent=${USER_AGENT}`,
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/**
 * Starts the Chromium of this machine. None is ever downloaded.
 *
 * @param {string[]} [ignoreDefaultArgs] what Playwright switches off and a test needs.
 * @returns {Promise<import("playwright-core").Browser>}
 */
export function launch(ignoreDefaultArgs) {
  return chromium.launch({ executablePath: EXECUTABLE, args: FLAGS, ignoreDefaultArgs });
}

/**
 * Runs a page in a Chromium that nobody drives: one that is driven loads no page in advance.
 *
 * @param {string} url
 * @param {() => Promise<void>} look what to do meanwhile.
 */
export async function visitAlone(url, look) {
  const profile = await mkdtemp(join(tmpdir(), "dewpond-chromium-"));
  const browser = spawn(EXECUTABLE, [...FLAGS, `--user-data-dir=${profile}`, "--remote-debugging-port=0", url], {
    stdio: "ignore",
    // A group of its own: its processes end together.
    detached: true,
  });
  try {
    await look();
  } finally {
    const ended = new Promise((done) => browser.once("exit", done));
    if (browser.exitCode === null && browser.pid) {
      process.kill(-browser.pid, "SIGKILL");
      await ended;
    }
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
