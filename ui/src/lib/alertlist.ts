/**
 * Alerts as their page needs them: what the filter looks at is made once per answer, so that a key press costs a look at
 * one string of each of thousands; in groups, the worst first. Pure.
 */
import type { AlertRow } from "./alerts";
import type { Labels } from "./labels";
import { natural } from "./labels";
import { SEVERITY } from "./state";

/** From so many alerts on a list is made of groups, and these are folded, unless the address says otherwise. Chosen: two screens. */
export const MANY = 60;
/** The address' word for groups as receivers are told of them; no label can be called so in the classic alphabet. */
export const AS_TOLD = "@told";

export interface AlertItem {
  kind: "alert";
  key: string;
  row: AlertRow;
}

export interface AlertGroup {
  kind: "group";
  key: string;
  /** What its alerts have in common by being a group. */
  labels: Labels;
  /** Who is told of it, where groups are those of the manager. */
  receiver: string | undefined;
  rows: readonly AlertRow[];
  /** The latest beginning, in milliseconds since the epoch. */
  newest: number;
  counts: Readonly<Partial<Record<AlertRow["state"], number>>>;
  folded: boolean;
}

/** What the manager says of a group. */
export interface ToldGroup {
  labels: Labels;
  receiver: { name: string };
  alerts: readonly { fingerprint: string }[];
}

const texts = new WeakMap<AlertRow, string>();

/** What the filter looks at, in lower case: labels as one writes them with and without quotes. */
function textOf(r: AlertRow): string {
  let text = texts.get(r);
  if (text === undefined) {
    text = `${r.name} ${r.state} ${r.severity} ${r.summary}`;
    for (const k in r.labels) text += ` ${k}=${r.labels[k]} ${k}="${r.labels[k]}"`;
    text = text.toLowerCase();
    texts.set(r, text);
  }
  return text;
}

/** Those in `state`, if one is asked for, that have every word of the filter. */
export function filterAlerts(rows: readonly AlertRow[], filter: string, state: string | null): AlertRow[] {
  const words = filter.toLowerCase().split(/\s+/).filter((w) => w !== "");
  return rows.filter((r) => (state === null || r.state === state) && words.every((w) => textOf(r).includes(w)));
}

/** Labels that alerts may be grouped by: those of most alerts first. */
export function groupLabels(rows: readonly AlertRow[]): string[] {
  const seen = new Map<string, number>();
  for (const r of rows) for (const k in r.labels) seen.set(k, (seen.get(k) ?? 0) + 1);
  return [...seen].sort((a, b) => Number(b[0] === "alertname") - Number(a[0] === "alertname") || b[1] - a[1] || natural(a[0], b[0])).slice(0, 24).map(([name]) => name);
}

/** The alerts under the value of a label, or under the manager's groups; an alert may be in several of the latter, or in none yet. */
export function groupAlerts(rows: readonly AlertRow[], by: string, told: readonly ToldGroup[], flipped: ReadonlySet<string>): AlertGroup[] {
  const groups = new Map<string, { labels: Labels; receiver: string | undefined; rows: AlertRow[] }>();
  const put = (key: string, labels: Labels, receiver: string | undefined, row: AlertRow) => {
    const group = groups.get(key);
    if (group) group.rows.push(row);
    else groups.set(key, { labels, receiver, rows: [row] });
  };
  const of = new Map<string, { key: string; group: ToldGroup }[]>();
  for (const group of told) {
    const key = `${group.receiver.name}\u0002${Object.keys(group.labels).sort().map((k) => `${k}\u0001${group.labels[k]}`).join("\u0002")}`;
    for (const { fingerprint } of group.alerts) of.set(fingerprint, [...(of.get(fingerprint) ?? []), { key, group }]);
  }
  for (const r of rows) {
    if (by !== AS_TOLD) put(r.labels[by] ?? "", r.labels[by] === undefined ? {} : { [by]: r.labels[by] }, undefined, r);
    else {
      const list = of.get(r.fingerprint ?? "") ?? [];
      for (const { key, group } of list) put(key, group.labels, group.receiver.name, r);
      if (list.length === 0) put("", {}, undefined, r);
    }
  }
  const foldedAtFirst = rows.length >= MANY;
  return [...groups]
    .map(([key, g]): AlertGroup => {
      const counts: Partial<Record<AlertRow["state"], number>> = {};
      for (const r of g.rows) counts[r.state] = (counts[r.state] ?? 0) + 1;
      return { kind: "group", key, ...g, counts, newest: Math.max(...g.rows.map((r) => r.since)), folded: foldedAtFirst !== flipped.has(key) };
    })
    .sort((a, b) => worst(a) - worst(b) || b.rows.length - a.rows.length || natural(a.key, b.key));
}

function worst(g: AlertGroup): number {
  return SEVERITY.findIndex((state) => (g.counts as Record<string, number>)[state] !== undefined);
}

/** Groups and, below those that are open, their alerts. */
export function rowsOf(groups: readonly AlertGroup[]): (AlertGroup | AlertItem)[] {
  return groups.flatMap((g) => [g, ...(g.folded ? [] : g.rows.map((row): AlertItem => ({ kind: "alert", key: `${g.key}\u0003${row.key}`, row })))]);
}
