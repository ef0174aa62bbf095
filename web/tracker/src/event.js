// @ts-check

/**
 * An event as the collector takes it. Fields that are undefined are not written.
 *
 * @typedef {object} TrackerEvent
 * @property {string} event_id
 * @property {string} name
 * @property {string} timestamp
 * @property {string} [user_id]
 * @property {string} [anonymous_id]
 * @property {string} [session_id]
 * @property {string} url
 * @property {string} referrer
 * @property {string} title
 * @property {string} [object]
 * @property {number | string} [revenue]
 * @property {string} [currency]
 * @property {string} language
 * @property {string} screen
 * @property {string} viewport
 * @property {string} sdk
 * @property {Record<string, unknown>} properties
 */

/**
 * What an event may say of itself beyond name and properties.
 *
 * @typedef {object} Details
 * @property {number | string} [revenue]
 * @property {string} [currency] ISO 4217, for example `EUR`.
 * @property {string} [object] what was seen, clicked or bought.
 */

/**
 * Where an event happens.
 *
 * @typedef {object} Place
 * @property {string} url
 * @property {string} referrer
 * @property {string} title
 * @property {string} language
 * @property {string} screen for example `1920x1080`.
 * @property {string} viewport likewise.
 */

const SDK = "dewpond-web/1.0";

// The collector rejects an event with a longer text. A shortened one is better than none.
const LONG_CHARS_MAX = 4_096;
const TEXT_CHARS_MAX = 512;
const NAME_CHARS_MAX = 200;

/**
 * Builds an event. Takes plain values, so a test needs no browser. It says nothing of who: see `identity.js`.
 *
 * @param {string} id
 * @param {number} nowMs
 * @param {string} name
 * @param {Record<string, unknown> | undefined} properties
 * @param {Details | undefined} details
 * @param {Place} place
 * @returns {TrackerEvent}
 */
export function buildEvent(id, nowMs, name, properties, details, place) {
  return {
    event_id: id,
    name: clip(name, NAME_CHARS_MAX),
    timestamp: new Date(nowMs).toISOString(),
    ...place,
    url: clip(place.url, LONG_CHARS_MAX),
    referrer: clip(place.referrer, LONG_CHARS_MAX),
    title: clip(place.title, LONG_CHARS_MAX),
    object: details?.object && clip(details.object, TEXT_CHARS_MAX),
    revenue: details?.revenue,
    currency: details?.currency,
    sdk: SDK,
    // A copy: what the page does with its object later is not part of the event. Also makes an object of
    // anything else, since an event whose properties are none would be rejected.
    properties: { ...properties },
  };
}

/**
 * @param {unknown} text
 * @param {number} charsMax
 */
function clip(text, charsMax) {
  return String(text).slice(0, charsMax);
}

/**
 * Writes an event as JSON. Half of a surrogate pair, which clipping may leave and a page may hold, becomes
 * U+FFFD: as JSON it would be an escape that the collector must reject.
 *
 * @param {TrackerEvent} event
 * @returns {string}
 */
export function writeEvent(event) {
  return JSON.stringify(event, (_, value) =>
    typeof value === "string" ? value.replace(/[\ud800-\udfff]/gu, "\ufffd") : value,
  );
}
