#!/usr/bin/env bash
# @amplitude/analytics-node sends an event again after a 200 whose JSON body has no "code".
#
# What surprised: success is read from `code` in the body. A 200 with `{}` is a failure, and the
# same insert_id comes again and again. A 200 with the text `ok`, which is not JSON, is a success.
# Versions: @amplitude/analytics-node 1.5.73.
# What it means: a server or proxy that speaks its protocol answers `{"code":200}`, and a server
# that does not removes duplicates by insert_id.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
npm install --prefix "$tmp" --silent --no-audit --no-fund @amplitude/analytics-node@1.5.73

cat > "$tmp/run.cjs" <<'JS'
const http = require('http');
const { createInstance } = require('@amplitude/analytics-node');

async function run(body) {
  const ids = [];
  const server = http.createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => { text += chunk; }).on('end', () => {
      ids.push(...JSON.parse(text).events.map((event) => event.insert_id));
      response.writeHead(200).end(body);
    });
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const client = createInstance();
  const serverUrl = `http://127.0.0.1:${server.address().port}/2/httpapi`;
  await client.init('key', { serverUrl, logLevel: 0, flushQueueSize: 1, flushIntervalMillis: 50 }).promise;
  client.track('bought', {}, { user_id: 'someone' });
  await new Promise((resolve) => setTimeout(resolve, 5000));
  const times = ids.length > 2 ? 'three times or more' : ids.length === 1 ? 'once' : `${ids.length} times`;
  return `200 ${body}: sent ${times}, insert_ids ${new Set(ids).size}`;
}
console.log('@amplitude/analytics-node', require('@amplitude/analytics-node/package.json').version);
Promise.all(['{"code":200}', 'ok', '{}'].map(run))
  .then((lines) => console.log(lines.join('\n'))).finally(() => process.exit());
JS
got=$(node "$tmp/run.cjs")
expected='@amplitude/analytics-node 1.5.73
200 {"code":200}: sent once, insert_ids 1
200 ok: sent once, insert_ids 1
200 {}: sent three times or more, insert_ids 1'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
