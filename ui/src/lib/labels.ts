/**
 * Label sets: reading, naming and comparing them. Pure.
 */

export type Labels = Readonly<Record<string, string>>;

/** A label value inside double quotes, as PromQL wants it. */
export function quote(value: string): string {
  return `"${value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n")}"`;
}

/** A literal for use inside a regular expression matcher. */
export function escapeRegex(value: string): string {
  return value.replace(/[.*+?^${}()|[\]\\/-]/g, (c) => (c === "/" || c === "-" ? c : `\\${c}`));
}

const PLAIN_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const PLAIN_LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** `name{a="b",c="d"}`, labels sorted; names outside the classic alphabet are quoted. */
export function seriesName(labels: Labels, without: readonly string[] = []): string {
  const name = labels.__name__ ?? "";
  const pairs = Object.keys(labels)
    .filter((k) => k !== "__name__" && !without.includes(k))
    .sort()
    .map((k) => `${PLAIN_LABEL.test(k) ? k : quote(k)}=${quote(labels[k] ?? "")}`);
  if (name !== "" && !PLAIN_NAME.test(name)) return `{${[quote(name), ...pairs].join(",")}}`;
  if (pairs.length === 0) return name === "" ? "{}" : name;
  return `${name}{${pairs.join(",")}}`;
}

/** Identity of a label set, for keys. */
export function labelKey(labels: Labels): string {
  return Object.keys(labels)
    .sort()
    .map((k) => `${k}\u0001${labels[k]}`)
    .join("\u0002");
}

/** Every label of `part` has the same value in `whole`. */
export function isSubset(part: Labels, whole: Labels): boolean {
  return Object.keys(part).every((k) => whole[k] === part[k]);
}

/** Labels (and values) that all sets share; said once above a table rather than on each row. */
export function commonLabels(sets: readonly Labels[]): Record<string, string> {
  const first = sets[0];
  if (!first) return {};
  const out: Record<string, string> = {};
  for (const k of Object.keys(first)) if (sets.every((s) => s[k] === first[k])) out[k] = first[k] ?? "";
  return out;
}

/** `{{label}}` replaced by its value; a missing label is empty. */
export function legendName(format: string, labels: Labels): string {
  return format.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, k: string) => labels[k] ?? "");
}

/** Names of a set of series: what tells them apart, first; the whole name if that is nothing. */
export function distinctNames(sets: readonly Labels[]): string[] {
  if (sets.length === 0) return [];
  if (sets.length === 1) return [seriesName(sets[0] ?? {})];
  const common = Object.keys(commonLabels(sets)).filter((k) => k !== "__name__");
  const names = sets.map((s) => seriesName(s, common));
  return new Set(names).size === sets.length ? names : sets.map((s) => seriesName(s));
}

/** Cuts a long text in the middle. */
export function cutMiddle(text: string, max: number): string {
  if (text.length <= max) return text;
  const head = Math.ceil((max - 1) / 2);
  return `${text.slice(0, head)}…${text.slice(text.length - (max - 1 - head))}`;
}

/** Every word of the filter occurs in the text, in any case. */
export function matchesFilter(filter: string, text: string): boolean {
  const t = text.toLowerCase();
  return filter
    .toLowerCase()
    .split(/\s+/)
    .every((w) => w === "" || t.includes(w));
}

/** Natural order: host2 before host10. */
export const natural = new Intl.Collator("en", { numeric: true, sensitivity: "base" }).compare;
