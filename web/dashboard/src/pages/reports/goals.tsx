// Goals: what a site is for, and how many of its visitors got there.
import { useState } from "preact/hooks";
import { ask, Refusal, type Answered as AnsweredOf } from "../../api";
import { useAnswer } from "../../answer";
import { addItem, mayWrite, removeItem, useItems } from "../../documents";
import { percent, short } from "../../format";
import { Icon } from "../../parts/icon";
import { Answered, Empty, troubleWords } from "../../parts/states";
import { oneSite, statsParams } from "../../store";
import { t } from "../../words";

interface Goals extends AnsweredOf {
  visitors: number;
  results: { goal: { id: string; name: string; kind: string; value: string }; events: number; visitors: number; sessions: number; conversion_rate: number | null }[];
}

const KINDS: Record<string, [title: string, example: string]> = { event: ["Event", "signup"], page: ["Page", "/thanks/*"], object: ["Object", "newsletter-banner"] };

export default function GoalsPage() {
  const site = oneSite();
  const kept = useItems<object>("goals");
  if (!site) return <div class="card padded"><Empty title={t("Choose one site")}>{t("Goals are those of a site.")}</Empty></div>;
  return (
    <Answered answer={kept} rows={4}>
      {({ items }) =>
        items === undefined ? <div class="card padded"><Empty title={t("This server keeps no goals")}>{t("A goal needs a server with accounts. A funnel counts the same without being saved.")}</Empty></div> : (
          <>
            <Results count={items.length} />
            {mayWrite() && <NewGoal />}
          </>
        )}
    </Answered>
  );
}

function Results({ count }: { count: number }) {
  const params = statsParams();
  if (!params.some(([name]) => name === "site")) params.push(["site", oneSite()!]);
  const answer = useAnswer<Goals>(JSON.stringify(["goals", count, params]), (signal) => ask("/v1/stats/goals", { params, signal }));
  return (
    <section class="card padded" aria-label={t("Goals")}>
      <div class="card-head"><h2>{t("Goals")}</h2>{answer.data && <span class="muted push">{t("of {count} visitors", { count: short(answer.data.visitors) })}</span>}</div>
      <Answered answer={answer} rows={4} isEmpty={(data) => data.results.length === 0} empty={<Empty title={t("No goals yet")}>{t("A goal is an event, a page or an object that visitors should reach.")}</Empty>}>
        {(data) => (
          <table class="bars goals">
            <thead><tr><th scope="col">{t("Goal")}</th><th scope="col" class="number">{t("Visitors")}</th><th scope="col" class="number second">{t("Events")}</th><th scope="col" class="number second">{t("Rate")}</th>{mayWrite() && <th class="tool"><span class="sr-only">{t("Delete")}</span></th>}</tr></thead>
            <tbody>
              {data.results.map((row) => (
                <tr key={row.goal.id}>
                  <th scope="row"><span class="bar" style={{ width: `${(row.conversion_rate ?? 0) * 100}%` }} /><span class="value plain">{row.goal.name} <span class="muted">{row.goal.value !== row.goal.name && row.goal.value}</span></span></th>
                  <td class="number">{short(row.visitors)}</td><td class="number second">{short(row.events)}</td><td class="number second">{row.conversion_rate === null ? "–" : percent(row.conversion_rate)}</td>
                  {mayWrite() && <td class="tool"><button type="button" class="button quiet square small" aria-label={t("Delete {name}", { name: row.goal.name })} onClick={() => void removeItem("goals", row.goal.id)}><Icon name="trash" size={15} /></button></td>}
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Answered>
    </section>
  );
}

function NewGoal() {
  const [name, setName] = useState("");
  const [kind, setKind] = useState("event");
  const [value, setValue] = useState("");
  const [error, setError] = useState("");
  const save = async (event: Event) => {
    event.preventDefault();
    try {
      await addItem("goals", { name: name || value, kind, value, filters: [] });
      setName("");
      setValue("");
      setError("");
    } catch (refused) {
      setError(refused instanceof Refusal ? troubleWords(refused) : String(refused));
    }
  };
  return (
    <section class="card padded" aria-label={t("New goal")}>
      <div class="card-head"><h2>{t("New goal")}</h2></div>
      <form class="form" onSubmit={save}>
        <div class="fields">
          <label class="field">{t("What")}<select class="input" value={kind} onChange={(event) => setKind(event.currentTarget.value)}>{Object.entries(KINDS).map(([id, [title]]) => <option key={id} value={id}>{t(title)}</option>)}</select></label>
          <label class="field">{t(KINDS[kind][0])}<input class="input" required value={value} placeholder={KINDS[kind][1]} onInput={(event) => setValue(event.currentTarget.value)} /></label>
          <label class="field">{t("Name")}<input class="input" value={name} placeholder={value} onInput={(event) => setName(event.currentTarget.value)} /></label>
        </div>
        {error && <p class="trend bad" role="alert">{error}</p>}
        <button class="button primary" type="submit">{t("Add")}</button>
      </form>
    </section>
  );
}
