// How far people come: steps that are built here, kept in the address, and saved for the site.
import { useState } from "preact/hooks";
import { ask, Refusal, type Answered as AnsweredOf } from "../../api";
import { useAnswer } from "../../answer";
import { dimensionTitle } from "../../dimensions";
import { addItem, removeItem, useItems, type Nested } from "../../documents";
import { change, percent, short } from "../../format";
import { Icon } from "../../parts/icon";
import { operatorName } from "../../parts/filters";
import { Answered, Empty, troubleWords } from "../../parts/states";
import { go, statsParams, view, oneSite } from "../../store";
import { formatFilter, parseFilter, takesValues, type Filter } from "../../view";
import { t } from "../../words";

interface FunnelOf extends AnsweredOf {
  steps: { step: number; visitors: number; conversion: number | null; conversion_from_previous: number | null }[];
  conversion: number | null;
  comparison?: { conversion: number | null; change: (number | null)[] };
}

const STEPS_MAX = 10;
const WINDOWS = ["", "30m", "1h", "1d", "7d", "30d"];
/** Steps are told apart by what no address of a filter has unescaped. */
const BETWEEN = ">>";
const EMPTY: Filter = { dimension: "path", operator: "is", values: [""] };

export default function Funnels() {
  const said = view.value.extra.steps ?? "";
  const steps = said ? said.split(BETWEEN).flatMap((text) => parseFilter(text) ?? []) : [EMPTY, { ...EMPTY, dimension: "name" }];
  const window = view.value.extra.window ?? "";
  const set = (to: Filter[], within = window) => go({ extra: { ...view.value.extra, steps: to.map(formatFilter).join(BETWEEN), window: within } }, true);
  const isReady = steps.length >= 2 && steps.every((step) => !takesValues(step.operator) || step.values.some(Boolean));
  return (
    <>
      <section class="card padded" aria-label={t("Steps of the funnel")}>
        <div class="card-head"><h2>{t("Steps")}</h2><Saved onOpen={(to, within) => set(to, within)} steps={steps} window={window} isReady={isReady} /></div>
        <div class="steps">
          {steps.map((step, at) => (
            <StepRow key={at} step={step} at={at} onChange={(to) => set(steps.map((other, index) => (index === at ? to : other)))} onRemove={steps.length > 2 ? () => set(steps.filter((_, index) => index !== at)) : undefined} />
          ))}
        </div>
        <div class="card-head" style={{ marginTop: "12px", marginBottom: "0" }}>
          <button type="button" class="button small" disabled={steps.length >= STEPS_MAX} onClick={() => set([...steps, EMPTY])}><Icon name="plus" size={15} /> {t("Step")}</button>
          <label class="inline push">{t("Within")}
            <select class="input" value={window} onChange={(event) => set(steps, event.currentTarget.value)}>
              {WINDOWS.map((name) => <option key={name} value={name}>{name || t("the whole range")}</option>)}
            </select>
          </label>
        </div>
      </section>
      <section class="card padded" aria-label={t("Funnel")}>
        {isReady ? <Funnel steps={steps} window={window} /> : <Empty title={t("Say what the steps are")}>{t("A step is a page, an event, or anything else that events have. Each comes after the one before it.")}</Empty>}
      </section>
    </>
  );
}

function StepRow({ step, at, onChange, onRemove }: { step: Filter; at: number; onChange: (to: Filter) => void; onRemove?: () => void }) {
  return (
    <div class="step-row">
      <select class="input" aria-label={t("What step {n} is about", { n: at + 1 })} value={step.dimension} onChange={(event) => onChange({ ...step, dimension: event.currentTarget.value })}>
        {["path", "name", "object", "hostname", "title", "properties.plan"].concat(step.dimension).filter((name, index, all) => all.indexOf(name) === index).map((name) => <option key={name} value={name}>{dimensionTitle(name)}</option>)}
      </select>
      <select class="input" aria-label={t("Condition of step {n}", { n: at + 1 })} value={step.operator} onChange={(event) => onChange({ ...step, operator: event.currentTarget.value })}>
        {["is", "contains", "starts_with", "ends_with", "exists"].map((name) => <option key={name} value={name}>{operatorName(name)}</option>)}
      </select>
      {takesValues(step.operator) && <input class="input" aria-label={t("Value of step {n}", { n: at + 1 })} value={step.values[0] ?? ""} placeholder={step.dimension === "path" ? "/pricing" : step.dimension === "name" ? "signup" : ""} onChange={(event) => onChange({ ...step, values: [event.currentTarget.value] })} />}
      {onRemove && <button type="button" class="button quiet square" aria-label={t("Remove step {n}", { n: at + 1 })} onClick={onRemove}><Icon name="close" size={16} /></button>}
    </div>
  );
}

