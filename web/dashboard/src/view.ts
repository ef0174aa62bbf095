// What is on the screen, as an address says it: whoever gets the link sees the same.

/** A condition on a dimension, as `/v1/stats` reads it. */
export interface Filter {
  dimension: string;
  operator: string;
  values: string[];
}

export interface View {
  /** Path below the dashboard: "" is the overview. */
  page: string;
  /** None: all that the reader may see. */
  sites: string[];
  /** A preset such as `30d`, two days `2026-03-01,2026-03-31`, or two instants `FROM..UNTIL`. */
  range: string;
  /** `previous_period`, `previous_year`, two days, or `none`. */
  compare: string;
  /** Empty: what suits the range. */
  interval: string;
  filters: Filter[];
  /** What a page keeps for itself: its tabs, its chosen metric. */
  extra: Record<string, string>;
}

export const DEFAULT_RANGE = "30d";
export const DEFAULT_COMPARE = "previous_period";

/** Operators, and those among them that take no value. */
export const OPERATORS = [
  "is", "is_not", "contains", "contains_not", "starts_with", "starts_with_not", "ends_with", "ends_with_not", "exists", "exists_not",
];
export const takesValues = (operator: string) => !operator.startsWith("exists");

const OWN = new Set(["site", "range", "compare", "interval", "filter"]);

/** Reads an address. What it does not know is left alone, so that an old link still opens. */
export function parseView(pathname: string, search: string, base: string): View {
  const query = new URLSearchParams(search);
  const extra: Record<string, string> = {};
  for (const [name, value] of query) if (!OWN.has(name)) extra[name] = value;
  return {
    page: pathname.startsWith(base) ? pathname.slice(base.length).replace(/\/+$/, "") : "",
    sites: (query.get("site") ?? "").split(",").filter(Boolean),
    range: query.get("range") || DEFAULT_RANGE,
    compare: query.get("compare") || DEFAULT_COMPARE,
    interval: query.get("interval") ?? "",
    filters: query.getAll("filter").flatMap((text) => parseFilter(text) ?? []),
    extra,
  };
}

/** Writes an address; what is as usual is left out. */
export function formatView(view: View, base: string): string {
  const query = new URLSearchParams();
  if (view.sites.length) query.set("site", view.sites.join(","));
  if (view.range !== DEFAULT_RANGE) query.set("range", view.range);
  if (view.compare !== DEFAULT_COMPARE) query.set("compare", view.compare);
  if (view.interval) query.set("interval", view.interval);
  for (const filter of view.filters) query.append("filter", formatFilter(filter));
  for (const [name, value] of Object.entries(view.extra)) if (value) query.set(name, value);
  // Commas, colons and slashes need no escape in a query, and addresses are read by people.
  const text = query.toString().replace(/%2C/g, ",").replace(/%3A/g, ":").replace(/%2F/g, "/");
  return base + view.page + (text && `?${text}`);
}

/** A condition in the words of `filter=`. */
export function formatFilter({ dimension, operator, values }: Filter): string {
  const escaped = values.map((value) => value.replace(/[\\,|]/g, "\\$&"));
  return takesValues(operator) ? `${dimension}:${operator}:${escaped.join(",")}` : `${dimension}:${operator}`;
}

/** Reads one condition; undefined if the text is none. */
export function parseFilter(text: string): Filter | undefined {
  const [, dimension, operator, rest = ""] = /^([^:]+):([^:]+)(?::([\s\S]*))?$/.exec(text) ?? [];
  if (!dimension || !operator || !OPERATORS.includes(operator)) return undefined;
  if (!takesValues(operator)) return { dimension, operator, values: [] };
  const values = [""];
  for (let at = 0; at < rest.length; at += 1) {
    if (rest[at] === "\\" && at + 1 < rest.length) values[values.length - 1] += rest[(at += 1)];
    else if (rest[at] === ",") values.push("");
    else values[values.length - 1] += rest[at];
  }
  return { dimension, operator, values };
}

/** The filters after a click on a value: it is added, or taken away if it is the filter already. */
export function toggleFilter(filters: Filter[], dimension: string, value: string | null): Filter[] {
  const clicked: Filter =
    value === null ? { dimension, operator: "exists_not", values: [] } : { dimension, operator: "is", values: [value] };
  const others = filters.filter((filter) => filter.dimension !== dimension || !["is", "exists_not"].includes(filter.operator));
  const had = filters.some((filter) => formatFilter(filter) === formatFilter(clicked));
  return had ? others : [...others, clicked];
}
