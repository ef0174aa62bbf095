// What people wrote down beside the numbers: a release, a campaign, an outage.
import { useState } from "preact/hooks";
import { ask, Refusal } from "../api";
import { addItem, mayWrite, removeItem, useItems } from "../documents";
import { fullDateTime } from "../format";
import type { Mark } from "../parts/chart";
import { Icon } from "../parts/icon";
import { Dialog } from "../parts/overlay";
import { troubleWords } from "../parts/states";
import { today, zone } from "../store";
import { t } from "../words";

interface Annotation {
  at: string;
  text: string;
}

/** Annotations of the site; none for several. */
export function useAnnotations(): Mark[] {
  const answer = useItems<Annotation>("annotations");
  return (answer.data?.items ?? []).map(({ at, text }) => ({ at: new Date(at).getTime() / 1_000, text }));
}

/** Writes one down, and takes one away. */
export function AnnotationForm() {
  const answer = useItems<Annotation>("annotations");
  const [isOpen, setOpen] = useState(false);
  if (!answer.data?.items || !mayWrite()) return null;
  return (
    <>
      <button type="button" class="button small" onClick={() => setOpen(true)}>{t("Annotations")}</button>
      {isOpen && <Annotations items={answer.data.items} onClose={() => setOpen(false)} />}
    </>
  );
}

function Annotations({ items, onClose }: { items: (Annotation & { id: string })[]; onClose: () => void }) {
  const [day, setDay] = useState(today());
  const [text, setText] = useState("");
  const [error, setError] = useState("");
  const attempt = async (what: () => Promise<unknown>) => {
    try {
      await what();
      setError("");
      setText("");
    } catch (refused) {
      setError(refused instanceof Refusal ? troubleWords(refused) : String(refused));
    }
  };
  return (
    <Dialog title={t("Annotations")} onClose={onClose}>
      <form class="form" onSubmit={(event) => { event.preventDefault(); void attempt(async () => addItem("annotations", { at: await midnightOf(day), until: null, text })); }}>
        <div class="fields">
          <label class="field">{t("Day")}<input class="input" type="date" required value={day} onInput={(event) => setDay(event.currentTarget.value)} /></label>
          <label class="field">{t("What happened")}<input class="input" required maxLength={200} value={text} onInput={(event) => setText(event.currentTarget.value)} /></label>
        </div>
        {error && <p class="trend bad" role="alert">{error}</p>}
        <button class="button primary" type="submit">{t("Write down")}</button>
      </form>
      <ul>
        {items.map((item) => (
          <li key={item.id} class="menu-row">
            <span class="menu-item wrap-any"><span>{item.text} <span class="muted">{fullDateTime(item.at, zone.value)}</span></span></span>
            <button type="button" class="button quiet square" aria-label={t("Delete {name}", { name: item.text })} onClick={() => void attempt(() => removeItem("annotations", item.id))}><Icon name="trash" size={16} /></button>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}

/** Midnight of a day in the zone of the sites, as the server reckons it. */
async function midnightOf(day: string): Promise<string> {
  const { query } = await ask<{ query: { from: string } }>("/v1/stats/aggregate", { params: [["date_range", `${day},${day}`], ["time_zone", zone.value], ["metrics", "events"]] });
  return query.from;
}
