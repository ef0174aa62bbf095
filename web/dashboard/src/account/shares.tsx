// Links that show a site's numbers to whoever has them: read-only, with a filter that stays, until they are revoked.
import { useState } from "preact/hooks";
import { addItem, removeItem, useItems, type Nested } from "../documents";
import { Answered } from "../parts/states";
import { oneSite, view } from "../store";
import { takesValues } from "../view";
import { filterWords } from "../parts/filters";
import { t } from "../words";
import { Code } from "../pages/lake/setup";
import { Careful, LineForm } from "./attempt";

export function Shares() {
  const site = oneSite();
  const answer = useItems<{ filters: Nested[]; has_password: boolean; expires_at: string | null; origins: string[] }>("shares");
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [origins, setOrigins] = useState("");
  const [made, setMade] = useState<{ link: string; embed: string; plain: string }>();
  const { filters } = view.value;
  if (!site || (answer.data && answer.data.items === undefined)) return null;
  const add = async () => {
    const shown = origins.split(/[\s,]+/).filter(Boolean);
    const { token, id } = await addItem<{ token: string }>("shares", { name, filters: filters.map((filter) => (takesValues(filter.operator) ? [filter.operator, filter.dimension, filter.values] : [filter.operator, filter.dimension])), expires_at: null, origins: shown, ...(password && { password }) });
    const own = location.origin;
    setMade({
      link: `${own}/dashboard/#${token}`,
      embed: shown.length ? `<iframe src="${own}/dashboard/?embed=${id}&theme=light#${token}" title="${name.replace(/[&<>"]/g, "")}" width="100%" height="1600" style="border:0" loading="lazy" referrerpolicy="no-referrer"></iframe>` : "",
      plain: password ? "" : `${own}/dashboard/numbers?share=${token}`,
    });
    setOrigins("");
    setName("");
    setPassword("");
  };
  return (
    <section class="card padded" aria-label={t("Share links")}>
      <div class="card-head"><h2>{t("Share links of {site}", { site })}</h2></div>
      <p class="muted">{t("Whoever has a link sees the numbers of this site and changes nothing.")} {filters.length > 0 && t("With these filters, always: {filters}", { filters: filters.map(filterWords).join(", ") })}</p>
      <Answered answer={answer} rows={2}>
        {({ items }) => (
          <ul>
            {(items ?? []).map((item) => (
              <li key={item.id} class="line-form"><span><b>{item.name}</b> {item.has_password && <span class="tag">{t("with a password")}</span>} {item.filters.length > 0 && <span class="tag">{t("filtered")}</span>} {item.origins?.length > 0 && <span class="tag">{t("may be embedded by {origins}", { origins: item.origins.join(", ") })}</span>}</span><Careful label={t("Revoke")} sure={t("Really revoke?")} onSure={() => removeItem("shares", item.id)} /></li>
            ))}
          </ul>
        )}
      </Answered>
      <LineForm label={t("Make a link")} onSubmit={add}>
        <input class="input" required aria-label={t("Name of the link")} placeholder={t("Who it is for")} value={name} onInput={(event) => setName(event.currentTarget.value)} />
        <input class="input" type="password" autocomplete="new-password" aria-label={t("Password of the link")} placeholder={t("Password (optional)")} value={password} onInput={(event) => setPassword(event.currentTarget.value)} />
        <input class="input" aria-label={t("Pages that may embed it")} placeholder={t("https://… that may embed it (optional)")} value={origins} onInput={(event) => setOrigins(event.currentTarget.value)} />
      </LineForm>
      {made && (
        <>
          <p>{t("The link, shown only now:")}</p><Code text={made.link} />
          {made.embed && <><p>{t("For a page: the numbers in a frame. theme is light, dark or auto.")}</p><Code text={made.embed} /></>}
          {made.plain && <><p>{t("For browsers without JavaScript. This address has the secret in it, so logs of servers between may see it.")}</p><Code text={made.plain} /></>}
        </>
      )}
    </section>
  );
}
