// A link with a secret in its fragment: numbers that somebody shares, or an invitation.
import { useEffect, useState } from "preact/hooks";
import { ask, isLockedOut, Refusal, setKey } from "../../api";
import { Logo } from "../../parts/icon";
import { troubleWords } from "../../parts/states";
import { go, loadSites } from "../../store";
import { t } from "../../words";

const isShare = (secret: string) => secret.startsWith("dps_");

export default function OpenedLink({ secret, onDone }: { secret: string; onDone: () => void }) {
  return (
    <main class="sign-in">
      <h1><Logo /> Dewpond</h1>
      {isShare(secret) ? <Share token={secret} onDone={onDone} /> : <Invitation token={secret} onDone={onDone} />}
    </main>
  );
}

function Share({ token, onDone }: { token: string; onDone: () => void }) {
  const [needsPassword, setNeedsPassword] = useState(false);
  const [password, setPassword] = useState("");
  const [error, setError] = useState("");
  const open = async () => {
    try {
      const opened = await ask<{ site: string; access_token: string }>("/v1/shares/open", { body: { token, ...(password && { password }) } });
      setKey(opened.access_token);
      await loadSites();
      isLockedOut.value = false;
      go({ page: "", sites: [opened.site], extra: {} }, true);
      onDone();
    } catch (refused) {
      const refusal = refused instanceof Refusal ? refused : new Refusal(500, String(refused));
      setNeedsPassword(refusal.said.password_needed === true);
      setError(refusal.said.password_needed === true && !password ? "" : troubleWords(refusal));
    }
  };
  useEffect(() => void open(), []);
  if (!needsPassword) return error ? <p class="trend bad" role="alert">{error}</p> : <p class="muted" role="status">{t("Loading …")}</p>;
  return (
    <form class="card padded form" onSubmit={(event) => { event.preventDefault(); void open(); }}>
      <h2>{t("These numbers have a password")}</h2>
      <label class="field">{t("Password")}<input class="input" type="password" required value={password} onInput={(event) => setPassword(event.currentTarget.value)} /></label>
      {error && <p class="trend bad" role="alert">{error}</p>}
      <button class="button primary" type="submit">{t("Open")}</button>
    </form>
  );
}

interface Invited { organisation: string; role: string; email: string | null }

function Invitation({ token, onDone }: { token: string; onDone: () => void }) {
  const [invited, setInvited] = useState<Invited>();
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [error, setError] = useState("");
  const attempt = async (what: () => Promise<unknown>) => {
    try {
      await what();
    } catch (refused) {
      setError(refused instanceof Refusal ? troubleWords(refused) : String(refused));
    }
  };
  useEffect(() => {
    void attempt(async () => {
      const found = await ask<Invited>("/v1/invitations/look", { body: { token } });
      setInvited(found);
      setEmail(found.email ?? "");
    });
  }, []);
  const enter = async () => {
    await loadSites();
    isLockedOut.value = false;
    go({ page: "", extra: {} }, true);
    onDone();
  };
  if (!invited) return error ? <p class="trend bad" role="alert">{error}</p> : <p class="muted" role="status">{t("Loading …")}</p>;
  return (
    <form class="card padded form" onSubmit={(event) => { event.preventDefault(); void attempt(async () => { await ask("/v1/auth/register", { body: { email, password, invitation: token } }); await enter(); }); }}>
      <h2>{t("Join {organisation}", { organisation: invited.organisation })}</h2>
      <label class="field">{t("E-mail")}<input class="input" type="email" autocomplete="username" required readOnly={invited.email !== null} value={email} onInput={(event) => setEmail(event.currentTarget.value)} /></label>
      <label class="field">{t("Password")}<input class="input" type="password" autocomplete="new-password" required value={password} onInput={(event) => setPassword(event.currentTarget.value)} /></label>
      {error && <p class="trend bad" role="alert">{error}</p>}
      <button class="button primary" type="submit">{t("Make an account and join")}</button>
      <button class="button" type="button" onClick={() => void attempt(async () => { await ask("/v1/invitations/accept", { body: { token } }); await enter(); })}>{t("I am signed in already")}</button>
    </form>
  );
}
