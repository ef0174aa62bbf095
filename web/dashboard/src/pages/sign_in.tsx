// Who are you? With a password where the server has accounts, else with a read key.
import { useEffect, useState } from "preact/hooks";
import { ask, isLockedOut, key, Refusal, setKey } from "../api";
import { Icon, Logo } from "../parts/icon";
import { troubleWords } from "../parts/states";
import { go, loadSites, view } from "../store";
import { t } from "../words";

interface Options {
  first_owner_needed: boolean;
  passkeys: boolean;
  providers: { id: string; name: string }[];
}

export default function SignIn() {
  const [options, setOptions] = useState<Options | null | undefined>(undefined);
  const [byKey, setByKey] = useState(false);
  useEffect(() => {
    ask<Options>("/v1/auth/options").then(setOptions, () => setOptions(null));
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

/** Enters once the server knows who asks. */
async function enter() {
  // This page stays until the server has let somebody in.
  await loadSites();
  isLockedOut.value = false;
  if (view.value.page === "sign-in") go({ page: "", extra: {} });
}

function WithPassword({ options }: { options: Options }) {
  const isFirst = options.first_owner_needed;
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [organisation, setOrganisation] = useState("");
  const [error, setError] = useState("");
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError("");
    try {
      await ask(isFirst ? "/v1/auth/register" : "/v1/auth/login", { body: isFirst ? { email, password, ...(organisation && { organisation }) } : { email, password } });
      setKey("");
      await enter();
    } catch (refused) {
      setError(refused instanceof Refusal ? troubleWords(refused) : String(refused));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form class="card padded form" onSubmit={submit}>
      <h2>{isFirst ? t("Make the first account") : t("Sign in")}</h2>
      <label class="field">{t("E-mail")}<input class="input" type="email" autocomplete="username" required value={email} onInput={(event) => setEmail(event.currentTarget.value)} /></label>
      <label class="field">{t("Password")}<input class="input" type="password" autocomplete={isFirst ? "new-password" : "current-password"} required value={password} onInput={(event) => setPassword(event.currentTarget.value)} /></label>
      {isFirst && <label class="field">{t("Organisation")}<input class="input" value={organisation} onInput={(event) => setOrganisation(event.currentTarget.value)} /></label>}
      {error && <p class="trend bad" role="alert">{error}</p>}
      <button class="button primary" type="submit" disabled={isBusy}>{isFirst ? t("Begin") : t("Sign in")}</button>
      {options.providers.map((provider) => <a key={provider.id} class="button" href={`/v1/auth/oidc/${encodeURIComponent(provider.id)}?next=/dashboard/`}>{t("Sign in with {name}", { name: provider.name })}</a>)}
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
