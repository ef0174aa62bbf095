// Who looks, and what belongs to them: profile, sign-ins, passkeys, organisations, share links.
import { useState } from "preact/hooks";
import { Organisation } from "../../account/organisation";
import { Careful, LineForm } from "../../account/attempt";
import { Shares } from "../../account/shares";
import { ask, isLockedOut, key, setKey } from "../../api";
import { useAnswer } from "../../answer";
import { ago, day } from "../../format";
import { Answered, Empty } from "../../parts/states";
import { loadSites, me, sites, type Me } from "../../store";
import { t } from "../../words";

export default function Account() {
  const who = me.value;
  return (
    <>
      {who?.kind === "person" && who.user && <Profile user={who.user} />}
      {who?.kind !== "person" && (
        <section class="card padded" aria-label={t("Who looks")}>
          <div class="card-head"><h2>{who?.kind === "operator" ? t("Signed in as the operator of this machine") : key.value ? t("You came with a key") : t("This server answers this machine without a key")}</h2></div>
          <p class="muted">{t("It reads: {sites}", { sites: (sites.value ?? []).map((site) => site.id).join(", ") || "–" })}</p>
          {key.value ? (
            <p><button type="button" class="button" onClick={() => { setKey(""); isLockedOut.value = true; }}>{t("Forget the key")}</button></p>
          ) : (
            <p><button type="button" class="button" onClick={() => (isLockedOut.value = true)}>{t("Sign in as somebody else")}</button></p>
          )}
        </section>
      )}
      {who?.kind === "operator" && <FirstOwner />}
      {who === null && <div class="card padded"><Empty title={t("This server has no accounts")}>{t("Sites and keys are issued on its command line: dewpond site add, dewpond key add.")}</Empty></div>}
      {(who?.organisations ?? []).map((organisation) => <Organisation key={organisation.id} organisation={organisation} />)}
      {(who?.kind === "person" || who?.kind === "operator") && (
        <section class="card padded" aria-label={t("New organisation")}>
          <div class="card-head"><h2>{t("New organisation")}</h2></div>
          <NewOrganisation />
        </section>
      )}
      {who && who.kind !== "share" && who.kind !== "key" && <Shares />}
    </>
  );
}

/** Makes the first account, while there is none; whoever is the operator may. */
function FirstOwner() {
  const answer = useAnswer<{ first_owner_needed: boolean }>("options", (signal) => ask("/v1/auth/options", { signal }), false);
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [organisation, setOrganisation] = useState("");
  if (!answer.data?.first_owner_needed) return null;
  const register = async () => {
    await ask("/v1/auth/register", { body: { email, password, organisation } });
    // From here on the cookies of the new account say who it is.
    setKey("");
    await loadSites();
  };
  return (
    <section class="card padded" aria-label={t("Make the first account")}>
      <div class="card-head"><h2>{t("Make the first account")}</h2></div>
      <p class="muted">{t("It owns a new organisation and invites the others. Sites that there are already are given to it by: dewpond site set SITE --organisation NAME")}</p>
      <LineForm label={t("Begin")} onSubmit={register}>
        <input class="input" type="email" autocomplete="username" required aria-label={t("E-mail")} placeholder={t("E-mail")} value={email} onInput={(event) => setEmail(event.currentTarget.value)} />
        <input class="input" type="password" autocomplete="new-password" required aria-label={t("Password")} placeholder={t("Password")} value={password} onInput={(event) => setPassword(event.currentTarget.value)} />
        <input class="input" required aria-label={t("Organisation")} placeholder={t("Organisation")} value={organisation} onInput={(event) => setOrganisation(event.currentTarget.value)} />
      </LineForm>
    </section>
  );
}

function NewOrganisation() {
  const [name, setName] = useState("");
  return (
    <LineForm label={t("Add")} onSubmit={async () => { await ask("/v1/organisations", { body: { name } }); setName(""); await loadSites(); }}>
      <input class="input" required aria-label={t("Name of the organisation")} placeholder={t("Name")} value={name} onInput={(event) => setName(event.currentTarget.value)} />
    </LineForm>
  );
}

function Profile({ user }: { user: NonNullable<Me["user"]> }) {
  const [name, setName] = useState(user.name ?? "");
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const [isChanged, setChanged] = useState(false);
  const leave = async (path: string) => {
    await ask(path, { body: {} });
    isLockedOut.value = true;
  };
  return (
    <section class="card padded" aria-label={t("Profile")}>
      <div class="card-head"><h2>{user.email}</h2><span class="muted">{t("since {day}", { day: day(user.created_at) })}</span>
        <span class="push segmented"><button type="button" class="button small" onClick={() => void leave("/v1/auth/logout")}>{t("Sign out")}</button><Careful label={t("Sign out everywhere")} sure={t("Really everywhere?")} onSure={() => leave("/v1/auth/logout-everywhere")} /></span>
      </div>
      <LineForm label={t("Save")} onSubmit={async () => { me.value = await ask<Me>("/v1/me", { method: "PATCH", body: { name } }); }}>
        <input class="input" aria-label={t("Your name")} placeholder={t("Your name")} value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </LineForm>
      <h3>{t("Password")}</h3>
      <LineForm label={t("Change")} onSubmit={async () => { await ask("/v1/me/password", { body: { ...(user.has_password && { current }), new: next } }); setCurrent(""); setNext(""); setChanged(true); }}>
        {user.has_password && <input class="input" type="password" autocomplete="current-password" required aria-label={t("Current password")} placeholder={t("Current password")} value={current} onInput={(event) => setCurrent(event.currentTarget.value)} />}
        <input class="input" type="password" autocomplete="new-password" required aria-label={t("New password")} placeholder={t("New password")} value={next} onInput={(event) => setNext(event.currentTarget.value)} />
      </LineForm>
      {isChanged && <p class="trend good" role="status">{t("Changed; all other sign-ins have ended.")}</p>}
      <Passkeys />
      <Companies user={user} />
      <SignIns />
    </section>
  );
}

