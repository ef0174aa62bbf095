// Destinations: where events of a site are forwarded to, how far each is, and why one stands still.
import { ask } from "../../api";
import { useAnswer } from "../../answer";
import { ago, fullDateTime, short } from "../../format";
import { Refused, useAttempt } from "../../account/attempt";
import { mayWrite } from "../../documents";
import { Answered, Empty } from "../../parts/states";
import { oneSite, zone } from "../../store";
import { t } from "../../words";

interface Destination {
  name: string; kind: string; target: string | null; created_at: string; filter: string | null; consent: string | null; events_per_second_max: number | null;
  state: "paused" | "failing" | "reading_past" | "not_begun" | "up_to_date" | "sending";
  delivered: number; refused: number; delivered_at: string | null; failing: { since: string; reason: string } | null; versions_behind: number | null; reads_since: string | null;
}

const KINDS: Record<string, string> = {
  webhook: "Webhook", ga4: "Google Analytics 4", data_manager: "Google Analytics 4", meta: "Meta", postgres: "PostgreSQL", kafka: "Kafka", files: "Files",
};
const STATES: Record<Destination["state"], [words: string, kind: string]> = {
  paused: ["paused", ""], failing: ["failing", "bad"], reading_past: ["sends the past", "warn"], not_begun: ["not begun", ""], up_to_date: ["up to date", "good"], sending: ["sends", "warn"],
};

export default function Destinations() {
  const site = oneSite();
  const address = site && `/v1/sites/${encodeURIComponent(site)}/destinations`;
  const answer = useAnswer<{ results: Destination[] }>(site ? `destinations ${site}` : null, (signal) => ask(address!, { signal }));
  if (!site) return <div class="card padded"><Empty title={t("Choose one site")}>{t("Destinations are those of a site.")}</Empty></div>;
  return (
    <>
      <p class="muted">{t("New events are forwarded in the order they came, each at least once. What is refused for good is kept with the refused events.")}</p>
      <Answered answer={answer} rows={4} isEmpty={(data) => data.results.length === 0} empty={<div class="card padded"><Empty title={t("Nothing is forwarded")}>{t("A destination is added by: dewpond forward add NAME --site SITE --webhook URL")}</Empty></div>}>
        {(data) => <div class="tiles wide-tiles">{data.results.map((one) => <One key={one.name} one={one} address={address!} again={answer.again} />)}</div>}
      </Answered>
    </>
  );
}

function One({ one, address, again }: { one: Destination; address: string; again: () => void }) {
  const { error, isBusy, attempt } = useAttempt();
  const [words, kind] = STATES[one.state];
  const pause = () => attempt(async () => { await ask(`${address}/${encodeURIComponent(one.name)}`, { method: "PATCH", body: { paused: one.state !== "paused" } }); again(); });
  const now = Date.now();
  return (
    <section class="card padded" aria-label={one.name}>
      <div class="card-head">
        <h2>{one.name}</h2><span class={`tag first ${kind}`}>{t(words)}</span>
        {mayWrite() && <button type="button" class="button small push" disabled={isBusy} onClick={() => void pause()}>{one.state === "paused" ? t("Go on") : t("Pause")}</button>}
      </div>
      <Refused error={error} />
      {one.failing && <p class="trouble"><span class="wrap-any">{t("Since {when} nothing can be delivered: {why}", { when: fullDateTime(one.failing.since, zone.value), why: one.failing.reason })}</span></p>}
      <dl class="facts">
        <div><dt>{t("To")}</dt><dd class="wrap-any">{t(KINDS[one.kind] ?? one.kind)} {one.target && <span class="muted">{one.target}</span>}</dd></div>
        <div><dt>{t("Delivered")}</dt><dd>{short(one.delivered)} {one.delivered_at && <span class="muted">{t("last {when}", { when: ago(one.delivered_at, now) })}</span>}</dd></div>
        <div><dt>{t("Refused for good")}</dt><dd>{short(one.refused)}</dd></div>
        <div><dt>{t("Waiting")}</dt><dd>{one.reads_since ? t("reads events since {day}", { day: fullDateTime(one.reads_since, zone.value) }) : one.versions_behind ? t("{count} versions of the table", { count: one.versions_behind }) : one.versions_behind === 0 ? t("nothing") : t("not yet")}</dd></div>
        {one.filter && <div><dt>{t("Only")}</dt><dd><code class="wrap-any">{one.filter}</code></dd></div>}
        {one.consent && <div><dt>{t("With consent in")}</dt><dd><code>{one.consent}</code></dd></div>}
        {one.events_per_second_max && <div><dt>{t("At most")}</dt><dd>{t("{count} events a second", { count: one.events_per_second_max })}</dd></div>}
      </dl>
    </section>
  );
}
