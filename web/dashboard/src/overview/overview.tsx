// The page that people open first: how many, compared with before, when, and by what.
import { ask, type Aggregate, type Answered as AnsweredOf, type Series, type SeriesByDimension, sql, type Table } from "../api";
import { type Answer, useAnswer } from "../answer";
import { PANELS } from "../dimensions";
import { interval as intervalWords, metricTitle, number, short, show, span, time } from "../format";
import { Chart, type Line } from "../parts/chart";
import { IntervalMenu } from "../parts/controls";
import { Icon } from "../parts/icon";
import { Answered, troubleWords } from "../parts/states";
import { drillDown } from "../range";
import { addressOf, extra, go, me, overviewParams, setExtra, sites, statsParams, view } from "../store";
import { t } from "../words";
import { AnnotationForm, useAnnotations } from "./annotations";
import { Panel, Trend } from "./panel";

export const CARDS = ["visitors", "sessions", "page_views", "bounce_rate", "duration_s_mean", "engaged_s_mean"];

export function Overview() {
  const params = overviewParams({ compare: true });
  params.push(["metrics", CARDS.join(",")]);
  const totals = useAnswer<Aggregate>(JSON.stringify(params), (signal) => ask("/v1/stats/aggregate", { params, signal }));
  const metric = CARDS.includes(extra("metric")) ? extra("metric") : CARDS[0];
  return (
    <>
      <Standing answer={totals} />
      <section class="card summary" aria-label={t("Summary")}>
        <Cards answer={totals} metric={metric} />
        <SeriesChart metric={metric} />
      </section>
      <div class="panels">
        {PANELS.map((panel) => <Panel key={panel.id} panel={panel} />)}
        {me.value?.kind !== "share" && <Robots />}
      </div>
    </>
  );
}

/** Until when the numbers are final, and whether they could be refreshed. */
function Standing({ answer }: { answer: Answer<Aggregate> }) {
  const { data, error } = answer;
  return (
    <p class="standing" role="status">
      {data && <span>{span(data.query.from, data.query.until, data.query.time_zone)}</span>}
      {data && <FinalUntil of={data} />}
      {data && <Imported of={data} />}
      {data && error && <span class="warn"><Icon name="warning" size={15} /> {t("Not refreshed: {why}", { why: troubleWords(error) })}</span>}
    </p>
  );
}

/** Which of the days another product counted, and whether they are among the numbers. */
function Imported({ of: { imported_days: days } }: { of: Aggregate }) {
  const isOut = extra("imported") === "no";
  if (!days && !isOut) return null;
  const without = days?.without.filter((name) => CARDS.includes(name)).map(metricTitle).join(", ");
  return (
    <span data-imported={days ? days.sources.join(",") : ""} title={days && without ? t("{metrics}: not known over several days of an import.", { metrics: without }) : undefined}>
      {days && t("with days from {source}, until {day}", { source: days.sources.join(", "), day: days.until })}{" "}
      <button type="button" class="link" onClick={() => setExtra("imported", isOut ? "" : "no")}>{isOut ? t("Add imported days") : t("Leave out imported days")}</button>
    </span>
  );
}

/** "Final until 14:32": numbers of earlier times change only when events arrive late. */
export function FinalUntil({ of }: { of: AnsweredOf }) {
  const isOver = of.complete_until === of.query.until;
  return (
    <span title={t("Every event acknowledged until then is counted. Earlier numbers change only when events arrive late.")}>
      <span class={`dot ${isOver ? "" : "now"}`} /> {isOver ? t("final") : t("final until {time}", { time: time(of.complete_until, of.query.time_zone) })}
    </span>
  );
}

function Cards({ answer, metric }: { answer: Answer<Aggregate>; metric: string }) {
  return (
    <Answered answer={answer} rows={2}>
      {(data) => (
        <div class="cards" role="group" aria-label={t("Numbers of the range; choose one for the chart")}>
          {CARDS.map((name) => (
            <button key={name} type="button" class="number-card" data-metric={name} aria-pressed={name === metric} onClick={() => setExtra("metric", name === CARDS[0] ? "" : name)}>
              <span class="number-title">{metricTitle(name)}</span>
              <span class="number-value" title={show(name, data.metrics[name], true)} data-value={String(data.metrics[name])}>{show(name, data.metrics[name])}</span>
              {data.comparison && (
                <span class="number-before">
                  <Trend metric={name} share={data.comparison.change[name]} />
                  <span class="muted">{show(name, data.comparison.metrics[name])}</span>
                </span>
              )}
            </button>
          ))}
        </div>
      )}
    </Answered>
  );
}

