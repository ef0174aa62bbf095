// Reports by e-mail: who gets the numbers of a site, how often, and how the last mails went.
import { useState } from "preact/hooks";
import { ask } from "../../api";
import { useAnswer } from "../../answer";
import { addItem, mayWrite, removeItem, useItems, type Nested } from "../../documents";
import { fullDateTime } from "../../format";
import { Careful, LineForm, Refused, useAttempt } from "../../account/attempt";
import { Answered, Empty } from "../../parts/states";
import { oneSite, view, zone } from "../../store";
import { takesValues } from "../../view";
import { filterWords } from "../../parts/filters";
import { language, t } from "../../words";

interface Report { recipient: string; interval: "week" | "month"; language: string; filters: Nested[] }
interface Mail { period: string; state: string; at: string; attempt: number; reason: string }

const INTERVALS: Record<Report["interval"], string> = { week: "weekly", month: "monthly" };
const STATES: Record<string, [words: string, kind: string]> = {
  sent: ["sent", "good"], failed: ["failed, is tried again", "warn"], refused: ["refused by the mail server", "bad"], taken: ["being sent", ""], unknown: ["broken off: not sent again", "bad"],
};

export default function EmailReports() {
  const site = oneSite();
  const kept = useItems<Report>("email-reports");
  const options = useAnswer<{ sends_email: boolean }>("options", (signal) => ask("/v1/auth/options", { signal }), false);
  if (!site) return <div class="card padded"><Empty title={t("Choose one site")}>{t("Reports by e-mail are those of a site.")}</Empty></div>;
  if (!mayWrite()) return <div class="card padded"><Empty title={t("An editor or an owner may see who gets reports")} /></div>;
  return (
    <>
      <p class="muted">{t("On Monday, or on the first of the month, at seven by the clocks of {zone}: the numbers of the week or month before, beside those of the one before that. Each mail has a link that ends them.", { zone: zone.value })}</p>
      {options.data && !options.data.sends_email && <p class="note">{t("This server sends no mail yet: --smtp-url, --smtp-from and --public-url say how.")}</p>}
      <section class="card padded" aria-label={t("Reports by e-mail")}>
        <div class="card-head"><h2>{t("Who gets reports of {site}", { site })}</h2></div>
        <Answered answer={kept} rows={2} isEmpty={({ items }) => !items?.length} empty={<Empty title={t("Nobody yet")} />}>
          {({ items }) => <ul class="mails">{(items ?? []).map((item) => <Recipient key={item.id} item={item} address={`/v1/sites/${encodeURIComponent(site)}/email-reports/${item.id}`} />)}</ul>}
        </Answered>
        <NewReport />
      </section>
    </>
  );
}

function Recipient({ item, address }: { item: Report & { id: string }; address: string }) {
  const mails = useAnswer<{ results: Mail[] }>(`mails ${item.id}`, (signal) => ask(`${address}/mails`, { signal }));
  const { error, isBusy, attempt } = useAttempt();
  const [isSent, setSent] = useState(false);
  const test = () => attempt(async () => { setSent(false); await ask(`${address}/test`, { body: {} }); setSent(true); });
  return (
    <li>
      <div class="line-form">
        <span class="wrap-any"><b>{item.recipient}</b> <span class="tag">{t(INTERVALS[item.interval])}</span><span class="tag">{item.language === "de" ? "Deutsch" : "English"}</span>{item.filters.length > 0 && <span class="tag">{t("filtered")}</span>}</span>
        <button type="button" class="button small" disabled={isBusy} onClick={() => void test()}>{t("Send a test")}</button>
        <Careful label={t("Remove")} sure={t("Really remove?")} onSure={() => removeItem("email-reports", item.id)} />
      </div>
      <Refused error={error} />
      {isSent && <p class="trend good" role="status">{t("The mail server has it. Look into the inbox of {recipient}.", { recipient: item.recipient })}</p>}
      {mails.data && mails.data.results.length > 0 && (
        <ul class="mail-states">
          {mails.data.results.slice(0, 4).map((mail) => (
            <li key={mail.period}><span class={`dot ${DOTS[mail.state] ?? ""}`} /> {mail.period} <span class="muted">{t(STATES[mail.state]?.[0] ?? mail.state)}, {fullDateTime(mail.at, zone.value)} {mail.reason}</span></li>
          ))}
        </ul>
      )}
    </li>
  );
}

const DOTS: Record<string, string> = { sent: "now", failed: "warn", refused: "bad", unknown: "bad" };

function NewReport() {
  const [recipient, setRecipient] = useState("");
  const [interval, setInterval] = useState<Report["interval"]>("week");
  const [tongue, setTongue] = useState<string>(language.value);
  const { filters } = view.value;
  const nested = filters.map((filter) => (takesValues(filter.operator) ? [filter.operator, filter.dimension, filter.values] : [filter.operator, filter.dimension]));
  const add = async () => {
    await addItem("email-reports", { recipient, interval, language: tongue, filters: nested });
    setRecipient("");
  };
  return (
    <>
      <h3>{t("Somebody else")}</h3>
      {filters.length > 0 && <p class="muted">{t("With these filters, always: {filters}", { filters: filters.map(filterWords).join(", ") })}</p>}
      <LineForm label={t("Add")} onSubmit={add}>
        <input class="input" type="email" required aria-label={t("E-mail of who gets it")} placeholder={t("E-mail")} value={recipient} onInput={(event) => setRecipient(event.currentTarget.value)} />
        <select class="input compact" aria-label={t("How often")} value={interval} onChange={(event) => setInterval(event.currentTarget.value as Report["interval"])}>{Object.entries(INTERVALS).map(([name, words]) => <option key={name} value={name}>{t(words)}</option>)}</select>
        <select class="input compact" aria-label={t("Language of the mail")} value={tongue} onChange={(event) => setTongue(event.currentTarget.value)}><option value="en">English</option><option value="de">Deutsch</option></select>
      </LineForm>
    </>
  );
}
