// @ts-check
// Visits of an invented shop: the same for the same seed, so that tests and screenshots can be compared.

const MINUTE_MS = 60_000;
const DAY_MS = 1_440 * MINUTE_MS;

const PAGES = [["/", 40], ["/hats", 22], ["/hats/panama", 13], ["/hats/beanie", 11], ["/scarves", 12], ["/blog/winter", 8], ["/blog/how-to-wear-a-hat", 7], ["/pricing", 9], ["/about", 4], ["/contact", 3], ["/cart", 8]];
/** Referrer, parameters of the address, how often. @type {[string, string, number][]} */
const SOURCES = [
  ["", "", 34], ["https://www.google.com/", "", 26], ["https://duckduckgo.com/", "", 5], ["https://www.bing.com/", "", 4], ["https://chatgpt.com/", "", 6], ["https://news.ycombinator.com/", "", 5],
  ["https://www.reddit.com/", "", 4], ["", "?utm_source=newsletter&utm_medium=email&utm_campaign=winter-sale", 8], ["https://www.google.com/", "?utm_source=google&utm_medium=cpc&utm_campaign=hats", 5], ["https://github.com/", "", 3],
];
/** @type {[string, string, string, string, number][]} */
const PLACES = [
  ["DE", "Berlin", "Berlin", "de", 24], ["US", "California", "San Francisco", "en", 20], ["GB", "England", "London", "en", 10], ["FR", "Île-de-France", "Paris", "fr", 9], ["AT", "Wien", "Vienna", "de", 6], ["NL", "Noord-Holland", "Amsterdam", "nl", 6],
  ["IN", "Karnataka", "Bengaluru", "en", 6], ["BR", "São Paulo", "São Paulo", "pt", 5], ["JP", "Tokyo", "Tokyo", "ja", 5], ["CA", "Ontario", "Toronto", "en", 4], ["AU", "New South Wales", "Sydney", "en", 3], ["ZA", "Western Cape", "Cape Town", "en", 2],
];
/** @type {[string, string, number][]} */
const AGENTS = [
  ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36", "1920x1080", 32],
  ["Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1", "390x844", 24],
  ["Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36", "412x915", 16],
  ["Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15", "1512x982", 14],
  ["Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "2560x1440", 9],
  ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0", "1536x864", 6],
];
const ROBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/** Numbers from 0 to 1 that follow from the seed (mulberry32). @param {number} seed */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/**
 * Lines of NDJSON for `dewpond import`.
 *
 * @param {{ now: Date, days: number, visitsPerDay: number, seed?: number, host?: string }} options `now`: no event is later.
 * @returns {string[]}
 */
export function sample({ now, days, visitsPerDay, seed = 1, host = "shop.example" }) {
  const next = random(seed);
  /** @template {any[]} T @param {T[]} choices the last of each is its weight @returns {T} */
  const pick = (choices) => {
    let at = next() * choices.reduce((sum, choice) => sum + choice.at(-1), 0);
    return choices.find((choice) => (at -= choice.at(-1)) < 0) ?? choices[0];
  };
  /** @type {string[]} */
  const lines = [];
  const people = Math.round(visitsPerDay * days * 0.45);
  const midnight = Math.floor(now.getTime() / DAY_MS) * DAY_MS;
  for (let back = days - 1; back >= 0; back -= 1) {
    const date = new Date(midnight - back * DAY_MS);
    const weekend = [0, 6].includes(date.getUTCDay()) ? 0.62 : 1;
    const growth = 0.7 + 0.5 * (1 - back / days);
    const sale = back === 12 || back === 11 ? 1.7 : 1;
    const visits = Math.round(visitsPerDay * weekend * growth * sale * (0.9 + 0.2 * next()));
    for (let visit = 0; visit < visits; visit += 1) {
      // Most come in the afternoon.
      let at = date.getTime() + Math.floor(((next() + next() + next()) / 3) * 0.95 * DAY_MS) + 20 * MINUTE_MS;
      const person = Math.floor(next() * people);
      const own = random(person * 7 + seed);
      own();
      const [referrer, query] = pick(SOURCES);
      const [country, region, city, language] = PLACES[Math.floor(own() * own() * PLACES.length)];
      const [agent, screen] = AGENTS[Math.floor(own() * own() * AGENTS.length)];
      const isRobot = next() < 0.03;
      const user = person % 9 === 0 ? `user-${person}` : undefined;
      const common = { anonymous_id: `visitor-${person}`, ...(user && { user_id: user }), country, region, city, language, screen, user_agent: isRobot ? ROBOT : agent };
      let view = 0;
      /** @param {string} name @param {Record<string, unknown>} [fields] */
      const put = (name, fields = {}) => {
        if (at <= now.getTime()) lines.push(JSON.stringify({ event_id: `${seed}-${lines.length}`, name, timestamp: new Date(at).toISOString(), ...common, ...fields }));
      };
      const pages = next() < 0.36 ? 1 : 2 + Math.floor(next() * next() * 7);
      for (let page = 0; page < pages; page += 1) {
        const [path] = pick(PAGES);
        const id = `${seed}-${back}-${visit}-${(view += 1)}`;
        const url = `https://${host}${path}${page ? "" : query}`;
        put("page_view", { url, ...(page === 0 && referrer && { referrer }), title: String(path), properties: { page_view_id: id, variant: own() < 0.5 ? "a" : "b" } });
        const seconds = Math.floor(next() * 70);
        for (let ping = 10; ping <= seconds; ping += 10) {
          at += 10_000;
          put("page_ping", { url, properties: { page_view_id: id } });
        }
        at += 5_000;
        if (path === "/" && next() < 0.6) put("object_in_view", { url, object: next() < 0.5 ? "hero" : "newsletter-banner" });
        if (path === "/pricing" && next() < 0.4) put("signup", { url, properties: { plan: pick([["free", 6], ["pro", 3], ["team", 1]])[0] } });
        if (path === "/cart" && next() < 0.5) put("purchase", { url, revenue: (9 + Math.floor(next() * 12_000) / 100).toFixed(2), currency: next() < 0.75 ? "EUR" : "USD", properties: { items: 1 + Math.floor(next() * 4) } });
        at += Math.floor(next() * 40_000);
      }
    }
  }
  return lines;
}
