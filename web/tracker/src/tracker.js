// @ts-check
import { watchClicks } from "./clicks.js";
import { readConfig } from "./config.js";
import { buildEvent, writeEvent } from "./event.js";
import { openIdentity } from "./identity.js";
import { watchViews } from "./in_view.js";
import { markedProperties } from "./mark.js";
import { onNavigation, onceShown, onceVisibleFor, pageOf } from "./page.js";
import { pingWhileVisible } from "./pings.js";
import { openQueue, sizeBytes } from "./queue.js";
import { BATCH_BYTES_MAX, createSender } from "./send.js";
import { openStore } from "./store.js";
import { newId } from "./uuid.js";

/**
 * What a page can do. Nothing here throws.
 *
 * @typedef {object} Tracker
 * @property {(name: string, properties?: Record<string, unknown>, details?: import("./event.js").Details) => void} track
 *   records an event.
 * @property {(properties?: Record<string, unknown>) => void} page records a page view of the current address. Only
 *   needed with `auto: "off"`.
 * @property {(userId: string, traits?: Record<string, unknown>) => void} identify says who the visitor is, for this
 *   event and all later ones, over page loads, until `reset`.
 * @property {() => void} reset forgets the visitor and the session, for example when a user signs out.
 * @property {(isGiven: boolean) => void} consent `true` sends what was held back and all that comes. `false` forgets the visitor and
 *   what has not been sent, and records nothing more. Not remembered: whoever asked the visitor says it on every page.
 * @property {() => void} optOut as `consent(false)`, and remembered.
 * @property {() => void} optIn ends an opt-out.
 * @property {() => Promise<void>} flush sends what waits, unless a request is under way or the collector asked
 *   for a pause. Resolves when the request is answered.
 * @property {(listener: Listener) => void} onSend calls `listener` with everything that becomes of events.
 * @property {(call: [string, ...unknown[]]) => void} push calls a method by name, as the array does that stands in before the
 *   script is there.
 */

/**
 * Told of events: `queued` when they enter the queue, `sent` with each request, and then the verdict: `acknowledged`,
 * `refused` or `halved` and `kept`, which are sent again.
 *
 * @typedef {(step: "queued" | "sent" | import("./send.js").Verdict, events: import("./event.js").TrackerEvent[]) => void} Listener
 */

const OPT_OUT = "dewpond.out";
const HELD_MAX = 100;

/**
 * Starts a tracker on this page; on a server there is none to start it on. The shell around the decisions of the other files: it owns the DOM, the clock and
 * the listeners.
 *
 * @param {import("./config.js").Options} [options]
 * @returns {Tracker}
 */
