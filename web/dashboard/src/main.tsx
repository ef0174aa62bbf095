// Starts the page: words first, then the sites, then whatever the address says.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import "uplot/dist/uPlot.min.css";
import "../styles/main.css";
import { isLockedOut, key, Refusal } from "./api";
import { useAnswer } from "./answer";
import { isEmbedded, openShare } from "./embedded";
import { entryOf, Layout } from "./layout";
import { Overview } from "./overview/overview";
import { lazy } from "./parts/lazy";
import { Skeleton, Trouble } from "./parts/states";
import { BASE, go, loadSites, sites, view } from "./store";
import { parseView } from "./view";
import { language, loadWords, t } from "./words";

const PAGES: Record<string, ReturnType<typeof lazy>> = {
  live: lazy(() => import("./pages/reports/live")),
  sessions: lazy(() => import("./pages/reports/sessions")),
  people: lazy(() => import("./pages/reports/people")),
  funnels: lazy(() => import("./pages/reports/funnels")),
  journeys: lazy(() => import("./pages/reports/journeys")),
  retention: lazy(() => import("./pages/reports/retention")),
  goals: lazy(() => import("./pages/reports/goals")),
  properties: lazy(() => import("./pages/reports/properties")),
  revenue: lazy(() => import("./pages/reports/revenue")),
  sql: lazy(() => import("./pages/sql/sql")),
  metrics: lazy(() => import("./pages/sql/metrics")),
  setup: lazy(() => import("./pages/lake/setup")),
  quarantine: lazy(() => import("./pages/lake/quarantine")),
  alerts: lazy(() => import("./pages/sql/alerts")),
  "email-reports": lazy(() => import("./pages/account/email_reports")),
  imports: lazy(() => import("./pages/lake/imports")),
  destinations: lazy(() => import("./pages/lake/destinations")),
  lake: lazy(() => import("./pages/lake/lake")),
  account: lazy(() => import("./pages/account/account")),
};
const OpenedLink = lazy(() => import("./pages/account/opened_link"));
const SignIn = lazy(() => import("./pages/account/sign_in"));

/** The secret of a share link or an invitation: taken out of the address at once, so that nobody sends it on by mistake. */
function takeSecret(): string {
  // The frame of another site keeps it, and needs it again when it is loaded again.
  if (isEmbedded) return "";
  const [, secret = ""] = /^#(dp[si]_\w+)$/.exec(location.hash) ?? [];
  if (secret) history.replaceState(null, "", location.pathname + location.search);
  return secret;
}

function App() {
  const [secret, setSecret] = useState(takeSecret);
  // Every text depends on it.
  void language.value;
  const known = useAnswer<true>(secret ? null : isEmbedded ? "share" : `sites ${key.value}`, async () => {
    if (isEmbedded && !key.value) go({ page: "", sites: [await openShare()] }, true);
    await loadSites();
    return true;
  });
  useEffect(() => {
    // Links within the dashboard change the view and load nothing.
    const follow = (event: MouseEvent) => {
      const link = (event.target as Element).closest?.("a[data-link]");
      if (!(link instanceof HTMLAnchorElement) || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.defaultPrevented) return;
      event.preventDefault();
      history.pushState(null, "", link.href);
      view.value = parseView(location.pathname, location.search, BASE);
      scrollTo(0, 0);
    };
    document.addEventListener("click", follow);
    return () => document.removeEventListener("click", follow);
  }, []);
  if (secret) return <OpenedLink secret={secret} onDone={() => setSecret("")} />;
  if (isEmbedded && isLockedOut.value) return <div class="boot"><Trouble error={new Refusal(401, t("This link does not show anything any more."))} /></div>;
  if (isLockedOut.value || view.value.page === "sign-in") return <SignIn />;
  if (!sites.value) return <div class="boot">{known.error ? <Trouble error={known.error} again={known.again} /> : <Skeleton />}</div>;
  const name = view.value.page.split("/")[0];
  const Page = name in PAGES ? PAGES[name] : Overview;
  return (
    <Layout>
      {entryOf(view.value.page) ? <Page key={name} /> : <Trouble error={new Refusal(404, t("There is no such page. The address may be from an older version."))} />}
    </Layout>
  );
}

await loadWords();
render(<App />, document.getElementById("app")!);
