// An event tracker as a team would write it in a day: node's own HTTP server, and a table in PostgreSQL.
//
//   server.js [--group] [--port N]
//
// The first process prints {"port":N} once all workers listen. It ends at SIGTERM, SIGINT or the end of its
// standard input, after what is under way has been answered.
import cluster from "node:cluster";
import http from "node:http";
import { parseArgs } from "node:util";
import { Invalid, row } from "./event.js";
import { Group, Store } from "./store.js";

const WORKERS = 2;
const BODY_BYTES_MAX = 5 << 20;
const EVENTS_MAX = 10_000;
/** Of one worker. Beyond it, senders are told to wait: memory has an end. */
const WAITING_EVENTS_MAX = 200_000;
const GROUP = { afterMs: 25, rowsMax: 4_000 };
const SITES_REFRESH_MS = 5_000;
const STOP_WITHIN_MS = 20_000;

const { values: flags } = parseArgs({
  options: { group: { type: "boolean", default: false }, port: { type: "string", default: "0" } },
});

if (cluster.isPrimary) lead();
else await serve();

function lead() {
  let stopping = false;
  const stop = () => {
    stopping = true;
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill("SIGTERM");
  };
  for (let number = 0; number < WORKERS; number++) cluster.fork();
  let listening = 0;
  cluster.on("listening", (_, { port }) => {
    if (++listening === WORKERS) console.log(JSON.stringify({ port }));
  });
  cluster.on("exit", (worker, code) => {
    if (!stopping || code !== 0) {
      console.error(`worker ${worker.id} ended with ${code}`);
      process.exitCode = 1;
      stop();
    }
    // Standard input would keep the process alive.
    if (Object.keys(cluster.workers ?? {}).length === 0) process.exit();
  });
  process.on("SIGTERM", stop).on("SIGINT", stop);
  process.stdin.on("end", stop).on("error", stop).resume();
}

async function serve() {
  const store = new Store();
  const group = new Group(store, GROUP);
  const insert = flags.group ? (rows) => group.add(rows) : (rows) => store.insert(rows);
  let sites = await store.sites();
  let waiting = 0;

  const refresh = setInterval(() => {
    store.sites().then(
      (found) => (sites = found),
      (error) => console.error(`could not read the sites: ${error.message}`),
    );
  }, SITES_REFRESH_MS);

  async function take(request) {
    if (request.url !== "/v1/events") return refuse(404, "not found");
    if (request.method !== "POST") return refuse(405, "send a POST");
    const siteId = sites.get(keyOf(request.headers));
    if (siteId === undefined) return refuse(401, "send a valid write key as X-Api-Key or Authorization: Bearer");
    const body = await readBody(request);
    if (body === null) return refuse(413, `the body is larger than ${BODY_BYTES_MAX} bytes`);
    const events = readEvents(body);
    if (!events?.length) return refuse(422, "send an event, an array of events, or an object with `events`");
    if (events.length > EVENTS_MAX) return refuse(413, `send at most ${EVENTS_MAX} events`);

    const context = { siteId, userAgent: request.headers["user-agent"] ?? "", receivedAt: Date.now() };
    const { rows, rejected } = readRows(events, context);
    if (rows.length === 0) return { status: 422, answer: { error: "no event was taken", rejected } };
    if (waiting + rows.length > WAITING_EVENTS_MAX) return refuse(429, "too many events are waiting; send it again");
    waiting += rows.length;
    try {
      const duplicates = await insert(rows);
      return { status: 202, answer: { accepted: rows.length, duplicates, rejected } };
    } catch (error) {
      console.error(`could not insert ${rows.length} events: ${error.message}`);
      return refuse(503, "the events could not be stored; send them again");
    } finally {
      waiting -= rows.length;
    }
  }

  const server = http.createServer({ keepAliveTimeout: 75_000, requestTimeout: 30_000 }, (request, response) => {
    take(request).then(
      ({ status, answer }) => send(response, status, answer),
      // The body broke off: nobody is left to answer to.
      () => response.destroy(),
    );
  });
  server.listen({ port: Number(flags.port), host: "127.0.0.1", backlog: 4_096 });

  let stopping = false;
  const stop = () => {
    if (stopping) return;
    stopping = true;
    clearInterval(refresh);
    // Connections that are kept alive become idle one by one, as their last requests are answered.
    setInterval(() => server.closeIdleConnections(), 50);
    setTimeout(() => server.closeAllConnections(), STOP_WITHIN_MS);
    server.close(() => store.close().finally(() => process.exit()));
  };
  process.on("SIGTERM", stop).on("SIGINT", stop).on("disconnect", stop);
}

function refuse(status, error) {
  return { status, answer: { error } };
}

function send(response, status, answer) {
  const body = JSON.stringify(answer);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  response.end(body);
}

function keyOf(headers) {
  const authorization = headers.authorization;
  return headers["x-api-key"] ?? (authorization?.startsWith("Bearer ") ? authorization.slice(7) : undefined);
}

/** @returns {Promise<string | null>} null if it is too large */
function readBody(request) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    let bytes = 0;
    request.on("data", (chunk) => {
      bytes += chunk.length;
      if (bytes <= BODY_BYTES_MAX) chunks.push(chunk);
    });
    request.on("end", () => {
      if (bytes > BODY_BYTES_MAX) resolve(null);
      else resolve((chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)).toString());
    });
    request.on("error", reject);
  });
}

/** @returns {unknown[] | null} null if it is not JSON */
function readEvents(body) {
  let parsed;
  try {
    parsed = JSON.parse(body);
  } catch {
    return null;
  }
  if (Array.isArray(parsed)) return parsed;
  return Array.isArray(parsed?.events) ? parsed.events : [parsed];
}

function readRows(events, context) {
  const rows = [];
  const rejected = [];
  for (const [index, event] of events.entries()) {
    try {
      rows.push(row(event, context));
    } catch (error) {
      if (!(error instanceof Invalid)) throw error;
      rejected.push({ index, reason: error.message });
    }
  }
  return { rows, rejected };
}
