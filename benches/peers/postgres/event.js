// Turns one JSON event into one row. Touches nothing but its memory of user agents.
import { createHash, randomUUID } from "node:crypto";
import bowser from "bowser";

/** The columns of a row and their types, in the row's order. @type {[name: string, type: string][]} */
export const COLUMNS = [
  ["site_id", "integer"],
  ["event_id", "uuid"],
  ["name", "text"],
  ["occurred_at", "timestamptz"],
  ["user_id", "text"],
  ["anonymous_id", "text"],
  ["session_id", "text"],
  ["url", "text"],
  ["hostname", "text"],
  ["path", "text"],
  ["query", "text"],
  ["title", "text"],
  ["referrer", "text"],
  ["referrer_host", "text"],
  ["utm_source", "text"],
  ["utm_medium", "text"],
  ["utm_campaign", "text"],
  ["utm_term", "text"],
  ["utm_content", "text"],
  ["browser", "text"],
  ["browser_version", "text"],
  ["os", "text"],
  ["os_version", "text"],
  ["device", "text"],
  ["language", "text"],
  ["screen", "text"],
  ["viewport", "text"],
  ["object", "text"],
  ["revenue", "numeric"],
  ["currency", "text"],
  ["properties", "jsonb"],
];

/** Fields that are columns, or that are not kept. All others go to `properties`. */
const KNOWN = new Set([
  ...["event_id", "name", "timestamp", "sent_at", "user_id", "anonymous_id", "session_id", "url", "title", "referrer"],
  ...["language", "screen", "viewport", "object", "revenue", "currency", "properties"],
  ...["user_agent", "ip", "key", "site"],
]);

const NAME_CHARS_MAX = 200;
const ID_CHARS_MAX = 100;
const TEXT_CHARS_MAX = 512;
const LONG_CHARS_MAX = 4_096;
const PROPERTIES_CHARS_MAX = 32_768;
const REVENUE_MAX = 1e14;
const AGE_MS_MAX = 72 * 3_600_000;
const AHEAD_MS_MAX = 5 * 60_000;
const AGENTS_MAX = 4_096;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const RFC_3339 = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;
/** What JSON can say and `jsonb` cannot hold: a zero character, and half a pair of surrogates. */
const NOT_IN_JSONB = /\\u(0000|d[89a-f][0-9a-f]{2})/i;

/** What is wrong with an event, in words for its sender. */
export class Invalid extends Error {}

/**
 * One event as a row: its values, in the order of COLUMNS.
 *
 * @param {any} event as it was parsed
 * @param {{ siteId: number, userAgent: string, receivedAt: number }} context `receivedAt` in epoch milliseconds
 * @returns {(string | number | null)[]}
 * @throws {Invalid} if it is no event
 */
export function row(event, { siteId, userAgent, receivedAt }) {
  if (typeof event !== "object" || event === null || Array.isArray(event)) {
    throw new Invalid("the event is not an object");
  }
  const name = text(event, "name", NAME_CHARS_MAX);
  if (!name?.trim()) throw new Invalid("`name` is missing");
  const url = text(event, "url", LONG_CHARS_MAX);
  const page = url ? parseUrl(url) : null;
  const campaign = page?.search.includes("utm_") ? page.searchParams : null;
  const referrer = text(event, "referrer", LONG_CHARS_MAX);
  const agent = readAgent(text(event, "user_agent", LONG_CHARS_MAX) ?? userAgent);
  return [
    siteId,
    eventId(event),
    name,
    occurredAt(event.timestamp, receivedAt),
    id(event, "user_id", TEXT_CHARS_MAX),
    id(event, "anonymous_id", TEXT_CHARS_MAX),
    id(event, "session_id", TEXT_CHARS_MAX),
    url,
    page?.hostname || null,
    page?.pathname || null,
    page?.search.slice(1) || null,
    text(event, "title", LONG_CHARS_MAX),
    referrer,
    (referrer && parseUrl(referrer)?.hostname) || null,
    parameter(campaign, "utm_source"),
    parameter(campaign, "utm_medium"),
    parameter(campaign, "utm_campaign"),
    parameter(campaign, "utm_term"),
    parameter(campaign, "utm_content"),
    agent.browser,
    agent.browserVersion,
    agent.os,
    agent.osVersion,
    agent.device,
    text(event, "language", TEXT_CHARS_MAX),
    text(event, "screen", TEXT_CHARS_MAX),
    text(event, "viewport", TEXT_CHARS_MAX),
    text(event, "object", TEXT_CHARS_MAX),
    revenue(event.revenue),
    text(event, "currency", TEXT_CHARS_MAX),
    properties(event),
  ];
}

