// The metrics: each file of queries/ with its last answer, what that cost and why, and every answer it ever had as a chart.
import { sql, type Table } from "../../api";
import { useAnswer } from "../../answer";
import { ago, cell, fullDateTime, number, short } from "../../format";
import { Chart, type Line } from "../../parts/chart";
import { Icon } from "../../parts/icon";
import { Answered, Empty } from "../../parts/states";
import { addressOf, extra, setExtra, sites, view, zone, oneSite } from "../../store";
import { t } from "../../words";
import { AnswerTable } from "./sql";

const LATEST = `SELECT metric, title, generated_at, complete_until, value, "columns", "rows", error, duration_ms, details FROM reports
WHERE generated_at = (SELECT max(generated_at) FROM reports WHERE site_id IS NOT DISTINCT FROM $whose) AND site_id IS NOT DISTINCT FROM $whose ORDER BY metric`;
const HISTORY = `SELECT generated_at, value, "columns", "rows", error, duration_ms FROM reports
WHERE metric = $metric AND site_id IS NOT DISTINCT FROM $whose AND generated_at >= $since ORDER BY generated_at DESC LIMIT 5000`;

interface Metric {
  name: string; title: string; generated_at: string; complete_until: string; value: number | null; columns: string[] | null; rows: unknown[][] | null; error: string | null; duration_ms: number;
  details: { incremental?: boolean; files?: number; known_files?: number; rows_read?: number; why?: string; unit?: string; description?: string; as_of?: string; schedule?: string; alert?: { condition: string; firing: boolean; since: string } };
}

const parsed = <T,>(text: unknown): T | null => {
  try {
    return typeof text === "string" ? (JSON.parse(text) as T) : null;
  } catch {
    return null;
  }
};

function metricOf(row: unknown[]): Metric {
  return {
    name: cell(row[0]), title: cell(row[1]) || cell(row[0]), generated_at: cell(row[2]), complete_until: cell(row[3]), value: number(row[4]), columns: parsed(row[5]), rows: parsed(row[6]),
    error: row[7] === null ? null : cell(row[7]), duration_ms: Number(row[8]), details: parsed(row[9]) ?? {},
  };
}

/** Whose report: that of a site, or of the lake if all sites are meant. */
const whoseReport = () => oneSite() ?? null;

export default function Metrics() {
  const site = whoseReport();
  const answer = useAnswer<Table>(`metrics ${site}`, (signal) => sql(LATEST, { whose: site }, site ?? undefined, signal));
  const several = view.value.sites.length > 1;
  return (
    <>
      {several && <p class="note">{t("Reports are of one site or of the whole lake; this is that of the lake.")}</p>}
      <Answered answer={answer} rows={12} isEmpty={(data) => data.rows.length === 0} empty={<div class="card padded"><Empty title={t("No report yet")}>{(sites.value ?? []).length > 1 && !site ? t("Choose a site: this key does not read the report of the whole lake, or there was no run yet.") : t("The job makes one every minute.")}</Empty></div>}>
        {(data) => {
          const metrics = data.rows.map(metricOf);
          const chosen = metrics.find((metric) => metric.name === extra("metric"));
          return chosen ? <OneMetric metric={chosen} site={site} /> : <List metrics={metrics} />;
        }}
      </Answered>
    </>
  );
}

