// @ts-check
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const WEB = new URL("../../../", import.meta.url);
const TYPES = /** @type {Record<string, string>} */ ({
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
  csv: "text/csv",
});

/**
 * An event that arrived, in the words of the protocol.
 *
 * @typedef {{ event_id: string, name: string, properties: Record<string, any>, [field: string]: any }} Arrived
 */

/**
 * Starts a stand-in for the collector: it takes events as the collector does, and serves the tracker and pages.
 *
 * Pages are whatever a test puts into `pages` by path; `/tracker.js` and `/demo/…` are files.
 */
export async function startCollector() {
  /** By id: an event that comes twice counts once, and the copies are counted beside. @type {Map<string, Arrived>} */
  const events = new Map();
  /** @type {any[]} */
  const bodies = [];
  /** @type {Map<string, string>} */
  const pages = new Map();
  /** How to answer instead of 202, first come, first served. @type {{ status: number, headers?: Record<string, string> }[]} */
  const answers = [];
  /** @type {{ method?: string, headers: import("node:http").IncomingHttpHeaders }[]} */
  const requests = [];
  /** @type {Set<import("node:net").Socket>} */
  const sockets = new Set();
  /** The paths that were asked for, in order. @type {string[]} */
  const fetched = [];

  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? "", "http://collector").pathname;
    fetched.push(path);
    if (path === "/v1/events") {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      requests.push({ method: request.method, headers: request.headers });
      response.setHeader("Access-Control-Allow-Origin", request.headers.origin ?? "*");
      response.setHeader("Access-Control-Expose-Headers", "Retry-After");
      const answer = answers.shift();
      if (answer) return void response.writeHead(answer.status, answer.headers).end("{}");
      const body = JSON.parse(Buffer.concat(chunks).toString());
      bodies.push(body);
      for (const event of body.events) events.set(event.event_id, event);
      response.writeHead(202).end(JSON.stringify({ accepted: body.events.length, duplicates: 0, rejected: [] }));
      return;
    }
    const file = path === "/tracker.js" ? "dist/tracker.js" : path.replace(/^\/demo\/$/, "/demo/index.html").slice(1);
    const content = pages.get(path) ?? (await readFile(new URL(file, WEB)).catch(() => undefined));
    const type = pages.has(path) ? TYPES.html : TYPES[file.split(".").at(-1) ?? ""];
    response.writeHead(content ? 200 : 404, { "Content-Type": type ?? "text/plain" }).end(content);
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });

  /** @param {number} port */
  const listen = (port) => new Promise((done) => server.listen(port, "127.0.0.1", () => done(undefined)));
  await listen(0);
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());

  return {
    url: `http://127.0.0.1:${port}`,
    pages,
    answers,
    fetched,
    requests,
    bodies,
    /** Events by name, in the order of time. @param {string} [name] */
    events: (name) =>
      [...events.values()]
        .filter((event) => !name || event.name === name)
        .sort((a, b) => (a.event_id < b.event_id ? -1 : 1)),
    /** Goes away as a killed process does: connections break and nobody listens. */
    stop() {
      const closed = new Promise((done) => server.close(done));
      sockets.forEach((socket) => socket.destroy());
      return closed;
    },
    start: () => listen(port),
  };
}

/**
 * Waits until `read` returns something true, and returns it.
 *
 * @template T
 * @param {() => T | Promise<T>} read
 * @param {string} what is waited for, for the message.
 * @param {number} [timeoutMs]
 * @returns {Promise<T>}
 */
export async function until(read, what, timeoutMs = 10_000) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const value = await read();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await new Promise((done) => setTimeout(done, 25));
  }
}