interface Company { id: string; name: string; issuer: string }

/** The companies with which somebody signs in, or may. */
function Companies({ user }: { user: NonNullable<Me["user"]> }) {
  const answer = useAnswer<{ providers: Company[] }>("options", (signal) => ask("/v1/auth/options", { signal }), false);
  if (!answer.data?.providers.length) return null;
  const connect = async (id: string) => {
    const { url } = await ask<{ url: string }>(`/v1/me/identities/${encodeURIComponent(id)}`, { body: {} });
    location.assign(url);
  };
  return (
    <>
      <h3>{t("Sign in with a company")}</h3>
      <ul>
        {answer.data.providers.map((one) => (
          <li key={one.id} class="line-form"><span>{one.name} {user.identities?.includes(one.issuer) && <span class="tag good">{t("connected")}</span>}</span>
            {user.identities?.includes(one.issuer) ? <Careful label={t("Disconnect")} sure={t("Really disconnect?")} onSure={async () => { await ask(`/v1/me/identities/${encodeURIComponent(one.id)}`, { method: "DELETE" }); await loadSites(); }} /> : <Connect onConnect={() => connect(one.id)} />}</li>
        ))}
      </ul>
    </>
  );
}

function Connect({ onConnect }: { onConnect: () => Promise<void> }) {
  return <LineForm label={t("Connect")} onSubmit={onConnect}>{null}</LineForm>;
}

interface SignedIn { id: string; created_at: string; last_used_at: string; user_agent: string; current: boolean }

function SignIns() {
  const answer = useAnswer<{ results: SignedIn[] }>("sign-ins", (signal) => ask("/v1/me/sign-ins", { signal }), false);
  return (
    <>
      <h3>{t("Sign-ins")}</h3>
      <Answered answer={answer} rows={2}>
        {(data) => (
          <ul>
            {data.results.map((one) => (
              <li key={one.id} class="line-form"><span class="wrap-any">{one.user_agent} <span class="muted">{ago(one.last_used_at, Date.now())}</span> {one.current && <span class="tag good">{t("this one")}</span>}</span>
                {!one.current && <Careful label={t("End")} sure={t("Really end?")} onSure={() => ask(`/v1/me/sign-ins/${one.id}`, { method: "DELETE" }).then(answer.again)} />}</li>
            ))}
          </ul>
        )}
      </Answered>
    </>
  );
}

/** What browsers of 2025 and later have for options that came as JSON. */
interface JsonCredentials {
  parseCreationOptionsFromJSON(options: unknown): PublicKeyCredentialCreationOptions;
}

function Passkeys() {
  const answer = useAnswer<{ results: { id: string; name: string; created_at: string }[] }>("passkeys", (signal) => ask("/v1/me/passkeys", { signal }), false);
  const [name, setName] = useState("");
  const read = window.PublicKeyCredential as unknown as JsonCredentials | undefined;
  if (!read?.parseCreationOptionsFromJSON || answer.error?.status === 404) return null;
  const add = async () => {
    const { id, publicKey } = await ask<{ id: string; publicKey: unknown }>("/v1/me/passkeys/options", { body: {} });
    const credential = (await navigator.credentials.create({ publicKey: read.parseCreationOptionsFromJSON(publicKey) })) as (PublicKeyCredential & { toJSON(): unknown }) | null;
    if (!credential) return;
    await ask("/v1/me/passkeys", { body: { id, name: name || t("Passkey"), credential: credential.toJSON() } });
    setName("");
    answer.again();
  };
  return (
    <>
      <h3>{t("Passkeys")}</h3>
      <Answered answer={answer} rows={1}>
        {(data) => (
          <ul>{data.results.map((one) => <li key={one.id} class="line-form"><span>{one.name} <span class="muted">{day(one.created_at)}</span></span><Careful label={t("Remove")} sure={t("Really remove?")} onSure={() => ask(`/v1/me/passkeys/${encodeURIComponent(one.id)}`, { method: "DELETE" }).then(answer.again)} /></li>)}</ul>
        )}
      </Answered>
      <LineForm label={t("Add a passkey")} onSubmit={add}>
        <input class="input" aria-label={t("Name of the passkey")} placeholder={t("This laptop")} value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </LineForm>
    </>
  );
}
