// Imports: what was brought into a site in bulk, and how many records became events.
import { ask } from "../../api";
import { useAnswer } from "../../answer";
import { day, fullDateTime, percent, short } from "../../format";
import { Answered, Empty } from "../../parts/states";
import { oneSite, zone } from "../../store";
import { t } from "../../words";

interface Import {
  at: string; formats: string[]; files: number; accepted: number; refused: number; left_out: number; of_other_sites: number;
  first_at: string | null; last_at: string | null; reasons: { reason: string; events: number }[]; failed: string | null;
}

export default function Imports() {
  const site = oneSite();
  const answer = useAnswer<{ results: Import[] }>(site ? `imports ${site}` : null, (signal) => ask(`/v1/sites/${encodeURIComponent(site!)}/imports`, { signal }));
  if (!site) return <div class="card padded"><Empty title={t("Choose one site")}>{t("Imports are those of a site.")}</Empty></div>;
  return (
    <>
      <p class="muted">{t("To repeat an import adds nothing: an event that is in the lake counts once.")}</p>
      <Answered answer={answer} rows={6} isEmpty={(data) => data.results.length === 0} empty={<div class="card padded"><Empty title={t("Nothing was imported")}>{t("Exports of other products and logs come in by: dewpond import --site SITE --format auto FILES")}</Empty></div>}>
        {(data) => <>{data.results.map((one) => <One key={one.at} one={one} />)}</>}
      </Answered>
    </>
  );
}

function One({ one }: { one: Import }) {
  const all = one.accepted + one.refused + one.left_out + one.of_other_sites;
  const parts: [string, number, string][] = [["Became events", one.accepted, "good"], ["Refused", one.refused, "bad"], ["No events", one.left_out, ""], ["Of other sites", one.of_other_sites, ""]];
  return (
    <section class="card padded" aria-label={fullDateTime(one.at, zone.value)}>
      <div class="card-head">
        <h2>{fullDateTime(one.at, zone.value)}</h2>
        {one.failed ? <span class="tag first bad">{t("broken off")}</span> : <span class="tag first good">{t("done")}</span>}
        <span class="muted push">{one.files === 1 ? t("1 file") : t("{files} files", { files: short(one.files) })}</span>
      </div>
      {one.failed && <p class="trouble"><span class="wrap-any">{one.failed}</span></p>}
      <p class="muted wrap-any">{one.formats.join(", ")}</p>
      <dl class="outcomes">
        {parts.filter(([, count]) => count > 0 || all === 0).map(([title, count, kind]) => (
          <div key={title}><dt>{t(title)}</dt><dd><b class={kind && `trend ${kind}`}>{short(count)}</b> <span class="muted">{all > 0 && percent(count / all)}</span></dd></div>
        ))}
        {one.first_at && one.last_at && <div><dt>{t("Events from")}</dt><dd>{day(one.first_at, zone.value)} – {day(one.last_at, zone.value)}</dd></div>}
      </dl>
      {one.reasons.length > 0 && (
        <details class="more-table">
          <summary>{t("Why records were refused")}</summary>
          <table class="table">
            <thead><tr><th scope="col">{t("Reason")}</th><th scope="col" class="number">{t("Records")}</th></tr></thead>
            <tbody>{one.reasons.map(({ reason, events }) => <tr key={reason}><th scope="row" class="wrap-any">{reason}</th><td class="number">{short(events)}</td></tr>)}</tbody>
          </table>
        </details>
      )}
    </section>
  );
}
