// Numbers and times for people, in their language and the site's zone.
import { language, t } from "./words";
import type { Numbers } from "./api";

const locale = () => (language.value === "de" ? "de-DE" : "en-GB");
const MISSING = "–";

/** Formats by what they are made of: making one takes longer than using it a hundred times. */
const formats = new Map<string, unknown>();

function formatOf<T>(kind: string, options: object, make: (locale: string) => T): T {
  const name = JSON.stringify([kind, locale(), options]);
  let found = formats.get(name) as T | undefined;
  if (!found) formats.set(name, (found = make(locale())));
  return found;
}

const numberFormat = (options: Intl.NumberFormatOptions) => formatOf("number", options, (locale) => new Intl.NumberFormat(locale, options));
const displayNames = (type: Intl.DisplayNamesType) => formatOf("name", { type }, (locale) => new Intl.DisplayNames([locale], { type }));

const whole = (value: number) => numberFormat({ maximumFractionDigits: 2 }).format(value);

/** 1 307 → 1.3k; the whole number is for titles and tables. */
export function short(value: number): string {
  if (Math.abs(value) < 10_000) return whole(value);
  return numberFormat({ notation: "compact", maximumFractionDigits: 1 }).format(value);
}

export function percent(share: number, digits = 1): string {
  return numberFormat({ style: "percent", maximumFractionDigits: digits }).format(share);
}