/** The series of one metric; of several sites, if they are to be told apart, a line for each. */
function SeriesChart({ metric: asked }: { metric: string }) {
  const bySite = extra("by") === "site" && (view.value.sites.length || (sites.value ?? []).length) !== 1;
  const params = overviewParams({ compare: !bySite, interval: true });
  params.push(["metrics", asked]);
  if (bySite) params.push(["dimensions", "site"], ["limit", "6"]);
  const answer = useAnswer<Series | SeriesByDimension>(JSON.stringify(params), (signal) => ask("/v1/stats/timeseries", { params, signal }));
  const marks = useAnnotations();
  const manySites = (sites.value ?? []).length > 1 && view.value.sites.length !== 1;
  return (
    <div class="series">
      <Answered answer={answer} rows={6}>
        {(data) => {
          // While the next one is on its way, the one before is still shown.
          const [metric] = data.query.metrics ?? [asked];
          const points = "series" in data ? (data.series[0]?.results ?? []) : data.results;
          const lines: Line[] = "series" in data
            ? data.series.map((one) => ({ title: String(one.dimensions.site), values: one.results.map((point) => number(point.metrics[metric])) }))
            : [{ title: metricTitle(metric), values: points.map((point) => number(point.metrics[metric])) }];
          const compared = points.some((point) => point.comparison);
          if (compared) lines.unshift({ title: t("Before"), isBehind: true, values: points.map((point) => number(point.comparison?.metrics[metric])) });
          const until = new Date(data.complete_until).getTime();
          const isOver = data.complete_until === data.query.until && points.every((point) => isWhole(data.interval, point.from, point.until));
          const openFrom = isOver ? -1 : points.findIndex((point) => new Date(point.until).getTime() >= until);
          const zoneOf = data.query.time_zone;
          return (
            <>
              <div class="series-head">
                <h2>{metricTitle(metric)}</h2>
                <div class="series-legend" aria-hidden="true">
                  {lines.length > 1 && lines.map((line, at) => (
                    <span key={line.title}><span class={`swatch series-${line.isBehind ? "behind" : compared ? 1 : at + 1}`} /> {line.isBehind && data.query.compare ? span(data.query.compare.from, data.query.compare.until, zoneOf) : line.isBehind ? line.title : compared ? span(data.query.from, data.query.until, zoneOf) : line.title}</span>
                  ))}
                </div>
                {manySites && (
                  <button type="button" class="button small" aria-pressed={bySite} onClick={() => setExtra("by", bySite ? "" : "site")}>{t("By site")}</button>
                )}
                <AnnotationForm />
                <IntervalMenu current={data.interval} from={data.query.from} until={data.query.until} />
              </div>
              <Chart
                title={t("{metric} over time", { metric: metricTitle(metric) })}
                xs={points.map((point) => new Date(point.from).getTime() / 1_000)}
                // Drawn in this order, so that the period before is behind.
                lines={lines}
                zone={zoneOf}
                openFrom={openFrom < 0 ? undefined : openFrom}
                marks={marks}
                showValue={(value) => show(metric, value)}
                showX={(index) => intervalWords(data.interval, points[index].from, points[index].until, zoneOf)}
                showLineX={(_line, index) => {
                  const before = points[index].comparison;
                  return before ? intervalWords(data.interval, before.from, before.until, zoneOf) : t("Before");
                }}
                onPick={data.interval === "minute" ? undefined : (index) => {
                  const to = drillDown(data.interval, points[index].from, points[index].until);
                  if (to) go(to);
                }}
              />
            </>
          );
        }}
      </Answered>
    </div>
  );
}

/** Whether an interval was cut by the end of the range, as today's is. */
function isWhole(interval: string, from: string, until: string): boolean {
  const length = (new Date(until).getTime() - new Date(from).getTime()) / 3_600_000;
  return interval === "hour" ? length >= 1 : interval === "day" ? length >= 23 : interval === "minute" ? length > 0 : length >= 24;
}

const ROBOTS = `SELECT coalesce(bot_kind, 'unknown') AS kind, count(*) AS events FROM events
WHERE is_bot AND occurred_at >= $from AND occurred_at < $until AND ($sites IS NULL OR position(',' || site_id || ',' IN $sites) > 0)
GROUP BY kind ORDER BY events DESC, kind`;

/** How many events no number counts, because robots sent them. */
function Robots() {
  // Of robots nothing is filtered, so that a filter asks nothing anew.
  const params = statsParams().filter(([name]) => name !== "filter");
  const range = useAnswer<Aggregate>(JSON.stringify([...params, "range"]), (signal) => ask("/v1/stats/aggregate", { params: [...params, ["metrics", "events"]], signal }));
  const { from, until } = range.data?.query ?? {};
  const chosen = view.value.sites;
  const question = from ? JSON.stringify(["robots", chosen, from, until?.slice(0, 16)]) : null;
  const answer = useAnswer<Table>(question, (signal) => sql(ROBOTS, { from, until, sites: chosen.length ? `,${chosen.join(",")},` : null }, chosen.length === 1 ? chosen[0] : undefined, signal), false);
  const rows = answer.data?.rows ?? [];
  const total = rows.reduce((sum, row) => sum + Number(row[1]), 0);
  return (
    <section class="card panel" data-panel="robots" aria-label={t("Robots left out")}>
      <header class="panel-head"><h2 class="panel-title">{t("Robots left out")}</h2></header>
      <div class="panel-body">
        <Answered answer={range.error ? { ...answer, error: range.error, again: range.again } : answer} rows={4}>
          {() => (
            <>
              <p class="muted">{total ? t("{count} events of robots were stored and are in none of these numbers.", { count: short(total) }) : t("No events of robots in this range.")}</p>
              {rows.length > 0 && (
                <table class="bars">
                  <thead><tr><th scope="col">{t("Kind")}</th><th scope="col" class="number">{t("Events")}</th></tr></thead>
                  <tbody>
                    {rows.slice(0, 8).map(([kind, count]) => (
                      <tr key={String(kind)}>
                        <th scope="row"><span class="bar" style={{ width: `${(Number(count) / Number(rows[0][1])) * 100}%` }} /><span class="value plain">{String(kind)}</span></th>
                        <td class="number">{short(Number(count))}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              )}
            </>
          )}
        </Answered>
      </div>
    </section>
  );
}

/** Who is there now; a link to the page that says more. */
export function LiveNumber() {
  const params = statsParams({ range: false });
  const answer = useAnswer<Aggregate>(JSON.stringify(["live", params]), (signal) => ask("/v1/stats/live", { params, signal }));
  const count = number(answer.data?.metrics.visitors);
  if (count === null) return null;
  return (
    <a class="live-number" href={addressOf("live")} data-link title={t("Visitors of the last 5 minutes")}>
      <span class={`dot ${count ? "now pulse" : ""}`} /> <b>{short(count)}</b> {t("online")}
    </a>
  );
}
