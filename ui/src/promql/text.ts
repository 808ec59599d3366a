/**
 * Small readings of PromQL text that need no parser: which metrics it names, which unit its value has. Pure guesses,
 * used for the axis unit and links only, never to change a query.
 */
import type { UnitId } from "../lib/units";

const WORDS = new Set("by without on ignoring group_left group_right and or unless bool offset start end inf nan".split(" "));

/** Metric names an expression mentions, in order, without functions, keywords and labels. */
export function metricsIn(expr: string): string[] {
  const bare = expr
    .replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`/g, '""')
    .replace(/#[^\n]*/g, "")
    .replace(/\{[^}]*\}/g, "{}")
    .replace(/\[[^\]]*\]/g, "")
    .replace(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/gi, " ");
  const out: string[] = [];
  for (const m of bare.matchAll(/[a-zA-Z_:][a-zA-Z0-9_:]*/g)) {
    const after = bare.slice((m.index ?? 0) + m[0].length).trimStart();
    const before = bare[(m.index ?? 0) - 1] ?? "";
    if (/[0-9.$]/.test(before) || after.startsWith("(") || WORDS.has(m[0].toLowerCase()) || out.includes(m[0])) continue;
    // An aggregation with its modifier between name and parenthesis: `sum by (x) (…)`, modifier already cut.
    if (/^(sum|avg|min|max|count|topk|bottomk|quantile|stddev|stdvar|group|count_values|limitk|limit_ratio)$/.test(m[0])) continue;
    out.push(m[0]);
  }
  return out;
}

/** Unit of an expression's value by naming convention; "short" when unsure. */
export function guessUnit(expr: string): UnitId {
  const names = metricsIn(expr);
  if (names.length === 0) return "short";
  if (/^\s*(count|group|count_values|changes|resets|absent)\b/.test(expr) || /(^|[^=!<>])(==|!=|>=?|<=?)\s*bool/.test(expr)) return "short";
  const rate = /\b(rate|irate|deriv)\s*\(/.test(expr);
  const kind = (n: string): UnitId => {
    const base = n.replace(/_(total|sum|bucket|count)$/, "");
    if (/_count$/.test(n) || /_bucket$/.test(n)) return /histogram_quantile/.test(expr) && /_seconds$/.test(base) ? "s" : rate ? "cps" : "short";
    if (/_bytes$/.test(base)) return rate ? "binBps" : "bytes";
    if (/_seconds$/.test(base)) return rate ? (n.endsWith("_total") ? "percentunit" : "s") : "s";
    if (/_ratio$/.test(base)) return "percentunit";
    if (/_celsius$/.test(base)) return "celsius";
    if (/_hertz$/.test(base)) return "hertz";
    return rate ? "cps" : "short";
  };
  const kinds = new Set(names.map(kind));
  if (kinds.size !== 1) return "short";
  const [k] = kinds;
  // A ratio of two like things has no unit.
  if (names.length > 0 && /\)?\s*\/\s*[a-zA-Z_(]/.test(expr) && !/histogram_quantile/.test(expr)) return /^\s*1\s*-/.test(expr) ? "percentunit" : "short";
  if (/_sum\b/.test(expr) && /\//.test(expr)) return "s";
  return k ?? "short";
}