function List({ metrics }: { metrics: Metric[] }) {
  const failed = metrics.filter((metric) => metric.error).length;
  return (
    <section class="card padded" aria-label={t("Metrics")}>
      <div class="card-head">
        <h2>{t("{count} files in queries/", { count: metrics.length })}</h2>
        {failed > 0 && <span class="tag bad">{t("{count} failed", { count: failed })}</span>}
        <span class="muted push">{t("last run {when}", { when: ago(metrics[0].generated_at, Date.now()) })}</span>
      </div>
      <div class="table-scroll" tabIndex={0} role="region" aria-label={t("Metrics")}>
        <table class="table">
          <thead><tr><th scope="col">{t("Metric")}</th><th scope="col" class="number">{t("Last answer")}</th><th scope="col" class="number">{t("Time")}</th><th scope="col">{t("Cost")}</th></tr></thead>
          <tbody>
            {metrics.map((metric) => (
              <tr key={metric.name}>
                <th scope="row"><button type="button" class="link strong" onClick={() => setExtra("metric", metric.name)}>{metric.name}</button><div class="muted">{metric.title}</div></th>
                <td class="number">{metric.error ? <span class="tag bad">{t("failed")}</span> : metric.value !== null ? <b>{short(metric.value)} {metric.details.unit}</b> : t("{count} rows", { count: metric.rows?.length ?? 0 })}{metric.details.alert?.firing && <span class="tag bad">{t("alert")}</span>}</td>
                <td class="number">{metric.duration_ms} ms</td>
                <td><Cost metric={metric} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** Whether the run read only what was new, and why not. */
function Cost({ metric }: { metric: Metric }) {
  const { incremental, why, ...said } = metric.details;
  if (incremental) {
    return <><span class="tag good">{t("incremental")}</span> <span class="muted">{said.rows_read !== undefined && t("{rows} rows read, {known} of {files} files known", { rows: short(said.rows_read), known: said.known_files ?? 0, files: said.files ?? 0 })}</span></>;
  }
  return <><span class="tag">{t("in full")}</span> <span class="muted wrap-any">{why}</span></>;
}

function OneMetric({ metric, site }: { metric: Metric; site: string | null }) {
  const days = Number(extra("days", "30"));
  const history = useAnswer<Table>(JSON.stringify(["history", metric.name, site, days]), (signal) => sql(HISTORY, { metric: metric.name, whose: site, since: new Date(Date.now() - days * 86_400_000).toISOString() }, site ?? undefined, signal));
  return (
    <>
      <p><button type="button" class="link" onClick={() => setExtra("metric", "")}><Icon name="left" size={16} /> {t("All metrics")}</button></p>
      <section class="card padded" aria-label={metric.name}>
        <div class="card-head"><h2>{metric.title}</h2><code class="muted">queries/{metric.name}.sql</code>
          <span class="push"><a class="link" href={addressOf("sql", { q: `SELECT generated_at, value FROM reports WHERE metric = '${metric.name}' AND site_id ${site ? `= '${site}'` : "IS NULL"} ORDER BY generated_at` })} data-link>{t("Its history as SQL")}</a></span>
        </div>
        {metric.details.description && <p class="muted">{metric.details.description}</p>}
        <p class="facts-line"><span>{t("made {when}", { when: fullDateTime(metric.generated_at, zone.value) })}</span><span>{metric.duration_ms} ms</span><span><Cost metric={metric} /></span>{metric.details.alert && <span class={`tag ${metric.details.alert.firing ? "bad" : ""}`}>{metric.details.alert.condition}</span>}</p>
        {metric.error && <div class="trouble" role="alert"><Icon name="warning" /><div class="wrap-any">{metric.error}</div></div>}
      </section>
      <section class="card padded" aria-label={t("History")}>
        <div class="card-head">
          <h2>{t("Every answer it had")}</h2>
          <div class="segmented push" role="group" aria-label={t("Days of history")}>
            {[1, 7, 30, 365].map((count) => <button key={count} type="button" class="button small" aria-pressed={days === count} onClick={() => setExtra("days", String(count))}>{count === 1 ? t("1 day") : t("{count} days", { count })}</button>)}
          </div>
        </div>
        <Answered answer={history} isEmpty={(data) => data.rows.length === 0}>
          {(data) => <History table={data} unit={metric.details.unit} />}
        </Answered>
      </section>
      {metric.rows && metric.columns && metric.value === null && (
        <section class="card padded" aria-label={t("Last answer")}>
          <div class="card-head"><h2>{t("Last answer")}</h2></div>
          <AnswerTable table={{ columns: metric.columns, types: [], rows: metric.rows, row_count: metric.rows.length }} />
        </section>
      )}
    </>
  );
}

/** The number of each run; of a table its first row's numbers, or how many rows it had. */
function History({ table, unit }: { table: Table; unit?: string }) {
  const runs = [...table.rows].reverse().map((row) => ({ at: cell(row[0]), value: number(row[1]), columns: parsed<string[]>(row[2]) ?? [], rows: parsed<unknown[][]>(row[3]) ?? [] }));
  const last = runs.at(-1)!;
  // A table of days is drawn by its newest day, which is the one that changes.
  const isOfDays = last.rows.length > 1 && last.rows.every((row) => /^\d{4}-\d\d-\d\d/.test(cell(row[0])));
  const lines: Line[] =
    runs.some((run) => run.value !== null) ? [{ title: unit ?? t("Value"), values: runs.map((run) => run.value) }]
    : last.rows.length === 1 || isOfDays
      ? last.columns.flatMap((name, at) => (typeof last.rows.at(-1)![at] !== "number" ? [] : [{ title: isOfDays ? `${name}, ${t("newest row")}` : name, values: runs.map((run) => number(run.rows.at(-1)?.[run.columns.indexOf(name)])) }])).slice(0, 6)
      : topRows(runs);
  if (!lines.length) return <Empty title={t("Nothing to draw")} />;
  return (
    <>
      {lines.length > 1 && <div class="series-legend">{lines.map((line, at) => <span key={line.title}><span class={`swatch series-${at + 1}`} /> {line.title}</span>)}</div>}
      <Chart title={t("History")} xs={runs.map((run) => new Date(run.at).getTime() / 1_000)} lines={lines} zone={zone.value} showValue={(value) => (value === null ? "–" : short(value))} showX={(at) => fullDateTime(runs[at].at, zone.value)} />
    </>
  );
}

/** Of a table with names in front: its first numbers, a line for each of the first five names. */
function topRows(runs: { columns: string[]; rows: unknown[][] }[]): Line[] {
  const last = runs.at(-1)!;
  const column = last.columns.findIndex((_, at) => last.rows.length > 0 && last.rows.every((row) => typeof row[at] === "number"));
  if (column < 1) return [{ title: t("Rows"), values: runs.map((run) => run.rows.length) }];
  const nameOf = (row: unknown[]) => row.slice(0, column).map(cell).join(" ") || t("(none)");
  return last.rows.slice(0, 5).map((row) => ({ title: nameOf(row), values: runs.map((run) => number(run.rows.find((other) => nameOf(other) === nameOf(row))?.[column])) }));
}