function text(event, field, charsMax) {
  const value = event[field];
  if (value === undefined || value === null || value === "") return null;
  if (typeof value !== "string") throw new Invalid(`\`${field}\` must be a string`);
  if (value.length > charsMax) throw new Invalid(`\`${field}\` is longer than ${charsMax} characters`);
  // PostgreSQL has no zero character, and would refuse the other rows of the statement too.
  if (value.includes("\0")) throw new Invalid(`\`${field}\` holds a zero character`);
  return value;
}

function id(event, field, charsMax) {
  return typeof event[field] === "number" ? String(event[field]) : text(event, field, charsMax);
}

/** A UUID is its own id; any other string is hashed to one, so that the index has 16 bytes a row. */
function eventId(event) {
  const given = id(event, "event_id", ID_CHARS_MAX);
  if (given === null) return randomUUID();
  // In lower case, as the database writes them when it says which rows are new.
  return UUID.test(given) ? given.toLowerCase() : hashedId(given);
}

function hashedId(given) {
  const hex = createHash("sha256").update(given).digest("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join("-");
}

function occurredAt(timestamp, receivedAt) {
  if (timestamp === undefined || timestamp === null) return new Date(receivedAt).toISOString();
  const isText = typeof timestamp === "string" && RFC_3339.test(timestamp);
  const at = isText ? Date.parse(timestamp) : typeof timestamp === "number" ? timestamp : NaN;
  if (Number.isNaN(at)) throw new Invalid("`timestamp` must be RFC 3339, or epoch milliseconds");
  if (at < receivedAt - AGE_MS_MAX || at > receivedAt + AHEAD_MS_MAX) {
    throw new Invalid("`timestamp` must be at most 72 hours before the arrival and 5 minutes after it");
  }
  return new Date(at).toISOString();
}

function revenue(value) {
  if (value === undefined || value === null) return null;
  const number = typeof value === "string" && value.trim() ? Number(value) : value;
  if (typeof number !== "number" || !(Math.abs(number) < REVENUE_MAX)) {
    throw new Invalid("`revenue` must be a number with at most 14 digits before the point");
  }
  return number;
}

function parseUrl(url) {
  try {
    return new URL(url);
  } catch {
    return null;
  }
}

function parameter(parameters, name) {
  return parameters?.get(name)?.slice(0, TEXT_CHARS_MAX).replaceAll("\0", "") || null;
}

function properties(event) {
  let merged = null;
  for (const field in event) {
    if (!KNOWN.has(field)) (merged ??= Object.create(null))[field] = event[field];
  }
  const inside = event.properties;
  if (inside !== undefined && inside !== null) {
    if (typeof inside !== "object" || Array.isArray(inside)) throw new Invalid("`properties` must be an object");
    merged = merged ? Object.assign(merged, inside) : inside;
  }
  if (merged === null) return null;
  const json = stringify(merged);
  if (json.length > PROPERTIES_CHARS_MAX) {
    throw new Invalid(`\`properties\` are larger than ${PROPERTIES_CHARS_MAX} characters`);
  }
  if (NOT_IN_JSONB.test(json)) throw new Invalid("`properties` hold a character that cannot be stored");
  return json === "{}" ? null : json;
}

function stringify(value) {
  try {
    return JSON.stringify(value);
  } catch {
    throw new Invalid("`properties` are nested too deeply");
  }
}

const NO_AGENT = { browser: null, browserVersion: null, os: null, osVersion: null, device: null };

/** User agents read before: a site sees few different ones, and reading one costs more than the rest of the event. */
const agents = new Map();

function readAgent(userAgent) {
  if (!userAgent) return NO_AGENT;
  let agent = agents.get(userAgent);
  if (agent === undefined) {
    if (agents.size >= AGENTS_MAX) agents.clear();
    const { browser, os, platform } = bowser.parse(userAgent);
    agent = {
      browser: browser.name || null,
      browserVersion: browser.version || null,
      os: os.name || null,
      osVersion: os.version || null,
      device: platform.type || null,
    };
    agents.set(userAgent, agent);
  }
  return agent;
}
