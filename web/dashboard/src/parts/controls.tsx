// What chooses the numbers: sites, range, comparison, interval.
import { useState } from "preact/hooks";
import { addDays, customRange, daysOf, PRESETS, shiftRange } from "../range";
import { day, span } from "../format";
import { go, sites, today, view, zone } from "../store";
import { t } from "../words";
import { Icon } from "./icon";
import { Dialog, Menu, MenuItem } from "./overlay";

const PRESET_NAMES: Record<string, string> = {
  today: "Today", yesterday: "Yesterday", "7d": "Last 7 days", "30d": "Last 30 days", "90d": "Last 90 days",
  week: "This week", last_week: "Last week", month: "This month", last_month: "Last month",
  "6mo": "Last 6 months", "12mo": "Last 12 months", year: "This year", last_year: "Last year", all: "All time",
};
/** Keys that choose a range, as on other dashboards. */
export const RANGE_KEYS: Record<string, string> = { t: "today", y: "yesterday", w: "7d", d: "30d", m: "month", l: "12mo", r: "year" };

export function SiteSwitch() {
  const all = sites.value ?? [];
  const [search, setSearch] = useState("");
  const chosen = view.value.sites;
  const label = chosen.length === 0 ? (all.length === 1 ? all[0].id : t("All sites")) : chosen.length === 1 ? chosen[0] : t("{count} sites", { count: chosen.length });
  const found = all.filter((site) => site.id.toLowerCase().includes(search.toLowerCase()) || site.settings.domains.some((domain) => domain.includes(search.toLowerCase())));
  return (
    <Menu class="site-switch" label={<span class="clip">{label}</span>} title={t("Choose sites")}>
      {(close) => (
        <>
          {all.length > 7 && <input type="search" class="input menu-search" placeholder={t("Search")} aria-label={t("Search")} value={search} onInput={(event) => setSearch(event.currentTarget.value)} />}
          <MenuItem isChosen={chosen.length === 0} onClick={() => { go({ sites: [] }); close(); }}>{t("All sites")}</MenuItem>
          <hr />
          <div class="menu-scroll">
            {found.slice(0, 200).map((site) => (
              <div class="menu-row" key={site.id}>
                <MenuItem isChosen={chosen.includes(site.id)} onClick={() => { go({ sites: [site.id] }); close(); }}>
                  {site.id}
                  {site.settings.domains[0] && <small class="muted"> {site.settings.domains[0]}</small>}
                </MenuItem>
                {all.length > 1 && (
                  <button
                    type="button"
                    class="button quiet square"
                    title={t("Add to or take from the chosen sites")}
                    aria-label={t("Add {site} to or take it from the chosen sites", { site: site.id })}
                    onClick={() => go({ sites: chosen.includes(site.id) ? chosen.filter((id) => id !== site.id) : [...chosen, site.id] })}
                  >
                    <Icon name={chosen.includes(site.id) ? "close" : "plus"} size={15} />
                  </button>
                )}
              </div>
            ))}
          </div>
        </>
      )}
    </Menu>
  );
}

export function rangeName(range: string): string {
  if (PRESET_NAMES[range]) return t(PRESET_NAMES[range]);
  const days = daysOf(range, today());
  if (days) return days.first === days.last ? day(days.first, "UTC") : `${day(days.first, "UTC", false)} – ${day(days.last, "UTC")}`;
  const [from, until] = range.split("..");
  return until ? span(from, until, zone.value) : range;
}

export function RangePicker() {
  const [isCustom, setCustom] = useState(false);
  const { range, compare } = view.value;
  const now = today();
  const choose = (to: string) => go({ range: to, interval: "" });
  const before = shiftRange(range, -1, now);
  const after = shiftRange(range, 1, now);
  const hints = Object.fromEntries(Object.entries(RANGE_KEYS).map(([hint, preset]) => [preset, hint.toUpperCase()]));
  return (
    <div class="range-picker">
      <div class="button-group">
        <button type="button" class="button square" aria-label={t("Earlier")} disabled={!before} onClick={() => before && choose(before)}><Icon name="left" /></button>
        <Menu label={<span class="clip">{rangeName(range)}</span>} title={t("Choose a range")}>
          {(close) => (
            <>
              {[...PRESETS, "all"].map((preset) => (
                <MenuItem key={preset} isChosen={preset === range} hint={hints[preset]} onClick={() => { choose(preset); close(); }}>{t(PRESET_NAMES[preset])}</MenuItem>
              ))}
              <hr />
              <MenuItem hint="C" onClick={() => { close(); setCustom(true); }}>{t("Custom range …")}</MenuItem>
            </>
          )}
        </Menu>
        <button type="button" class="button square" aria-label={t("Later")} disabled={!after} onClick={() => after && choose(after)}><Icon name="right" /></button>
      </div>
      <Menu class="compare-menu" label={<span class="clip">{compare === "none" ? t("Compare") : compareName(compare)}</span>} title={t("Compare with")} alignsRight>
        {(close) => (
          <>
            {["previous_period", "previous_year", "none"].map((kind) => (
              <MenuItem key={kind} isChosen={compare === kind} onClick={() => { go({ compare: kind }); close(); }}>{compareName(kind)}</MenuItem>
            ))}
          </>
        )}
      </Menu>
      {isCustom && <CustomRange onClose={() => setCustom(false)} />}
    </div>
  );
}

export function compareName(compare: string): string {
  return compare === "previous_period" ? t("vs previous period") : compare === "previous_year" ? t("vs previous year") : compare === "none" ? t("No comparison") : `vs ${rangeName(compare)}`;
}

export function CustomRange({ onClose }: { onClose: () => void }) {
  const now = today();
  const days = daysOf(view.value.range, now) ?? { first: addDays(now, -29), last: now };
  const [first, setFirst] = useState(days.first);
  const [last, setLast] = useState(days.last);
  return (
    <Dialog title={t("Custom range")} onClose={onClose}>
      <form
        class="form"
        method="dialog"
        onSubmit={() => {
          if (first && last) go({ range: customRange(first, last), interval: "" });
        }}
      >
        <div class="fields">
          <label class="field">{t("First day")}<input class="input" type="date" required max={now} value={first} onInput={(event) => setFirst(event.currentTarget.value)} /></label>
          <label class="field">{t("Last day")}<input class="input" type="date" required max={now} value={last} onInput={(event) => setLast(event.currentTarget.value)} /></label>
        </div>
        <button class="button primary" type="submit">{t("Show")}</button>
      </form>
    </Dialog>
  );
}

const INTERVAL_NAMES: Record<string, string> = { minute: "Minutes", hour: "Hours", day: "Days", week: "Weeks", month: "Months" };
/** A series has at most so many points; fewer are read more easily. */
const POINTS_MAX = 750;
const SECONDS: Record<string, number> = { minute: 60, hour: 3_600, day: 86_400, week: 604_800, month: 2_600_000 };

export function IntervalMenu({ current, from, until }: { current: string; from: string; until: string }) {
  const length = (new Date(until).getTime() - new Date(from).getTime()) / 1_000;
  const fitting = Object.keys(SECONDS).filter((name) => length / SECONDS[name] <= POINTS_MAX && length / SECONDS[name] >= 1);
  if (fitting.length < 2) return null;
  return (
    <Menu class="small" label={t(INTERVAL_NAMES[current] ?? current)} title={t("Interval")} alignsRight>
      {(close) => fitting.map((name) => (
        <MenuItem key={name} isChosen={name === current} onClick={() => { go({ interval: name }); close(); }}>{t(INTERVAL_NAMES[name])}</MenuItem>
      ))}
    </Menu>
  );
}
