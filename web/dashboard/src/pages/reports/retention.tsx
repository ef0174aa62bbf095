// Who comes again: a row for each cohort, a column for each interval later.
import { ask, type Answered as AnsweredOf } from "../../api";
import { useAnswer } from "../../answer";
import { day, percent, short } from "../../format";
import { download, toCsv } from "../../csv";
import { Icon } from "../../parts/icon";
import { Answered, Empty } from "../../parts/states";
import { extra, setExtra, statsParams, view } from "../../store";
import { t } from "../../words";

interface RetentionOf extends AnsweredOf {
  interval: string;
  cohorts: { cohort: string; visitors: number; periods: { period: number; visitors: number; retention: number }[] }[];
}

const PERIODS_MAX = 14;

export default function Retention() {
  const interval = extra("by", "week");
  // The filters of sessions do not apply to cohorts; the server says so in words.
  const params = statsParams();
  params.push(["interval", interval]);
  const answer = useAnswer<RetentionOf>(JSON.stringify(params), (signal) => ask("/v1/stats/retention", { params, signal }));
  return (
    <section class="card padded" aria-label={t("Retention")}>
      <div class="card-head">
        <h2>{t("Of those who came first in an interval, how many came again")}</h2>
        <div class="segmented push" role="group" aria-label={t("Interval")}>
          {[["day", "Days"], ["week", "Weeks"], ["month", "Months"]].map(([name, title]) => (
            <button key={name} type="button" class="button small" aria-pressed={interval === name} onClick={() => setExtra("by", name === "week" ? "" : name)}>{t(title)}</button>
          ))}
        </div>
        <button type="button" class="button small" disabled={!answer.data} onClick={() => answer.data && download(`retention-${view.value.range}.csv`, toCsv(["cohort", "cohort_visitors", "period", "visitors", "retention"], answer.data.cohorts.flatMap((row) => row.periods.map((period) => [row.cohort, row.visitors, period.period, period.visitors, period.retention]))))}>
          <Icon name="download" size={15} /> CSV
        </button>
      </div>
      <Answered answer={answer} isEmpty={(data) => data.cohorts.length === 0} empty={<Empty>{t("Choose a longer range: cohorts are those who came first within it.")}</Empty>}>
        {(data) => <Grid of={data} />}
      </Answered>
    </section>
  );
}

function Grid({ of }: { of: RetentionOf }) {
  const periods = Math.min(PERIODS_MAX, Math.max(...of.cohorts.map((cohort) => cohort.periods.length)));
  // Of all who could have come again so much later.
  const mean = Array.from({ length: periods }, (_, at) => {
    const those = of.cohorts.filter((cohort) => cohort.periods.length > at);
    const all = those.reduce((sum, cohort) => sum + cohort.visitors, 0);
    return all ? those.reduce((sum, cohort) => sum + (cohort.periods[at]?.visitors ?? 0), 0) / all : null;
  });
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label={t("Retention")}>
      <table class="table grid">
        <thead>
          <tr>
            <th scope="col">{t("First came")}</th>
            <th scope="col" class="number">{t("Visitors")}</th>
            {mean.map((_, at) => <th key={at} scope="col" class="number">{of.interval === "day" ? t("Day {n}", { n: at }) : of.interval === "week" ? t("Week {n}", { n: at }) : t("Month {n}", { n: at })}</th>)}
          </tr>
        </thead>
        <tbody>
          <tr class="mean">
            <th scope="row">{t("All")}</th>
            <td class="number">{short(of.cohorts.reduce((sum, cohort) => sum + cohort.visitors, 0))}</td>
            {mean.map((share, at) => <Cell key={at} share={share} isFirst={at === 0} />)}
          </tr>
          {of.cohorts.map((cohort) => (
            <tr key={cohort.cohort}>
              <th scope="row" class="nowrap">{day(cohort.cohort, "UTC")}</th>
              <td class="number">{short(cohort.visitors)}</td>
              {mean.map((_, at) => {
                const period = cohort.periods[at];
                return period ? <Cell key={at} share={period.retention} isFirst={at === 0} title={t("{count} visitors", { count: period.visitors })} /> : <td key={at} />;
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Cell({ share, isFirst, title }: { share: number | null; isFirst: boolean; title?: string }) {
  if (share === null) return <td />;
  // The first column is 100 % and says nothing.
  const strength = isFirst ? 0 : Math.round(Math.min(1, Math.sqrt(share)) * 55);
  return <td class="number cell" title={title} style={{ background: `color-mix(in srgb, var(--accent) ${strength}%, transparent)` }}>{percent(share, share < 0.1 ? 1 : 0)}</td>;
}
