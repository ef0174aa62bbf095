// A share that is shown in a frame of another site: `?embed=` has its id, by which the server knows whose pages may show it,
// and the fragment its secret. The frame shows the overview with the rights of the link, and has nothing to do with whoever
// is signed in here.
import { ask, setKey } from "./api";

const query = new URLSearchParams(location.search);

export const isEmbedded = Boolean(query.get("embed"));

/** The theme that the page around the frame wants. */
export const wantedTheme = isEmbedded ? query.get("theme") : null;

const [, secret = ""] = (isEmbedded && /^#(dps_\w+)$/.exec(location.hash)) || [];

/** Opens the share; its site. */
export async function openShare(): Promise<string> {
  const opened = await ask<{ site: string; access_token: string }>("/v1/shares/open", { body: { token: secret } });
  setKey(opened.access_token);
  return opened.site;
}
