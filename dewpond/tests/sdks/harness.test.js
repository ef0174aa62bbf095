// Proves the harness itself, against a server that says yes to every protocol and counts what arrives.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import { createInterface } from "node:readline";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";

import { SDKS } from "./send.js";

const KEY = "dpw_0123456789abcdef";
const DOMAIN = "shop.example";
// Two groups of requests, and more than one batch of every SDK that batches.
const COUNT = 40;
// A server that writes before it answers takes a moment.
const ANSWER_AFTER_MS = 100;

/**
 * What the server knows of each protocol: its path, its answer, which site a request is for, and its events.
 * An event is `{ name, id }`; `id` is missing where the protocol has none.
 */
const PROTOCOLS = {
  amplitude: {
    path: "/2/httpapi",
    answer: [200, '{"code":200}'],
    site: ({ api_key }) => api_key,
    events: ({ events }) => events.map((item) => ({ name: nameOf(item.event_type), id: item.insert_id })),
  },
  mixpanel: {
    path: /^\/(track|import|engage|groups)\?/,
    answer: [200, "1"],
    body: (request, bytes) => {
      const form = request.method === "GET" ? request.url.split("?")[1] : bytes.toString();
      return Buffer.from(new URLSearchParams(form).get("data"), "base64").toString();
    },
    site: (body) => [body].flat().map((item) => item.$token ?? item.properties.token)[0],
    events: (body) => [body].flat().map((item) => ({ name: mixpanelName(item), id: JSON.stringify(item) })),
  },
  jitsu: {
    path: /^\/api\/s\/s2s\/(track|page|identify|group)$/,
    answer: [200, '{"ok":true}'],
    site: (_, headers) => headers["x-write-key"].split(":")[0],
    events: (item) => [{ name: segmentName(item), id: item.messageId }],
  },
  otel_json: {
    path: "/v1/logs",
    answer: [200, "{}"],
    site: (_, headers) => headers["x-api-key"],
    events: ({ resourceLogs }) =>
      resourceLogs[0].scopeLogs[0].logRecords.map((item) => ({
        name: item.eventName ?? "log",
        id: JSON.stringify(item),
      })),
  },
  otel_protobuf: {
    path: "/v1/logs",
    answer: [200, ""],
    // Records are field 2 of a scope's logs, those field 2 of a resource's, and those field 1 of a request.
    body: (_, bytes) => {
      const inner = (message, number) => fields(message).filter((field) => field.number === number);
      const scopes = inner(inner(bytes, 1)[0].content, 2);
      return JSON.stringify(inner(scopes[0].content, 2).map(({ content }) => content.toString("base64")));
    },
    site: (_, headers) => headers["x-api-key"],
    events: (records) =>
      records.map((id) => {
        const named = fields(Buffer.from(id, "base64")).find(({ number }) => number === 12);
        return { name: named?.content.toString() ?? "log", id };
      }),
  },
  segment: {
    path: "/v1/batch",
    answer: [200, '{"success":true}'],
    site: basicUser,
    events: ({ batch }) => batch.map((item) => ({ name: segmentName(item), id: item.messageId })),
  },
  rudderstack: {
    path: "/v1/batch",
    answer: [200, '{"success":true}'],
    site: basicUser,
    events: ({ batch }) => batch.map((item) => ({ name: segmentName(item), id: item.messageId })),
  },
  posthog: {
    path: "/batch/",
    answer: [200, '{"status":1}'],
    site: ({ api_key }) => api_key,
    events: ({ batch }) => batch.map((item) => ({ name: POSTHOG_NAMES[item.event] ?? item.event, id: item.uuid })),
  },
  umami: {
    path: "/api/send",
    answer: [200, '{"cache":"c","sessionId":"s","visitId":"v"}'],
    site: ({ payload }) => payload.website,
    events: ({ type, payload }) => [{ name: type === "identify" ? type : (payload.name ?? "page_view") }],
  },
  snowplow: {
    path: "/com.snowplowanalytics.snowplow/tp2",
    answer: [200, "ok"],
    site: ({ data }) => data[0].aid,
    events: ({ data }) => data.map((item) => ({ name: snowplowName(item), id: item.eid })),
  },
  plausible: {
    path: "/api/event",
    answer: [202, "ok"],
    site: ({ d }) => d,
    events: ({ n }) => [{ name: n === "pageview" ? "page_view" : n }],
  },
};

const NAMES = {
  $identify: "identify",
  $groupidentify: "group",
  "[Amplitude] Page Viewed": "page_view",
  $mp_web_page_view: "page_view",
  $create_alias: "alias",
};

const POSTHOG_NAMES = {
  $pageview: "page_view",
  $screen: "screen",
  $identify: "identify",
  $groupidentify: "group",
  $create_alias: "alias",
};

for (const sdk of SDKS) {
  const site = ["umami", "snowplow", "plausible"].includes(sdk) ? DOMAIN : KEY;

  test(`${sdk}: what was sent is what arrived`, async (t) => {
    const server = await startServer(t, sdk);
    const sent = await send(sdk, server.url);

    assert.equal(sent.length, COUNT);
    assert.deepEqual(names(server.events), sent.map((event) => event.event).sort());
    assert.deepEqual([...new Set(server.events.map((event) => event.site))], [site]);
    assert.equal(new Set(server.events.map((event) => event.id)).size, COUNT, "no two events are the same");
  });

  test(`${sdk}: through the duplicator everything arrives exactly twice`, async (t) => {
    const server = await startServer(t, sdk);
    const duplicator = await startProgram(t, "duplicator.js", "--to", server.url);
    const sent = await send(sdk, `http://127.0.0.1:${duplicator.port}`);

    assert.deepEqual(names(server.events), sent.flatMap((event) => [event.event, event.event]).sort());
    assert.deepEqual(timesEach(server.events.map((event) => event.id)), Array(COUNT).fill(2));
    assert.deepEqual([...new Set(timesEach(server.requests))], [2], "headers and body are the same in every byte");
    assert.match(server.requests[0], /X-Forwarded-For: 127\.0\.0\.1\r\n/);
  });

  test(`${sdk}: what the server refuses was not sent`, async (t) => {
    const server = await startServer(t, sdk, [400, '{"error":"no"}']);
    await assert.rejects(send(sdk, server.url), /did not deliver|delivered \d+ of/);
  });
}

