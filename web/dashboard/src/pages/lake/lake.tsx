// How the lake is: what is in it, what waits, what was done last.
import { ask } from "../../api";
import { useAnswer } from "../../answer";
import { ago, bytes, fullDateTime, short } from "../../format";
import { Icon } from "../../parts/icon";
import { Answered } from "../../parts/states";
import { t } from "../../words";

interface Tier { files: number; bytes: number }
interface Lake {
  as_of: string;
  events: Tier & { version: number | null; rows: number; first_date: string | null; last_date: string | null };
  pending: Tier;
  consumed: Tier;
  lanes: number;
  reports: Tier & { rows: number; version: number | null; committed_at: string | null; trouble: string | null };
  states: Tier & { queries: number };
  versions: { version: number; operation: string | null; committed_at: string | null; files_added: number; files_removed: number; rows_added: number | null; rows_removed: number | null }[];
}

/** Reports and publishes come every minute and every few seconds; after so long without one somebody should look. */
const REPORT_LATE_MS = 300_000;
const PENDING_MANY = 1_000;

export default function LakePage() {
  const answer = useAnswer<Lake>("lake", (signal) => ask("/v1/lake", { signal }));
  return (
    <Answered answer={answer} rows={10}>
      {(lake) => {
        const now = new Date(lake.as_of).getTime();
        const publish = lake.versions.find((version) => /publish|write|append/i.test(version.operation ?? "")) ?? lake.versions.find((version) => (version.rows_added ?? 0) > 0 && !version.files_removed);
        const merge = lake.versions.find((version) => version.files_removed > 0);
        const isReportLate = lake.reports.committed_at !== null && now - new Date(lake.reports.committed_at).getTime() > REPORT_LATE_MS;
        const when = (at: string | null | undefined) => (at ? <span title={fullDateTime(at)}>{ago(at, now)}</span> : t("not yet"));
        return (
          <>
            {lake.reports.trouble && <div class="trouble" role="alert"><Icon name="warning" /><div>{t("There is no new report: {why}", { why: lake.reports.trouble })}</div></div>}
            <div class="tiles">
              <Tile title={t("Published events")} state="now"><b>{short(lake.events.rows)}</b><span>{t("{files} files, {size}", { files: short(lake.events.files), size: bytes(lake.events.bytes) })}</span><span>{lake.events.first_date ? `${lake.events.first_date} – ${lake.events.last_date}` : t("nothing yet")}</span></Tile>
              <Tile title={t("Pending")} state={lake.pending.files > PENDING_MANY ? "warn" : "now"}><b>{short(lake.pending.files)} {t("files")}</b><span>{bytes(lake.pending.bytes)}</span><span>{t("counted by every query already")}</span></Tile>
              <Tile title={t("Last publish")} state={publish ? "now" : ""}><b>{when(publish?.committed_at)}</b><span>{t("version {version}", { version: lake.events.version ?? "–" })}</span><span>{t("{count} lanes of collectors", { count: lake.lanes })}</span></Tile>
              <Tile title={t("Last merge")} state={merge ? "now" : ""}><b>{when(merge?.committed_at)}</b><span>{merge ? t("{removed} files became {added}", { removed: merge.files_removed, added: merge.files_added }) : t("none among the last {count} versions", { count: lake.versions.length })}</span></Tile>
              <Tile title={t("Last report")} state={lake.reports.trouble || isReportLate ? "bad" : "now"}><b>{when(lake.reports.committed_at)}</b><span>{t("{rows} answers kept, {size}", { rows: short(lake.reports.rows), size: bytes(lake.reports.bytes) })}</span></Tile>
              <Tile title={t("States of recurring queries")} state="now"><b>{short(lake.states.queries)}</b><span>{t("{files} files, {size}", { files: short(lake.states.files), size: bytes(lake.states.bytes) })}</span><span>{t("no answer depends on them")}</span></Tile>
            </div>
            <section class="card padded" aria-label={t("Newest versions")}>
              <div class="card-head"><h2>{t("Newest versions of the table")}</h2></div>
              <div class="table-scroll" tabIndex={0} role="region" aria-label={t("Newest versions")}>
                <table class="table">
                  <thead><tr><th scope="col">{t("Version")}</th><th scope="col">{t("What")}</th><th scope="col">{t("When")}</th>{["Files added", "Files removed", "Rows added", "Rows removed"].map((title) => <th key={title} scope="col" class="number">{t(title)}</th>)}</tr></thead>
                  <tbody>
                    {lake.versions.map((version) => (
                      <tr key={version.version}>
                        <th scope="row">{version.version}</th><td>{version.operation}</td><td class="nowrap">{version.committed_at && fullDateTime(version.committed_at)}</td>
                        <td class="number">{short(version.files_added)}</td><td class="number">{short(version.files_removed)}</td><td class="number">{version.rows_added === null ? "–" : short(version.rows_added)}</td><td class="number">{version.rows_removed === null ? "–" : short(version.rows_removed)}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            </section>
          </>
        );
      }}
    </Answered>
  );
}

function Tile({ title, state, children }: { title: string; state: string; children: preact.ComponentChildren }) {
  return <section class="card tile" aria-label={title}><h2><span class={`dot ${state}`} /> {title}</h2>{children}</section>;
}
