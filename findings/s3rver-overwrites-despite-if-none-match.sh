#!/usr/bin/env bash
# s3rver overwrites an object although the request says `If-None-Match: *`.
#
# What surprised: S3 answers 412 to a PUT with that header when the object exists, and keeps it. s3rver
# answers 200, and the new bytes are there. It does not refuse the header either.
# Versions: s3rver 3.7.1.
# What it means: table formats commit with this header. Two writers that try a Delta log on s3rver
# both believe that they won, and a test of such races on it proves nothing.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
npm install --prefix "$tmp" --silent --no-audit --no-fund s3rver@3.7.1

cat > "$tmp/run.cjs" <<'JS'
const S3rver = require('s3rver');

async function run() {
  const store = new S3rver({
    address: '127.0.0.1', port: 0, silent: true, directory: `${__dirname}/store`,
    configureBuckets: [{ name: 'lake' }],
  });
  const { port } = await store.run();
  const url = `http://127.0.0.1:${port}/lake/_delta_log/00000000000000000000.json`;
  const headers = { 'if-none-match': '*' };
  for (const body of ['first', 'second']) {
    const answer = await fetch(url, { method: 'PUT', body, headers });
    console.log(`PUT ${body} with If-None-Match: *: ${answer.status}`);
  }
  console.log(`GET: ${await (await fetch(url)).text()}`);
}
console.log('s3rver', require('s3rver/package.json').version);
run().finally(() => process.exit());
JS
got=$(node "$tmp/run.cjs")
expected='s3rver 3.7.1
PUT first with If-None-Match: *: 200
PUT second with If-None-Match: *: 200
GET: second'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
