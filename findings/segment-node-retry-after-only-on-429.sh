#!/usr/bin/env bash
# @segment/analytics-node obeys Retry-After on a 429 and ignores it on a 503.
#
# What surprised: with `Retry-After: 8` a 429 is followed by silence for eight seconds. The same
# header on a 503 changes nothing: the client asks again well before, and keeps asking.
# Versions: @segment/analytics-node 3.1.0.
# What it means: a server that wants to be left alone while it restarts has to answer 429, not 503.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
npm install --prefix "$tmp" --silent --no-audit --no-fund @segment/analytics-node@3.1.0

cat > "$tmp/run.cjs" <<'JS'
const http = require('http');
const fs = require('fs');
const path = require('path');
const { Analytics } = require('@segment/analytics-node');

async function run(status) {
  const times = [];
  const server = http.createServer((request, response) => {
    request.resume().on('end', () => {
      times.push(Date.now());
      response.writeHead(status, { 'retry-after': '8' }).end('{}');
    });
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const host = `http://127.0.0.1:${server.address().port}`;
  new Analytics({ writeKey: 'key', host, flushAt: 1 }).track({ userId: 'someone', event: 'bought' });
  await new Promise((resolve) => setTimeout(resolve, 12000));
  const waited = times.length < 2 ? Infinity : times[1] - times[0];
  return `${status}, Retry-After 8: asked again ${waited < 7500 ? 'before' : waited < 9000 ? 'after' : 'long after'} 8 s`;
}
const file = path.join(__dirname, 'node_modules/@segment/analytics-node/package.json');
console.log('@segment/analytics-node', JSON.parse(fs.readFileSync(file)).version);
Promise.all([run(429), run(503)]).then((lines) => console.log(lines.join('\n'))).finally(() => process.exit());
JS
got=$(node "$tmp/run.cjs" 2>/dev/null)
expected='@segment/analytics-node 3.1.0
429, Retry-After 8: asked again after 8 s
503, Retry-After 8: asked again before 8 s'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
