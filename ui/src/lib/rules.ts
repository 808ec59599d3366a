/**
 * Rules as their page needs them: groups and rules in one list of rows, filtered. Pure.
 */
import type { ApiRule, RuleGroup } from "../api/types";
import { filterWords } from "./targets";

export interface GroupHead {
  kind: "group";
  key: string;
  group: RuleGroup;
  shown: number;
  folded: boolean;
}

export interface RuleItem {
  kind: "rule";
  key: string;
  group: RuleGroup;
  rule: ApiRule;
}

export interface RuleFilter {
  filter: string;
  health?: string | null;
  state?: string | null;
  type?: string | null;
  file?: string | null;
  folded?: ReadonlySet<string>;
}

export const groupKey = (g: RuleGroup) => `${g.file};${g.name}`;

/** Groups with what fails, fires or is about to before the others; otherwise as they came. */
export function worstFirst(groups: readonly RuleGroup[]): RuleGroup[] {
  const rank = (g: RuleGroup) => {
    if (g.rules.some((r) => r.health === "err")) return 0;
    if (g.rules.some((r) => r.state === "firing")) return 1;
    return g.rules.some((r) => r.state === "pending") ? 2 : 3;
  };
  return groups.map((group) => ({ group, rank: rank(group) })).sort((a, b) => a.rank - b.rank).map((x) => x.group);
}

/** Heads of groups with the rules that match; groups without any are left out. */
export function ruleRows(groups: readonly RuleGroup[], { filter, health, state, type, file, folded }: RuleFilter): (GroupHead | RuleItem)[] {
  const words = filterWords(filter);
  const rows: (GroupHead | RuleItem)[] = [];
  for (const group of groups) {
    if (file && group.file !== file) continue;
    const head: GroupHead = { kind: "group", key: groupKey(group), group, shown: 0, folded: folded?.has(groupKey(group)) ?? false };
    const at = rows.length;
    group.rules.forEach((rule, i) => {
      if (health && rule.health !== health) return;
      if (state && rule.state !== state) return;
      if (type && rule.type !== type) return;
      if (words.length > 0) {
        const labels = Object.entries(rule.labels ?? {}).map(([k, v]) => `${k}=${v}`).join(" ");
        const text = `${group.file} ${group.name} ${rule.name} ${rule.query.replace(/"/g, "")} ${rule.lastError ?? ""} ${labels}`.toLowerCase();
        if (!words.every((w) => text.includes(w))) return;
      }
      head.shown++;
      if (!head.folded) rows.push({ kind: "rule", key: `${head.key};${i}`, group, rule });
    });
    if (head.shown > 0) rows.splice(at, 0, head);
  }
  return rows;
}

/** How many rules there are of each kind. */
export function countRules(groups: readonly RuleGroup[], of: (r: ApiRule) => string | undefined): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const g of groups) {
    for (const r of g.rules) {
      const k = of(r);
      if (k !== undefined) counts[k] = (counts[k] ?? 0) + 1;
    }
  }
  return counts;
}

/** When a group is evaluated next, in ms: an interval after the last time; undefined before the first. */
export function nextRun(group: RuleGroup): number | undefined {
  const last = Date.parse(group.lastEvaluation ?? "");
  return last > 0 ? last + group.interval * 1000 : undefined;
}
