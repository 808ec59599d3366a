/**
 * The view in the URL: reading and writing query strings. Pure.
 * The Explore panels use Prometheus' own names (g0.expr, g0.tab, …), so that old links keep their meaning.
 */
import { DEFAULT_RANGE, DEFAULT_REFRESH, REFRESHES, type RangeSpec, parseDuration, parseInstant } from "./time";

export type Params = Readonly<Record<string, string | undefined>>;

/** `search` with some parameters set or (undefined, "") removed; order kept, readable characters left alone. */
export function withParams(search: string, changes: Params): string {
  const p = new URLSearchParams(search);
  for (const [k, v] of Object.entries(changes)) {
    if (v === undefined || v === "") p.delete(k);
    else p.set(k, v);
  }
  return encode(p);
}

/** A list in one parameter: commas between, those within written otherwise. */
export function listFrom(search: string, name: string): string[] {
  const text = new URLSearchParams(search).get(name) ?? "";
  return text === "" ? [] : text.split(",").map((x) => x.replace(/~([~c])/g, (_, c: string) => (c === "c" ? "," : "~")));
}

export function listInto(list: Iterable<string>): string | undefined {
  const text = [...list].map((x) => x.replace(/~/g, "~~").replace(/,/g, "~c")).join(",");
  return text === "" ? undefined : text;
}

/** The list with `one` added, or taken away if it was there. */
export function flipped(list: readonly string[], one: string): string[] {
  return list.includes(one) ? list.filter((x) => x !== one) : [...list, one];
}

/** Like URLSearchParams.toString, but leaves `:` `,` and `/` readable. */
export function encode(p: URLSearchParams): string {
  return p.toString().replace(/%3A/g, ":").replace(/%2C/g, ",").replace(/%2F/g, "/");
}

export function rangeFrom(search: string): RangeSpec {
  const p = new URLSearchParams(search);
  const from = p.get("from") ?? DEFAULT_RANGE.from;
  const to = p.get("to") ?? DEFAULT_RANGE.to;
  const now = 1e12;
  return parseInstant(from, now) === undefined || parseInstant(to, now) === undefined ? DEFAULT_RANGE : { from, to };
}

/** Range as URL parameters; the default range leaves no trace. */
export function rangeParams(spec: RangeSpec): Params {
  const plain = spec.from === DEFAULT_RANGE.from && spec.to === DEFAULT_RANGE.to;
  return plain ? { from: undefined, to: undefined } : { from: spec.from, to: spec.to };
}

export function refreshFrom(search: string): string {
  const r = new URLSearchParams(search).get("refresh");
  return r !== null && (REFRESHES as readonly string[]).includes(r) ? r : DEFAULT_REFRESH;
}

/** What every page carries along when the reader moves: range and refresh. */
export function carried(search: string): string {
  const p = new URLSearchParams(search);
  const out = new URLSearchParams();
  for (const k of ["from", "to", "refresh"]) {
    const v = p.get(k);
    if (v !== null) out.set(k, v);
  }
  const text = encode(out);
  return text === "" ? "" : `?${text}`;
}

export interface ExplorePanel {
  expr: string;
  tab: "graph" | "table";
  /** Seconds; undefined = chosen from range and width. */
  step: number | undefined;
  /** Instant of the table as typed; undefined = end of the range. */
  at: string | undefined;
  stacked: boolean;
}

export const EMPTY_PANEL: ExplorePanel = { expr: "", tab: "graph", step: undefined, at: undefined, stacked: false };

export function panelsFrom(search: string): ExplorePanel[] {
  const p = new URLSearchParams(search);
  const found = new Map<number, ExplorePanel>();
  for (const key of p.keys()) {
    const m = /^g(\d{1,3})\.expr$/.exec(key);
    if (!m) continue;
    const g = `g${m[1]}.`;
    const tab = p.get(`${g}tab`);
    const step = p.get(`${g}step`) ?? p.get(`${g}step_input`) ?? p.get(`${g}res_step`);
    const ms = step === null ? undefined : parseDuration(step);
    found.set(Number(m[1]), {
      expr: p.get(key) ?? "",
      tab: tab === "table" || tab === "1" ? "table" : "graph",
      step: ms === undefined || ms <= 0 ? undefined : ms / 1000,
      at: p.get(`${g}at`) ?? p.get(`${g}moment_input`) ?? undefined,
      stacked: p.get(`${g}stacked`) === "1" || p.get(`${g}display_mode`) === "stacked",
    });
  }
  const list = [...found.entries()].sort((a, b) => a[0] - b[0]).map(([, v]) => v);
  return list.length > 0 ? list : [EMPTY_PANEL];
}

export function panelsInto(search: string, panels: readonly ExplorePanel[]): string {
  const p = new URLSearchParams(search);
  for (const key of [...p.keys()]) if (/^g\d+\./.test(key)) p.delete(key);
  panels.forEach((panel, i) => {
    p.set(`g${i}.expr`, panel.expr);
    p.set(`g${i}.tab`, panel.tab);
    if (panel.step !== undefined) p.set(`g${i}.step`, String(panel.step));
    if (panel.at !== undefined && panel.at !== "") p.set(`g${i}.at`, panel.at);
    if (panel.stacked) p.set(`g${i}.stacked`, "1");
  });
  return encode(p);
}

/** Link to Explore with one query and the given range. */
export function exploreLink(expr: string | readonly string[], search: string, tab: "graph" | "table" = "graph"): string {
  const base = carried(search).replace(/^\?/, "");
  const list = typeof expr === "string" ? [expr] : expr;
  return `/explore?${panelsInto(base, list.map((e) => ({ ...EMPTY_PANEL, expr: e, tab })))}`;
}

/** Prometheus' own paths and parameters → ours; undefined if the path is none of them. */
export function classicRedirect(path: string, search: string): string | undefined {
  // The page before the one before had its name in front, and the one that was tried after it, too.
  const plain = path.replace(/\/+$/, "").replace(/^\/(classic|new)(?=\/|$)/, "");
  switch (plain) {
    case "/graph":
    case "/query": {
      const p = new URLSearchParams(search);
      const input = p.get("g0.range_input");
      const end = p.get("g0.end_input");
      const range: RangeSpec = { from: `now-${input ?? "1h"}`, to: "now" };
      const endMs = end === null ? undefined : parseInstant(end, 0, "utc");
      const length = parseDuration(input ?? "1h");
      if (endMs !== undefined && length !== undefined) {
        range.to = new Date(endMs).toISOString().replace(".000Z", "Z");
        range.from = new Date(endMs - length).toISOString().replace(".000Z", "Z");
      }
      const panels = panelsFrom(search);
      // In the classic page tab 1 was the table and a missing tab the table too; a link with only an expression shows both well as a graph.
      return `/explore?${panelsInto(withParams("", rangeParams(range)), panels)}`;
    }
    case "/alerts":
    case "/silences":
    case "/rules":
    case "/targets":
    case "/service-discovery":
    case "/status":
    case "/config":
    case "/flags":
    case "/tsdb-status":
    case "/alertmanager-discovery":
      // Only with the old name in front, or a slash at the end: these are pages of ours.
      return plain === path ? undefined : `${plain}${search === "" ? "" : `?${search.replace(/^\?/, "")}`}`;
    case "/agent":
      return "/status";
    case "":
    case "/hosts":
    case "/index.html":
      return "/";
    default:
      return undefined;
  }
}
