// What people save for a site: goals, segments, funnels, annotations, share links. A server without accounts keeps none;
// then there is nothing to show, and what could be saved says so.
import { signal } from "@preact/signals";
import { ask, Refusal } from "./api";
import { type Answer, useAnswer } from "./answer";
import { me, oneSite, sites } from "./store";

export type Kind = "goals" | "segments" | "funnels" | "annotations" | "shares" | "email-reports";

export interface Item {
  id: string;
  version: number;
  name: string;
  created_at: string;
  created_by: string | null;
}

/** Undefined if the server keeps none, or this reader may not see them. */
export type Items<T> = (Item & T)[] | undefined;

/** Counts up with each change, so that every list is asked for again. */
const changes = signal(0);

export function useItems<T>(kind: Kind): Answer<{ items: Items<T> }> {
  const site = oneSite();
  return useAnswer(
    site ? `${kind} ${site} ${changes.value}` : null,
    async (signal) => {
      try {
        return { items: (await ask<{ results: (Item & T)[] }>(addressOfItems(site!, kind), { signal })).results };
      } catch (error) {
        if (error instanceof Refusal && (error.status === 404 || error.status === 403)) return { items: undefined };
        throw error;
      }
    },
    false,
  );
}

const addressOfItems = (site: string, kind: Kind) => `/v1/sites/${encodeURIComponent(site)}/${kind}`;

export async function addItem<T>(kind: Kind, fields: object): Promise<Item & T> {
  const made = await ask<Item & T>(addressOfItems(oneSite()!, kind), { body: fields });
  changes.value += 1;
  return made;
}

export async function removeItem(kind: Kind, id: string): Promise<void> {
  await ask(`${addressOfItems(oneSite()!, kind)}/${id}`, { method: "DELETE" });
  changes.value += 1;
}

/** A filter of the address, as documents keep it: `["is", "path", ["/"]]`. */
export type Nested = [operator: string, dimension: string, values?: string[]];

/** Whether whoever looks may change what is saved for the site. The server decides; this only leaves out buttons. */
export function mayWrite(): boolean {
  if (me.value?.kind === "operator") return true;
  const role = sites.value?.find((site) => site.id === oneSite())?.role;
  return me.value?.kind === "person" && (role === "owner" || role === "editor");
}
