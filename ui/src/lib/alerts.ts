/**
 * One list of what is wrong now, made of the rules' view (pending, firing) and the alertmanager's view
 * (sent, silenced, inhibited). Pure.
 */
import type { AlertOwn, ApiAlert, AmAlert, AmMatcher } from "../api/types";
import { type Labels, isSubset, labelKey, natural } from "./labels";
import { SEVERITY, type State, stateOfSeverity } from "./state";

export interface AlertRow {
  key: string;
  name: string;
  state: Extract<State, "critical" | "warning" | "pending" | "silenced">;
  /** Why it is quiet: ids of silences, or fingerprints of the alerts that inhibit it. */
  silencedBy: readonly string[];
  inhibitedBy: readonly string[];
  severity: string;
  labels: Labels;
  annotations: Labels;
  summary: string;
  /** Milliseconds since the epoch. */
  since: number;
  value: number | undefined;
  /** The worst value since it began. */
  peak: number | undefined;
  /** Receivers that were told; empty if the alertmanager does not know it (yet). */
  receivers: readonly string[];
  generatorURL: string;
  /** By which the alertmanager knows it; undefined while it does not. */
  fingerprint: string | undefined;
  own: AlertOwn | undefined;
}

export function mergeAlerts(rules: readonly ApiAlert[], am: readonly AmAlert[]): AlertRow[] {
  const rows: AlertRow[] = [];
  // Small buckets: a storm is thousands of alerts of one name.
  const bucket = (l: Labels) => `${l.alertname ?? ""}\u0001${l.instance ?? ""}`;
  const buckets = new Map<string, AmAlert[]>();
  for (const a of am) {
    const list = buckets.get(bucket(a.labels));
    if (list) list.push(a);
    else buckets.set(bucket(a.labels), [a]);
  }
  const taken = new Set<AmAlert>();
  for (const r of rules) {
    if (r.state !== "firing" && r.state !== "pending") continue;
    // External labels may have been added on the way, so the rule's labels are a part of the alertmanager's.
    const sent = r.state === "firing" ? buckets.get(bucket(r.labels))?.find((a) => !taken.has(a) && isSubset(r.labels, a.labels)) : undefined;
    if (sent) taken.add(sent);
    rows.push(row(r.labels, r.annotations, Date.parse(r.activeAt), Number(r.value), r.state === "pending", sent, sent?.generatorURL ?? ""));
  }
  for (const a of am) if (!taken.has(a)) rows.push(row(a.labels, a.annotations, Date.parse(a.startsAt), undefined, false, a, a.generatorURL ?? ""));
  return sortAlerts(rows);
}

function row(labels: Labels, annotations: Labels, since: number, value: number | undefined, pending: boolean, am: AmAlert | undefined, generatorURL: string): AlertRow {
  const quiet = (am?.status.silencedBy.length ?? 0) + (am?.status.inhibitedBy.length ?? 0) > 0 || am?.hinomi?.ignoredBy !== undefined;
  return {
    key: `${labelKey(labels)}${pending ? "p" : "f"}`,
    name: labels.alertname ?? "",
    state: pending ? "pending" : quiet ? "silenced" : stateOfSeverity(labels.severity),
    silencedBy: am?.status.silencedBy ?? [],
    inhibitedBy: am?.status.inhibitedBy ?? [],
    severity: labels.severity ?? "",
    labels,
    annotations,
    summary: annotations.summary ?? annotations.description ?? annotations.message ?? "",
    since,
    value: value ?? am?.hinomi?.value,
    peak: am?.hinomi?.peak,
    receivers: am?.receivers.map((r) => r.name) ?? [],
    generatorURL,
    fingerprint: am?.fingerprint,
    own: am?.hinomi,
  };
}

/** What a rule of the form `expression > number` compares with what; undefined for other rules. */
export function comparison(expr: string): { left: string; op: string; threshold: number } | undefined {
  const m = /^([\s\S]*[^\s<>=!])\s*(>=|<=|==|!=|>|<)\s*(-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*$/i.exec(expr);
  const left = m?.[1] ?? "";
  // A comparison inside of something, or one of several: its left side alone says nothing.
  const depth = [...left.replace(/"(?:[^"\\]|\\.)*"/g, "")].reduce((n, c) => n + ("([{".includes(c) ? 1 : ")]}".includes(c) ? -1 : 0), 0);
  if (m === null || depth !== 0 || /\b(?:and|or|unless)\b/i.test(left)) return undefined;
  return { left, op: m[2] ?? "", threshold: Number(m[3]) };
}

/** Worst first, then the newest. */
export function sortAlerts(rows: AlertRow[]): AlertRow[] {
  return rows.sort((a, b) => SEVERITY.indexOf(a.state) - SEVERITY.indexOf(b.state) || b.since - a.since || natural(a.name, b.name) || natural(a.key, b.key));
}

/** Which alerts belong to an instance: by the instance label, with or without the port. */
export function alertsByInstance(rows: readonly AlertRow[]): Map<string, AlertRow[]> {
  const by = new Map<string, AlertRow[]>();
  for (const r of rows) {
    const i = r.labels.instance;
    if (i === undefined) continue;
    const list = by.get(i);
    if (list) list.push(r);
    else by.set(i, [r]);
  }
  return by;
}

/** Matchers that hit exactly the alerts with these labels. */
export function matchersOf(labels: Labels): AmMatcher[] {
  return Object.keys(labels)
    .sort((a, b) => Number(b === "alertname") - Number(a === "alertname") || natural(a, b))
    .map((name) => ({ name, value: labels[name] ?? "", isRegex: false, isEqual: true }));
}

export function matcherText(m: AmMatcher): string {
  const op = m.isRegex ? (m.isEqual === false ? "!~" : "=~") : m.isEqual === false ? "!=" : "=";
  return `${m.name}${op}${JSON.stringify(m.value)}`;
}

/** `a="b", c=~"d.*"` (quotes optional, braces optional) → matchers; undefined with the offending part otherwise. */
export function parseMatchers(text: string): { matchers: AmMatcher[] } | { error: string } {
  const matchers: AmMatcher[] = [];
  let rest = text.trim();
  if (rest.startsWith("{") && rest.endsWith("}")) rest = rest.slice(1, -1).trim();
  const one = /^\s*([a-zA-Z_][a-zA-Z0-9_.]*|"(?:[^"\\]|\\.)*")\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"}]*))\s*(?:,|\n|$)/;
  while (rest !== "") {
    const m = one.exec(rest);
    if (!m) return { error: rest };
    const raw = m[3];
    const value = raw === undefined ? (m[4] ?? "") : raw.replace(/\\(.)/g, (_, c: string) => (c === "n" ? "\n" : c));
    const name = m[1] ?? "";
    matchers.push({ name: name.startsWith('"') ? name.slice(1, -1) : name, value, isRegex: (m[2] ?? "").includes("~"), isEqual: !(m[2] ?? "").startsWith("!") });
    rest = rest.slice(m[0].length).trim();
  }
  return { matchers };
}

/** A silence needs a matcher that does not match the empty text, or it would hide everything. */
export function matchesEverything(matchers: readonly AmMatcher[]): boolean {
  return !matchers.some((m) => {
    const empty = m.isRegex ? safeRegex(m.value)?.test("") !== false : m.value === "";
    return m.isEqual === false ? empty : !empty;
  });
}

function safeRegex(value: string): RegExp | undefined {
  try {
    return new RegExp(`^(?:${value})$`, "s");
  } catch {
    return undefined;
  }
}
