#!/usr/bin/env bash
# The mixpanel client for Node looks at the body of an answer and never at its status.
#
# What surprised: a 500 with the body `1` is a success, and a 200 with `{"status":"OK"}` is an error.
# Nothing is sent a second time, not after a 503 either.
# Versions: mixpanel 0.24.0.
# What it means: a server that speaks its protocol answers exactly `1`, and never with an error
# status. The caller repeats what failed: pass a callback, for without one a failure is silent.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
npm install --prefix "$tmp" --silent --no-audit --no-fund mixpanel@0.24.0

cat > "$tmp/run.cjs" <<'JS'
const http = require('http');
const mixpanel = require('mixpanel');

async function run([status, body]) {
  let requests = 0;
  const server = http.createServer((request, response) => {
    requests++;
    response.writeHead(status).end(body);
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const client = mixpanel.init('key', { host: `127.0.0.1:${server.address().port}`, protocol: 'http' });
  let outcome = 'no answer';
  client.track('bought', { distinct_id: 'someone' }, (error) => { outcome = error ? 'error' : 'success'; });
  await new Promise((resolve) => setTimeout(resolve, 10000));
  return `${status} ${body}: ${outcome}, sent ${requests} time(s)`;
}
console.log('mixpanel', require('mixpanel/package.json').version);
Promise.all([[200, '1'], [200, '{"status":"OK"}'], [500, '1'], [503, '']].map(run))
  .then((lines) => console.log(lines.join('\n'))).finally(() => process.exit());
JS
got=$(node "$tmp/run.cjs")
expected='mixpanel 0.24.0
200 1: success, sent 1 time(s)
200 {"status":"OK"}: error, sent 1 time(s)
500 1: success, sent 1 time(s)
503 : error, sent 1 time(s)'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
