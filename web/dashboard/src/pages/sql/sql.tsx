// SQL over every event: an editor that knows the tables, the answer as a table or a chart, and files of it.
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, Refusal, send, sql, type Table } from "../../api";
import { useAnswer } from "../../answer";
import { cell, number, short } from "../../format";
import { download, toCsv } from "../../csv";
import { Chart } from "../../parts/chart";
import { Icon } from "../../parts/icon";
import { lazy } from "../../parts/lazy";
import { Menu, MenuItem } from "../../parts/overlay";
import { Answered, Empty, troubleWords } from "../../parts/states";
import { extra, setExtra, zone, oneSite } from "../../store";
import { t } from "../../words";
import type { EditorHandle, Schema } from "./editor";

const Editor = lazy(() => import("./editor"));

const FIRST = `SELECT path, count(*) AS page_views, count(DISTINCT visitor_id) AS visitors
FROM events
WHERE name = 'page_view' AND NOT is_bot AND occurred_at >= $from
GROUP BY path
ORDER BY page_views DESC
LIMIT 20`;
const EXAMPLES: [string, string][] = [
  ["Top pages", FIRST],
  ["Visitors by day", "SELECT date_trunc('day', occurred_at AT TIME ZONE $time_zone) AS day, count(DISTINCT visitor_id) AS visitors\nFROM events\nWHERE NOT is_bot AND occurred_at >= $from\nGROUP BY day\nORDER BY day"],
  ["Sessions by channel", "SELECT channel, count(*) AS sessions, avg(duration_s) AS seconds, avg(CASE WHEN is_bounce THEN 1.0 ELSE 0 END) AS bounce_rate\nFROM sessions\nWHERE started_at >= $from\nGROUP BY channel\nORDER BY sessions DESC"],
  ["A funnel", "SELECT * FROM funnel(ARRAY['page_view', 'signup', 'purchase'], INTERVAL '7 days', $from, $until)"],
  ["Refused events", "SELECT received_at, protocol, reason, event FROM quarantine ORDER BY received_at DESC LIMIT 100"],
];
const TABLES = ["events", "sessions", "visitor_days", "visitors", "identities", "reports", "imported_days", "quarantine"];
/** More rows than this are not drawn; a download has them all. */
const ROWS_SHOWN = 1_000;
const KEPT = "dewpond.sql";

interface Outcome {
  table?: Table;
  error?: Refusal;
  tookMs?: number;
}