for (const sdk of ["segment", "posthog", "amplitude", "mixpanel", "otel_json", "otel_protobuf"]) {
  test(`${sdk}: what is answered with 503 at first is sent again`, async (t) => {
    const server = await startServer(t, sdk);
    const duplicator = await startProgram(t, "duplicator.js", "--to", server.url, "--refuse-first");
    const sent = await send(sdk, `http://127.0.0.1:${duplicator.port}`);

    const names = new Map(server.events.map(({ id, name }) => [id, name]));
    assert.deepEqual([...names.values()].sort(), sent.map((event) => event.event).sort());
    // Amplitude's puts what it sends again into one request with what came since, which is refused as a new one.
    for (const times of timesEach(server.events.map((event) => event.id))) assert.ok(times >= 2);
  });
}

test("the command prints one line", async (t) => {
  const server = await startServer(t, "segment");
  const args = ["send.js", "--sdk", "segment", "--url", server.url, "--key", KEY, "--domain", DOMAIN, "--count", "3"];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname });

  assert.equal(stdout.indexOf("\n"), stdout.length - 1);
  const { sdk, sent } = JSON.parse(stdout);
  assert.equal(sdk, "segment");
  assert.deepEqual(sent.map((event) => event.event), ["Order Completed", "page_view", "Button Clicked"]);
});

async function send(sdk, url) {
  const module = await import(`./${sdk}.js`);
  return module.send({ url, key: KEY, domain: DOMAIN, count: COUNT });
}

/** A server that speaks the protocol of `sdk` and keeps what arrives: `requests` as text, and their `events`. */
async function startServer(t, sdk, answer = PROTOCOLS[sdk].answer) {
  const { path, site, events, body: jsonOf = (_, bytes) => bytes.toString() } = PROTOCOLS[sdk];
  const arrived = { requests: [], events: [] };
  const server = http.createServer(async (request, response) => {
    const second = Math.floor(Date.now() / 1000);
    const bytes = await readAll(request);
    if (path instanceof RegExp) assert.match(request.url, path);
    else assert.equal(request.url, path);
    arrived.requests.push(asText(request, bytes));

    const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
    const text = jsonOf(request, isGzip ? gunzipSync(bytes) : bytes);
    const body = JSON.parse(text);
    for (const event of events(body)) {
      // An event without an id is known by its content and the second of its arrival.
      arrived.events.push({ id: `${second} ${text}`, site: site(body, request.headers), ...event });
    }
    await sleep(ANSWER_AFTER_MS);
    response.writeHead(answer[0]).end(answer[1]);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close().closeAllConnections());
  return Object.assign(arrived, { url: `http://127.0.0.1:${server.address().port}` });
}

/** Runs a program of this folder until the test ends. Returns the object on its first line. */
async function startProgram(t, ...args) {
  const program = spawn(process.execPath, args, { cwd: import.meta.dirname, stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => program.kill());
  const [line] = await once(createInterface(program.stdout), "line");
  return JSON.parse(line);
}

function asText({ method, url, rawHeaders }, bytes) {
  const headers = rawHeaders.map((text, i) => (i % 2 === 0 ? `${text}: ` : `${text}\r\n`));
  return `${method} ${url}\r\n${headers.join("")}\r\n${bytes.toString("latin1")}`;
}

async function readAll(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function names(events) {
  return events.map((event) => event.name).sort();
}

/** How many times each different value occurs. */
function timesEach(values) {
  const times = new Map();
  for (const value of values) times.set(value, (times.get(value) ?? 0) + 1);
  return [...times.values()];
}

function basicUser(_, headers) {
  const credentials = Buffer.from(headers.authorization.replace("Basic ", ""), "base64").toString();
  return credentials.split(":")[0];
}

function nameOf(name) {
  return NAMES[name] ?? name;
}

function mixpanelName(item) {
  if (item.event) return nameOf(item.event);
  if (item.$group_key) return "group";
  return item.$append?.$transactions ? "charge" : "identify";
}

/** The fields of a message of Protocol Buffers that are texts, bytes or messages. */
function fields(message) {
  const found = [];
  let at = 0;
  const integer = () => {
    for (let value = 0n, shift = 0n; ; shift += 7n) {
      const byte = BigInt(message[at++]);
      value |= (byte & 0x7fn) << shift;
      if (byte < 0x80n) return Number(value);
    }
  };
  while (at < message.length) {
    const tag = integer();
    if (tag % 8 === 0) integer();
    else if (tag % 8 === 1) at += 8;
    else if (tag % 8 === 5) at += 4;
    else {
      const length = integer();
      found.push({ number: tag >> 3, content: message.subarray(at, (at += length)) });
    }
  }
  return found;
}

function segmentName({ type, event }) {
  if (type === "track") return event;
  return type === "page" ? "page_view" : type;
}

function snowplowName(item) {
  if (item.e === "pv") return "page_view";
  if (item.e === "pp") return "page_ping";
  if (item.e === "se") return item.se_ac;
  const { schema } = JSON.parse(Buffer.from(item.ue_px, "base64url").toString()).data;
  const name = schema.split("/")[1];
  return name === "screen_view" ? "screen" : name;
}
