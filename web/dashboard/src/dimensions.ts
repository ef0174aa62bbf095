// Dimensions of `/v1/stats` that people filter by, and the panels of the overview.
import { t } from "./words";

/** Titles, by name. */
export const DIMENSIONS: Record<string, string> = {
  path: "Page", entry_page: "Entry page", exit_page: "Exit page", hostname: "Host", title: "Title",
  name: "Event", object: "Object",
  channel: "Channel", referrer_host: "Referrer", referrer: "Referring page", utm_source: "Source", utm_medium: "Medium", utm_campaign: "Campaign",
  utm_term: "Term", utm_content: "Content",
  country: "Country", region: "Region", city: "City", language: "Language",
  device: "Device", browser: "Browser", browser_version: "Browser version", browser_app: "App", os: "System", os_version: "System version", screen: "Screen",
  user_id: "User", protocol: "Protocol", sdk: "SDK", currency: "Currency", site: "Site",
};

export function dimensionTitle(name: string): string {
  return name.startsWith("properties.") ? name.slice(11) : t(DIMENSIONS[name] ?? name);
}

export interface Tab {
  /** In the address. */
  id: string;
  title: string;
  dimension: string;
  /** The first is the one that rows are ordered by. */
  metrics: string[];
  /** Conditions on what is a row at all. */
  filters?: string[];
}

export interface Panel {
  id: string;
  title: string;
  tabs: Tab[];
}

const tab = (id: string, title: string, dimension: string, metrics = ["visitors", "sessions"], filters?: string[]): Tab => ({ id, title, dimension, metrics, filters });

export const PANELS: Panel[] = [
  {
    id: "pages",
    title: "Pages",
    tabs: [
      tab("top", "Pages", "path", ["visitors", "page_views"], ["name:is:page_view"]),
      tab("entry", "Entry", "entry_page", ["visitors", "sessions"], ["entry_page:exists"]),
      tab("exit", "Exit", "exit_page", ["visitors", "sessions"], ["exit_page:exists"]),
      tab("hosts", "Hosts", "hostname", ["visitors", "page_views"], ["name:is:page_view"]),
    ],
  },
  {
    id: "sources",
    title: "Sources",
    tabs: [
      tab("channels", "Channels", "channel"),
      tab("referrers", "Referrers", "referrer_host"),
      tab("utm", "Sources", "utm_source", undefined, ["utm_source:exists"]),
      tab("campaigns", "Campaigns", "utm_campaign", undefined, ["utm_campaign:exists"]),
      tab("mediums", "Mediums", "utm_medium", undefined, ["utm_medium:exists"]),
    ],
  },
  {
    id: "places",
    title: "Places",
    tabs: [
      tab("countries", "Countries", "country"),
      tab("map", "Map", "country"),
      tab("regions", "Regions", "region", undefined, ["region:exists"]),
      tab("cities", "Cities", "city", undefined, ["city:exists"]),
      tab("languages", "Languages", "language"),
    ],
  },
  {
    id: "devices",
    title: "Devices",
    tabs: [
      tab("browsers", "Browsers", "browser"),
      tab("systems", "Systems", "os"),
      tab("kinds", "Devices", "device"),
      tab("sizes", "Sizes", "screen", undefined, ["screen:exists"]),
    ],
  },
  {
    id: "events",
    title: "Events",
    tabs: [
      tab("names", "Events", "name", ["events", "visitors"], ["name:is_not:page_ping"]),
      tab("objects", "Objects", "object", ["events", "visitors"], ["object:exists"]),
    ],
  },
];
