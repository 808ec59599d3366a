/**
 * Targets as their page needs them: prepared once per answer, so that a key press costs a look at one string of each of 50,000. Pure.
 */
import type { ActiveTarget } from "../api/types";
import type { Labels } from "./labels";
import { natural } from "./labels";

export type TargetHealth = ActiveTarget["health"];

export interface TargetItem {
  kind: "target";
  key: string;
  target: ActiveTarget;
  /** What the filter looks at, in lower case. */
  text: string;
}

export interface PoolHead {
  kind: "pool";
  key: string;
  name: string;
  /** Of those that are shown. */
  counts: Record<TargetHealth, number>;
  total: number;
  folded: boolean;
}

export interface Prepared {
  /** By pool; within one what fails first, then by address. */
  pools: { name: string; items: TargetItem[] }[];
  counts: Record<TargetHealth, number>;
  total: number;
}

const RANK: Readonly<Record<TargetHealth, number>> = { down: 0, unknown: 1, up: 2 };

/** Digits padded, so that a plain comparison of texts puts host2 before host10: far faster than a collator. */
export function orderKey(text: string): string {
  return text.replace(/\d+/g, (d) => d.padStart(8, "0"));
}

function labelText(labels: Labels): string {
  let text = "";
  for (const k in labels) text += ` ${k}=${labels[k]}`;
  return text;
}

export function prepareTargets(targets: readonly ActiveTarget[]): Prepared {
  const counts: Record<TargetHealth, number> = { up: 0, down: 0, unknown: 0 };
  const pools = new Map<string, { order: string; item: TargetItem }[]>();
  for (const target of targets) {
    counts[target.health]++;
    const labels = labelText(target.labels);
    const item: TargetItem = {
      kind: "target",
      key: `${target.scrapePool} ${target.scrapeUrl}${labels}`,
      target,
      text: `${target.scrapePool} ${target.scrapeUrl} ${target.health} ${target.lastError}${labels}`.toLowerCase(),
    };
    const list = pools.get(target.scrapePool);
    const entry = { order: `${RANK[target.health]}${orderKey(target.scrapeUrl)}`, item };
    if (list) list.push(entry);
    else pools.set(target.scrapePool, [entry]);
  }
  const sorted = [...pools].map(([name, list]) => ({
    name,
    items: list.sort((a, b) => (a.order < b.order ? -1 : a.order > b.order ? 1 : 0)).map((x) => x.item),
  }));
  const bad = (p: { items: TargetItem[] }) => p.items[0]?.target.health !== "up";
  sorted.sort((a, b) => Number(bad(b)) - Number(bad(a)) || natural(a.name, b.name));
  return { pools: sorted, counts, total: targets.length };
}

/** The words of a filter; quotes are left out, so that `job="a"` finds what `job=a` does. */
export function filterWords(filter: string): string[] {
  return filter.toLowerCase().replace(/"/g, "").split(/\s+/).filter((w) => w !== "");
}

export interface TargetFilter {
  filter: string;
  health?: string | null;
  pool?: string | null;
  folded?: ReadonlySet<string>;
}

/** The rows to draw: heads of pools and their targets, those that match. */
export function targetRows(prepared: Prepared, { filter, health, pool, folded }: TargetFilter): (PoolHead | TargetItem)[] {
  const words = filterWords(filter);
  const rows: (PoolHead | TargetItem)[] = [];
  for (const p of prepared.pools) {
    if (pool && p.name !== pool) continue;
    const head: PoolHead = { kind: "pool", key: `pool ${p.name}`, name: p.name, counts: { up: 0, down: 0, unknown: 0 }, total: 0, folded: folded?.has(p.name) ?? false };
    const at = rows.length;
    for (const item of p.items) {
      if (health && item.target.health !== health) continue;
      if (!words.every((w) => item.text.includes(w))) continue;
      head.counts[item.target.health]++;
      head.total++;
      if (!head.folded) rows.push(item);
    }
    if (head.total > 0) rows.splice(at, 0, head);
  }
  return rows;
}
