#!/usr/bin/env bash
# The Snowplow tracker for Node has no timer for retries: a failed event waits for the next one.
#
# What surprised: after a 503 nothing is sent for as long as nothing is tracked. The next track()
# sends the old event along with the new one.
# Versions: @snowplow/node-tracker 4.8.0 with its default emitter.
# What it means: the last event before a quiet time, or before the process ends, is lost if the
# collector is away at that moment. Call flush() after a while and before exit.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
npm install --prefix "$tmp" --silent --no-audit --no-fund @snowplow/node-tracker@4.8.0

cat > "$tmp/run.cjs" <<'JS'
const fs = require('fs');
const http = require('http');
const path = require('path');
const { buildStructEvent, newTracker } = require('@snowplow/node-tracker');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function run() {
  const requests = [];
  let status = 503;
  const server = http.createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => { text += chunk; }).on('end', () => {
      requests.push(JSON.parse(text).data.map((event) => event.se_ac).join(' and '));
      response.writeHead(status).end('ok');
    });
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const tracker = newTracker({ namespace: 'shop', appId: 'shop' }, {
    endpoint: '127.0.0.1', protocol: 'http', port: server.address().port, eventMethod: 'post', bufferSize: 1,
  });
  tracker.track(buildStructEvent({ category: 'shop', action: 'first' }));
  await sleep(2000);
  status = 200;
  await sleep(20000);
  console.log(`20 s after the collector is back: ${requests.join(', then ')}`);
  tracker.track(buildStructEvent({ category: 'shop', action: 'second' }));
  await sleep(2000);
  console.log(`after another track(): ${requests.join(', then ')}`);
}
const file = path.join(__dirname, 'node_modules/@snowplow/node-tracker/package.json');
console.log('@snowplow/node-tracker', JSON.parse(fs.readFileSync(file)).version);
run().finally(() => process.exit());
JS
got=$(node "$tmp/run.cjs")
expected='@snowplow/node-tracker 4.8.0
20 s after the collector is back: first
after another track(): first, then first and second'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
