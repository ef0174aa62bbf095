#!/usr/bin/env bash
# The RudderStack client for Node sends gzipped JSON labelled as a form.
#
# What surprised: the default is gzip, and then Content-Type is application/x-www-form-urlencoded.
# With `gzip: false` it is application/json.
# Versions: @rudderstack/rudder-sdk-node 3.0.13.
# What it means: a server or a firewall that chooses a parser by Content-Type reads nothing, or
# refuses the request. Go by Content-Encoding and the body, or set `gzip: false`.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
npm install --prefix "$tmp" --silent --no-audit --no-fund @rudderstack/rudder-sdk-node@3.0.13

cat > "$tmp/run.cjs" <<'JS'
const fs = require('fs');
const http = require('http');
const path = require('path');
const zlib = require('zlib');
const RudderAnalytics = require('@rudderstack/rudder-sdk-node');

async function run(gzip) {
  const lines = [];
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk)).on('end', () => {
      const body = Buffer.concat(chunks);
      const { batch } = JSON.parse(body[0] === 0x1f ? zlib.gunzipSync(body) : body);
      lines.push(`gzip ${gzip}: ${request.headers['content-type']}, ${request.headers['content-encoding'] ?? 'not encoded'}, JSON with ${batch.length} event`);
      response.end('OK');
    });
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const dataPlaneUrl = `http://127.0.0.1:${server.address().port}`;
  const client = new RudderAnalytics('key', { dataPlaneUrl, flushAt: 1, gzip });
  client.track({ userId: 'someone', event: 'bought' });
  await new Promise((resolve) => setTimeout(resolve, 3000));
  return lines.join('\n');
}
const file = path.join(__dirname, 'node_modules/@rudderstack/rudder-sdk-node/package.json');
console.log('@rudderstack/rudder-sdk-node', JSON.parse(fs.readFileSync(file)).version);
Promise.all([run(undefined), run(false)]).then((lines) => console.log(lines.join('\n'))).finally(() => process.exit());
JS
got=$(node "$tmp/run.cjs")
expected='@rudderstack/rudder-sdk-node 3.0.13
gzip undefined: application/x-www-form-urlencoded, gzip, JSON with 1 event
gzip false: application/json, not encoded, JSON with 1 event'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
