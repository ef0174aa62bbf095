// @ts-check
import { sizeBytes, takeBatch } from "./queue.js";

/** What an answer means for the events of the request.
 *
 * - `acknowledged`: they are dealt with; forget them.
 * - `refused`: sending them again will not help; forget them.
 * - `halved`: too many at once; send fewer.
 * - `kept`: send them again later.
 *
 * @typedef {"acknowledged" | "refused" | "halved" | "kept"} Verdict
 */

const BATCH_EVENTS_MAX = 50;

/** Browsers allow 64 KiB for all requests that may outlive the page. The rest is for the envelope, and for others. */
export const BATCH_BYTES_MAX = 60_000;

const DEBOUNCE_MS = 250;

/** A collector may take a minute if its store is slow; after that nobody is there. */
const ANSWER_MS_MAX = 75_000;

/**
 * Reads the verdict from a status. Only 202 acknowledges: a 200 is somebody else answering. What is not known to be
 * hopeless is kept, a 404 too, which may come from a proxy while the collector is replaced.
 *
 * @param {number} status 0 if there was no answer.
 * @param {number} events how many were in the request.
 * @returns {Verdict}
 */
export function judge(status, events) {
  if (status === 202) return "acknowledged";
  if (status === 413 && events > 1) return "halved";
  return [400, 401, 403, 413].includes(status) ? "refused" : "kept";
}

/**
 * How long to wait before the next try: anything up to a limit that doubles from 1 s to 60 s, so that pages
 * that failed together do not come back together. Never less than the collector asked for, up to an hour.
 *
 * @param {number} failures in a row before this one.
 * @param {number} random in [0, 1).
 * @param {number} retryAfterS what the collector asked for; 0 or NaN if nothing.
 * @returns {number} milliseconds.
 */
export function backoffMs(failures, random, retryAfterS) {
  return Math.max(random * Math.min(60_000, 1_000 * 2 ** failures), Math.min(retryAfterS || 0, 3_600) * 1_000);
}

/**
 * Sends what is in the queue, one request at a time, and removes an event from it only when an answer covers it.
 *
 * Every request is a keepalive `fetch`, which outlives the page like a beacon. A beacon would send cookies to a
 * collector that is to have none, and its answer cannot be read: an event would be sent a second time although
 * the page lives on.
 *
 * @param {object} parts
 * @param {import("./queue.js").Queue} parts.queue
 * @param {import("./config.js").Config} parts.config
 * @param {RequestCredentials} parts.credentials
 * @param {() => boolean} parts.mayRun asked before every request.
 * @param {(step: "sent" | Verdict, events: string) => void} parts.notify told of every request: what became of
 *   which events, as a JSON array.
 * @param {(...words: unknown[]) => void} parts.log
 */
export function createSender({ queue, config, credentials, mayRun, notify, log }) {
  /** @type {Map<string, number>} the events under way and their bytes. */
  const underWay = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let failures = 0;
  /** By the clock that nobody sets: a corrected system clock would make the pause longer, or end it. */
  let notBeforeMs = 0;
  let eventsMax = BATCH_EVENTS_MAX;

  /** @param {number} [afterMs] */
  function schedule(afterMs = DEBOUNCE_MS) {
    clearTimeout(timer);
    timer = setTimeout(() => flush(), Math.max(afterMs, notBeforeMs - performance.now()));
  }

  /**
   * Sends one batch now, and then the next ones until nothing is left, unless a request is under way or the
   * collector needs a pause. Resolves when the first is answered; never rejects.
   *
   * @param {boolean} [isLeaving] the last chance of this page: do not wait for anything.
   */
  const flush = (isLeaving) => sendBatch(isLeaving).catch(log);

  /** @param {boolean} [isLeaving] */
  async function sendBatch(isLeaving) {
    if (!mayRun()) return;
    const entries = queue.list().filter(({ id }) => !underWay.has(id));
    if (!isLeaving) {
      if (underWay.size) return;
      if (performance.now() < notBeforeMs) return schedule();
    }
    const busyBytes = [...underWay.values()].reduce((sum, bytes) => sum + bytes, 0);
    const batch = takeBatch(entries, eventsMax, BATCH_BYTES_MAX - busyBytes);
    if (!batch.length) return;

    batch.forEach(({ id, text }) => underWay.set(id, sizeBytes(text)));
    const events = `[${batch.map(({ text }) => text)}]`;
    notify("sent", events);
    const { status, retryAfterS } = await post(events, isLeaving);
    batch.forEach(({ id }) => underWay.delete(id));

    const verdict = judge(status, batch.length);
    log(verdict, status, batch.length);
    if (verdict === "kept") {
      notBeforeMs = performance.now() + backoffMs(failures++, Math.random(), retryAfterS);
    } else {
      failures = notBeforeMs = 0;
      if (verdict === "halved") {
        eventsMax = batch.length >> 1;
      } else {
        queue.remove(batch);
        eventsMax = Math.min(BATCH_EVENTS_MAX, eventsMax * 2);
      }
    }
    notify(verdict, events);
    if (queue.list().length) schedule(0);
  }

  /** @param {string} events @param {boolean} [isLeaving] */
  async function post(events, isLeaving) {
    try {
      const { key, site } = config;
      const envelope = JSON.stringify({ key, site, sent_at: new Date() });
      // As text it is sent as text/plain, and so without asking first whether it may be.
      const body = `${envelope.slice(0, -1)},"events":${events}}`;
      // A browser that knows no keepalive cancels the request below when the page goes; it has beacons.
      if (isLeaving && !("keepalive" in Request.prototype)) navigator.sendBeacon(config.url, body);
      const response = await fetch(config.url, {
        method: "POST",
        body,
        credentials,
        keepalive: true,
        signal: AbortSignal.timeout?.(ANSWER_MS_MAX),
      });
      // Has the reasons of rejected events. Not waited for, so that debugging changes nothing.
      if (config.debug) response.text().then(log, log);
      return { status: response.status, retryAfterS: Number(response.headers.get("Retry-After")) };
    } catch (error) {
      log(error);
      return { status: 0, retryAfterS: 0 };
    }
  }

  return { flush, schedule };
}
