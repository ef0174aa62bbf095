// Sessions, the newest first; one session's events in order; the sessions of one visitor.
import { ask, type Answered as AnsweredOf } from "../../api";
import { useAnswer } from "../../answer";
import { cell, dateTime, duration, exactTime, fullDateTime, money, valueName } from "../../format";
import { Icon } from "../../parts/icon";
import { Pager } from "../../parts/pager";
import { Answered } from "../../parts/states";
import { addressOf, extra, setExtra, statsParams, zone } from "../../store";
import { t } from "../../words";
import { useState } from "preact/hooks";

interface Session {
  id: string; site: string; visitor: string; started_at: string; ended_at: string; duration_s: number; events: number; page_views: number; engaged_s: number;
  is_bounce: boolean; entry_page: string | null; exit_page: string | null; channel: string | null; referrer_host: string | null; browser: string | null;
  os: string | null; device: string | null; country: string | null; language: string | null; revenue: number | string | null; currency: string | null; user_id?: string | null;
  utm_source: string | null; utm_campaign: string | null;
}
interface List extends AnsweredOf {
  results: Session[];
  total_rows: number;
}
interface One extends AnsweredOf {
  session: Session;
  events: { event_id: string; occurred_at: string; name: string; path: string | null; title: string | null; object: string | null; revenue: unknown; currency: string | null; properties: Record<string, unknown> | null }[];
  total_events: number;
}

const ROWS = 50;

export default function Sessions() {
  return extra("session") ? <OneSession id={extra("session")} site={extra("of")} /> : <SessionList />;
}

function SessionList() {
  const [page, setPage] = useState(0);
  const visitor = extra("visitor");
  const params = statsParams();
  params.push(["limit", String(ROWS)], ["offset", String(page * ROWS)]);
  if (visitor) params.push(["visitor", visitor]);
  const answer = useAnswer<List>(JSON.stringify(params), (signal) => ask("/v1/stats/sessions", { params, signal }));
  const pages = Math.ceil((answer.data?.total_rows ?? 0) / ROWS);
  return (
    <section class="card padded" aria-label={t("Sessions")}>
      <div class="card-head">
        <h2>{answer.data ? t("{count} sessions", { count: answer.data.total_rows.toLocaleString() }) : t("Sessions")}</h2>
        {visitor && (
          <span class="chip"><span class="chip-text">{t("of one visitor")}</span><button type="button" class="chip-close" aria-label={t("Show those of everybody")} onClick={() => setExtra("visitor", "")}><Icon name="close" size={14} /></button></span>
        )}
      </div>
      <Answered answer={answer} rows={12} isEmpty={(data) => data.results.length === 0}>
        {(data) => (
          <div class="table-scroll" tabIndex={0} role="region" aria-label={t("Sessions")}>
            <table class="table">
              <thead>
                <tr>
                  {["Began", "Entry page", "From", "Where", "With"].map((title) => <th key={title} scope="col">{t(title)}</th>)}
                  {["Pages", "Events", "Duration"].map((title) => <th key={title} scope="col" class="number">{t(title)}</th>)}
                </tr>
              </thead>
              <tbody>
                {data.results.map((session) => (
                  <tr key={session.id}>
                    <th scope="row" class="nowrap"><a href={addressOf("sessions", { session: session.id, of: session.site })} data-link>{dateTime(session.started_at, zone.value)}</a></th>
                    <td class="wrap-any">{session.entry_page ?? "–"}{session.revenue !== null && <span class="tag good">{money(Number(session.revenue), session.currency ?? undefined)}</span>}</td>
                    <td class="wrap-any">{session.utm_source ?? session.referrer_host ?? session.channel ?? "–"}</td>
                    <td>{session.country ? valueName("country", session.country) : "–"}</td>
                    <td class="nowrap">{[session.browser, session.os].filter(Boolean).join(", ")}</td>
                    <td class="number">{session.page_views}</td>
                    <td class="number">{session.events}</td>
                    <td class="number">{duration(session.duration_s)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Answered>
      <Pager page={page} pages={pages} onTurn={setPage} />
    </section>
  );
}

function OneSession({ id, site }: { id: string; site: string }) {
  const answer = useAnswer<One>(`session ${site} ${id}`, (signal) => ask(`/v1/stats/sessions/${encodeURIComponent(id)}`, { params: site ? [["site", site]] : [], signal }));
  return (
    <>
      <p><a class="link" href={addressOf("sessions")} data-link><Icon name="left" size={16} /> {t("All sessions")}</a></p>
      <Answered answer={answer} rows={12}>
        {({ session, events, total_events }) => (
          <div class="two">
            <section class="card padded" aria-label={t("Session")}>
              <div class="card-head"><h2>{session.user_id ?? t("Somebody without a name")}</h2></div>
              <dl class="facts">
                {([
                  ["Began", fullDateTime(session.started_at, zone.value)], ["Duration", duration(session.duration_s)], ["Engaged time", duration(session.engaged_s)], ["Page views", session.page_views], ["Events", session.events],
                  ["Channel", session.channel], ["Referrer", session.referrer_host], ["Campaign", session.utm_campaign], ["Country", session.country && valueName("country", session.country)], ["Language", session.language && valueName("language", session.language)],
                  ["Browser", session.browser], ["System", session.os], ["Device", session.device && t(session.device)], ["Entry page", session.entry_page], ["Exit page", session.exit_page],
                  ["Revenue", session.revenue !== null && session.revenue !== undefined ? money(Number(session.revenue), session.currency ?? undefined) : null], ["Bounce", session.is_bounce ? t("yes") : t("no")], ["Site", session.site],
                ] as [string, unknown][]).filter(([, value]) => value !== null && value !== undefined && value !== "").map(([title, value]) => (
                  <div key={title}><dt>{t(title)}</dt><dd class="wrap-any">{cell(value)}</dd></div>
                ))}
              </dl>
              <p><a class="link" href={addressOf("sessions", { visitor: session.visitor })} data-link>{t("All sessions of this visitor in the range")}</a></p>
            </section>
            <section class="card padded" aria-label={t("Events of the session")}>
              <div class="card-head"><h2>{t("What happened")}</h2></div>
              <ol class="timeline">
                {events.map((event) => (
                  <li key={event.event_id}>
                    <time dateTime={event.occurred_at}>{exactTime(event.occurred_at, zone.value)}</time>
                    <div>
                      <p class="wrap-any"><b>{event.name === "page_view" ? (event.path ?? "page_view") : event.name}</b> {event.name === "page_view" ? <span class="muted">{event.title !== event.path && event.title}</span> : <span class="muted">{event.object ?? event.path}</span>}
                        {event.revenue !== null && event.revenue !== undefined && <span class="tag good">{money(Number(event.revenue), event.currency ?? undefined)}</span>}</p>
                      <Properties of={event.properties} />
                    </div>
                  </li>
                ))}
              </ol>
              {total_events > events.length && <p class="muted">{t("The first {shown} of {count} events", { shown: events.length, count: total_events })}</p>}
            </section>
          </div>
        )}
      </Answered>
    </>
  );
}

function Properties({ of }: { of: Record<string, unknown> | null }) {
  const entries = Object.entries(of ?? {}).filter(([name]) => name !== "page_view_id");
  if (!entries.length) return null;
  return <p class="props wrap-any">{entries.map(([name, value]) => <span key={name}><span class="muted">{name}</span> {cell(value)}</span>)}</p>;
}