export default function Sql() {
  const [text, setText] = useState(() => extra("q") || sessionStorage.getItem(KEPT) || FIRST);
  const [outcome, setOutcome] = useState<Outcome>({});
  const [isRunning, setRunning] = useState(false);
  const editor = useRef<EditorHandle | null>(null);
  const abort = useRef<AbortController | null>(null);
  const site = oneSite();
  const schema = useAnswer<Schema>(`schema ${site}`, readSchema, false);
  const shape = extra("as", "table");

  const run = async () => {
    abort.current?.abort();
    const now = (abort.current = new AbortController());
    const query = editor.current?.text() ?? text;
    setRunning(true);
    editor.current?.mark(undefined);
    const began = performance.now();
    try {
      const table = await sql(query, {}, site, now.signal);
      setOutcome({ table, tookMs: performance.now() - began });
      setExtra("q", query, true);
    } catch (error) {
      if (now.signal.aborted) return;
      const refusal = error instanceof Refusal ? error : new Refusal(500, String(error));
      setOutcome({ error: refusal });
      if (refusal.line) editor.current?.mark({ line: refusal.line, column: refusal.column ?? 1 });
    } finally {
      if (abort.current === now) setRunning(false);
    }
  };
  useEffect(() => () => abort.current?.abort(), []);
  const change = (to: string) => {
    sessionStorage.setItem(KEPT, to);
    setText(to);
  };
  const save = async (format: "csv" | "parquet" | "ndjson") => {
    try {
      const response = await send("/v1/sql", { body: { sql: editor.current?.text() ?? text, format, ...(site && { site }) }, accept: "*/*" });
      download(`query.${format}`, await response.blob());
    } catch (error) {
      setOutcome({ error: error instanceof Refusal ? error : new Refusal(500, String(error)) });
    }
  };
  return (
    <div class="sql">
      <section class="card padded" aria-label={t("Query")}>
        <div class="card-head">
          <button type="button" class="button primary" onClick={() => (isRunning ? (abort.current?.abort(), setRunning(false)) : void run())}>
            <Icon name={isRunning ? "close" : "play"} size={16} /> {isRunning ? t("Stop") : t("Run")}
          </button>
          <kbd class="only-wide">Ctrl ↵</kbd>
          <Menu class="small push" label={t("Examples")} alignsRight>
            {(close) => EXAMPLES.map(([title, query]) => <MenuItem key={title} onClick={() => { editor.current?.set(query); change(query); close(); }}>{t(title)}</MenuItem>)}
          </Menu>
          <Menu class="small" label={<><Icon name="download" size={15} /> {t("Download")}</>} alignsRight>
            {(close) => (
              <>
                {(["csv", "parquet", "ndjson"] as const).map((format) => <MenuItem key={format} onClick={() => { void save(format); close(); }}>{format.toUpperCase()}</MenuItem>)}
                <hr />
                <MenuItem onClick={() => { download("my_metric.sql", editor.current?.text() ?? text, "text/plain"); close(); }}>{t("As a file for queries/")}</MenuItem>
              </>
            )}
          </Menu>
        </div>
        <Editor text={text} schema={schema.data} onChange={change} onRun={() => void run()} handle={(to) => (editor.current = to)} />
        <p class="muted sql-note">{t("$from is 30 days ago, $until is now, $time_zone that of the site. Answers have every event acknowledged until the query came.")}</p>
        {outcome.error && (
          <div class="trouble" role="alert">
            <Icon name="warning" />
            <div>
              <p>{outcome.error.line ? t("Line {line}, column {column}:", { line: outcome.error.line, column: outcome.error.column ?? 1 }) : ""} {troubleWords(outcome.error)}</p>
              {outcome.error.hint && <p class="muted">{outcome.error.hint}</p>}
            </div>
          </div>
        )}
      </section>
      <aside class="card padded schema" aria-label={t("Tables")}>
        <div class="card-head"><h2>{t("Tables")}</h2></div>
        <Answered answer={schema} rows={7}>
          {(tables) => TABLES.filter((name) => tables[name]).map((name) => (
            <details key={name} open={name === "events"}>
              <summary>{name} <span class="muted">{tables[name].length}</span></summary>
              <ul>
                {tables[name].map((column) => (
                  <li key={column.name}><button type="button" class="schema-column" title={t("Put into the query")} onClick={() => editor.current?.insert(column.name)}>{column.name} <span class="muted">{column.type}</span></button></li>
                ))}
              </ul>
            </details>
          ))}
        </Answered>
      </aside>
      {outcome.table && (
        <section class="card padded answer" aria-label={t("Answer")}>
          <div class="card-head">
            <h2>{t("{count} rows", { count: short(outcome.table.row_count) })}</h2>
            <span class="muted">{Math.round(outcome.tookMs ?? 0)} ms</span>
            <div class="segmented push" role="group" aria-label={t("Shown as")}>
              {[["table", "Table"], ["chart", "Chart"]].map(([id, title]) => <button key={id} type="button" class="button small" aria-pressed={shape === id} onClick={() => setExtra("as", id === "table" ? "" : id)}>{t(title)}</button>)}
            </div>
            <button type="button" class="button small" onClick={() => download("query.csv", toCsv(outcome.table!.columns, outcome.table!.rows))}><Icon name="download" size={15} /> CSV</button>
          </div>
          {shape === "chart" ? <AnswerChart table={outcome.table} /> : <AnswerTable table={outcome.table} />}
        </section>
      )}
    </div>
  );
}

/** The columns of every table, from a query that answers no row. */
async function readSchema(signal: AbortSignal): Promise<Schema> {
  const read = async (name: string) => {
    const answer = await ask<Table>("/v1/sql", { body: { sql: `SELECT * FROM ${name} LIMIT 0` }, signal }).catch((error: unknown) => {
      if (error instanceof Refusal && error.status === 400) return undefined;
      throw error;
    });
    return answer && ([name, answer.columns.map((column, at) => ({ name: column, type: typeName(answer.types[at]) }))] as const);
  };
  const found: (readonly [string, Schema[string]])[] = [];
  // One after the other: there is no hurry, and each takes a turn of the server's queries.
  for (const name of TABLES) {
    const table = await read(name);
    if (table) found.push(table);
  }
  return Object.fromEntries(found);
}

