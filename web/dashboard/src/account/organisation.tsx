// An organisation: its members, invitations, sites and read keys.
import { useState } from "preact/hooks";
import { ask } from "../api";
import { useAnswer } from "../answer";
import { day } from "../format";
import { Answered } from "../parts/states";
import { loadSites } from "../store";
import { t } from "../words";
import { Code } from "../pages/lake/setup";
import { Careful, LineForm } from "./attempt";

interface Member { id: string; email: string; name: string | null; role: string; joined_at: string }
interface Invitation { id: string; role: string; email: string | null; expires_at: string }
interface Key { prefix: string; name: string; sites: string[]; created_at: string; revoked_at: string | null }
interface OwnSite { id: string; created_at: string }
type List<T> = { results: T[] };

const ROLES: Record<string, string> = { owner: "Owner", editor: "Editor", viewer: "Viewer" };

export function Organisation({ organisation }: { organisation: { id: string; name: string; role: string; lake: string | null } }) {
  const base = `/v1/organisations/${organisation.id}`;
  const mayChange = organisation.role !== "viewer";
  return (
    <section class="card padded" aria-label={organisation.name}>
      <div class="card-head"><h2>{organisation.name}</h2><span class="tag">{t(ROLES[organisation.role] ?? organisation.role)}</span></div>
      {organisation.lake && <p class="muted wrap-any">{t("The events of its sites lie in a lake of its own: {url}", { url: organisation.lake })}</p>}
      <Members base={base} isOwner={organisation.role === "owner"} />
      {mayChange && <Sites base={base} />}
      {mayChange && <Keys base={base} />}
    </section>
  );
}

