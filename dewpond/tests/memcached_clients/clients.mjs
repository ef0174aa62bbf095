// Reads a report from Memcached with memjs and with memcached, and prints a line of JSON for each client:
// node clients.mjs HOST:PORT KEY
import Memcached from "memcached";
import memjs from "memjs";

const [server, key] = process.argv.slice(2);

function show(client, value) {
  const report = JSON.parse(value);
  const metrics = Object.fromEntries(
    Object.entries(report.metrics).map(([name, metric]) => [name, [metric.rows.length, metric.row_count ?? null]]),
  );
  console.log(JSON.stringify({ client, truncated: report.truncated ?? false, metrics }));
}

const first = memjs.Client.create(server);
show("memjs", (await first.get(key)).value.toString());
first.close();

const second = new Memcached(server);
const value = await new Promise((resolve, reject) =>
  second.get(key, (error, found) => (error ? reject(error) : resolve(found))),
);
show("memcached", value);
second.end();
