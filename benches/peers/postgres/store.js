// Writes rows. Whoever waits for an answer of `insert` or `Group.add` knows that the rows are committed.
import pg from "pg";
import { COLUMNS } from "./event.js";

/** More would only wait for each other's locks on two cores; commits that wait together share one sync. */
const CONNECTIONS = 16;

const names = COLUMNS.map(([name]) => name).join(", ");
const arrays = COLUMNS.map(([, type], index) => `$${index + 1}::${type}[]`).join(", ");

// In the order of the key: two statements with the same ids in different orders could wait for each other for ever.
const INSERT = `
  INSERT INTO events (${names})
  SELECT * FROM unnest(${arrays}) AS rows (${names})
  ORDER BY site_id, event_id
  ON CONFLICT (site_id, event_id) DO NOTHING`;

/** Data exception, program limit exceeded. */
const UNFIT = /^(22|54)/;

/** @typedef {(string | number | null)[]} Row */

export class Store {
  constructor() {
    // Where the database is, the environment says: PGHOST, PGUSER, PGDATABASE.
    this.pool = new pg.Pool({ max: CONNECTIONS, idleTimeoutMillis: 0 });
    // A connection that breaks while idle is replaced by the next one that is needed.
    this.pool.on("error", (error) => console.error(`a connection to the database broke: ${error.message}`));
  }

  /** The sites by write key. @returns {Promise<Map<string, number>>} */
  async sites() {
    const { rows } = await this.pool.query("SELECT write_key, site_id FROM sites");
    return new Map(rows.map((site) => [site.write_key, site.site_id]));
  }

  /**
   * Commits the rows of one request and returns how many of them were there before.
   *
   * @param {Row[]} rows
   */
  async insert(rows) {
    const { rowCount } = await this.pool.query({ name: "insert", text: INSERT, values: columns(rows) });
    return rows.length - (rowCount ?? 0);
  }

  /**
   * Commits the rows of many requests and returns the keys of those that were new.
   *
   * @param {Row[]} rows
   */
  async insertReturning(rows) {
    const text = `${INSERT} RETURNING site_id, event_id`;
    const answer = await this.pool.query({ name: "insert returning", text, values: columns(rows), rowMode: "array" });
    return answer.rows;
  }

  async close() {
    await this.pool.end();
  }
}

/** @param {Row[]} rows */
function columns(rows) {
  return COLUMNS.map((_, column) => rows.map((row) => row[column]));
}

/** Commits requests together: a statement, a transaction and a sync for all that came within a time. */
export class Group {
  /** @type {{ rows: Row[], resolve: (duplicates: number) => void, reject: (error: Error) => void }[]} */
  #waiting = [];
  #rows = 0;
  #timer;

  /**
   * @param {Store} store
   * @param {{ afterMs: number, rowsMax: number }} limits how long the first request waits for others, and how many
   *   rows make a statement at once
   */
  constructor(store, { afterMs, rowsMax }) {
    this.store = store;
    this.afterMs = afterMs;
    this.rowsMax = rowsMax;
  }

  /**
   * Commits the rows with those of other requests and returns how many of them were there before.
   *
   * @param {Row[]} rows
   * @returns {Promise<number>}
   */
  add(rows) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ rows, resolve, reject });
      this.#rows += rows.length;
      if (this.#rows >= this.rowsMax) void this.#flush();
      else this.#timer ??= setTimeout(() => void this.#flush(), this.afterMs);
    });
  }

  async #flush() {
    const requests = this.#waiting;
    this.#waiting = [];
    this.#rows = 0;
    clearTimeout(this.#timer);
    this.#timer = undefined;

    const rows = requests.flatMap((request) => request.rows);
    try {
      const added = await this.store.insertReturning(rows);
      if (added.length === rows.length) {
        for (const { resolve } of requests) resolve(0);
        return;
      }
      // Of copies within the group the first counts as new.
      const keys = new Set(added.map(keyOf));
      for (const { rows, resolve } of requests) resolve(rows.filter((row) => !keys.delete(keyOf(row))).length);
    } catch (error) {
      // A value that the database refuses is one request's trouble and not its neighbours'.
      const alone = UNFIT.test(error.code ?? "");
      for (const { rows, resolve, reject } of requests) {
        if (alone) this.store.insert(rows).then(resolve, reject);
        else reject(error);
      }
    }
  }
}

function keyOf([siteId, eventId]) {
  return `${siteId} ${eventId}`;
}