function Members({ base, isOwner }: { base: string; isOwner: boolean }) {
  const members = useAnswer<List<Member>>(`${base}/members`, (signal) => ask(`${base}/members`, { signal }), false);
  const invitations = useAnswer<List<Invitation>>(isOwner ? `${base}/invitations` : null, (signal) => ask(`${base}/invitations`, { signal }), false);
  const [role, setRole] = useState("viewer");
  const [email, setEmail] = useState("");
  const [link, setLink] = useState("");
  const invite = async () => {
    const made = await ask<{ token: string }>(`${base}/invitations`, { body: { role, ...(email && { email }) } });
    // In the fragment, which no server and no log of one ever sees.
    setLink(`${location.origin}/dashboard/#${made.token}`);
    setEmail("");
    invitations.again();
  };
  return (
    <>
      <h3>{t("Members")}</h3>
      <Answered answer={members} rows={3}>
        {(data) => (
          <table class="table">
            <thead><tr><th scope="col">{t("Who")}</th><th scope="col">{t("Role")}</th><th scope="col">{t("Since")}</th><th><span class="sr-only">{t("Remove")}</span></th></tr></thead>
            <tbody>
              {data.results.map((member) => (
                <tr key={member.id}>
                  <th scope="row" class="wrap-any">{member.name || member.email} {member.name && <span class="muted">{member.email}</span>}</th>
                  <td>
                    {isOwner ? (
                      <select class="input compact" aria-label={t("Role of {name}", { name: member.email })} value={member.role} onChange={(event) => void ask(`${base}/members/${member.id}`, { method: "PATCH", body: { role: event.currentTarget.value } }).finally(members.again)}>
                        {Object.entries(ROLES).map(([id, title]) => <option key={id} value={id}>{t(title)}</option>)}
                      </select>
                    ) : t(ROLES[member.role] ?? member.role)}
                  </td>
                  <td class="nowrap">{day(member.joined_at)}</td>
                  <td class="number">{isOwner && <Careful label={t("Remove")} sure={t("Really remove?")} onSure={() => ask(`${base}/members/${member.id}`, { method: "DELETE" }).then(members.again)} />}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Answered>
      {isOwner && (
        <>
          {(invitations.data?.results ?? []).map((invitation) => (
            <p key={invitation.id} class="line-form"><span>{t("Invited: {who} as {role}, until {day}", { who: invitation.email ?? t("whoever has the link"), role: t(ROLES[invitation.role] ?? invitation.role), day: day(invitation.expires_at) })}</span>
              <Careful label={t("Withdraw")} sure={t("Really withdraw?")} onSure={() => ask(`${base}/invitations/${invitation.id}`, { method: "DELETE" }).then(invitations.again)} /></p>
          ))}
          <LineForm label={t("Invite")} onSubmit={invite}>
            <input class="input" type="email" aria-label={t("E-mail of who is invited")} placeholder={t("E-mail (optional)")} value={email} onInput={(event) => setEmail(event.currentTarget.value)} />
            <select class="input" aria-label={t("Role")} value={role} onChange={(event) => setRole(event.currentTarget.value)}>{Object.entries(ROLES).map(([id, title]) => <option key={id} value={id}>{t(title)}</option>)}</select>
          </LineForm>
          {link && <><p>{t("Send this link; it works once and is shown only now.")}</p><Code text={link} /></>}
        </>
      )}
    </>
  );
}

function Sites({ base }: { base: string }) {
  const answer = useAnswer<List<OwnSite>>(`${base}/sites`, (signal) => ask(`${base}/sites`, { signal }), false);
  const [id, setId] = useState("");
  const [domain, setDomain] = useState("");
  const [zone, setZone] = useState(() => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC");
  const [key, setKey] = useState("");
  const add = async () => {
    const made = await ask<{ write_key: string }>(`${base}/sites`, { body: { id, time_zone: zone, ...(domain && { domains: [domain] }) } });
    setKey(made.write_key);
    setId("");
    setDomain("");
    answer.again();
    await loadSites();
  };
  return (
    <>
      <h3>{t("Sites")}</h3>
      <Answered answer={answer} rows={2} isEmpty={(data) => !data.results.length} empty={<p class="muted">{t("None yet")}</p>}>
        {(data) => <p class="segmented">{data.results.map((site) => <span key={site.id} class="tag">{site.id}</span>)}</p>}
      </Answered>
      <LineForm label={t("Add a site")} onSubmit={add}>
        <input class="input" required aria-label={t("Name of the site")} placeholder="shop" value={id} onInput={(event) => setId(event.currentTarget.value)} />
        <input class="input" aria-label={t("Domain of the site")} placeholder="shop.example" value={domain} onInput={(event) => setDomain(event.currentTarget.value)} />
        <input class="input" aria-label={t("Time zone")} value={zone} onInput={(event) => setZone(event.currentTarget.value)} />
      </LineForm>
      {key && <><p>{t("Its write key, shown only now:")}</p><Code text={key} /></>}
    </>
  );
}

function Keys({ base }: { base: string }) {
  const answer = useAnswer<List<Key>>(`${base}/keys`, (signal) => ask(`${base}/keys`, { signal }), false);
  const [name, setName] = useState("");
  const [sites, setSites] = useState("");
  const [key, setKey] = useState("");
  const add = async () => {
    const made = await ask<{ read_key: string }>(`${base}/keys`, { body: { ...(name && { name }), sites: sites.split(/[\s,]+/).filter(Boolean) } });
    setKey(made.read_key);
    setName("");
    answer.again();
  };
  return (
    <>
      <h3>{t("Read keys")}</h3>
      <Answered answer={answer} rows={2} isEmpty={(data) => !data.results.length} empty={<p class="muted">{t("None yet")}</p>}>
        {(data) => (
          <table class="table">
            <thead><tr><th scope="col">{t("Key")}</th><th scope="col">{t("Name")}</th><th scope="col">{t("Sites")}</th><th scope="col">{t("Since")}</th><th><span class="sr-only">{t("Revoke")}</span></th></tr></thead>
            <tbody>
              {data.results.map((row) => (
                <tr key={row.prefix}>
                  <th scope="row"><code>{row.prefix}…</code></th><td class="wrap-any">{row.name}</td><td class="wrap-any">{row.sites.join(", ")}</td><td class="nowrap">{day(row.created_at)}</td>
                  <td class="number">{row.revoked_at ? <span class="muted">{t("revoked")}</span> : <Careful label={t("Revoke")} sure={t("Really revoke?")} onSure={() => ask(`${base}/keys/${encodeURIComponent(row.prefix)}`, { method: "DELETE" }).then(answer.again)} />}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Answered>
      <LineForm label={t("Issue a key")} onSubmit={add}>
        <input class="input" aria-label={t("Name of the key")} placeholder={t("What it is for")} value={name} onInput={(event) => setName(event.currentTarget.value)} />
        <input class="input" required aria-label={t("Sites of the key")} placeholder="shop, blog" value={sites} onInput={(event) => setSites(event.currentTarget.value)} />
      </LineForm>
      {key && <><p>{t("The key, shown only now:")}</p><Code text={key} /></>}
    </>
  );
}
