#!/usr/bin/env bash
# OpenTelemetry's exporter for Node gives logs up after five seconds if the server says when to try again.
#
# What surprised: an export may take ten seconds and is tried six times. A server that answers 503 with
# `Retry-After: 1` is obeyed to the second, so all tries are over after five seconds, half the time is left, and the
# records are dropped. Without the header the pauses grow, and it is still trying in the seventh second.
# Versions: @opentelemetry/exporter-logs-otlp-http 0.223.1 (npm), Node 20.
# What it means: a server that expects to be back within ten seconds keeps more if it leaves the header out.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund @opentelemetry/exporter-logs-otlp-http@0.223.1 @opentelemetry/sdk-logs@0.223.1 > /dev/null

cat > run.mjs <<'JS'
import http from "node:http";
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-http";
import { LoggerProvider, SimpleLogRecordProcessor } from "@opentelemetry/sdk-logs";

/** Sends one record to a server that is away, and says how often and until when it was tried. */
async function tries(headers) {
  const at = [];
  const server = http.createServer((request, response) => {
    request.resume().on("end", () => {
      at.push(Date.now());
      response.writeHead(503, headers).end();
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const exporter = new OTLPLogExporter({ url: `http://127.0.0.1:${server.address().port}/v1/logs` });
  const provider = new LoggerProvider({ processors: [new SimpleLogRecordProcessor({ exporter })] });
  provider.getLogger("a").emit({ body: "hello" });
  await new Promise((resolve) => setTimeout(resolve, 11_000));
  server.close();
  server.closeAllConnections();
  return { tries: at.length, last_s: (at.at(-1) - at[0]) / 1000 };
}

const [told, untold] = await Promise.all([tries({ "Retry-After": "1" }), tries({})]);
console.log(`told to wait 1 s: ${told.tries} tries, the last before the seventh second: ${told.last_s < 6}`);
console.log(`told nothing: still trying after the seventh second: ${untold.last_s > 6}`);
process.exit(0);
JS
got=$(node run.mjs)
expected='told to wait 1 s: 6 tries, the last before the seventh second: true
told nothing: still trying after the seventh second: true'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
