// Alerts: the conditions on metrics, whether they hold, since when, whether somebody was told, and what changed before.
import { sql, type Table } from "../../api";
import { useAnswer } from "../../answer";
import { ago, cell, dateTime, fullDateTime, number, short } from "../../format";
import { Answered, Empty } from "../../parts/states";
import { addressOf, oneSite, zone } from "../../store";
import { t } from "../../words";

const WHOSE = "site_id IS NOT DISTINCT FROM $whose";
const LATEST = `SELECT metric, title, value, details -> 'alert' ->> 'condition' AS condition, details -> 'alert' ->> 'firing' AS firing, details -> 'alert' ->> 'since' AS since, details -> 'alert' ->> 'unposted' AS unposted, error
FROM reports WHERE generated_at = (SELECT max(generated_at) FROM reports WHERE ${WHOSE}) AND ${WHOSE} AND details -> 'alert' ->> 'condition' IS NOT NULL ORDER BY firing DESC, metric`;
/** Each state that an alert was in within the last 30 days: when it began, and the value of the run that saw it. */
const CHANGES = `SELECT metric, details -> 'alert' ->> 'since' AS since, details -> 'alert' ->> 'firing' AS firing, max(details -> 'alert' ->> 'condition') AS condition, min(generated_at) AS seen_at
FROM reports WHERE ${WHOSE} AND generated_at >= $from AND details -> 'alert' ->> 'condition' IS NOT NULL GROUP BY metric, since, firing ORDER BY since DESC LIMIT 100`;

export default function Alerts() {
  const whose = oneSite() ?? null;
  const latest = useAnswer<Table>(`alerts ${whose}`, (signal) => sql(LATEST, { whose }, whose ?? undefined, signal));
  const changes = useAnswer<Table>(`changes of alerts ${whose}`, (signal) => sql(CHANGES, { whose }, whose ?? undefined, signal));
  return (
    <>
      <p class="muted">{t("An alert is a line in a metric's file, such as -- alert: value < 100. It is looked at with every report, and each change is posted once, to the address that the server was given.")}</p>
      <section class="card padded" aria-label={t("Alerts")}>
        <div class="card-head"><h2>{t("Now")}</h2></div>
        <Answered answer={latest} rows={4} isEmpty={(data) => data.rows.length === 0} empty={<Empty title={t("No metric has an alert")}>{t("Write one into a file of queries/; the next report looks at it.")}</Empty>}>
          {(data) => (
            <div class="table-scroll" tabIndex={0} role="region" aria-label={t("Alerts")}>
              <table class="table">
                <thead><tr><th scope="col">{t("Metric")}</th><th scope="col">{t("State")}</th><th scope="col">{t("Condition")}</th><th scope="col" class="number">{t("Last answer")}</th><th scope="col">{t("Since")}</th></tr></thead>
                <tbody>
                  {data.rows.map(([metric, title, value, condition, firing, since, unposted, error]) => (
                    <tr key={cell(metric)}>
                      <th scope="row"><a class="link strong" href={addressOf("metrics", { metric: cell(metric) })} data-link>{cell(metric)}</a><div class="muted">{cell(title)}</div></th>
                      <td><State firing={isTrue(firing)} /> {isTrue(unposted) && <span class="tag first warn">{t("not posted yet")}</span>}</td>
                      <td><code>{cell(condition)}</code></td>
                      <td class="number">{error !== null ? <span class="tag bad">{t("failed")}</span> : number(value) === null ? "–" : short(number(value)!)}</td>
                      <td class="nowrap" title={fullDateTime(cell(since), zone.value)}>{ago(cell(since), Date.now())}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Answered>
      </section>
      <section class="card padded" aria-label={t("Changes of 30 days")}>
        <div class="card-head"><h2>{t("Changes of 30 days")}</h2></div>
        <Answered answer={changes} rows={4} isEmpty={(data) => data.rows.length === 0} empty={<Empty title={t("Nothing has changed")} />}>
          {(data) => (
            <div class="table-scroll" tabIndex={0} role="region" aria-label={t("Changes of 30 days")}>
              <table class="table">
                <thead><tr><th scope="col">{t("When")}</th><th scope="col">{t("Metric")}</th><th scope="col">{t("State")}</th><th scope="col">{t("Condition")}</th></tr></thead>
                <tbody>
                  {data.rows.map(([metric, since, firing, condition]) => (
                    <tr key={`${cell(metric)} ${cell(since)}`}>
                      <td class="nowrap" title={fullDateTime(cell(since), zone.value)}>{dateTime(cell(since), zone.value)}</td><th scope="row">{cell(metric)}</th><td><State firing={isTrue(firing)} /></td><td><code>{cell(condition)}</code></td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Answered>
      </section>
    </>
  );
}

const isTrue = (value: unknown) => value === true || value === "true";

function State({ firing }: { firing: boolean }) {
  return <span class={`tag first ${firing ? "bad" : "good"}`}>{firing ? t("fires") : t("quiet")}</span>;
}
