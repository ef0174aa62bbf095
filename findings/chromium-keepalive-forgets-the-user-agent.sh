#!/usr/bin/env bash
# A request that outlives its page does not have the user agent that a test gave its browser context.
#
# What surprised: `newContext({ userAgent })` holds for every request of a page but those that are sent as it is left: `fetch`
# with `keepalive`, and `navigator.sendBeacon`. They say HeadlessChrome. The flag --user-agent holds for all.
# Versions: playwright-core 1.65.1, Chromium 156 of Debian.
# What it means: a collector that leaves out robots loses the last events of each page of a test, and only those.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts playwright-core@1.65.1
cat >visit.mjs <<'JS'
import { createServer } from "node:http";
import { chromium } from "playwright-core";

const seen = {};
const server = createServer((request, response) => {
  seen[request.url] = request.headers["user-agent"].includes("HeadlessChrome") ? "HeadlessChrome" : "as told";
  response.writeHead(200, { "Content-Type": "text/html" }).end("<h1>page</h1>");
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
for (const [way, args, options] of [
  ["context", [], { userAgent: agent }],
  ["flag", [`--user-agent=${agent}`], {}],
]) {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  const browser = await chromium.launch({ executablePath, args: ["--headless", "--no-sandbox", ...args] });
  const page = await (await browser.newContext(options)).newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.evaluate((way) => fetch(`/${way}/fetch`), way);
  await page.evaluate((way) => {
    addEventListener("pagehide", () => {
      fetch(`/${way}/keepalive`, { method: "POST", body: "x", keepalive: true });
      navigator.sendBeacon(`/${way}/beacon`, "x");
    });
  }, way);
  await page.goto("about:blank");
  await new Promise((passed) => setTimeout(passed, 2_000));
  await browser.close();
}
server.close();
for (const way of ["context", "flag"])
  for (const request of ["fetch", "keepalive", "beacon"]) console.log(way, request, seen[`/${way}/${request}`]);
JS
echo "playwright-core 1.65.1, $("${CHROMIUM:-/usr/bin/chromium}" --version)"
output=$(node visit.mjs)
echo "$output"
expected='context fetch as told
context keepalive HeadlessChrome
context beacon HeadlessChrome
flag fetch as told
flag keepalive as told
flag beacon as told'
[ "$output" = "$expected" ] || { echo "this has changed" >&2; exit 1; }
