/** The pages: in the rail, and within some of them further ones as tabs. */
import { AGENT, ALONE } from "../api/client";
import type { Key } from "../i18n";
import type { IconName } from "../parts/icons";

export interface Page {
  path: string;
  icon: IconName;
  word: Key;
  /** The first is the page itself. */
  tabs?: readonly (readonly [path: string, word: Key])[];
}

/** Of an Alertmanager alone. */
const MANAGER: readonly Page[] = [
  { path: "/alerts", icon: "alerts", word: "navAlerts", tabs: [["/alerts", "navAlerts"], ["/silences", "silences"], ["/maintenance", "maintenance"], ["/history", "history"], ["/receivers", "receiversPage"], ["/routes", "routeTree"]] },
  { path: "/status", icon: "status", word: "navStatus", tabs: [["/status", "server"], ["/config", "configuration"], ["/flags", "flags"]] },
];

/** Of an agent. */
const AGENTS: readonly Page[] = [
  { path: "/targets", icon: "targets", word: "navTargets", tabs: [["/targets", "navTargets"], ["/service-discovery", "discovery"]] },
  { path: "/status", icon: "status", word: "navStatus", tabs: [["/status", "server"], ["/config", "configuration"], ["/flags", "flags"]] },
];

const SERVER: readonly Page[] = [
  { path: "/", icon: "overview", word: "navOverview" },
  { path: "/explore", icon: "explore", word: "navExplore" },
  { path: "/alerts", icon: "alerts", word: "navAlerts", tabs: [["/alerts", "navAlerts"], ["/silences", "silences"], ["/maintenance", "maintenance"], ["/rules", "rules"], ["/history", "history"], ["/receivers", "receiversPage"], ["/routes", "routeTree"]] },
  { path: "/targets", icon: "targets", word: "navTargets", tabs: [["/targets", "navTargets"], ["/service-discovery", "discovery"]] },
  {
    path: "/status",
    icon: "status",
    word: "navStatus",
    tabs: [["/status", "server"], ["/tsdb-status", "tsdb"], ["/config", "configuration"], ["/flags", "flags"], ["/alertmanager-discovery", "alertmanager"]],
  },
];

export const PAGES = ALONE ? MANAGER : AGENT ? AGENTS : SERVER;

const under = (path: string, page: string) => path === page || path.startsWith(`${page}/`);

/** Whether the page of the rail is the one at `path`. */
export function isAt(path: string, page: Page): boolean {
  if (page.path === "/") return path === "/" || path.startsWith("/hosts/");
  return under(path, page.path) || (page.tabs ?? []).some(([tab]) => under(path, tab));
}

/** What the page at `path` is called, if it is one of `pages`. */
export function wordOf(path: string, pages: readonly Page[] = PAGES): Key | undefined {
  for (const page of pages) {
    const tab = (page.tabs ?? []).slice(1).find(([p]) => under(path, p));
    if (tab) return tab[1];
    if (isAt(path, page)) return page.word;
  }
  return undefined;
}

/** What a server has at `path` and an agent has not. */
export function wordOfMissing(path: string): Key | undefined {
  return wordOf(path, AGENTS) === undefined ? wordOf(path, SERVER) : undefined;
}
