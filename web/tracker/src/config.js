// @ts-check

/**
 * Options as a page writes them: in `createTracker`, in the script's own address, or as `data-*` attributes
 * of its tag, where `dwellMs` is `data-dwell-ms`. An attribute is always text, so text is taken everywhere;
 * `"off"`, `"false"` and `false` switch off, and an attribute without a value switches on.
 *
 * @typedef {object} Options
 * @property {string} [site] the site that the events belong to; this or `key` is needed.
 * @property {string} [key] the site's write key.
 * @property {string} [endpoint] the collector's address, for example `https://events.shop.example`. Default: where
 *   the script came from, else the page's own origin.
 * @property {number | string} [dwellMs] a page view counts once the page was visible for so long without a
 *   break. Default 0: at once. 1000 leaves out pages that nobody waited for.
 * @property {boolean | string} [pings] `"off"`: no `page_ping`.
 * @property {number | string} [pingS] seconds from ping to ping. Default 10.
 * @property {boolean | string} [auto] `"off"`: page views only by `page()`.
 * @property {string} [consent] `"required"`: nothing is sent or stored before `consent(true)`.
 * @property {boolean | string} [respectGpc] with Global Privacy Control or Do Not Track on, no ids are stored or sent.
 * @property {boolean | string} [cookie] a cookie of the collector says who the visitor is, so no `anonymous_id` is made.
 * @property {boolean | string} [debug] writes what happens to `console.debug`.
 */

/**
 * Options after reading: every one is there and has its type.
 *
 * @typedef {object} Config
 * @property {string | undefined} site
 * @property {string | undefined} key
 * @property {string} url where events are posted.
 * @property {number} dwellMs
 * @property {number} pingMs 0 if there are no pings.
 * @property {boolean} auto
 * @property {boolean} consent whether it is required.
 * @property {boolean} respectGpc
 * @property {boolean} cookie
 * @property {boolean} debug
 */

const PING_S = 10;

/**
 * Reads options into a config. A number that is none counts as not given.
 *
 * @param {Options} options
 * @param {string} origin where the collector is if `endpoint` does not say.
 * @returns {Config}
 */
export function readConfig(options, origin) {
  /** @param {boolean | string | undefined} option @param {boolean} byDefault */
  const isOn = (option, byDefault) => (option == null ? byDefault : !/^(off|false)$/.test(String(option)));
  return {
    site: options.site,
    key: options.key,
    url: (options.endpoint || origin).replace(/\/+$/, "") + "/v1/events",
    dwellMs: Number(options.dwellMs) || 0,
    pingMs: isOn(options.pings, true) ? (Number(options.pingS) || PING_S) * 1_000 : 0,
    auto: isOn(options.auto, true),
    consent: options.consent === "required",
    respectGpc: isOn(options.respectGpc, false),
    cookie: isOn(options.cookie, false),
    debug: isOn(options.debug, false),
  };
}

/**
 * Collects the options of the script from its three sources; a later one wins.
 *
 * @param {object | string} baked what the collector wrote into the script: an object. A text is the place for it, left
 *   empty; its letters are copied under numbers, which name no option. (To ask for its type here would
 *   let a minifier, which sees only the text, take the place away.)
 * @param {string} src the address of the script, or "". Its query holds options.
 * @param {Record<string, string | undefined>} data the `data-*` attributes of its tag.
 * @returns {Options}
 */
export function scriptOptions(baked, src, data) {
  const address = src ? new URL(src) : undefined;
  return Object.assign({ endpoint: address?.origin }, baked, Object.fromEntries(address?.searchParams ?? []), data);
}
