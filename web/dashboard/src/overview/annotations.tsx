// What people wrote down beside the numbers: a release, a campaign, an outage.
import { ask, Refusal } from "../api";
import { useAnswer } from "../answer";
import type { Mark } from "../parts/chart";
import { sites, view } from "../store";

interface Annotation {
  id: string;
  at: string;
  text: string;
}

/** The site whose documents are meant, if it is one. */
export function oneSite(): string | undefined {
  if (view.value.sites.length === 1) return view.value.sites[0];
  const all = sites.value ?? [];
  return !view.value.sites.length && all.length === 1 ? all[0].id : undefined;
}

/** Annotations of the site; none for several, and none from a server that keeps none. */
export function useAnnotations(): Mark[] {
  const site = oneSite();
  const answer = useAnswer<Annotation[]>(
    site ? `annotations ${site}` : null,
    async (signal) => {
      try {
        return (await ask<{ results: Annotation[] }>(`/v1/sites/${encodeURIComponent(site!)}/annotations`, { signal })).results;
      } catch (error) {
        if (error instanceof Refusal && error.status === 404) return [];
        throw error;
      }
    },
    false,
  );
  return (answer.data ?? []).map(({ at, text }) => ({ at: new Date(at).getTime() / 1_000, text }));
}
