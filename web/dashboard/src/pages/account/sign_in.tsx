// Who are you? With a password where the server has accounts, else with a read key.
import { useEffect, useState } from "preact/hooks";
import { ask, isLockedOut, key, Refusal, setKey } from "../../api";
import { Refused, useAttempt } from "../../account/attempt";
import { Icon, Logo } from "../../parts/icon";
import { troubleWords } from "../../parts/states";
import { go, loadSites, view } from "../../store";
import { t } from "../../words";

interface Options {
  first_owner_needed: boolean;
  passkeys: boolean;
  providers: { id: string; name: string }[];
}

export default function SignIn() {
  const [options, setOptions] = useState<Options | null | undefined>(undefined);
  const [byKey, setByKey] = useState(false);
  useEffect(() => {
    ask<Options>("/v1/auth/options").then(
      (found) => {
        setOptions(found);
        // Nobody has a password yet; the first owner is made by whoever has the server's token.
        setByKey(found.first_owner_needed);
      },
      () => setOptions(null),
    );
  }, []);
  if (options === undefined) return null;
  return (
    <main class="sign-in">
      <h1><Logo /> Dewpond</h1>
      {options && !byKey ? <WithPassword options={options} /> : <WithKey />}
      {options && <button type="button" class="link" onClick={() => setByKey(!byKey)}>{byKey ? t("Sign in with a password") : t("Use a read key")}</button>}
    </main>
  );
}

/** Where somebody goes who comes back from a company: what he wanted to see. */
const nextAddress = () => (view.value.page === "sign-in" ? "/dashboard/" : location.pathname + location.search);

/** Enters once the server knows who asks. */
async function enter() {
  // This page stays until the server has let somebody in.
  await loadSites();
  isLockedOut.value = false;
  if (view.value.page === "sign-in") go({ page: "", extra: {} });
}

/** What browsers of 2025 and later have for options that came as JSON. */
interface JsonRequests {
  parseRequestOptionsFromJSON(options: unknown): PublicKeyCredentialRequestOptions;
}

/** Asks the browser for a passkey, and the server whether it is one. */
async function showPasskey(id: string, publicKey: unknown): Promise<void> {
  const read = window.PublicKeyCredential as unknown as JsonRequests;
  const credential = (await navigator.credentials.get({ publicKey: read.parseRequestOptionsFromJSON(publicKey) })) as (PublicKeyCredential & { toJSON(): unknown }) | null;
  if (credential) await ask("/v1/auth/passkey", { body: { id, credential: credential.toJSON() } });
}

function WithPassword({ options }: { options: Options }) {
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const { error, isBusy, attempt } = useAttempt();
  const byPassword = async () => {
    const answer = await ask<{ second_factor?: { id: string; publicKey: unknown } }>("/v1/auth/login", { body: { email, password } });
    if (answer.second_factor) await showPasskey(answer.second_factor.id, answer.second_factor.publicKey);
    setKey("");
    await enter();
  };
  const byPasskey = async () => {
    const { id, publicKey } = await ask<{ id: string; publicKey: unknown }>("/v1/auth/passkey/options", { body: {} });
    await showPasskey(id, publicKey);
    setKey("");
    await enter();
  };
  const canPasskey = options.passkeys && window.PublicKeyCredential && "parseRequestOptionsFromJSON" in window.PublicKeyCredential;
  return (
    <form class="card padded form" onSubmit={(event) => { event.preventDefault(); void attempt(byPassword); }}>
      <h2>{t("Sign in")}</h2>
      <label class="field">{t("E-mail")}<input class="input" type="email" autocomplete="username" required value={email} onInput={(event) => setEmail(event.currentTarget.value)} /></label>
      <label class="field">{t("Password")}<input class="input" type="password" autocomplete="current-password" required value={password} onInput={(event) => setPassword(event.currentTarget.value)} /></label>
      <Refused error={error} />
      <button class="button primary" type="submit" disabled={isBusy}>{t("Sign in")}</button>
      {canPasskey && <button class="button" type="button" disabled={isBusy} onClick={() => void attempt(byPasskey)}>{t("Sign in with a passkey")}</button>}
      {options.providers.map((provider) => <a key={provider.id} class="button" href={`/v1/auth/oidc/${encodeURIComponent(provider.id)}?next=${encodeURIComponent(nextAddress())}`} onClick={() => setKey("")}>{t("Sign in with {name}", { name: provider.name })}</a>)}
    </form>
  );
}

function WithKey() {
  const [typed, setTyped] = useState("");
  const [error, setError] = useState(key.value ? t("The key that was sent is not valid, or was revoked.") : "");
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError("");
    setKey(typed);
    try {
      await enter();
    } catch (refused) {
      setKey("");
      isLockedOut.value = true;
      setError(refused instanceof Refusal ? troubleWords(refused) : String(refused));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form class="card padded form" onSubmit={submit}>
      <h2>{t("A key opens the numbers")}</h2>
      <label class="field">{t("Read key, or the server's token")}<input class="input" type="password" autocomplete="off" required value={typed} onInput={(event) => setTyped(event.currentTarget.value)} /></label>
      {error && <p class="trend bad" role="alert">{error}</p>}
      <button class="button primary" type="submit" disabled={isBusy}><Icon name="right" size={16} /> {t("Open")}</button>
      <p class="muted">{t("It is issued by")} <code>dewpond key add --site SITE</code>{t(", and kept in this tab alone.")}</p>
    </form>
  );
}