/** 95 → 1m 35s. */
export function duration(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${s}s`;
  if (s < 3_600) return `${Math.floor(s / 60)}m ${s % 60}s`;
  return `${Math.floor(s / 3_600)}h ${Math.floor((s % 3_600) / 60)}m`;
}

export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, count)) / 10));
  return `${whole(Math.round((count / 1024 ** step) * 10) / 10)} ${units[step]}`;
}

export interface Metric {
  title: string;
  kind: "count" | "share" | "duration" | "mean" | "money";
  /** Whether more of it is worse. */
  isWorse?: boolean;
}

export const METRICS: Record<string, Metric> = {
  visitors: { title: "Visitors", kind: "count" },
  new_visitors: { title: "New visitors", kind: "count" },
  returning_visitors: { title: "Returning visitors", kind: "count" },
  sessions: { title: "Sessions", kind: "count" },
  page_views: { title: "Page views", kind: "count" },
  events: { title: "Events", kind: "count" },
  bounce_rate: { title: "Bounce rate", kind: "share", isWorse: true },
  engagement_rate: { title: "Engagement rate", kind: "share" },
  duration_s_mean: { title: "Session duration", kind: "duration" },
  engaged_s_mean: { title: "Engaged time", kind: "duration" },
  page_views_mean: { title: "Pages per session", kind: "mean" },
  revenue: { title: "Revenue", kind: "money" },
  revenue_mean: { title: "Revenue per order", kind: "money" },
  transactions: { title: "Orders", kind: "count" },
  conversions: { title: "Conversions", kind: "count" },
  converted_visitors: { title: "Converted visitors", kind: "count" },
  conversion_rate: { title: "Conversion rate", kind: "share" },
};

export const metricTitle = (name: string) => t(METRICS[name]?.title ?? name);

/** A number of an answer; a text of digits is one, too. Null if there is none. */
export function number(value: unknown): number | null {
  if (value === null || value === undefined || value === "") return null;
  const parsed = Number(value);
  return Number.isFinite(parsed) ? parsed : null;
}

/** A metric as it is shown. `isWhole` for titles and tables, where there is room. */
export function show(metric: string, value: unknown, isWhole = false, currency?: string): string {
  const n = number(value);
  if (n === null) return MISSING;
  switch (METRICS[metric]?.kind) {
    case "share":
      return percent(n);
    case "duration":
      return duration(n);
    case "mean":
      return numberFormat({ minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(n);
    case "money":
      return money(n, currency);
    default:
      return isWhole ? whole(n) : short(n);
  }
}

export function money(value: number, currency?: string): string {
  if (!currency) return numberFormat({ minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(value);
  try {
    return numberFormat({ style: "currency", currency }).format(value);
  } catch {
    // Whatever was sent as a currency need not be one.
    return `${whole(value)} ${currency}`;
  }
}

/** +12 %, with a true minus; null for nothing to compare with. */
export function change(share: number | null | undefined): string | null {
  if (share === null || share === undefined) return null;
  const shown = numberFormat({ style: "percent", maximumFractionDigits: Math.abs(share) < 0.1 ? 1 : 0, signDisplay: "exceptZero" }).format(share);
  return shown.replace("-", "−");
}

export function timeFormat(zone: string | undefined, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const all = { timeZone: zone, ...options };
  return formatOf("time", all, (locale) => new Intl.DateTimeFormat(locale, all));
}

export const time = (at: string | number | Date, zone?: string) => timeFormat(zone, { hour: "2-digit", minute: "2-digit" }).format(new Date(at));
export const exactTime = (at: string, zone?: string) =>
  timeFormat(zone, { hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(new Date(at));
export const dateTime = (at: string | number | Date, zone?: string) =>
  timeFormat(zone, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }).format(new Date(at));
export const fullDateTime = (at: string | number | Date, zone?: string) =>
  timeFormat(zone, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(new Date(at));
export const day = (at: string | number | Date, zone?: string, hasYear = true) =>
  timeFormat(zone, { day: "numeric", month: "short", ...(hasYear && { year: "numeric" }) }).format(new Date(at));
const weekday = (at: string | number | Date, zone?: string) => timeFormat(zone, { weekday: "short" }).format(new Date(at));
const month = (at: string | number | Date, zone?: string) => timeFormat(zone, { month: "short", year: "numeric" }).format(new Date(at));

/** A point of a series in words. */
export function interval(kind: string, from: string, until: string, zone?: string): string {
  switch (kind) {
    case "minute":
      return dateTime(from, zone);
    case "hour":
      return `${day(from, zone, false)}, ${time(from, zone)}–${time(until, zone)}`;
    case "day":
      return `${weekday(from, zone)}, ${day(from, zone)}`;
    case "month":
      return month(from, zone);
    default:
      return `${day(from, zone, false)} – ${day(new Date(until).getTime() - 1, zone)}`;
  }
}

/** Two instants as days or times, the end not included. */
export function span(from: string, until: string, zone?: string): string {
  const last = new Date(until).getTime() - 1;
  if (day(from, zone) !== day(last, zone)) return `${day(from, zone, false)} – ${day(last, zone)}`;
  const length = new Date(until).getTime() - new Date(from).getTime();
  return length > 7_200_000 ? day(from, zone) : `${day(from, zone, false)}, ${time(from, zone)}–${time(until, zone)}`;
}

/** How long ago something was. */
export function ago(at: string | number | Date, now: number): string {
  const s = Math.round((new Date(at).getTime() - now) / 1_000);
  const words = formatOf("ago", {}, (locale) => new Intl.RelativeTimeFormat(locale, { numeric: "auto" }));
  if (s > -60) return words.format(s, "second");
  if (s > -3_600) return words.format(Math.round(s / 60), "minute");
  if (s > -86_400) return words.format(Math.round(s / 3_600), "hour");
  return words.format(Math.round(s / 86_400), "day");
}

/** A value of a dimension as people say it. */
export function valueName(dimension: string, value: string | null): string {
  if (value === null || value === "") return t(NAMES_OF_NONE[dimension] ?? "(none)");
  try {
    if (dimension === "country") return displayNames("region").of(value) ?? value;
    if (dimension === "language") return displayNames("language").of(value) ?? value;
  } catch {
    // Whatever was sent need not be a code.
  }
  if (dimension === "device") return t(value);
  return value;
}

const NAMES_OF_NONE: Record<string, string> = {
  referrer_host: "Direct or none", country: "Unknown", region: "Unknown", city: "Unknown", browser: "Unknown", os: "Unknown",
  device: "Unknown", language: "Unknown", screen: "Unknown", channel: "Unassigned",
};

/** What a cell of a table of SQL holds, as text. */
export function cell(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

export const total = (rows: { metrics: Numbers }[], metric: string) =>
  rows.reduce((sum, row) => sum + (number(row.metrics[metric]) ?? 0), 0);
