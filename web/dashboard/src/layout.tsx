// What is around every page: navigation, the choice of numbers, theme and language, keys.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { addressOf, go, isDark, me, setTheme, theme, today, view, type Theme } from "./store";
import { CustomRange, RANGE_KEYS, RangePicker, SiteSwitch } from "./parts/controls";
import { FilterBar, FilterForm } from "./parts/filters";
import { Segments } from "./parts/segments";
import { Icon, Logo, type IconName } from "./parts/icon";
import { Dialog, Menu, MenuItem } from "./parts/overlay";
import { LiveNumber } from "./overview/overview";
import { shiftRange } from "./range";
import { isEmbedded } from "./embedded";
import { language, setLanguage, t } from "./words";

export interface PageEntry {
  path: string;
  title: string;
  icon: IconName;
  /** Which choices its numbers follow. */
  follows?: "everything" | "filters" | "sites" | "nothing";
}

export const NAVIGATION: { title: string; pages: PageEntry[] }[] = [
  { title: "", pages: [{ path: "", title: "Overview", icon: "overview" }, { path: "live", title: "Live", icon: "live", follows: "sites" }] },
  {
    title: "Behaviour",
    pages: [
      { path: "sessions", title: "Sessions", icon: "sessions" },
      { path: "people", title: "People", icon: "account" },
      { path: "funnels", title: "Funnels", icon: "funnel" },
      { path: "journeys", title: "Journeys", icon: "journeys" },
      { path: "retention", title: "Retention", icon: "retention" },
      { path: "goals", title: "Goals", icon: "goals" },
      { path: "properties", title: "Properties", icon: "properties" },
      { path: "revenue", title: "Revenue", icon: "revenue" },
    ],
  },
  {
    title: "Data",
    pages: [
      { path: "sql", title: "SQL", icon: "sql", follows: "sites" },
      { path: "metrics", title: "Metrics", icon: "metrics", follows: "sites" },
      { path: "alerts", title: "Alerts", icon: "bell", follows: "sites" },
      { path: "email-reports", title: "Reports by e-mail", icon: "mail", follows: "filters" },
    ],
  },
  {
    title: "Set up",
    pages: [
      { path: "setup", title: "Install", icon: "setup", follows: "sites" },
      { path: "imports", title: "Imports", icon: "import", follows: "sites" },
      { path: "destinations", title: "Destinations", icon: "send", follows: "sites" },
      { path: "quarantine", title: "Refused events", icon: "quarantine", follows: "sites" },
      { path: "lake", title: "Lake", icon: "lake", follows: "nothing" },
      { path: "account", title: "Account", icon: "settings", follows: "nothing" },
    ],
  },
];
/** What somebody with a share link may open. */
const SHARED = new Set(["", "live", "funnels", "journeys", "retention", "goals", "revenue"]);
const navigation = () => (me.value?.kind === "share" ? NAVIGATION.map((group) => ({ ...group, pages: group.pages.filter(({ path }) => SHARED.has(path)) })).filter(({ pages }) => pages.length) : NAVIGATION);

export const entryOf = (path: string) => NAVIGATION.flatMap(({ pages }) => pages).find((page) => page.path === path.split("/")[0]);

