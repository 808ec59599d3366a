/**
 * What relabelling did to a label set: differences, and rules as people write them. Pure.
 */
import type { RelabelRule } from "../api/types";
import { type Labels, natural } from "./labels";

export interface LabelChange {
  name: string;
  before: string | undefined;
  after: string | undefined;
  kind: "same" | "added" | "removed" | "changed";
}

/** Every name of both sets. */
export function compareLabels(before: Labels, after: Labels): LabelChange[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort(natural);
  return names.map((name) => {
    const [a, b] = [before[name], after[name]];
    return { name, before: a, after: b, kind: a === b ? "same" : a === undefined ? "added" : b === undefined ? "removed" : "changed" };
  });
}

const plain = (text: string) => /^[A-Za-z_][\w./:-]*$/.test(text);
const yaml = (text: string) => (plain(text) ? text : `'${text.replace(/'/g, "''")}'`);

/** The rule in one line, defaults left out, as it may stand in a configuration. */
export function ruleText(rule: RelabelRule): string {
  const parts = [`action: ${rule.action}`];
  if (rule.source_labels && rule.source_labels.length > 0) parts.push(`source_labels: [${rule.source_labels.map(yaml).join(", ")}]`);
  if (rule.separator !== ";") parts.push(`separator: ${yaml(rule.separator)}`);
  if (rule.regex !== "(.*)" && rule.regex !== "") parts.push(`regex: ${yaml(rule.regex)}`);
  if (rule.modulus) parts.push(`modulus: ${rule.modulus}`);
  if (rule.target_label) parts.push(`target_label: ${yaml(rule.target_label)}`);
  if (rule.replacement !== "$1") parts.push(`replacement: ${yaml(rule.replacement)}`);
  return `{${parts.join(", ")}}`;
}
