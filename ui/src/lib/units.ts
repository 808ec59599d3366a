/**
 * Units: a number in, the text a person reads out.
 * Pure; never touches the page. Families and rounding follow docs/user/web-page.md: three significant digits,
 * binary prefixes for memory and disk sizes, decimal ones for rates on a wire.
 */

export type UnitId = string;

export interface Shown {
  /** The number with its scale applied, no unit. */
  text: string;
  /** The unit as printed after the number; empty when there is none. */
  unit: string;
}

type Family = "si" | "binary" | "count" | "duration" | "fixed" | "bool" | "time";

interface Unit {
  family: Family;
  /** Printed after the SI or binary prefix, or alone for fixed units. */
  symbol: string;
  /** Multiplies the raw value first: 100 for ratios shown as percent, 0.001 for milliseconds. */
  factor?: number;
  /** Zero belongs on the axis. */
  zero?: boolean;
}

const UNITS: Readonly<Record<string, Unit>> = {
  none: { family: "fixed", symbol: "" },
  short: { family: "count", symbol: "" },
  percent: { family: "fixed", symbol: "%", zero: true },
  percentunit: { family: "fixed", symbol: "%", factor: 100, zero: true },
  bytes: { family: "binary", symbol: "B", zero: true },
  decbytes: { family: "si", symbol: "B", zero: true },
  bits: { family: "binary", symbol: "b", zero: true },
  Bps: { family: "si", symbol: "B/s", zero: true },
  binBps: { family: "binary", symbol: "B/s", zero: true },
  bps: { family: "si", symbol: "b/s", zero: true },
  pps: { family: "si", symbol: "p/s", zero: true },
  hertz: { family: "si", symbol: "Hz" },
  volt: { family: "si", symbol: "V" },
  watt: { family: "si", symbol: "W" },
  ops: { family: "count", symbol: "ops/s", zero: true },
  reqps: { family: "count", symbol: "req/s", zero: true },
  iops: { family: "count", symbol: "io/s", zero: true },
  cps: { family: "count", symbol: "/s", zero: true },
  s: { family: "duration", symbol: "s", zero: true },
  ms: { family: "duration", symbol: "s", factor: 1e-3, zero: true },
  µs: { family: "duration", symbol: "s", factor: 1e-6, zero: true },
  ns: { family: "duration", symbol: "s", factor: 1e-9, zero: true },
  celsius: { family: "fixed", symbol: "°C" },
  bool: { family: "bool", symbol: "" },
  dateTime: { family: "time", symbol: "" },
};

const SI = ["", "k", "M", "G", "T", "P", "E"] as const;
const SI_SMALL = ["", "m", "µ", "n", "p"] as const;
const BINARY = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] as const;
const COUNT = ["", " K", " M", " G", " T", " P"] as const;

const DURATION: readonly (readonly [limit: number, divisor: number, symbol: string])[] = [
  [1e-6, 1e-9, "ns"],
  [1e-3, 1e-6, "µs"],
  [1, 1e-3, "ms"],
  [60, 1, "s"],
  [3600, 60, "min"],
  [86_400, 3600, "h"],
  [604_800 * 2, 86_400, "d"],
  [31_536_000, 604_800, "wk"],
  [Number.POSITIVE_INFINITY, 31_556_900, "y"],
];

function unitOf(id: UnitId): Unit {
  return UNITS[id] ?? { family: "fixed", symbol: id };
}

/** How a family divides a magnitude: the divisor and the text of the unit. */
function scaleFor(unit: Unit, magnitude: number): readonly [divisor: number, symbol: string] {
  const m = Math.abs(magnitude);
  switch (unit.family) {
    case "binary": {
      const i = Math.min(BINARY.length - 1, m < 1 ? 0 : Math.floor(Math.log2(m) / 10));
      return [1024 ** i, `${BINARY[i]}${unit.symbol}`];
    }
    case "si": {
      if (m > 0 && m < 1 && unit.symbol !== "B" && unit.symbol !== "B/s" && unit.symbol !== "b/s") {
        const i = Math.min(SI_SMALL.length - 1, Math.ceil(-Math.log10(m) / 3 - 1e-9));
        return [1000 ** -i, `${SI_SMALL[i]}${unit.symbol}`];
      }
      const i = Math.min(SI.length - 1, m < 1 ? 0 : Math.floor(Math.log10(m) / 3 + 1e-9));
      return [1000 ** i, `${SI[i]}${unit.symbol}`];
    }
    case "count": {
      const i = Math.min(COUNT.length - 1, m < 1 ? 0 : Math.floor(Math.log10(m) / 3 + 1e-9));
      return [1000 ** i, `${COUNT[i]?.trim() ?? ""}${i > 0 && unit.symbol !== "" && !unit.symbol.startsWith("/") ? " " : ""}${unit.symbol}`];
    }
    case "duration": {
      if (m === 0) return [1, "s"];
      for (const [limit, divisor, symbol] of DURATION) if (m < limit) return [divisor, symbol];
      return [1, "s"];
    }
    default:
      return [1, unit.symbol];
  }
}

