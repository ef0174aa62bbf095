// What changes something on the server: a form or a button, that says why if it was refused.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Refusal } from "../api";
import { troubleWords } from "../parts/states";

/** Runs what somebody asked for; `error` is why the last try was refused. */
export function useAttempt(): { error: string; isBusy: boolean; attempt: (what: () => Promise<unknown>) => Promise<boolean> } {
  const [error, setError] = useState("");
  const [isBusy, setBusy] = useState(false);
  const attempt = async (what: () => Promise<unknown>) => {
    setBusy(true);
    setError("");
    try {
      await what();
      return true;
    } catch (refused) {
      setError(refused instanceof Refusal ? troubleWords(refused) : String(refused));
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { error, isBusy, attempt };
}

export function Refused({ error }: { error: string }) {
  return error ? <p class="trend bad" role="alert">{error}</p> : null;
}

/** Fields in a row with one button. */
export function LineForm(props: { label: string; onSubmit: () => Promise<unknown>; children: ComponentChildren; isDisabled?: boolean }) {
  const { error, isBusy, attempt } = useAttempt();
  return (
    <form class="line-form" onSubmit={(event) => { event.preventDefault(); void attempt(props.onSubmit); }}>
      {props.children}
      <button class="button" type="submit" disabled={isBusy || props.isDisabled}>{props.label}</button>
      <Refused error={error} />
    </form>
  );
}

/** A button that asks once more before it does what cannot be undone. */
export function Careful(props: { label: string; sure: string; onSure: () => Promise<unknown> }) {
  const [isAsked, setAsked] = useState(false);
  const { error, isBusy, attempt } = useAttempt();
  return (
    <>
      <button type="button" class="button small danger" disabled={isBusy} onBlur={() => setAsked(false)} onClick={() => (isAsked ? void attempt(props.onSure).then(() => setAsked(false)) : setAsked(true))}>{isAsked ? props.sure : props.label}</button>
      <Refused error={error} />
    </>
  );
}
