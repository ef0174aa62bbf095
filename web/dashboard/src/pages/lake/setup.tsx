// How events get here: the snippet, a line for each SDK, and a place that waits for the first event and then shows it.
import { useState } from "preact/hooks";
import { sql, type Table } from "../../api";
import { useAnswer } from "../../answer";
import { ago, cell, fullDateTime } from "../../format";
import { Icon } from "../../parts/icon";
import { Answered } from "../../parts/states";
import { addressOf, go, sites, tick, view, zone, oneSite } from "../../store";
import { t } from "../../words";
import { useEffect } from "preact/hooks";

const NEWEST = `SELECT received_at, occurred_at, site_id, name, coalesce(url, path) AS url, protocol, sdk, browser, os, country FROM events
WHERE received_at >= $since ORDER BY received_at DESC LIMIT 5`;
const REFRESH_MS = 3_000;

/** How clients send, by what they are. Each takes the collector's address, the site's domain, and a write key. */
const CLIENTS: [title: string, code: (collector: string, domain: string) => string][] = [
  ["curl", (collector) => `curl ${collector}/v1/events \\\n  -H 'Authorization: Bearer WRITE_KEY' \\\n  -d '{"name":"page_view","anonymous_id":"me","url":"https://shop.example/"}'`],
  ["Segment, RudderStack", (collector) => `new Analytics({ writeKey: "WRITE_KEY", host: "${collector}" })`],
  ["PostHog", (collector) => `posthog.init("WRITE_KEY", { api_host: "${collector}" })`],
  ["Plausible", (collector, domain) => `<script defer data-domain="${domain}" data-api="${collector}/api/event" src="…"></script>`],
  ["Umami", (collector, domain) => `<script defer data-website-id="${domain}" data-host-url="${collector}" src="…"></script>`],
  ["GA4", (collector) => `POST ${collector}/mp/collect?measurement_id=G-1&api_secret=WRITE_KEY`],
  ["Snowplow", (collector, domain) => `newTracker("sp", "${collector}", { appId: "${domain}" })`],
  ["Amplitude", (collector) => `amplitude.init("WRITE_KEY", { serverUrl: "${collector}/2/httpapi" })`],
  ["Mixpanel", (collector) => `mixpanel.init("WRITE_KEY", { api_host: "${collector}" })`],
  ["Jitsu", (collector) => `jitsuAnalytics({ host: "${collector}", writeKey: "WRITE_KEY" })`],
  ["OpenTelemetry", (collector) => `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=${collector}/v1/logs\nOTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20WRITE_KEY`],
  ["Image", (collector) => `<img src="${collector}/v1/pixel.gif?key=WRITE_KEY&name=mail_opened" alt="">`],
];

export default function Setup() {
  const site = oneSite();
  if (!site) return <ChooseSite />;
  return <OfSite key={site} site={site} />;
}

function ChooseSite() {
  return (
    <section class="card padded" aria-label={t("Choose a site")}>
      <div class="card-head"><h2>{t("Which site is to send events?")}</h2></div>
      <div class="segmented">{(sites.value ?? []).map((site) => <button key={site.id} type="button" class="button" onClick={() => go({ sites: [site.id] })}>{site.id}</button>)}</div>
      <p class="muted" style={{ marginTop: "12px" }}>{t("Another one is added by")} <code>dewpond site add NAME</code></p>
    </section>
  );
}

