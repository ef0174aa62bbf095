// People: whoever came in the range, with their first and last visit of all time.
import { useState } from "preact/hooks";
import { ask, type Answered as AnsweredOf } from "../../api";
import { useAnswer } from "../../answer";
import { dateTime, day, short } from "../../format";
import { Icon } from "../../parts/icon";
import { Pager } from "../../parts/pager";
import { Answered } from "../../parts/states";
import { addressOf, statsParams, zone } from "../../store";
import { t } from "../../words";

interface Person {
  visitor: string; site: string; user_id: string | null; first_seen_at: string; last_seen_at: string; events: number; page_views: number; sessions: number;
  first_page: string | null; first_referrer_host: string | null; first_channel: string | null; first_utm_source: string | null;
}
interface People extends AnsweredOf {
  results: Person[];
  total_rows: number;
}

const ROWS = 50;
const ORDERS: [name: string, title: string][] = [["last_seen_at", "Last seen"], ["first_seen_at", "First seen"], ["sessions", "Sessions"], ["page_views", "Page views"], ["events", "Events"]];

export default function PeoplePage() {
  const [page, setPage] = useState(0);
  const [search, setSearch] = useState("");
  const [order, setOrder] = useState(ORDERS[0][0]);
  const params = statsParams();
  params.push(["order_by", `${order}:desc`], ["limit", String(ROWS)], ["offset", String(page * ROWS)]);
  if (search.trim()) params.push(["search", search.trim()]);
  const answer = useAnswer<People>(JSON.stringify(["people", params]), (signal) => ask("/v1/stats/visitors", { params, signal }));
  const pages = Math.ceil((answer.data?.total_rows ?? 0) / ROWS);
  return (
    <section class="card padded" aria-label={t("People")}>
      <div class="card-head">
        <h2>{answer.data ? t("{count} visitors", { count: short(answer.data.total_rows) }) : t("People")}</h2>
        <div class="search-box push"><Icon name="search" size={16} /><input type="search" class="input" aria-label={t("Search by user id")} placeholder={t("Search by user id")} value={search} onInput={(event) => { setSearch(event.currentTarget.value); setPage(0); }} /></div>
      </div>
      <Answered answer={answer} rows={12} isEmpty={(data) => data.results.length === 0}>
        {(data) => (
          <div class="table-scroll" tabIndex={0} role="region" aria-label={t("People")}>
            <table class="table">
              <thead>
                <tr>
                  <th scope="col">{t("Who")}</th><th scope="col">{t("First page")}</th><th scope="col">{t("From")}</th>
                  {ORDERS.map(([name, title], at) => (
                    <th key={name} scope="col" class={at > 1 ? "number" : ""} aria-sort={order === name ? "descending" : "none"}><button type="button" class="sort" onClick={() => { setOrder(name); setPage(0); }}>{t(title)}<span class="sort-mark" aria-hidden="true">{order === name ? "↓" : ""}</span></button></th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {data.results.map((person) => (
                  <tr key={`${person.site} ${person.visitor}`}>
                    <th scope="row"><a href={addressOf("sessions", { visitor: person.visitor })} data-link class="wrap-any">{person.user_id ?? t("Somebody {id}", { id: person.visitor.slice(-6) })}</a></th>
                    <td class="wrap-any">{person.first_page ?? "–"}</td>
                    <td class="wrap-any">{person.first_utm_source ?? person.first_referrer_host ?? person.first_channel ?? "–"}</td>
                    <td class="nowrap">{dateTime(person.last_seen_at, zone.value)}</td><td class="nowrap">{day(person.first_seen_at, zone.value)}</td>
                    <td class="number">{short(person.sessions)}</td><td class="number">{short(person.page_views)}</td><td class="number">{short(person.events)}</td>
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
