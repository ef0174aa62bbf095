// How a part of a page looks while there is nothing to show.
import type { ComponentChildren } from "preact";
import type { Refusal } from "../api";
import type { Answer } from "../answer";
import { t } from "../words";
import { Icon } from "./icon";

/** What went wrong, in words, and what can be done. */
export function Trouble({ error, again }: { error: Refusal; again?: () => void }) {
  return (
    <div class="trouble" role="alert">
      <Icon name="warning" />
      <div>
        <p>{troubleWords(error)}</p>
        {error.hint && <p class="muted">{error.hint}</p>}
      </div>
      {again && (
        <button type="button" class="button" onClick={again}>
          {t("Try again")}
        </button>
      )}
    </div>
  );
}

export function troubleWords(error: Refusal): string {
  if (error.status === 0) return t("The server cannot be reached.");
  return error.message || t("The server answered with an error ({status}).", { status: error.status });
}

export function Empty({ children, title }: { title?: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p>{title ?? t("Nothing in this range")}</p>
      {children && <p class="muted">{children}</p>}
    </div>
  );
}

/** Bars where rows will be, so that nothing jumps when they come. */
export function Skeleton({ rows = 8 }: { rows?: number }) {
  return (
    <div class="skeleton" aria-hidden="true">
      {Array.from({ length: rows }, (_, index) => (
        <div key={index} class="skeleton-row" style={{ width: `${92 - ((index * 37) % 50)}%` }} />
      ))}
    </div>
  );
}

/** A part of a page in the state that its answer is in. */
export function Answered<T>(props: { answer: Answer<T>; rows?: number; isEmpty?: (data: T) => boolean; empty?: ComponentChildren; children: (data: T) => ComponentChildren }) {
  const { data, error, isStale, isLoading, again } = props.answer;
  if (data === undefined) {
    if (error) return <Trouble error={error} again={again} />;
    return (
      <div aria-busy="true">
        <span class="sr-only" role="status">{t("Loading …")}</span>
        <Skeleton rows={props.rows} />
      </div>
    );
  }
  return (
    <div class={isStale && isLoading ? "is-stale" : ""} aria-busy={isLoading && isStale}>
      {error && (
        <p class="stale-note" role="status">
          <Icon name="warning" size={15} /> {t("Not refreshed: {why}", { why: troubleWords(error) })}
        </p>
      )}
      {props.isEmpty?.(data) ? (props.empty ?? <Empty />) : props.children(data)}
    </div>
  );
}