function OfSite({ site }: { site: string }) {
  const settings = sites.value?.find(({ id }) => id === site)?.settings;
  const domain = settings?.domains[0];
  // Where `dewpond up` puts the collector beside this server; anybody else knows better.
  const [collector, setCollector] = useState(() => localStorage.getItem("dewpond.collector") ?? `${location.protocol}//${location.hostname}:8080`);
  const [client, setClient] = useState(0);
  const change = (to: string) => {
    setCollector(to);
    localStorage.setItem("dewpond.collector", to);
  };
  const clean = collector.replace(/\/+$/, "");
  const snippet = domain ? `<script src="${clean}/tracker.js?site=${domain}" defer></script>` : `<script src="${clean}/tracker.js?key=WRITE_KEY" defer></script>`;
  return (
    <>
      <FirstEvent site={site} />
      <section class="card padded" aria-label={t("On a web page")}>
        <div class="card-head"><h2>{t("On a web page")}</h2></div>
        <label class="field narrow">{t("Address of the collector")}<input class="input" type="url" value={collector} onInput={(event) => change(event.currentTarget.value)} /></label>
        <Code text={snippet} />
        <p class="muted">{t("It records page views, time on the page, outbound links and downloads; less than 4 KiB, without a cookie.")} {t("Your own events:")} <code>dewpond.track("signup", {"{"} plan: "pro" {"}"})</code></p>
        {!domain && <p class="note">{t("This site has no domain yet: pages then need a write key, or")} <code>dewpond site set {site} --domain shop.example --origin https://shop.example</code></p>}
      </section>
      <section class="card padded" aria-label={t("From what you have")}>
        <div class="card-head"><h2>{t("From what you have")}</h2></div>
        <div class="segmented" role="group" aria-label={t("Client")}>
          {CLIENTS.map(([title], at) => <button key={title} type="button" class="button small" aria-pressed={client === at} onClick={() => setClient(at)}>{title}</button>)}
        </div>
        <Code text={CLIENTS[client][1](clean, domain ?? "shop.example")} />
        <p class="muted">{t("A write key is issued by")} <code>dewpond site key add {site}</code> {t("and shown once.")}</p>
      </section>
      {settings && <Rules of={settings} retention={sites.value?.find(({ id }) => id === site)?.retention_days ?? null} />}
    </>
  );
}

/** Waits for an event that comes from now on; what came before is shown, too. */
function FirstEvent({ site }: { site: string }) {
  const [began] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && (tick.value += 1), REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  const answer = useAnswer<Table>(`newest ${site}`, (signal) => sql(NEWEST, { since: new Date(began - 86_400_000).toISOString() }, site, signal));
  const rows = answer.data?.rows ?? [];
  const first = rows[0];
  const isNew = first !== undefined && new Date(cell(first[0])).getTime() >= began;
  return (
    <section class={`card padded first-event ${isNew ? "has" : ""}`} aria-label={t("First event")} aria-live="polite">
      <Answered answer={answer} rows={2}>
        {() => (
          <>
            <div class="card-head">
              <span class={`dot ${isNew ? "now" : "pulse now"}`} />
              <h2>{isNew ? t("It works: an event came {when}", { when: ago(cell(first[0]), Date.now()) }) : first ? t("Waiting for the next event; the last came {when}", { when: ago(cell(first[0]), Date.now()) }) : t("Waiting for the first event …")}</h2>
              {first && <a class="link push" href={addressOf("live")} data-link>{t("See it live")} <Icon name="right" size={15} /></a>}
            </div>
            {first ? (
              <dl class="facts wide-facts">
                {[["Event", first[3]], ["Page", first[4]], ["Happened", fullDateTime(cell(first[1]), zone.value)], ["Protocol", [first[5], first[6]].filter(Boolean).join(", ")], ["With", [first[7], first[8]].filter(Boolean).join(", ")], ["Country", first[9]]]
                  .filter(([, value]) => value).map(([title, value]) => <div key={cell(title)}><dt>{t(cell(title))}</dt><dd class="wrap-any">{cell(value)}</dd></div>)}
              </dl>
            ) : (
              <p class="muted">{t("Put the snippet into a page and open it, or send one with curl. It shows here within seconds.")} <a href={addressOf("quarantine")} data-link>{t("Was it refused?")}</a></p>
            )}
          </>
        )}
      </Answered>
    </section>
  );
}

function Rules({ of, retention }: { of: Record<string, unknown>; retention: number | null }) {
  const yes = (value: unknown) => (value ? t("yes") : t("no"));
  const list = (value: unknown) => (Array.isArray(value) && value.length ? value.join(", ") : "–");
  return (
    <section class="card padded" aria-label={t("Settings")}>
      <div class="card-head"><h2>{t("Settings of the site")}</h2><code class="muted push">dewpond site set {view.value.sites[0]}</code></div>
      <dl class="facts wide-facts">
        {([
          ["Time zone", of.time_zone], ["Domains", list(of.domains)], ["Origins", list(of.origins)], ["Events are kept for", retention === null ? t("ever") : t("{count} days", { count: retention })],
          ["Cookie of the collector", yes(of.cookie)], ["Visitors without an id by a daily hash", yes(of.cookieless)], ["Opt-outs of browsers are honoured", yes(of.honor_opt_out)], ["A session ends after a pause of", `${Number(of.session_gap_s) / 60} min`],
        ] as [string, unknown][]).map(([title, value]) => <div key={title}><dt>{t(title)}</dt><dd class="wrap-any">{cell(value)}</dd></div>)}
      </dl>
    </section>
  );
}

/** Text to take along. */
export function Code({ text }: { text: string }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard?.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1_500);
  };
  return (
    <div class="code">
      <pre tabIndex={0}>{text}</pre>
      <button type="button" class="button small" onClick={() => void copy()}><Icon name={isCopied ? "check" : "copy"} size={15} /> {isCopied ? t("Copied") : t("Copy")}</button>
    </div>
  );
}
