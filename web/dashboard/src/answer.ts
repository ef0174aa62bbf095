// Answers of the server in a page: asked for when the question changes, kept while the next one is on its way.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { key, Refusal } from "./api";
import { tick } from "./store";

export interface Answer<T> {
  data?: T;
  error?: Refusal;
  /** `data` answers the question before this one, or could not be refreshed. */
  isStale: boolean;
  isLoading: boolean;
  again: () => void;
}

/** Answers that were shown lately, so that going back shows them at once. */
const kept = new Map<string, unknown>();
const KEPT_MAX = 200;

/**
 * Asks whenever `question` changes, and again with each tick. The question is all that the answer depends on, as text;
 * null asks nothing.
 */
export function useAnswer<T>(question: string | null, fetchIt: (signal: AbortSignal) => Promise<T>, isLive = true): Answer<T> {
  const now = isLive ? tick.value : 0;
  const id = question === null ? null : `${key.value}\n${question}`;
  const [state, setState] = useState<{ id?: string | null; data?: T; error?: Refusal; isLoading: boolean }>({ isLoading: true });
  const [tries, setTries] = useState(0);
  const latest = useRef(fetchIt);
  latest.current = fetchIt;
  // Not after the next frame: the answer is on its way while the page says that it loads.
  useLayoutEffect(() => {
    if (id === null) return;
    const abort = new AbortController();
    setState((before) => ({ ...before, isLoading: true, error: before.id === id ? before.error : undefined }));
    latest.current(abort.signal).then(
      (data) => {
        if (abort.signal.aborted) return;
        if (kept.size >= KEPT_MAX) kept.delete(kept.keys().next().value!);
        kept.delete(id);
        kept.set(id, data);
        setState({ id, data, isLoading: false });
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        const refusal = error instanceof Refusal ? error : new Refusal(500, String(error));
        setState((before) => ({ ...(before.id === id ? before : { id, data: kept.get(id) as T }), error: refusal, isLoading: false }));
      },
    );
    return () => abort.abort();
  }, [id, now, tries]);
  const isOther = state.id !== id;
  const data = isOther && id !== null && kept.has(id) ? (kept.get(id) as T) : state.data;
  return {
    data,
    error: isOther ? undefined : state.error,
    isLoading: id !== null && (isOther || state.isLoading),
    isStale: data !== undefined && (isOther || state.error !== undefined),
    again: () => setTries((count) => count + 1),
  };
}
