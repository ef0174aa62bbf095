// What every page shares: the view, the sites, the theme, and who asks.
import { computed, effect, signal } from "@preact/signals";
import { ask, Refusal, type Params } from "./api";
import { wantedTheme } from "./embedded";
import { dayIn } from "./range";
import { remember, remembered } from "./storage";
import { DEFAULT_RANGE, formatFilter, formatView, parseView, toggleFilter, type Filter, type View } from "./view";

export const BASE = "/dashboard/";

export const view = signal<View>(parseView(location.pathname, location.search, BASE));
addEventListener("popstate", () => (view.value = parseView(location.pathname, location.search, BASE)));

/** Shows another view. `replaces`: without an entry in the browser's history, as for text that is being typed. */
export function go(change: Partial<View>, replaces = false) {
  const next = { ...view.value, ...change };
  const address = formatView(next, BASE);
  if (address === formatView(view.value, BASE)) return;
  if (replaces) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  view.value = next;
}

/** The address of another page with the same sites, range and filters. */
export const addressOf = (page: string, extra: Record<string, string> = {}) => formatView({ ...view.value, page, extra }, BASE);

export function setExtra(name: string, value: string, replaces = false) {
  go({ extra: { ...view.value.extra, [name]: value } }, replaces);
}
export const extra = (name: string, otherwise = "") => view.value.extra[name] || otherwise;

export const filterBy = (dimension: string, value: string | null) =>
  go({ filters: toggleFilter(view.value.filters, dimension, value) });
export const setFilters = (filters: Filter[]) => go({ filters });

export interface Site {
  id: string;
  created_at: string;
  retention_days: number | null;
  role?: string;
  settings: { time_zone: string; domains: string[]; origins: string[] } & Record<string, unknown>;
}
/** Undefined until they are known. */
export const sites = signal<Site[] | undefined>(undefined);

export interface Me {
  kind: "person" | "operator" | "key" | "share";
  user: { id: string; email: string; name: string | null; created_at: string; has_password: boolean; identities?: string[] } | null;
  organisations: { id: string; name: string; role: string; lake: string | null }[];
  share: { name: string } | null;
}
/** Who looks; null on a server without accounts. */
export const me = signal<Me | null>(null);

export async function loadSites(): Promise<void> {
  me.value = await ask<Me>("/v1/me").catch((error: unknown) => {
    if (error instanceof Refusal && error.status === 404) return null;
    throw error;
  });
  sites.value = (await ask<{ results: Site[] }>("/v1/sites")).results;
}

/** The site that is meant, if it is one. */
export function oneSite(): string | undefined {
  if (view.value.sites.length === 1) return view.value.sites[0];
  const all = sites.value ?? [];
  return !view.value.sites.length && all.length === 1 ? all[0].id : undefined;
}

/** The zone of days, as the server picks it: that of the sites, or UTC if they differ. */
export const zone = computed(() => {
  const shown = (sites.value ?? []).filter((site) => !view.value.sites.length || view.value.sites.includes(site.id));
  const zones = new Set(shown.map((site) => site.settings.time_zone));
  return zones.size === 1 ? [...zones][0] : "UTC";
});
export const today = () => dayIn(zone.value, new Date());

/** The parameters of `/v1/stats` that follow from the view. */
export function statsParams(parts: { compare?: boolean; interval?: boolean; range?: boolean } = {}, of: View = view.value): Params {
  const params: Params = [];
  if (of.sites.length) params.push(["site", of.sites.join(",")]);
  if (parts.range !== false) params.push(...rangeParams(of.range));
  if (parts.compare && of.compare !== "none") params.push(["compare", of.compare]);
  if (parts.interval && of.interval) params.push(["interval", of.interval]);
  for (const filter of of.filters) params.push(["filter", formatFilter(filter)]);
  return params;
}

/** The same for the overview, to which days that were imported from another product are added unless somebody leaves them out. */
export function overviewParams(parts: { compare?: boolean; interval?: boolean } = {}): Params {
  const params = statsParams(parts);
  if (extra("imported") !== "no") params.push(["with_imported", "true"]);
  return params;
}

export function rangeParams(range: string): Params {
  const [from, until] = range.split("..");
  return until ? [["from", from], ["until", until]] : [["date_range", range || DEFAULT_RANGE]];
}

/** Asked-for theme; `auto` follows the system. */
export type Theme = "auto" | "light" | "dark";
export const theme = signal<Theme>((wantedTheme as Theme) || (remembered("dewpond.theme") as Theme) || "auto");
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const systemIsDark = signal(prefersDark.matches);
prefersDark.addEventListener("change", (event) => (systemIsDark.value = event.matches));
export const isDark = computed(() => (theme.value === "auto" ? systemIsDark.value : theme.value === "dark"));
effect(() => {
  document.documentElement.dataset.theme = isDark.value ? "dark" : "light";
});
export function setTheme(to: Theme) {
  remember("dewpond.theme", to);
  theme.value = to;
}

/** Counts up when what is shown should be asked for again. */
export const tick = signal(0);
const REFRESH_MS = 30_000;
setInterval(() => {
  if (!document.hidden) tick.value += 1;
}, REFRESH_MS);
