/**
 * From query answers to columns a plot can draw, and back to the numbers of a legend. Pure; no drawing here.
 */
import type { MatrixSeries, VectorSample } from "../api/types";
import { type Labels, distinctNames, labelKey, legendName } from "../lib/labels";
import { assignColours } from "../lib/palette";
import { stateOfSeverity } from "../lib/state";
import { parseValue } from "./value";

/** More lines than this cannot be told apart; the rest stays in the table view. */
export const MAX_DRAWN = 100;

export type Column = (number | null)[];

export interface ChartSeries {
  key: string;
  name: string;
  labels: Labels;
  /** Index into the palette. */
  colour: number;
  values: Column;
}

export interface ChartData {
  /** Seconds since the epoch, evenly spaced. */
  xs: number[];
  series: ChartSeries[];
  /** Series in the answer, drawn or not. */
  total: number;
}

export interface Part {
  result: readonly MatrixSeries[];
  legend: string;
}

/** Puts series with these names first, in this order; the others keep theirs. */
export function inOrder(series: ChartSeries[], order: readonly string[]): ChartSeries[] {
  const rank = (s: ChartSeries) => (order.includes(s.name) ? order.indexOf(s.name) : order.length);
  return [...series].sort((a, b) => rank(a) - rank(b));
}

/** Puts the values of an instant behind a range's, so that a coarse grid still ends with what is known now. */
export function withTail(result: readonly MatrixSeries[], tail: readonly VectorSample[]): MatrixSeries[] {
  const last = new Map(tail.flatMap((s) => (s.value ? [[labelKey(s.metric), s] as const] : [])));
  const out = result.map((s) => {
    const key = labelKey(s.metric);
    const value = last.get(key)?.value;
    last.delete(key);
    return value ? { ...s, values: [...(s.values ?? []), value] } : s;
  });
  for (const s of last.values()) if (s.value) out.push({ metric: s.metric, values: [s.value] });
  return out;
}

/** One grid for all parts, with one instant more behind it where `tail` says so; a missing step is null, so gaps stay gaps. NaN and infinities are null too. */
export function toChartData(parts: readonly Part[], start: number, end: number, step: number, tail?: number): ChartData {
  const n = Math.max(1, Math.floor((end - start) / step + 1e-6) + 1);
  const xs = Array.from({ length: n }, (_, i) => start + i * step);
  if (tail !== undefined) xs.push(tail);
  const found: { labels: Labels; legend: string; part: number; values: Column }[] = [];
  let total = 0;
  parts.forEach((part, index) => {
    total += part.result.length;
    for (const s of part.result) {
      if (found.length >= MAX_DRAWN) break;
      const values: Column = new Array<number | null>(xs.length).fill(null);
      const put = (t: number, v: number) => {
        const i = t === tail ? n : Math.round((t - start) / step);
        if (i >= 0 && (i < n || t === tail) && Number.isFinite(v)) values[i] = v;
      };
      for (const [t, v] of s.values ?? []) put(t, parseValue(v));
      // A native histogram is drawn by its count; its shape belongs to the table.
      for (const [t, h] of s.histograms ?? []) put(t, parseValue(h.count));
      found.push({ labels: s.metric, legend: part.legend, part: index, values });
    }
  });
  const plain = distinctNames(found.map((f) => f.labels));
  const names = found.map((f, i) => (f.legend === "" ? (plain[i] ?? "") : legendName(f.legend, f.labels)));
  // The key is what a reader sees: the same mount or mode keeps its colour in every graph of a page.
  const keys = found.map((f, i) => (f.legend === "" ? labelKey(f.labels) : (names[i] ?? "")));
  const unique = keys.map((k, i) => (keys.indexOf(k) === i ? k : `${k}#${found[i]?.part}.${i}`));
  const colours = assignColours(unique);
  return { xs, total, series: found.map((f, i) => ({ key: unique[i] ?? "", name: names[i] ?? "", labels: f.labels, colour: colours[i] ?? 0, values: f.values })) };
}

/** Running sums from the bottom up; a null counts as nothing where another member has a value, else stays null. */
export function stack(columns: readonly Column[]): Column[] {
  const n = columns[0]?.length ?? 0;
  const some = Array.from({ length: n }, (_, i) => columns.some((c) => c[i] !== null));
  const sum = new Array<number>(n).fill(0);
  return columns.map((c) => c.map((v, i) => (some[i] ? (sum[i] = (sum[i] ?? 0) + (v ?? 0)) : null)));
}

/** A time in which an alert fired. Seconds since the epoch. */
export interface Span {
  from: number;
  to: number;
  name: string;
  state: "critical" | "warning";
}

/** Neighbouring points of one ALERTS series → spans; a missing step ends one. */
export function spansOf(result: readonly MatrixSeries[], step: number): Span[] {
  const spans: Span[] = [];
  for (const s of result) {
    const name = s.metric.alertname ?? "";
    const state = stateOfSeverity(s.metric.severity);
    let open: Span | undefined;
    for (const [t] of s.values ?? []) {
      if (open && t - open.to <= step * 1.5) open.to = t;
      else {
        open = { from: t, to: t, name, state };
        spans.push(open);
      }
    }
  }
  // The worse is drawn over the lesser.
  return spans.sort((a, b) => Number(a.state === "critical") - Number(b.state === "critical"));
}

export interface Stats {
  last: number | null;
  avg: number | null;
  max: number | null;
}

export function stats(column: Column): Stats {
  let last: number | null = null;
  let max: number | null = null;
  let sum = 0;
  let n = 0;
  for (const v of column) {
    if (v === null) continue;
    last = v;
    sum += v;
    n++;
    if (max === null || v > max) max = v;
  }
  return { last, avg: n > 0 ? sum / n : null, max };
}

export function extent(columns: readonly Column[]): [number, number] | undefined {
  let lo = Number.POSITIVE_INFINITY;
  let hi = Number.NEGATIVE_INFINITY;
  for (const c of columns) {
    for (const v of c) {
      if (v === null) continue;
      if (v < lo) lo = v;
      if (v > hi) hi = v;
    }
  }
  return lo <= hi ? [lo, hi] : undefined;
}

/** Points with nothing on either side: a line cannot show them, a dot can. */
export function loners(column: Column): number[] {
  const out: number[] = [];
  for (let i = 0; i < column.length; i++) {
    if (column[i] !== null && column[i] !== undefined && (column[i - 1] ?? null) === null && (column[i + 1] ?? null) === null) out.push(i);
  }
  return out;
}

export function pointCount(columns: readonly Column[]): number {
  return columns.reduce((n, c) => n + c.reduce((k: number, v) => k + (v === null ? 0 : 1), 0), 0);
}

/**
 * The range of the y axis. Stays as it was while the new values fit and still use half of it, so that a refresh does
 * not make the picture jump.
 */
export function keepRange(previous: readonly [number, number] | undefined, wanted: [number, number]): [number, number] {
  if (!previous) return wanted;
  const fits = wanted[0] >= previous[0] && wanted[1] <= previous[1];
  const used = (wanted[1] - wanted[0]) / (previous[1] - previous[0]);
  return fits && used >= 0.5 ? [previous[0], previous[1]] : wanted;
}