/** At most three significant digits, never fewer than the whole part; trailing zeros dropped. */
export function round3(v: number): string {
  if (!Number.isFinite(v)) return Number.isNaN(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf";
  const m = Math.abs(v);
  if (m === 0) return "0";
  if (m >= 1e15 || m < 1e-6) return v.toExponential(2).replace(/\.?0+e/, "e");
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(m)));
  const text = v.toFixed(Math.min(decimals, 9));
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** A value with its unit. `decimals` fixes the digits after the point. */
export function show(value: number, id: UnitId = "none", decimals?: number): Shown {
  const unit = unitOf(id);
  if (unit.family === "bool") return { text: value ? "1" : "0", unit: "" };
  if (unit.family === "time") return { text: Number.isFinite(value) ? new Date(value * 1000).toISOString() : "–", unit: "" };
  const raw = value * (unit.factor ?? 1);
  if (!Number.isFinite(raw)) return { text: round3(raw), unit: "" };
  let [divisor, symbol] = scaleFor(unit, raw);
  // 999.6 would print as "1000": take the next prefix instead.
  if (unit.family === "si" || unit.family === "count") {
    const shown = Number(round3(raw / divisor));
    if (Math.abs(shown) >= 1000) [divisor, symbol] = scaleFor(unit, raw * 1.01);
  }
  const scaled = raw / divisor;
  // Hundredths of a percent are noise.
  if (symbol === "%" && decimals === undefined && Math.abs(scaled) < 10) return { text: String(Number(scaled.toFixed(2))), unit: symbol };
  return { text: decimals === undefined ? round3(scaled) : scaled.toFixed(decimals), unit: symbol };
}

/** The same as one string; percent sticks to its number. */
export function showText(value: number, id: UnitId = "none", decimals?: number): string {
  const s = show(value, id, decimals);
  if (s.unit === "") return s.text;
  return s.unit === "%" ? `${s.text}%` : `${s.text} ${s.unit}`;
}

/** Labels of one axis: one scale and one number of decimals for all ticks. */
export function axisLabels(ticks: readonly number[], id: UnitId): string[] {
  const unit = unitOf(id);
  if (ticks.length === 0) return [];
  const factor = unit.factor ?? 1;
  const largest = Math.max(...ticks.map((t) => Math.abs(t * factor)));
  const [divisor, symbol] = scaleFor(unit, largest);
  const scaled = ticks.map((t) => (t * factor) / divisor);
  const gap = scaled.length > 1 ? Math.abs((scaled[1] ?? 0) - (scaled[0] ?? 0)) : Math.abs(scaled[0] ?? 1);
  let decimals = gap > 0 ? Math.max(0, Math.ceil(-Math.log10(gap) - 1e-9)) : 0;
  // 2.5 needs one more digit than its magnitude says.
  while (decimals < 9 && scaled.some((v) => Math.abs(v - Number(v.toFixed(decimals))) > gap * 0.02)) decimals++;
  const space = symbol === "" || symbol === "%" ? "" : " ";
  return scaled.map((v) => `${(Object.is(v, -0) ? 0 : v).toFixed(decimals)}${space}${symbol}`);
}

/** Whether an axis of this unit should begin at zero (counts and bytes do). */
export function startsAtZero(id: UnitId): boolean {
  return unitOf(id).zero ?? unitOf(id).family === "count";
}

const DURATION_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800];

function niceStep(raw: number, quarters = true): number {
  const power = 10 ** Math.floor(Math.log10(raw));
  const n = raw / power;
  const nice = n <= 1.0001 ? 1 : n <= 2.0001 ? 2 : quarters && n <= 2.5001 ? 2.5 : n <= 5.0001 ? 5 : 10;
  return nice * power;
}

/** Four to six round ticks covering [min, max], in the steps people expect of the unit. */
export function niceTicks(min: number, max: number, id: UnitId, wanted = 5): number[] {
  if (!(max > min)) return Number.isFinite(min) ? [min] : [];
  const unit = unitOf(id);
  const factor = unit.factor ?? 1;
  const lo = min * factor;
  const hi = max * factor;
  const raw = (hi - lo) / wanted;
  let step: number;
  if (unit.family === "duration" && raw >= 1) {
    step = DURATION_STEPS.find((s) => s >= raw) ?? niceStep(raw / 604_800) * 604_800;
  } else {
    const [divisor] = scaleFor(unit.family === "binary" ? unit : { family: "fixed", symbol: "" }, Math.max(Math.abs(lo), Math.abs(hi)));
    // 2.5 processes mean nothing: counts step by 1, 2 or 5.
    step = niceStep(raw / divisor, unit.family !== "count") * divisor;
  }
  const ticks: number[] = [];
  const first = Math.ceil(lo / step - 1e-9);
  const last = Math.floor(hi / step + 1e-9);
  for (let i = first; i <= last && ticks.length < 50; i++) ticks.push((i * step) / factor);
  return ticks;
}

/** Largest round number not below `max`, so that the axis ends on a tick. */
export function niceRange(min: number, max: number, id: UnitId, zero: boolean): [number, number] {
  let lo = min;
  let hi = max;
  if (!Number.isFinite(lo) || !Number.isFinite(hi)) return [0, 1];
  // A flat line would lie on the edge.
  if (lo === hi && hi > 0) hi *= 1.1;
  if (zero && lo > 0) lo = 0;
  if (zero && hi < 0) hi = 0;
  if (lo === hi) {
    if (lo === 0) return [0, 1];
    const pad = Math.abs(lo) * 0.5;
    lo = zero || lo > 0 ? Math.min(lo - pad, lo > 0 ? 0 : lo - pad) : lo - pad;
    hi += pad;
  }
  const ticks = niceTicks(lo, hi, id);
  const step = ticks.length > 1 ? (ticks[1] ?? 0) - (ticks[0] ?? 0) : hi - lo;
  return [Math.floor(lo / step + 1e-9) * step, Math.ceil(hi / step - 1e-9) * step];
}