function Funnel({ steps, window }: { steps: Filter[]; window: string }) {
  const params = statsParams({ compare: true });
  for (const step of steps) params.push(["step", formatFilter(step)]);
  if (window) params.push(["window", window]);
  const answer = useAnswer<FunnelOf>(JSON.stringify(params), (signal) => ask("/v1/stats/funnel", { params, signal }));
  return (
    <Answered answer={answer} rows={steps.length * 2}>
      {(data) => {
        const first = data.steps[0]?.visitors ?? 0;
        return (
          <>
            <div class="figures">
              <div><span class="number-title">{t("Conversion")}</span><span class="number-value">{data.conversion === null ? "–" : percent(data.conversion)}</span></div>
              <div><span class="number-title">{t("Took the first step")}</span><span class="number-value">{short(first)}</span></div>
              <div><span class="number-title">{t("Took all steps")}</span><span class="number-value">{short(data.steps.at(-1)?.visitors ?? 0)}</span></div>
              {data.comparison && <div><span class="number-title">{t("Conversion before")}</span><span class="number-value">{data.comparison.conversion === null ? "–" : percent(data.comparison.conversion)}</span></div>}
            </div>
            <ol class="funnel">
              {data.steps.map((step, at) => (
                <li class="funnel-step" key={at}>
                  <span class="funnel-name">{at + 1}. {dimensionTitle(steps[at].dimension)} {operatorName(steps[at].operator)} {steps[at].values.join(", ")}</span>
                  <span class="number"><b>{short(step.visitors)}</b> <span class="muted">{step.conversion === null ? "–" : percent(step.conversion)}</span> {data.comparison && <span class="trend">{change(data.comparison.change[at])}</span>}</span>
                  <div class="funnel-track" aria-hidden="true"><div class="funnel-fill" style={{ width: `${first ? (step.visitors / first) * 100 : 0}%` }} /></div>
                  {at > 0 && <span class="muted">{t("{share} of the step before; {lost} went no further", { share: step.conversion_from_previous === null ? "–" : percent(step.conversion_from_previous), lost: short(data.steps[at - 1].visitors - step.visitors) })}</span>}
                </li>
              ))}
            </ol>
          </>
        );
      }}
    </Answered>
  );
}

/** Funnels that were saved for the site. */
function Saved(props: { steps: Filter[]; window: string; isReady: boolean; onOpen: (steps: Filter[], window: string) => void }) {
  const answer = useItems<{ steps: (Nested | string)[]; window: string | null }>("funnels");
  const [name, setName] = useState<string | null>(null);
  const [error, setError] = useState("");
  const items = answer.data?.items;
  if (!items || !oneSite()) return null;
  const read = (step: Nested | string): Filter[] => (typeof step === "string" ? [parseFilter(step)].flatMap((found) => found ?? []) : [{ operator: step[0], dimension: step[1], values: step[2] ?? [] }]);
  const save = async () => {
    try {
      await addItem("funnels", { name, steps: props.steps.map((step) => (takesValues(step.operator) ? [step.operator, step.dimension, step.values] : [step.operator, step.dimension])), window: props.window || null });
      setName(null);
      setError("");
    } catch (refused) {
      setError(refused instanceof Refusal ? troubleWords(refused) : String(refused));
    }
  };
  return (
    <div class="segmented push">
      {items.map((item) => (
        <span class="chip" key={item.id}>
          <button type="button" class="chip-text" onClick={() => props.onOpen(item.steps.flatMap(read), item.window ?? "")}>{item.name}</button>
          <button type="button" class="chip-close" aria-label={t("Delete {name}", { name: item.name })} onClick={() => void removeItem("funnels", item.id)}><Icon name="close" size={14} /></button>
        </span>
      ))}
      {name === null ? (
        <button type="button" class="button small" disabled={!props.isReady} onClick={() => setName("")}>{t("Save")}</button>
      ) : (
        <form class="inline" onSubmit={(event) => { event.preventDefault(); void save(); }}>
          <input class="input" aria-label={t("Name of the funnel")} placeholder={t("Name")} required value={name} onInput={(event) => setName(event.currentTarget.value)} />
          <button class="button small primary" type="submit">{t("Save")}</button>
        </form>
      )}
      {error && <span class="trend bad" role="alert">{error}</span>}
    </div>
  );
}
