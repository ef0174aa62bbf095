// The last half hour, minute by minute, and what happens now.
import { ask, type Breakdown, type Numbers, type Params, type Point, sql, type Answered as AnsweredOf, type Table } from "../../api";
import { useAnswer } from "../../answer";
import { cell, exactTime, metricTitle, number, show, time } from "../../format";
import { Answered, Empty } from "../../parts/states";
import { Bars } from "../../overview/panel";
import { me, oneSite, statsParams, tick, view, zone } from "../../store";
import { t } from "../../words";
import { useEffect } from "preact/hooks";

interface Realtime extends AnsweredOf {
  metrics: Numbers;
  results: Point[];
}

const REFRESH_MS = 10_000;
const EVENTS = `SELECT occurred_at, site_id, name, path, coalesce(user_id, anonymous_id) AS who, referrer_host, country, browser FROM events
WHERE occurred_at >= $since AND occurred_at <= $now AND NOT is_bot AND name <> 'page_ping'
  AND ($sites IS NULL OR position(',' || site_id || ',' IN $sites) > 0)
ORDER BY occurred_at DESC, event_id LIMIT 30`;

export default function Live() {
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && (tick.value += 1), REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  const params = statsParams({ range: false });
  const answer = useAnswer<Realtime>(JSON.stringify(["realtime", params]), (signal) => ask("/v1/stats/realtime", { params, signal }));
  return (
    <>
      <section class="card padded" aria-label={t("The last 30 minutes")}>
        <Answered answer={answer} rows={5}>
          {(data) => {
            const most = Math.max(1, ...data.results.map((point) => number(point.metrics.visitors) ?? 0));
            return (
              <>
                <div class="figures">
                  {["visitors", "page_views", "events"].map((metric) => (
                    <div key={metric}>
                      <span class="number-title">{metricTitle(metric)}</span>
                      <span class="number-value">{show(metric, data.metrics[metric], true)}</span>
                    </div>
                  ))}
                  <p class="muted push">{t("of the last 30 minutes; it refreshes by itself")}</p>
                </div>
                <div class="columns" role="img" aria-label={t("Visitors by minute; from {first} to {last}", { first: time(data.results[0].from, zone.value), last: time(data.results.at(-1)!.until, zone.value) })}>
                  {data.results.map((point) => (
                    <span key={point.from} class="column" title={`${time(point.from, zone.value)}: ${show("visitors", point.metrics.visitors, true)}`} style={{ height: `${Math.max(2, ((number(point.metrics.visitors) ?? 0) / most) * 100)}%` }} />
                  ))}
                </div>
                <div class="columns-axis muted"><span>{time(data.results[0].from, zone.value)}</span><span>{time(data.results.at(-1)!.until, zone.value)}</span></div>
              </>
            );
          }}
        </Answered>
      </section>
      <div class="panels">
        <LivePanel title="Pages" dimension="path" metrics={["visitors", "page_views"]} filters={["name:is:page_view"]} />
        <LivePanel title="Sources" dimension="referrer_host" metrics={["visitors", "sessions"]} />
        <LivePanel title="Countries" dimension="country" metrics={["visitors", "sessions"]} />
        <LivePanel title="Events" dimension="name" metrics={["events", "visitors"]} filters={["name:is_not:page_ping"]} />
      </div>
      {me.value?.kind !== "share" && <Feed />}
    </>
  );
}

function lastHalfHour(): Params {
  return [["from", new Date(Date.now() - 1_800_000).toISOString()]];
}

function LivePanel(props: { title: string; dimension: string; metrics: string[]; filters?: string[] }) {
  const fixed = statsParams({ range: false });
  fixed.push(["dimensions", props.dimension], ["metrics", props.metrics.join(",")], ["limit", "8"], ...(props.filters ?? []).map((filter): [string, string] => ["filter", filter]));
  const answer = useAnswer<Breakdown>(JSON.stringify(["live", fixed]), (signal) => ask("/v1/stats/breakdown", { params: [...fixed, ...lastHalfHour()], signal }));
  return (
    <section class="card panel" aria-label={t(props.title)}>
      <header class="panel-head"><h2 class="panel-title">{t(props.title)}</h2></header>
      <div class="panel-body short">
        <Answered answer={answer} rows={5} isEmpty={(data) => data.results.length === 0} empty={<Empty title={t("Nobody in the last 30 minutes")} />}>
          {(data) => <Bars tab={{ id: "live", title: props.title, dimension: props.dimension, metrics: props.metrics }} rows={data.results} />}
        </Answered>
      </div>
    </section>
  );
}

/** The newest events as they come. */
function Feed() {
  const chosen = view.value.sites;
  const answer = useAnswer<Table>(JSON.stringify(["feed", chosen]), (signal) => {
    const now = Date.now();
    return sql(EVENTS, { since: new Date(now - 1_800_000).toISOString(), now: new Date(now + 300_000).toISOString(), sites: chosen.length ? `,${chosen.join(",")},` : null }, oneSite(), signal);
  });
  return (
    <section class="card padded" aria-label={t("Newest events")}>
      <div class="card-head"><h2>{t("Newest events")}</h2></div>
      <Answered answer={answer} isEmpty={(data) => data.rows.length === 0} empty={<Empty title={t("No events in the last 30 minutes")} />}>
        {(data) => (
          <div class="table-scroll" tabIndex={0} role="region" aria-label={t("Newest events")}>
            <table class="table">
              <thead><tr>{["Time", "Event", "Page", "Who", "Referrer", "Country", "Browser"].map((title) => <th key={title} scope="col">{t(title)}</th>)}</tr></thead>
              <tbody>
                {data.rows.map((row, at) => (
                  <tr key={at}>
                    <td class="nowrap">{exactTime(String(row[0]), zone.value)}</td>
                    {[2, 3, 4, 5, 6, 7].map((column) => <td key={column} class="wrap-any">{cell(row[column])}</td>)}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Answered>
    </section>
  );
}