export function Layout({ children }: { children: ComponentChildren }) {
  const [isHelping, setHelping] = useState(false);
  const [isFiltering, setFiltering] = useState(false);
  const [isCustom, setCustom] = useState(false);
  const [isNavOpen, setNavOpen] = useState(false);
  const page = entryOf(view.value.page);
  const follows = page?.follows ?? "everything";
  useEffect(() => {
    const keys = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.shadowRoot || document.querySelector("dialog[open]")) return;
      const done = act(event.key);
      if (done) event.preventDefault();
    };
    const act = (name: string): boolean => {
      if (name === "?") setHelping(true);
      else if (name === "f") setFiltering(true);
      else if (name === "c") setCustom(true);
      else if (name === "x") go({ compare: view.value.compare === "none" ? "previous_period" : "none" });
      else if (name === "Escape" && view.value.filters.length) go({ filters: [] });
      else if (name === "ArrowLeft" || name === "ArrowRight") {
        if ((document.activeElement as HTMLElement | null)?.getAttribute("role") === "tab") return false;
        const to = shiftRange(view.value.range, name === "ArrowLeft" ? -1 : 1, today());
        if (to) go({ range: to, interval: "" });
      } else if (RANGE_KEYS[name.toLowerCase()]) go({ range: RANGE_KEYS[name.toLowerCase()], interval: "" });
      else if (/^[1-9]$/.test(name)) {
        const to = NAVIGATION.flatMap(({ pages }) => pages)[Number(name) - 1];
        if (to) go({ page: to.path, extra: {} });
      } else return false;
      return true;
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, []);
  useEffect(() => setNavOpen(false), [view.value.page]);
  useEffect(() => {
    document.title = `${page ? t(page.title) : "?"} · Dewpond`;
  }, [page, language.value]);
  if (isEmbedded) return <Frame>{children}</Frame>;
  return (
    <div class={`shell ${isNavOpen ? "nav-open" : ""}`}>
      <a class="skip" href="#main">{t("Skip to the numbers")}</a>
      <aside class="side" aria-label={t("Navigation")}>
        <a class="brand" href={addressOf("")} data-link><Logo /> Dewpond</a>
        <nav aria-label={t("Pages")}>
          {navigation().map((group) => (
            <div key={group.title} class="nav-group">
              {group.title && <p class="nav-title">{t(group.title)}</p>}
              {group.pages.map((entry) => (
                <a key={entry.path} class="nav-link" href={addressOf(entry.path)} data-link aria-current={page === entry ? "page" : undefined}>
                  <Icon name={entry.icon} /> {t(entry.title)}
                </a>
              ))}
            </div>
          ))}
        </nav>
        <div class="side-foot">
          {me.value && <span class="who clip" title={t("Who looks")}>{me.value.user?.email ?? (me.value.kind === "operator" ? t("Operator") : me.value.kind === "share" ? t("Shared") : t("Read key"))}</span>}
          <button type="button" class="button quiet square" aria-label={t("Keyboard shortcuts")} title={t("Keyboard shortcuts")} onClick={() => setHelping(true)}><Icon name="help" /></button>
          <Menu class="up" label={<><Icon name={isDark.value ? "moon" : "sun"} /><span class="sr-only">{t("Theme and language")}</span></>} title={t("Theme and language")}>
            {(close) => (
              <>
                {(["auto", "light", "dark"] as Theme[]).map((name) => <MenuItem key={name} isChosen={theme.value === name} onClick={() => { setTheme(name); close(); }}>{t({ auto: "As the system", light: "Light", dark: "Dark" }[name])}</MenuItem>)}
                <hr />
                <MenuItem isChosen={language.value === "en"} onClick={() => { void setLanguage("en"); close(); }}>English</MenuItem>
                <MenuItem isChosen={language.value === "de"} onClick={() => { void setLanguage("de"); close(); }}>Deutsch</MenuItem>
              </>
            )}
          </Menu>
        </div>
      </aside>
      <button type="button" class="nav-shade" aria-label={t("Close the navigation")} onClick={() => setNavOpen(false)} />
      <div class="page">
        <header class="top">
          <button type="button" class="button quiet square nav-switch" aria-label={t("Navigation")} aria-expanded={isNavOpen} onClick={() => setNavOpen(!isNavOpen)}><Icon name="menu" /></button>
          <h1 class="page-title">{page ? t(page.title) : t("No such page")}</h1>
          <div class="top-tools">
            {follows !== "nothing" && <LiveNumber />}
            {follows !== "nothing" && <SiteSwitch />}
            {follows === "everything" && <RangePicker />}
          </div>
        </header>
        {(follows === "everything" || follows === "filters") && <FilterBar>{me.value && <Segments />}</FilterBar>}
        <main id="main" tabIndex={-1}>{children}</main>
      </div>
      {isHelping && <Help onClose={() => setHelping(false)} />}
      {isCustom && <CustomRange onClose={() => setCustom(false)} />}
      {isFiltering && <FilterForm onDone={(filter) => go({ filters: [...view.value.filters, filter] })} onClose={() => setFiltering(false)} />}
    </div>
  );
}

/** What is around the numbers in a frame of another site: no navigation, and who shows them. */
function Frame({ children }: { children: ComponentChildren }) {
  return (
    <div class="page embedded">
      <header class="top">
        <h1 class="page-title">{me.value?.share?.name ?? t("Overview")}</h1>
        <div class="top-tools"><LiveNumber /><RangePicker /></div>
      </header>
      <FilterBar />
      <main id="main" tabIndex={-1}>{children}</main>
      <p class="muted"><a href={location.origin} target="_blank" rel="noopener">Dewpond</a></p>
    </div>
  );
}

const KEYS: [string, string][] = [
  ["T", "Today"], ["Y", "Yesterday"], ["W", "Last 7 days"], ["D", "Last 30 days"], ["M", "This month"], ["L", "Last 12 months"], ["R", "This year"], ["C", "Custom range"],
  ["← →", "Range before, after"], ["X", "Comparison on or off"], ["F", "Add a filter"], ["Esc", "Clear filters, close"], ["1 – 9", "Pages of the navigation"], ["Ctrl ↵", "Run the query (SQL)"], ["?", "This list"],
];

function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title={t("Keyboard shortcuts")} onClose={onClose}>
      <dl class="keys">
        {KEYS.map(([name, words]) => (
          <div key={name}><dt><kbd>{name}</kbd></dt><dd>{t(words)}</dd></div>
        ))}
      </dl>
    </Dialog>
  );
}
