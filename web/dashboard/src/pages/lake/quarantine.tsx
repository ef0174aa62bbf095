// Events that were refused, and why: by reason, and each as it came.
import { sql, type Table } from "../../api";
import { useAnswer } from "../../answer";
import { ago, cell, fullDateTime, short } from "../../format";
import { Answered, Empty } from "../../parts/states";
import { extra, setExtra, view, zone, oneSite } from "../../store";
import { t } from "../../words";

const OF_SITES = "($sites IS NULL OR position(',' || site_id || ',' IN $sites) > 0)";
const REASONS = `SELECT reason, protocol, count(*) AS events, max(received_at) AS last FROM quarantine WHERE ${OF_SITES} GROUP BY reason, protocol ORDER BY events DESC, last DESC LIMIT 100`;
const NEWEST = `SELECT received_at, site_id, protocol, reason, event FROM quarantine WHERE ${OF_SITES} AND ($reason IS NULL OR reason = $reason) ORDER BY received_at DESC LIMIT 50`;

export default function Quarantine() {
  const chosen = view.value.sites;
  const sites = chosen.length ? `,${chosen.join(",")},` : null;
  const reason = extra("reason") || null;
  const reasons = useAnswer<Table>(JSON.stringify(["reasons", sites]), (signal) => sql(REASONS, { sites }, oneSite(), signal));
  const newest = useAnswer<Table>(JSON.stringify(["refused", sites, reason]), (signal) => sql(NEWEST, { sites, reason }, oneSite(), signal));
  return (
    <>
      <p class="muted">{t("The sender was told, and the good events of the same request were taken. What was refused is kept for 30 days.")}</p>
      <section class="card padded" aria-label={t("Reasons")}>
        <div class="card-head"><h2>{t("Why events were refused")}</h2></div>
        <Answered answer={reasons} rows={4} isEmpty={(data) => data.rows.length === 0} empty={<Empty title={t("No event was refused in the last 30 days")} />}>
          {(data) => (
            <div class="table-scroll" tabIndex={0} role="region" aria-label={t("Reasons")}>
              <table class="table">
                <thead><tr><th scope="col">{t("Reason")}</th><th scope="col">{t("Protocol")}</th><th scope="col" class="number">{t("Events")}</th><th scope="col">{t("Last")}</th></tr></thead>
                <tbody>
                  {data.rows.map((row, at) => (
                    <tr key={at}>
                      <th scope="row"><button type="button" class="value" aria-pressed={reason === row[0]} onClick={() => setExtra("reason", reason === row[0] ? "" : cell(row[0]))}>{cell(row[0])}</button></th>
                      <td>{cell(row[1])}</td><td class="number">{short(Number(row[2]))}</td><td class="nowrap" title={fullDateTime(cell(row[3]), zone.value)}>{ago(cell(row[3]), Date.now())}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Answered>
      </section>
      <section class="card padded" aria-label={t("Newest refused events")}>
        <div class="card-head"><h2>{t("Newest refused events")}</h2></div>
        <Answered answer={newest} isEmpty={(data) => data.rows.length === 0}>
          {(data) => (
            <ul class="refused">
              {data.rows.map((row, at) => (
                <li key={at}>
                  <p><span class="muted">{fullDateTime(cell(row[0]), zone.value)} · {cell(row[1])} · {cell(row[2])}</span></p>
                  <p class="wrap-any"><b>{cell(row[3])}</b></p>
                  <pre tabIndex={0}>{pretty(cell(row[4]))}</pre>
                </li>
              ))}
            </ul>
          )}
        </Answered>
      </section>
    </>
  );
}

/** JSON with line breaks; whatever else it is, as it came. */
function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
