// What events carry beside their name: which properties there are, and how often each value was seen.
import { ask, type Breakdown, sql, type Table } from "../../api";
import { useAnswer } from "../../answer";
import { cell, metricTitle, short } from "../../format";
import { Answered, Empty } from "../../parts/states";
import { Bars } from "../../overview/panel";
import { extra, setExtra, statsParams, view, oneSite } from "../../store";
import { t } from "../../words";

const NAMES = `SELECT name, key, count(*) AS events FROM (
  SELECT name, unnest(json_object_keys(properties)) AS key FROM events
  WHERE occurred_at >= $from AND occurred_at < $until AND NOT is_bot AND name <> 'page_ping' AND properties IS NOT NULL
    AND ($sites IS NULL OR position(',' || site_id || ',' IN $sites) > 0)
) AS keys WHERE key <> 'page_view_id' GROUP BY name, key ORDER BY events DESC, name, key LIMIT 200`;

export default function Properties() {
  const chosen = view.value.sites;
  const base = statsParams();
  const range = useAnswer<Breakdown>(JSON.stringify(["range", base]), (signal) => ask("/v1/stats/aggregate", { params: [...base.filter(([name]) => name !== "filter"), ["metrics", "events"]], signal }));
  const { from, until } = range.data?.query ?? {};
  const names = useAnswer<Table>(from ? JSON.stringify(["properties", chosen, from, until?.slice(0, 13)]) : null, (signal) => sql(NAMES, { from, until, sites: chosen.length ? `,${chosen.join(",")},` : null }, oneSite(), signal), false);
  const key = extra("key");
  const event = extra("event");
  return (
    <div class="two">
      <section class="card padded" aria-label={t("Properties")}>
        <div class="card-head"><h2>{t("Properties of events")}</h2></div>
        <Answered answer={range.error ? { ...names, error: range.error, again: range.again } : names} isEmpty={(data) => data.rows.length === 0} empty={<Empty title={t("No event of the range has properties")}>{t("dewpond.track(\"signup\", { plan: \"pro\" }) sends one.")}</Empty>}>
          {(data) => (
            <ul class="choices">
              {data.rows.map(([name, property, events]) => (
                <li key={`${name} ${property}`}>
                  <button type="button" class="menu-item" aria-pressed={key === property && event === name} onClick={() => { setExtra("event", cell(name), true); setExtra("key", cell(property)); }}>
                    <span class="wrap-any"><b>{cell(property)}</b> <span class="muted">{cell(name)}</span></span><span class="number muted">{short(Number(events))}</span>
                  </button>
                </li>
              ))}
            </ul>
          )}
        </Answered>
      </section>
      <section class="card padded" aria-label={t("Values")}>
        {key ? <Values property={key} event={event} /> : <Empty title={t("Choose a property")}>{t("Its values are shown here; a click on one filters everything by it.")}</Empty>}
      </section>
    </div>
  );
}

function Values({ property, event }: { property: string; event: string }) {
  const dimension = `properties.${property}`;
  const metrics = ["events", "visitors"];
  const params = statsParams({ compare: true });
  params.push(["dimensions", dimension], ["metrics", metrics.join(",")], ["limit", "50"], ["filter", `${dimension}:exists`]);
  if (event) params.push(["filter", `name:is:${event.replace(/[\\,|]/g, "\\$&")}`]);
  const answer = useAnswer<Breakdown>(JSON.stringify(params), (signal) => ask("/v1/stats/breakdown", { params, signal }));
  return (
    <>
      <div class="card-head"><h2 class="wrap-any">{property} {event && <span class="muted">{t("of")} {event}</span>}</h2><span class="muted push">{answer.data && t("{count} values", { count: short(answer.data.total_rows) })}</span></div>
      <Answered answer={answer} isEmpty={(data) => data.results.length === 0}>
        {(data) => <Bars tab={{ id: "values", title: metricTitle("events"), dimension, metrics }} rows={data.results} />}
      </Answered>
    </>
  );
}
