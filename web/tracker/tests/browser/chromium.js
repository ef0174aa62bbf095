// @ts-check
import { chromium } from "playwright-core";

/**
 * A browser that somebody looks at: the collector takes a headless one for a robot, and leaves its events out of every metric.
 */
const USER_AGENT =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

/**
 * Starts the Chromium of this machine. None is ever downloaded.
 *
 * @returns {Promise<import("playwright-core").Browser>}
 */
export function launch() {
  return chromium.launch({
    executablePath: process.env.DEWPOND_CHROMIUM ?? "/usr/bin/chromium",
    args: [
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
    ],
  });
}
