// Asks the server. Everything that the dashboard shows comes through here.
import { signal } from "@preact/signals";
import { remember, remembered } from "./storage";

/** A read key or the server's token, for servers that ask for one. It lives as long as the tab. */
export const key = signal(remembered("dewpond.key", () => sessionStorage) ?? "");

export function setKey(text: string) {
  key.value = text.trim();
  remember("dewpond.key", key.value || null, () => sessionStorage);
}

/** The server does not know who asks: the page shows the sign-in. */
export const isLockedOut = signal(false);

/** Why there is no answer, in the server's words. */
export class Refusal extends Error {
  constructor(
    /** 0: the server was not reached. */
    readonly status: number,
    message: string,
    readonly hint?: string,
    readonly line?: number,
    readonly column?: number,
    /** The whole body of the answer. */
    readonly said: Record<string, unknown> = {},
  ) {
    super(message);
  }
}

export type Params = [name: string, value: string][];

export interface Request {
  params?: Params;
  body?: unknown;
  method?: string;
  accept?: string;
  signal?: AbortSignal;
}

/** One request, with whoever asks; fails with a `Refusal`. A sign-in that has become old is made new once. */
export async function send(path: string, request: Request = {}): Promise<Response> {
  try {
    return await sendOnce(path, request);
  } catch (error) {
    if (!(error instanceof Refusal) || error.status !== 401 || path.startsWith("/v1/auth") || path === "/v1/shares/open") throw error;
    if (!key.value && (await isRenewed())) return await sendOnce(path, request);
    isLockedOut.value = true;
    throw error;
  }
}

let renewal: Promise<boolean> | undefined;

/** Asks for new cookies; all requests that wait for them share one answer. */
function isRenewed(): Promise<boolean> {
  renewal ??= fetch("/v1/auth/refresh", { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" })
    // 409: another tab was faster, and its cookies are there.
    .then((response) => response.ok || response.status === 409, () => false)
    .finally(() => (renewal = undefined));
  return renewal;
}

async function sendOnce(path: string, request: Request): Promise<Response> {
  const query = new URLSearchParams(request.params ?? []).toString();
  const headers: Record<string, string> = { Accept: request.accept ?? "application/json" };
  if (key.value) headers.Authorization = `Bearer ${key.value}`;
  if (request.body !== undefined) headers["Content-Type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(query ? `${path}?${query}` : path, {
      method: request.method ?? (request.body === undefined ? "GET" : "POST"),
      headers,
      body: request.body === undefined ? undefined : JSON.stringify(request.body),
      signal: request.signal,
    });
  } catch (error) {
    if (request.signal?.aborted) throw error;
    throw new Refusal(0, "");
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  const message = Array.isArray(said.message) ? said.message.join("; ") : said.message;
  throw new Refusal(response.status, message ?? response.statusText, said.hint, said.line ?? undefined, said.column ?? undefined, said);
}

export async function ask<T>(path: string, request: Request = {}): Promise<T> {
  const response = await send(path, request);
  return response.status === 204 ? (undefined as T) : ((await response.json()) as T);
}

/** What every answer of `/v1/stats` has. */
export interface Answered {
  query: { sites: string[] | null; from: string; until: string; time_zone: string; metrics?: string[]; compare?: { from: string; until: string } | null };
  as_of: string;
  complete_until: string;
}
/** Days of another product that were added to the numbers. */
export interface ImportedDays {
  sources: string[];
  from: string;
  /** The first day that is not among them. */
  until: string;
  /** Numbers that they do not have, or that do not add up over days. */
  without: string[];
}
export type Numbers = Record<string, number | string | null>;
export interface Comparison {
  metrics: Numbers;
  change: Record<string, number | null>;
}
export interface Aggregate extends Answered {
  metrics: Numbers;
  imported_days?: ImportedDays;
  comparison?: Comparison;
}
export interface Point {
  from: string;
  until: string;
  metrics: Numbers;
  comparison?: (Comparison & { from: string; until: string }) | null;
}
export interface Series extends Answered {
  interval: string;
  results: Point[];
}
export interface SeriesByDimension extends Answered {
  interval: string;
  series: { dimensions: Record<string, string | null>; results: Point[] }[];
}
export interface Row {
  dimensions: Record<string, string | null>;
  metrics: Numbers;
  comparison?: Comparison;
}
export interface Breakdown extends Answered {
  results: Row[];
  total_rows: number;
}

/** An answer of `/v1/sql`. */
export interface Table {
  columns: string[];
  types: string[];
  rows: unknown[][];
  row_count: number;
}

/** One query. `site` confines it to a site. */
export function sql(text: string, params: Record<string, unknown> = {}, site?: string, signal?: AbortSignal): Promise<Table> {
  return ask<Table>("/v1/sql", { body: { sql: text, params, ...(site && { site }) }, signal });
}
