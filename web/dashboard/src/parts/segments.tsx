// Filters that were saved under a name.
import { useState } from "preact/hooks";
import { Refusal } from "../api";
import { addItem, mayWrite, removeItem, useItems, type Nested } from "../documents";
import { setFilters, view } from "../store";
import { takesValues } from "../view";
import { t } from "../words";
import { Icon } from "./icon";
import { Menu } from "./overlay";
import { troubleWords } from "./states";

export function Segments() {
  const answer = useItems<{ filters: Nested[] }>("segments");
  const [name, setName] = useState("");
  const [error, setError] = useState("");
  const items = answer.data?.items;
  if (!items || (!items.length && !mayWrite())) return null;
  const { filters } = view.value;
  const attempt = async (what: () => Promise<unknown>) => {
    try {
      await what();
      setName("");
      setError("");
    } catch (refused) {
      setError(refused instanceof Refusal ? troubleWords(refused) : String(refused));
    }
  };
  const save = () => addItem("segments", { name, filters: filters.map((filter) => (takesValues(filter.operator) ? [filter.operator, filter.dimension, filter.values] : [filter.operator, filter.dimension])) });
  return (
    <Menu class="small" label={t("Segments")}>
      {(close) => (
        <>
          {items.map((item) => (
            <div key={item.id} class="menu-row">
              <button type="button" class="menu-item" onClick={() => { setFilters(item.filters.map(([operator, dimension, values]) => ({ operator, dimension, values: values ?? [] }))); close(); }}>{item.name}</button>
              {mayWrite() && <button type="button" class="button quiet square" aria-label={t("Delete {name}", { name: item.name })} onClick={() => void attempt(() => removeItem("segments", item.id))}><Icon name="trash" size={15} /></button>}
            </div>
          ))}
          {mayWrite() && (
            <form class="menu-form" onSubmit={(event) => { event.preventDefault(); void attempt(save); }}>
              <input class="input" aria-label={t("Name of the segment")} placeholder={filters.length ? t("Save these filters as …") : t("Filter first, then save")} required disabled={!filters.length} value={name} onInput={(event) => setName(event.currentTarget.value)} />
              <button class="button small" type="submit" disabled={!filters.length}>{t("Save")}</button>
            </form>
          )}
          {error && <p class="trend bad" role="alert">{error}</p>}
        </>
      )}
    </Menu>
  );
}