export function createTracker(options = {}) {
  const config = readConfig(options, location.origin);
  const local = openStore(() => localStorage);
  const tab = openStore(() => sessionStorage);
  const queue = openQueue(local, config.site ?? config.key ?? "");
  /** @type {Listener[]} */
  const listeners = [];
  /** Events of before the visitor was asked. @type {import("./event.js").TrackerEvent[]} */
  let held = [];
  /** @type {boolean | undefined} undefined while the visitor has not answered. */
  let hasConsent = config.consent ? undefined : true;
  let viewedUrl = "";
  let referrer = "";
  /** Gives up on a page view that does not count yet. */
  let forgetView = () => {};
  let stopPings = () => {};
  let startViews = () => {};

  /** @param {unknown[]} words */
  const log = (...words) => {
    if (config.debug) console.debug("dewpond", ...words);
  };

  /** Keeps whatever goes wrong here out of the page. @template {unknown[]} A @template T @param {(...args: A) => T} act */
  const safely =
    (act) =>
    (/** @type {A} */ ...args) => {
      try {
        return act(...args);
      } catch (error) {
        log(error);
      }
    };

  /** @param {Parameters<Listener>[0]} step @param {string} events */
  const notify = (step, events) => listeners.forEach((listener) => safely(() => listener(step, JSON.parse(events)))());

  const isPrivate = safely(
    () =>
      config.respectGpc &&
      (/** @type {{ globalPrivacyControl?: boolean }} */ (navigator).globalPrivacyControl || navigator.doNotTrack === "1"),
  )();
  const identity = openIdentity(local, tab, !config.cookie);
  const sender = createSender({
    queue,
    config,
    credentials: config.cookie && !isPrivate ? "include" : "omit",
    // Another page may have opted out since.
    mayRun: () => !!hasConsent && !local.get(OPT_OUT),
    notify,
    log,
  });

  /**
   * Builds an event of now.
   *
   * @param {string} name
   * @param {Record<string, unknown>} [properties]
   * @param {import("./event.js").Details} [details]
   */
  const build = (name, properties, details) =>
    buildEvent(newId(), Date.now(), name, properties, details, {
      url: location.href,
      referrer,
      title: document.title,
      language: navigator.language,
      screen: `${screen.width}x${screen.height}`,
      viewport: `${innerWidth}x${innerHeight}`,
    });

  /** @param {import("./event.js").TrackerEvent} event */
  function enqueue(event) {
    if (local.get(OPT_OUT) || hasConsent === false) return;
    if (!hasConsent) {
      // The first ones say where a visitor came from, so it is the later ones that go.
      if (held.length < HELD_MAX) held.push(event);
      return;
    }
    if (!isPrivate) identity.stamp(event);
    const text = writeEvent(event);
    // No request can carry it, and it would hold up all others.
    if (sizeBytes(text) > BATCH_BYTES_MAX - 1) return log("too large", event);
    queue.add({ id: event.event_id, text });
    notify("queued", `[${text}]`);
    sender.schedule();
  }

  /** @type {Tracker["track"]} */
  const track = (name, properties, details) => enqueue(build(name, properties, details));

  /** @type {Tracker["page"]} */
  function page(properties) {
    forgetView();
    stopPings();
    referrer = viewedUrl || document.referrer;
    viewedUrl = location.href;
    const event = build("page_view", properties);
    forgetView = onceVisibleFor(
      config.dwellMs,
      safely(() => {
        event.title = document.title;
        enqueue(event);
        stopPings();
        stopPings = pingWhileVisible(
          config.pingMs,
          safely(() => track("page_ping", { page_view_id: event.event_id })),
        );
      }),
    );
    startViews();
  }

  function forget() {
    held = [];
    queue.remove(queue.list());
    identity.forget();
  }

  function start() {
    watchClicks(
      safely((element, object) => track("object_interaction", markedProperties(element.attributes), { object })),
      safely((kind, object) => track(kind, {}, { object })),
    );
    document.addEventListener("visibilitychange", () => document.hidden && sender.flush(true));
    addEventListener("pagehide", () => sender.flush(true));
    if (config.auto) {
      onNavigation(safely(() => {
        if (pageOf(location.href) !== pageOf(viewedUrl)) page();
      }));
      // Back from the browser's cache, without a page load.
      addEventListener(
        "pageshow",
        safely(({ persisted }) => {
          if (persisted) page();
        }),
      );
      page();
    }
    // Left over from other pages.
    sender.schedule();
    // Last, since an old browser may lack what it needs.
    startViews = watchViews((element, object) =>
      safely(track)("object_in_view", markedProperties(element.attributes), { object }),
    );
    startViews();
  }

  /** @type {Tracker} */
  const tracker = {
    track: (...args) => onceShown(safely(() => track(...args))),
    page: (properties) => onceShown(safely(() => page(properties))),
    identify: safely((userId, traits) => {
      if (isPrivate) return;
      identity.setUser(String(userId));
      tracker.track("identify", traits);
    }),
    reset: safely(identity.forget),
    consent: safely((isGiven) => {
      hasConsent = isGiven;
      if (!isGiven) return forget();
      held.splice(0).forEach(enqueue);
      sender.schedule();
    }),
    optOut: safely(() => {
      forget();
      local.set(OPT_OUT, "1");
    }),
    optIn: safely(() => local.remove(OPT_OUT)),
    flush: () => sender.flush(),
    onSend: (listener) => void listeners.push(listener),
    push: safely(([name, ...args]) => {
      /** @type {any} */ (tracker)[name](...args);
    }),
  };

  onceShown(safely(start));
  return tracker;
}
