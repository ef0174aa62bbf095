// A table of the overview: the first values of a dimension, a bar for each. A click filters everything by the value.
import type { ComponentChildren } from "preact";
import { lazy } from "../parts/lazy";

import { ask, type Breakdown, type Params, type Row } from "../api";
import { useAnswer } from "../answer";
import { dimensionTitle, type Panel as PanelOf, type Tab } from "../dimensions";
import { change, metricTitle, METRICS, number, percent, show, valueName } from "../format";
import { Icon } from "../parts/icon";
import { Answered, Empty } from "../parts/states";
import { extra, filterBy, overviewParams, setExtra, view } from "../store";
import { t } from "../words";
import { Details } from "./details";

const ROWS = 9;
const WorldMap = lazy(() => import("./world_map"));

/** The parameters of a tab's table. */
export function tabParams(tab: Tab, more: Params = []): Params {
  const params = overviewParams({ compare: true });
  for (const filter of tab.filters ?? []) params.push(["filter", filter]);
  params.push(["dimensions", tab.dimension], ...more);
  return params;
}

export function Panel({ panel }: { panel: PanelOf }) {
  const chosen = extra(panel.id, panel.tabs[0].id);
  const tab = panel.tabs.find(({ id }) => id === chosen) ?? panel.tabs[0];
  const isDetailed = extra("details") === panel.id;
  const choose = (id: string) => setExtra(panel.id, id === panel.tabs[0].id ? "" : id);
  const keys = (event: KeyboardEvent) => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    const at = (panel.tabs.indexOf(tab) + step + panel.tabs.length) % panel.tabs.length;
    choose(panel.tabs[at].id);
    (event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>("[role=tab]")[at]?.focus();
  };
  return (
    <section class="card panel" data-panel={panel.id} aria-label={t(panel.title)}>
      <header class="panel-head">
        <div class="tabs" role="tablist" aria-label={t(panel.title)} onKeyDown={keys}>
          {panel.tabs.map((other) => (
            <button key={other.id} type="button" role="tab" id={`tab-${panel.id}-${other.id}`} aria-selected={other === tab} tabIndex={other === tab ? 0 : -1} aria-controls={`panel-${panel.id}`} onClick={() => choose(other.id)}>
              {t(other.title)}
            </button>
          ))}
        </div>
        <button type="button" class="button quiet square" title={t("Details")} aria-label={t("Details of {panel}", { panel: t(tab.title) })} onClick={() => setExtra("details", panel.id)}>
          <Icon name="expand" size={16} />
        </button>
      </header>
      <div class="panel-body" id={`panel-${panel.id}`} role="tabpanel" aria-labelledby={`tab-${panel.id}-${tab.id}`}>
        <Rows key={tab.id} tab={tab} onMore={() => setExtra("details", panel.id)} />
      </div>
      {isDetailed && <Details tab={tab} onClose={() => setExtra("details", "")} />}
    </section>
  );
}

/** One tab's rows. Those of another tab are never shown in their place, so each has its own. */
function Rows({ tab, onMore }: { tab: Tab; onMore: () => void }) {
  const isMap = tab.id === "map";
  const params = tabParams(tab, [["metrics", tab.metrics.join(",")], ["limit", isMap ? "300" : String(ROWS)]]);
  const answer = useAnswer<Breakdown>(JSON.stringify(params), (signal) => ask("/v1/stats/breakdown", { params, signal }));
  return (
    <Answered answer={answer} rows={ROWS} isEmpty={(data) => data.results.length === 0} empty={<NothingHere tab={tab} />}>
      {(data) => (isMap ? <WorldMap rows={data.results} /> : <Bars tab={tab} rows={data.results} more={data.total_rows - data.results.length} onMore={onMore} />)}
    </Answered>
  );
}

function NothingHere({ tab }: { tab: Tab }) {
  const hint: Record<string, string> = {
    utm: "Links with ?utm_source=… show up here.", campaigns: "Links with ?utm_campaign=… show up here.", mediums: "Links with ?utm_medium=… show up here.",
    countries: "Countries need a file of places at the collector: --geoip.", map: "Countries need a file of places at the collector: --geoip.", cities: "Cities need a file of places at the collector: --geoip.",
    regions: "Regions need a file of places at the collector: --geoip.", objects: "Elements marked with data-dewpond-view show up here.",
  };
  return <Empty>{hint[tab.id] && t(hint[tab.id])}</Empty>;
}

export function Bars(props: { tab: Tab; rows: Row[]; more?: number; onMore?: () => void }) {
  const { tab, rows } = props;
  const [first, second] = tab.metrics;
  const most = Math.max(1, ...rows.map((row) => number(row.metrics[first]) ?? 0));
  return (
    <>
      <table class="bars">
        <thead>
          <tr>
            <th scope="col">{dimensionTitle(tab.dimension)}</th>
            <th scope="col" class="number">{metricTitle(first)}</th>
            {second && <th scope="col" class="number second">{metricTitle(second)}</th>}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => {
            const value = row.dimensions[tab.dimension];
            return (
              <tr key={String(value)}>
                <th scope="row">
                  <span class="bar" style={{ width: `${((number(row.metrics[first]) ?? 0) / most) * 100}%` }} />
                  <ValueButton dimension={tab.dimension} value={value} />
                </th>
                <td class="number" title={show(first, row.metrics[first], true)}>
                  {show(first, row.metrics[first])}
                  <Trend metric={first} share={row.comparison?.change[first]} />
                </td>
                {second && <td class="number second" title={show(second, row.metrics[second], true)}>{show(second, row.metrics[second])}</td>}
              </tr>
            );
          })}
        </tbody>
      </table>
      {(props.more ?? 0) > 0 && (
        <button type="button" class="link more" onClick={props.onMore}>{t("{count} more", { count: show("events", props.more) })}</button>
      )}
    </>
  );
}

/** A value that filters by itself. */
export function ValueButton({ dimension, value, after }: { dimension: string; value: string | null; after?: () => void }) {
  const name = valueName(dimension, value);
  const isOn = view.value.filters.some((filter) => filter.dimension === dimension && (value === null ? filter.operator === "exists_not" : filter.operator === "is" && filter.values.length === 1 && filter.values[0] === value));
  return (
    <button type="button" class={`value ${value === null ? "is-none" : ""}`} aria-pressed={isOn} title={isOn ? t("Remove this filter") : t("Filter by {value}", { value: name })} onClick={() => { filterBy(dimension, value); after?.(); }}>
      {name}
    </button>
  );
}

/** By how much a number changed: green is better. */
export function Trend({ metric, share, children }: { metric: string; share: number | null | undefined; children?: ComponentChildren }) {
  const words = change(share);
  if (words === null) return null;
  const isGood = METRICS[metric]?.isWorse ? share! < 0 : share! > 0;
  return <span class={`trend ${share === 0 ? "" : isGood ? "good" : "bad"}`}>{words}{children}</span>;
}

export const shareOf = (part: unknown, whole: number) => percent(whole ? (number(part) ?? 0) / whole : 0);
