// One dimension in full: search, order, pages, CSV.
import { useState } from "preact/hooks";
import { ask, type Breakdown } from "../api";
import { useAnswer } from "../answer";
import { download, toCsv } from "../csv";
import { dimensionTitle, type Tab } from "../dimensions";
import { metricTitle, METRICS, number, show } from "../format";
import { Icon } from "../parts/icon";
import { Dialog } from "../parts/overlay";
import { Pager } from "../parts/pager";
import { Answered } from "../parts/states";
import { view } from "../store";
import { t } from "../words";
import { tabParams, Trend, ValueButton } from "./panel";

const ROWS = 50;
/** As many as one page of the server's answer has. */
const CSV_ROWS = 1_000;

/** The numbers of the details: those of the panel, and what is asked about every table. */
export function detailMetrics(tab: Tab): string[] {
  const more = tab.metrics.includes("events") ? ["sessions"] : ["page_views", "bounce_rate", "duration_s_mean"];
  return [...new Set([...tab.metrics, ...more])];
}

export function Details({ tab, onClose }: { tab: Tab; onClose: () => void }) {
  const [search, setSearch] = useState("");
  const [order, setOrder] = useState<[string, "asc" | "desc"]>([tab.metrics[0], "desc"]);
  const [page, setPage] = useState(0);
  const [isSaving, setSaving] = useState(false);
  const metrics = detailMetrics(tab);
  const paramsOf = (limit: number, offset: number) =>
    tabParams(tab, [["metrics", metrics.join(",")], ["order_by", order.join(":")], ["limit", String(limit)], ["offset", String(offset)], ...(search ? [["search", search] as [string, string]] : [])]);
  const params = paramsOf(ROWS, page * ROWS);
  const answer = useAnswer<Breakdown>(JSON.stringify(params), (signal) => ask("/v1/stats/breakdown", { params, signal }));
  const pages = Math.ceil((answer.data?.total_rows ?? 0) / ROWS);
  const orderBy = (name: string) => {
    setOrder([name, order[0] === name && order[1] === "desc" ? "asc" : name === tab.dimension && order[0] !== name ? "asc" : "desc"]);
    setPage(0);
  };
  const save = async () => {
    setSaving(true);
    try {
      const rows: unknown[][] = [];
      let total = 1;
      for (let offset = 0; offset < total && offset <= 100_000; offset += CSV_ROWS) {
        const found = await ask<Breakdown>("/v1/stats/breakdown", { params: paramsOf(CSV_ROWS, offset) });
        total = found.total_rows;
        for (const row of found.results) rows.push([row.dimensions[tab.dimension], ...metrics.map((metric) => number(row.metrics[metric]))]);
      }
      download(`${[view.value.sites.join("-"), tab.dimension, view.value.range].filter(Boolean).join("-").replace(/[^\w.-]+/g, "_")}.csv`, toCsv([tab.dimension, ...metrics], rows));
    } finally {
      setSaving(false);
    }
  };
  const heading = (name: string, title: string, isNumber: boolean) => (
    <th scope="col" class={isNumber ? "number" : ""} aria-sort={order[0] === name ? (order[1] === "asc" ? "ascending" : "descending") : "none"}>
      <button type="button" class="sort" onClick={() => orderBy(name)}>{title}<span class="sort-mark" aria-hidden="true">{order[0] === name ? (order[1] === "asc" ? "↑" : "↓") : ""}</span></button>
    </th>
  );
  return (
    <Dialog
      title={t(tab.title)}
      isWide
      onClose={onClose}
      actions={
        <button type="button" class="button" disabled={isSaving} onClick={save}><Icon name="download" size={16} /> CSV</button>
      }
    >
      <div class="search-box">
        <Icon name="search" size={16} />
        <input type="search" class="input" placeholder={t("Search")} aria-label={t("Search")} value={search} onInput={(event) => { setSearch(event.currentTarget.value); setPage(0); }} />
      </div>
      <div class="scroll" tabIndex={0} role="region" aria-label={t(tab.title)}>
        <Answered answer={answer} rows={12} isEmpty={(data) => data.results.length === 0}>
          {(data) => (
            <table class="table">
              <thead>
                <tr>
                  {heading(tab.dimension, dimensionTitle(tab.dimension), false)}
                  {metrics.map((metric) => heading(metric, metricTitle(metric), true))}
                </tr>
              </thead>
              <tbody>
                {data.results.map((row) => (
                  <tr key={String(row.dimensions[tab.dimension])}>
                    <th scope="row"><ValueButton dimension={tab.dimension} value={row.dimensions[tab.dimension]} after={onClose} /></th>
                    {metrics.map((metric) => (
                      <td key={metric} class="number">
                        {show(metric, row.metrics[metric], true)}
                        {METRICS[metric]?.kind === "count" && metric === metrics[0] && <Trend metric={metric} share={row.comparison?.change[metric]} />}
                      </td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </Answered>
      </div>
      <Pager page={page} pages={pages} onTurn={setPage} />
    </Dialog>
  );
}
