#!/usr/bin/env bash
# posthog-node ignores Retry-After and gives an event up after nine seconds.
#
# What surprised: told by 429 or 503 to wait 20 seconds, it asks again after 3, 6 and 9 seconds.
# Then it drops the event and says so by an `error` event only; the next event arrives without it.
# Versions: posthog-node 5.70.0 with its default options.
# What it means: a server that restarts or limits its rate for longer than nine seconds loses
# events. Raise fetchRetryCount and fetchRetryDelay, or queue in front of the client.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
npm install --prefix "$tmp" --silent --no-audit --no-fund posthog-node@5.70.0

cat > "$tmp/run.cjs" <<'JS'
const fs = require('fs');
const http = require('http');
const path = require('path');
const zlib = require('zlib');
const { PostHog } = require('posthog-node');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function run(status) {
  const seen = [];
  let answer = status;
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk)).on('end', () => {
      const body = Buffer.concat(chunks);
      const text = (body[0] === 0x1f ? zlib.gunzipSync(body) : body).toString();
      seen.push({ at: Date.now(), events: JSON.parse(text).batch.map((event) => event.event) });
      response.writeHead(answer, { 'retry-after': '20' }).end('{}');
    });
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const client = new PostHog('key', { host: `http://127.0.0.1:${server.address().port}`, flushAt: 1 });
  let errors = 0;
  client.on('error', () => errors++);
  client.capture({ distinctId: 'someone', event: 'first' });
  await sleep(15000);
  const after = seen.map((request) => Math.round((request.at - seen[0].at) / 1000));
  console.log(`${status}, Retry-After 20: asked again after ${after.slice(1).join(', ')} s, errors ${errors}`);
  answer = 200;
  client.capture({ distinctId: 'someone', event: 'second' });
  await sleep(2000);
  console.log(`  once the server is back: ${seen.slice(after.length).map((request) => request.events)}`);
}
const file = path.join(__dirname, 'node_modules/posthog-node/package.json');
console.log('posthog-node', JSON.parse(fs.readFileSync(file)).version);
run(429).then(() => run(503)).finally(() => process.exit());
JS
got=$(node "$tmp/run.cjs" 2>/dev/null)
expected='posthog-node 5.70.0
429, Retry-After 20: asked again after 3, 6, 9 s, errors 1
  once the server is back: second
503, Retry-After 20: asked again after 3, 6, 9 s, errors 1
  once the server is back: second'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
