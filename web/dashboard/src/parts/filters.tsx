// The conditions that hold for everything on the page, as chips, and the form that makes one.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { ask, type Breakdown } from "../api";
import { useAnswer } from "../answer";
import { DIMENSIONS, dimensionTitle } from "../dimensions";
import { valueName } from "../format";
import { setFilters, statsParams, view } from "../store";
import { formatFilter, OPERATORS, takesValues, type Filter } from "../view";
import { t } from "../words";
import { Icon } from "./icon";
import { Dialog } from "./overlay";

const OPERATOR_NAMES: Record<string, string> = {
  is: "is", is_not: "is not", contains: "contains", contains_not: "does not contain", starts_with: "starts with", starts_with_not: "does not start with",
  ends_with: "ends with", ends_with_not: "does not end with", exists: "is there", exists_not: "is not there",
};
export const operatorName = (operator: string) => t(OPERATOR_NAMES[operator] ?? operator);

export function filterWords({ dimension, operator, values }: Filter): string {
  const names = values.map((value) => valueName(dimension, value)).join(` ${t("or")} `);
  return `${dimensionTitle(dimension)} ${operatorName(operator)}${names && ` ${names}`}`;
}

export function FilterBar({ children }: { children?: ComponentChildren }) {
  const [edited, setEdited] = useState<{ filter?: Filter; at: number } | null>(null);
  const { filters } = view.value;
  const remove = (at: number) => setFilters(filters.filter((_, index) => index !== at));
  return (
    <div class="filter-bar">
      {filters.map((filter, at) => (
        <span class="chip" key={formatFilter(filter)}>
          <button type="button" class="chip-text" title={t("Change this filter")} onClick={() => setEdited({ filter, at })}>
            <span class="muted">{dimensionTitle(filter.dimension)}</span> {operatorName(filter.operator)} <b>{filter.values.map((value) => valueName(filter.dimension, value)).join(` ${t("or")} `)}</b>
          </button>
          <button type="button" class="chip-close" aria-label={t("Remove the filter: {filter}", { filter: filterWords(filter) })} onClick={() => remove(at)}>
            <Icon name="close" size={14} />
          </button>
        </span>
      ))}
      <button type="button" class="button small quiet add-filter" onClick={() => setEdited({ at: filters.length })}>
        <Icon name="plus" size={15} /> {t("Filter")}
      </button>
      {children}
      {filters.length > 1 && <button type="button" class="button small quiet" onClick={() => setFilters([])}>{t("Clear all")}</button>}
      {edited && (
        <FilterForm
          filter={edited.filter}
          onDone={(filter) => setFilters([...filters.slice(0, edited.at), filter, ...filters.slice(edited.at + 1)])}
          onClose={() => setEdited(null)}
        />
      )}
    </div>
  );
}

export function FilterForm({ filter, onDone, onClose }: { filter?: Filter; onDone: (filter: Filter) => void; onClose: () => void }) {
  const isProperty = filter?.dimension.startsWith("properties.");
  const [dimension, setDimension] = useState(isProperty ? "properties" : (filter?.dimension ?? "path"));
  const [property, setProperty] = useState(isProperty ? filter!.dimension.slice(11) : "");
  const [operator, setOperator] = useState(filter?.operator ?? "is");
  const [values, setValues] = useState<string[]>(filter?.values ?? []);
  const [typed, setTyped] = useState("");
  const whole = dimension === "properties" ? `properties.${property}` : dimension;
  const isKnown = dimension !== "properties" || property.trim() !== "";
  const suggestions = useSuggestions(isKnown && takesValues(operator) ? whole : null, typed);
  const all = typed.trim() && !values.includes(typed.trim()) ? [...values, typed.trim()] : values;
  const isReady = isKnown && (!takesValues(operator) || all.length > 0);
  return (
    <Dialog title={filter ? t("Change the filter") : t("Add a filter")} onClose={onClose}>
      <form class="form" method="dialog" onSubmit={() => isReady && onDone({ dimension: whole, operator, values: takesValues(operator) ? all : [] })}>
        <div class="fields">
          <label class="field">{t("What")}
            <select class="input" value={dimension} onChange={(event) => { setDimension(event.currentTarget.value); setValues([]); }}>
              {Object.keys(DIMENSIONS).map((name) => <option key={name} value={name}>{dimensionTitle(name)}</option>)}
              <option value="properties">{t("Property …")}</option>
            </select>
          </label>
          {dimension === "properties" && (
            <label class="field">{t("Property")}<input class="input" required value={property} onInput={(event) => setProperty(event.currentTarget.value)} placeholder="plan" /></label>
          )}
          <label class="field">{t("Condition")}
            <select class="input" value={operator} onChange={(event) => setOperator(event.currentTarget.value)}>
              {OPERATORS.map((name) => <option key={name} value={name}>{operatorName(name)}</option>)}
            </select>
          </label>
        </div>
        {takesValues(operator) && (
          <>
            <label class="field">{t("Value")}
              <input
                class="input"
                value={typed}
                onInput={(event) => setTyped(event.currentTarget.value)}
                onKeyDown={(event) => {
                  if (event.key !== "Enter" || !typed.trim() || event.ctrlKey || event.metaKey) return;
                  event.preventDefault();
                  setValues(all);
                  setTyped("");
                }}
                placeholder={t("Type, then Enter for another one")}
              />
            </label>
            {values.length > 0 && (
              <p class="chips">
                {values.map((value) => (
                  <span class="chip" key={value}>
                    <span class="chip-text">{valueName(whole, value)}</span>
                    <button type="button" class="chip-close" aria-label={t("Remove {value}", { value })} onClick={() => setValues(values.filter((other) => other !== value))}><Icon name="close" size={14} /></button>
                  </span>
                ))}
              </p>
            )}
            <ul class="suggestions" aria-label={t("Values that were seen")}>
              {suggestions.filter((value) => !values.includes(value)).map((value) => (
                <li key={value}>
                  <button type="button" class="menu-item" onClick={() => { setValues([...values, value]); setTyped(""); }}>{valueName(whole, value)}</button>
                </li>
              ))}
            </ul>
          </>
        )}
        <button class="button primary" type="submit" disabled={!isReady}>{t("Apply")}</button>
      </form>
    </Dialog>
  );
}

/** Values of a dimension that were seen in the range, most seen first. */
function useSuggestions(dimension: string | null, search: string): string[] {
  const params = dimension ? statsParams({}, { ...view.value, filters: [] }) : [];
  if (dimension) {
    params.push(["dimensions", dimension], ["metrics", "events"], ["limit", "8"], ["filter", `${dimension}:exists`]);
    if (search.trim()) params.push(["search", search.trim()]);
  }
  const answer = useAnswer<Breakdown>(dimension ? JSON.stringify(params) : null, (signal) => ask("/v1/stats/breakdown", { params, signal }), false);
  return (answer.data?.results ?? []).flatMap((row) => row.dimensions[dimension ?? ""] ?? []);
}
