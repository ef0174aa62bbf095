// An HTTP proxy that forwards every request twice, as a network does now and then:
//
//     node duplicator.js --to http://127.0.0.1:8080
//
// prints {"port":…} and runs until it is ended. The two copies are the same in every byte; the second leaves when the
// first is answered, and its answer is the answer. The client's address goes on in `X-Forwarded-For`.
//
// With `--refuse-first` there is no second copy: what is sent for the first time goes on, but the answer is a 503 all the
// same, as if it had been lost. The client has to send it again.

import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { gunzipSync } from "node:zlib";

// Umami, Plausible and some of Mixpanel: no event ids in them. The server makes one from the content and the second of the arrival.
const WITHOUT_IDS = /^\/(api\/(send|batch|event)|track|engage|groups)\/?$/;

// Of a second: the rest of it is left for the first copy's answer.
const FIRST_COPY_MS_MAX = 600;

// What differs when a client sends the same again. Amplitude's adds the last field from its second request on.
const SENT_AT = /"(sentAt|sent_at|client_upload_time)":"[^"]*"(,"request_metadata":.*)?\}?/g;

// A body in which clients find what they look for.
const REFUSAL = JSON.stringify({ code: 503, status: 0, error: "not durable", message: "not durable" });

/** Starts a duplicator in front of `target`, a URL. Returns its server, which listens on a free port. */
export async function startDuplicator(target, { refuseFirst = false } = {}) {
  const refused = new Set();
  const server = http.createServer(async (request, response) => {
    try {
      const body = await readAll(request);
      if (refuseFirst) {
        const content = contentOf(request, body);
        const isFirst = !refused.has(content);
        refused.add(content);
        const answer = await forward(target, request, body);
        if (isFirst) response.writeHead(503, { "Content-Type": "application/json", "Retry-After": "1" }).end(REFUSAL);
        else response.writeHead(answer.status, answer.headers).end(answer.body);
        return;
      }
      const inOneSecond = WITHOUT_IDS.test(request.url.split("?")[0]);
      if (inOneSecond) await roomInThisSecond();

      const second = Math.floor(Date.now() / 1000);
      await forward(target, request, body);
      if (inOneSecond && second !== Math.floor(Date.now() / 1000)) {
        console.error(`the answer came in the next second, the copies will be two events: ${request.url}`);
      }
      const answer = await forward(target, request, body);
      response.writeHead(answer.status, answer.headers).end(answer.body);
    } catch (error) {
      console.error(error);
      response.writeHead(502).end();
    }
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return server;
}

/** What a request says, without when it was sent. */
function contentOf({ method, url }, body) {
  const isGzip = body[0] === 0x1f && body[1] === 0x8b;
  return `${method} ${url} ${(isGzip ? gunzipSync(body) : body).toString("latin1").replaceAll(SENT_AT, "")}`;
}

/** Sends one copy. Resolves with the answer once all of it is there. */
function forward(target, request, body) {
  return new Promise((resolve, reject) => {
    const copy = http.request(target, {
      method: request.method,
      path: request.url,
      headers: withForwardedFor(request),
      // A connection for each copy: one that is kept could be closed by the server just as it is used again.
      agent: false,
    });
    copy.on("error", reject);
    copy.on("response", async (answer) => {
      try {
        resolve({ status: answer.statusCode, headers: answer.rawHeaders, body: await readAll(answer) });
      } catch (error) {
        reject(error);
      }
    });
    copy.end(body);
  });
}

/** The request's headers as they came, names and values in turn, and the address of who sent it. */
function withForwardedFor(request) {
  const headers = [];
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    if (request.rawHeaders[i].toLowerCase() !== "x-forwarded-for") headers.push(...request.rawHeaders.slice(i, i + 2));
  }
  const addresses = [request.headers["x-forwarded-for"], request.socket.remoteAddress];
  return [...headers, "X-Forwarded-For", addresses.filter(Boolean).join(", ")];
}

/** Waits for the next second when little is left of this one. */
async function roomInThisSecond() {
  // A timer may fire a little early: hence a loop.
  for (let ms = Date.now() % 1000; ms > FIRST_COPY_MS_MAX; ms = Date.now() % 1000) await sleep(1000 - ms);
}

async function readAll(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const options = { to: { type: "string" }, "refuse-first": { type: "boolean" } };
  const { values } = parseArgs({ options });
  const server = await startDuplicator(values.to, { refuseFirst: values["refuse-first"] });
  console.log(JSON.stringify({ port: server.address().port }));
}
