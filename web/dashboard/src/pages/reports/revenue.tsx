// Money, by currency: never added up across currencies.
import { ask, type Aggregate, type Breakdown, type Series } from "../../api";
import { useAnswer } from "../../answer";
import { interval as intervalWords, metricTitle, money, number, show } from "../../format";
import { Chart } from "../../parts/chart";
import { Answered, Empty } from "../../parts/states";
import { drillDown } from "../../range";
import { extra, go, setExtra, statsParams } from "../../store";
import { t } from "../../words";
import { Trend, ValueButton } from "../../overview/panel";

const METRICS = ["revenue", "transactions", "revenue_mean"];

export default function Revenue() {
  const params = statsParams();
  params.push(["dimensions", "currency"], ["metrics", "transactions,revenue"], ["minimum", "transactions:1"]);
  const answer = useAnswer<Breakdown>(JSON.stringify(params), (signal) => ask("/v1/stats/breakdown", { params, signal }));
  return (
    <Answered answer={answer} isEmpty={(data) => data.results.length === 0} empty={<div class="card padded"><Empty title={t("No revenue in this range")}>{t("Events with revenue and a currency count: dewpond.track(\"purchase\", {}, { revenue: \"41.50\", currency: \"EUR\" })")}</Empty></div>}>
      {(data) => {
        const currencies = data.results.map((row) => String(row.dimensions.currency));
        const currency = currencies.includes(extra("currency")) ? extra("currency") : currencies[0];
        return (
          <>
            {currencies.length > 1 && (
              <div class="segmented" role="group" aria-label={t("Currency")}>
                {currencies.map((name) => <button key={name} type="button" class="button small" aria-pressed={name === currency} onClick={() => setExtra("currency", name)}>{name}</button>)}
              </div>
            )}
            <OfCurrency currency={currency} />
          </>
        );
      }}
    </Answered>
  );
}

function OfCurrency({ currency }: { currency: string }) {
  const base = statsParams({ compare: true });
  base.push(["metrics", METRICS.join(",")], ["currency", currency]);
  const totals = useAnswer<Aggregate>(JSON.stringify(base), (signal) => ask("/v1/stats/aggregate", { params: base, signal }));
  const series = statsParams({ compare: true, interval: true });
  series.push(["metrics", "revenue"], ["currency", currency]);
  const line = useAnswer<Series>(JSON.stringify(series), (signal) => ask("/v1/stats/timeseries", { params: series, signal }));
  return (
    <>
      <section class="card summary" aria-label={t("Revenue")}>
        <Answered answer={totals} rows={2}>
          {(data) => (
            <div class="cards of-three">
              {METRICS.map((name) => (
                <div key={name} class="number-card">
                  <span class="number-title">{metricTitle(name)}</span>
                  <span class="number-value">{name === "transactions" ? show(name, data.metrics[name]) : data.metrics[name] === null ? "–" : money(Number(data.metrics[name]), currency)}</span>
                  {data.comparison && <span class="number-before"><Trend metric={name} share={data.comparison.change[name]} /></span>}
                </div>
              ))}
            </div>
          )}
        </Answered>
        <div class="series">
          <Answered answer={line} rows={6}>
            {(data) => (
              <Chart
                title={t("{metric} over time", { metric: metricTitle("revenue") })}
                xs={data.results.map((point) => new Date(point.from).getTime() / 1_000)}
                lines={[
                  ...(data.results.some((point) => point.comparison) ? [{ title: t("Before"), isBehind: true, values: data.results.map((point) => number(point.comparison?.metrics.revenue)) }] : []),
                  { title: `${metricTitle("revenue")} (${currency})`, values: data.results.map((point) => number(point.metrics.revenue) ?? 0) },
                ]}
                zone={data.query.time_zone}
                showValue={(value) => show("events", value)}
                showX={(at) => intervalWords(data.interval, data.results[at].from, data.results[at].until, data.query.time_zone)}
                onPick={(at) => {
                  const to = drillDown(data.interval, data.results[at].from, data.results[at].until);
                  if (to) go(to);
                }}
              />
            )}
          </Answered>
        </div>
      </section>
      <div class="panels">
        {[["channel", "Channels"], ["country", "Countries"], ["utm_campaign", "Campaigns"], ["entry_page", "Entry pages"]].map(([dimension, title]) => <MoneyBy key={dimension} dimension={dimension} title={title} currency={currency} />)}
      </div>
    </>
  );
}

function MoneyBy({ dimension, title, currency }: { dimension: string; title: string; currency: string }) {
  const params = statsParams({ compare: true });
  params.push(["dimensions", dimension], ["metrics", "revenue,transactions"], ["currency", currency], ["minimum", "transactions:1"], ["limit", "8"]);
  const answer = useAnswer<Breakdown>(JSON.stringify(params), (signal) => ask("/v1/stats/breakdown", { params, signal }));
  return (
    <section class="card panel" aria-label={t(title)}>
      <header class="panel-head"><h2 class="panel-title">{t(title)}</h2></header>
      <div class="panel-body short">
        <Answered answer={answer} rows={5} isEmpty={(data) => data.results.length === 0}>
          {(data) => {
            const most = Math.max(1, ...data.results.map((row) => number(row.metrics.revenue) ?? 0));
            return (
              <table class="bars">
                <thead><tr><th scope="col">{t(title)}</th><th scope="col" class="number">{metricTitle("revenue")}</th><th scope="col" class="number second">{metricTitle("transactions")}</th></tr></thead>
                <tbody>
                  {data.results.map((row) => (
                    <tr key={String(row.dimensions[dimension])}>
                      <th scope="row"><span class="bar" style={{ width: `${((number(row.metrics.revenue) ?? 0) / most) * 100}%` }} /><ValueButton dimension={dimension} value={row.dimensions[dimension]} /></th>
                      <td class="number">{money(number(row.metrics.revenue) ?? 0, currency)}</td>
                      <td class="number second">{show("transactions", row.metrics.transactions)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            );
          }}
        </Answered>
      </div>
    </section>
  );
}
