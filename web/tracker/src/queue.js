// @ts-check

/**
 * The events that no acknowledgement has come for, one key of the store each.
 *
 * All pages of an origin share the queue, without a lock. That is safe because a key is written once, by the page
 * that made the event, and removed once an answer covers exactly this event, by whichever page got it. A page
 * sends whatever it finds: so the events of a closed tab need no adopting, and two pages that send the same
 * event at the same time cost a duplicate, which the collector recognises. The refused alternative, one
 * array under one key, loses events whenever two pages read, change and write it at the same time.
 *
 * @typedef {object} Entry
 * @property {string} id the event's id. In this order the entries are in the order of time.
 * @property {string} text the event as JSON.
 */

const EVENTS_MAX = 1_000;
/** In characters, as browsers count what a storage holds. */
const CHARS_MAX = 500_000;

/**
 * Takes the entries of one request from the front: the most that both limits allow.
 *
 * @param {Entry[]} entries
 * @param {number} eventsMax
 * @param {number} bytesMax of the events as UTF-8 with the commas between them.
 * @returns {Entry[]}
 */
export function takeBatch(entries, eventsMax, bytesMax) {
  let leftBytes = bytesMax;
  const end = entries.findIndex(({ text }, index) => index >= eventsMax || (leftBytes -= sizeBytes(text) + 1) < 0);
  return end < 0 ? entries : entries.slice(0, end);
}

/**
 * Says which entries have to go so that the others are within the limits: the oldest pings first, since a page
 * view is worth more, then the oldest of all.
 *
 * @param {Entry[]} entries oldest first.
 * @param {number} [eventsMax]
 * @param {number} [charsMax]
 * @returns {Entry[]}
 */
export function overflow(entries, eventsMax = EVENTS_MAX, charsMax = CHARS_MAX) {
  let events = entries.length;
  let chars = entries.reduce((sum, { text }) => sum + text.length, 0);
  /** @param {Entry} entry */
  const isPing = ({ text }) => text.includes('"name":"page_ping"');
  return [...entries.filter(isPing), ...entries.filter((entry) => !isPing(entry))].filter(({ text }) => {
    const tooMuch = events > eventsMax || chars > charsMax;
    if (tooMuch) {
      events -= 1;
      chars -= text.length;
    }
    return tooMuch;
  });
}

/**
 * @param {string} text
 * @returns {number} bytes of `text` as UTF-8.
 */
export function sizeBytes(text) {
  return new TextEncoder().encode(text).length;
}

/**
 * @typedef {object} Queue
 * @property {(entry: Entry) => void} add
 * @property {() => Entry[]} list what waits, oldest first, within the limits: what is over them is removed first.
 * @property {(entries: Entry[]) => void} remove
 */

/**
 * Opens the queue of one site. Two sites on one origin have two queues, or one would send the events of the other.
 *
 * @param {import("./store.js").Store} store
 * @param {string} site names the queue.
 * @returns {Queue}
 */
export function openQueue(store, site) {
  const prefix = `dewpond.queue.${site}.`;
  /** @param {Entry[]} entries */
  const remove = (entries) => entries.forEach(({ id }) => store.remove(prefix + id));
  return {
    add: ({ id, text }) => store.set(prefix + id, text),
    list() {
      const entries = store
        .keys()
        .filter((key) => key.startsWith(prefix))
        .sort()
        // Another page may have removed one since.
        .map((key) => ({ id: key.slice(prefix.length), text: store.get(key) ?? "" }))
        .filter(({ text }) => text);
      const over = overflow(entries);
      remove(over);
      return entries.filter((entry) => !over.includes(entry));
    },
    remove,
  };
}