function typeName(arrow: string): string {
  if (/^Utf8|^LargeUtf8/.test(arrow)) return "text";
  if (/^Timestamp/.test(arrow)) return "time";
  if (/^Date/.test(arrow)) return "date";
  if (/^U?Int/.test(arrow)) return "integer";
  if (/^Float|^Decimal/.test(arrow)) return "number";
  if (/^Bool/.test(arrow)) return "boolean";
  if (/Binary/.test(arrow)) return "id";
  return arrow.toLowerCase();
}

export function AnswerTable({ table }: { table: Table }) {
  if (!table.rows.length) return <Empty title={t("No rows")} />;
  const isNumber = table.columns.map((_, at) => table.rows.every((row) => row[at] === null || typeof row[at] === "number"));
  return (
    <>
      <div class="table-scroll answer-rows" tabIndex={0} role="region" aria-label={t("Rows of the answer")}>
        <table class="table">
          <thead><tr>{table.columns.map((column, at) => <th key={at} scope="col" class={isNumber[at] ? "number" : ""}>{column}</th>)}</tr></thead>
          <tbody>
            {table.rows.slice(0, ROWS_SHOWN).map((row, at) => (
              <tr key={at}>{row.map((value, column) => <td key={column} class={isNumber[column] ? "number" : "wrap-any"}>{value === null ? <span class="muted">null</span> : cell(value)}</td>)}</tr>
            ))}
          </tbody>
        </table>
      </div>
      {table.rows.length > ROWS_SHOWN && <p class="muted">{t("The first {count} rows; the download has all of them.", { count: ROWS_SHOWN })}</p>}
    </>
  );
}

/** Times in the first column become a line for each column of numbers; else the first numbers become bars. */
export function AnswerChart({ table }: { table: Table }) {
  const isTime = table.rows.length > 1 && table.rows.every((row) => typeof row[0] === "string" && /^\d{4}-\d\d-\d\d/.test(row[0]));
  const numbers = table.columns.map((_, at) => at).filter((at) => at > 0 || !isTime).filter((at) => table.rows.some((row) => number(row[at]) !== null) && table.rows.every((row) => row[at] === null || number(row[at]) !== null));
  if (!numbers.length || !table.rows.length) return <Empty title={t("Nothing to draw")}>{t("A chart needs a column of numbers; with times or days in the first column it is a line.")}</Empty>;
  if (isTime) {
    const rows = [...table.rows].map((row) => ({ at: new Date(asInstant(String(row[0]))).getTime() / 1_000, row })).sort((a, b) => a.at - b.at);
    return <Chart title={t("Answer")} xs={rows.map(({ at }) => at)} lines={numbers.slice(0, 6).map((at) => ({ title: table.columns[at], values: rows.map(({ row }) => number(row[at])) }))} zone={/T.*(Z|[+-]\d\d:\d\d)$/.test(String(table.rows[0][0])) ? zone.value : "UTC"} showValue={(value) => (value === null ? "–" : short(value))} showX={(at) => cell(rows[at].row[0])} />;
  }
  const shown = table.rows.slice(0, 40);
  const most = Math.max(...shown.map((row) => Math.abs(number(row[numbers[0]]) ?? 0)), 1e-9);
  const label = numbers.includes(0) ? numbers[1] ?? 0 : 0;
  return (
    <table class="bars">
      <thead><tr><th scope="col">{table.columns[label]}</th><th scope="col" class="number">{table.columns[numbers[0]]}</th></tr></thead>
      <tbody>
        {shown.map((row, at) => (
          <tr key={at}>
            <th scope="row"><span class="bar" style={{ width: `${(Math.abs(number(row[numbers[0]]) ?? 0) / most) * 100}%` }} /><span class="value plain">{cell(row[label]) || "null"}</span></th>
            <td class="number">{cell(row[numbers[0]])}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A time without a zone is the local time of a place: drawn as it is written. */
const asInstant = (text: string) => (/(Z|[+-]\d\d:\d\d)$/.test(text) || text.length === 10 ? text : `${text.replace(" ", "T")}Z`);
