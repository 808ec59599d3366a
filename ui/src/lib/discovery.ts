/**
 * Discovered targets as their page needs them: kept and dropped ones by job. Pure.
 */
import type { TargetsData } from "../api/types";
import { type Labels, labelKey, natural } from "./labels";
import { filterWords, orderKey } from "./targets";

export interface DiscoveredItem {
  kind: "found";
  key: string;
  pool: string;
  discovered: Labels;
  /** Undefined when it was dropped. */
  labels: Labels | undefined;
  text: string;
}

export interface FoundHead {
  kind: "pool";
  key: string;
  name: string;
  kept: number;
  /** Those that are not remembered included. */
  dropped: number;
  forgotten: number;
  folded: boolean;
}

export interface Discovered {
  pools: { name: string; kept: number; dropped: number; forgotten: number; items: DiscoveredItem[] }[];
  kept: number;
  dropped: number;
}

export function prepareDiscovery(data: TargetsData | undefined): Discovered {
  const pools = new Map<string, DiscoveredItem[]>();
  const add = (pool: string, discovered: Labels, labels: Labels | undefined) => {
    const all = Object.entries({ ...discovered, ...labels }).map(([k, v]) => `${k}=${v}`).join(" ");
    const key = `${labels ? "k" : "d"} ${pool} ${labelKey(discovered).replace(/[\u0001\u0002]/g, " ")}`;
    const item: DiscoveredItem = { kind: "found", key, pool, discovered, labels, text: `${pool} ${labels ? "kept" : "dropped"} ${all}`.toLowerCase() };
    const list = pools.get(pool);
    if (list) list.push(item);
    else pools.set(pool, [item]);
  };
  for (const x of data?.activeTargets ?? []) add(x.scrapePool, x.discoveredLabels, x.labels);
  for (const x of data?.droppedTargets ?? []) add(x.scrapePool, x.discoveredLabels, undefined);
  const counts = data?.droppedTargetCounts ?? {};
  for (const [name, n] of Object.entries(counts)) if (n > 0 && !pools.has(name)) pools.set(name, []);
  const list = [...pools].sort((a, b) => natural(a[0], b[0])).map(([name, items]) => {
    const known = items.filter((x) => x.labels === undefined).length;
    const dropped = Math.max(known, counts[name] ?? 0);
    const order = (x: DiscoveredItem) => orderKey(x.discovered.__address__ ?? "");
    const sorted = items.map((item) => ({ item, order: order(item) })).sort((a, b) => (a.order < b.order ? -1 : a.order > b.order ? 1 : 0)).map((x) => x.item);
    return { name, kept: items.length - known, dropped, forgotten: dropped - known, items: sorted };
  });
  const sum = (of: (p: { kept: number; dropped: number }) => number) => list.reduce((n, p) => n + of(p), 0);
  return { pools: list, kept: sum((p) => p.kept), dropped: sum((p) => p.dropped) };
}

export interface DiscoveryFilter {
  filter: string;
  state?: string | null;
  pool?: string | null;
  folded?: ReadonlySet<string>;
}

export function discoveredRows(prepared: Discovered, { filter, state, pool, folded }: DiscoveryFilter): (FoundHead | DiscoveredItem)[] {
  const words = filterWords(filter);
  const rows: (FoundHead | DiscoveredItem)[] = [];
  for (const p of prepared.pools) {
    if (pool && p.name !== pool) continue;
    const shown = p.items.filter((x) => (!state || (state === "dropped") === (x.labels === undefined)) && words.every((w) => x.text.includes(w)));
    const nothing = shown.length === 0 && (words.length > 0 || (state === "dropped" ? p.dropped === 0 : state ? p.kept === 0 : false));
    if (nothing) continue;
    const isFolded = folded?.has(p.name) ?? false;
    rows.push({ kind: "pool", key: `pool ${p.name}`, name: p.name, kept: p.kept, dropped: p.dropped, forgotten: p.forgotten, folded: isFolded });
    if (!isFolded) rows.push(...shown);
  }
  return rows;
}
