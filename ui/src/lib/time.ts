/**
 * Time: durations, ranges as the URL holds them, instants as people read them (ISO order, 24 hours, zone shown).
 * Pure: "now" is always an argument. All instants are milliseconds since the epoch.
 */

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
  y: 31_536_000_000,
};

/** "1h30m" → milliseconds; undefined if it is no duration. */
export function parseDuration(text: string): number | undefined {
  const t = text.trim();
  if (!/^(\d+(\.\d+)?(ms|[smhdwy]))+$/.test(t)) return /^\d+(\.\d+)?$/.test(t) ? Number(t) * 1000 : undefined;
  let sum = 0;
  for (const m of t.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdwy])/g)) sum += Number(m[1]) * (UNIT_MS[m[2] ?? ""] ?? 0);
  return sum;
}

/** Milliseconds → the shortest PromQL duration: 90000 → "1m30s". */
export function formatDuration(ms: number): string {
  if (ms <= 0 || !Number.isFinite(ms)) return "0s";
  let rest = Math.round(ms);
  let out = "";
  for (const [unit, size] of [["y", 31_536_000_000], ["w", 604_800_000], ["d", 86_400_000], ["h", 3_600_000], ["m", 60_000], ["s", 1000], ["ms", 1]] as const) {
    // Years and weeks only when they are whole: "8d" says more than "1w1d".
    if ((unit === "y" || unit === "w") && rest % size !== 0) continue;
    const n = Math.floor(rest / size);
    if (n > 0) {
      out += `${n}${unit}`;
      rest -= n * size;
    }
  }
  return out;
}

/** Two largest parts, for people: "3d 4h", "42s". */
export function humanDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  const s = Math.abs(seconds);
  const sign = seconds < 0 ? "-" : "";
  if (s > 0 && s < 0.0005) return `${sign}${Math.max(1, Math.round(s * 1_000_000))}µs`;
  if (s < 1) return `${sign}${Math.round(s * 1000)}ms`;
  if (s < 10) return `${sign}${Math.floor(s * 10) / 10}s`;
  if (s < 60) return `${sign}${Math.floor(s)}s`;
  const parts: string[] = [];
  let rest = Math.floor(s);
  for (const [unit, size] of [["d", 86_400], ["h", 3600], ["m", 60], ["s", 1]] as const) {
    const n = Math.floor(rest / size);
    rest -= n * size;
    if (n > 0) parts.push(`${n}${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return sign + parts.join(" ");
}

/** A range as written in the URL: each end is "now", "now-1h" or an instant. */
export interface RangeSpec {
  from: string;
  to: string;
}

export interface Range {
  from: number;
  to: number;
}

export const DEFAULT_RANGE: RangeSpec = { from: "now-1h", to: "now" };
export const RELATIVE_RANGES = ["now-5m", "now-15m", "now-1h", "now-3h", "now-6h", "now-12h", "now-1d", "now-2d", "now-1w", "now-30d", "now-90d", "now-1y"] as const;
export const REFRESHES = ["off", "5s", "15s", "30s", "1m", "5m"] as const;
export const DEFAULT_REFRESH = "15s";

/** One end of a range → milliseconds; undefined if it cannot be read. Bare dates are taken in the given zone. */
export function parseInstant(text: string, now: number, zone: Zone = "local"): number | undefined {
  const t = text.trim();
  if (t === "now") return now;
  const rel = /^now([-+])(.+)$/.exec(t);
  if (rel) {
    const d = parseDuration(rel[2] ?? "");
    return d === undefined ? undefined : rel[1] === "-" ? now - d : now + d;
  }
  if (/^\d{9,11}(\.\d+)?$/.test(t)) return Math.round(Number(t) * 1000);
  if (/^\d{12,14}$/.test(t)) return Number(t);
  const iso = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3})\d*)?)?)?\s*(Z|[+-]\d{2}:?\d{2})?$/.exec(t);
  if (!iso) return undefined;
  const n = (i: number) => Number(iso[i] ?? 0);
  const millis = Number((iso[7] ?? "0").padEnd(3, "0"));
  if (n(2) < 1 || n(2) > 12 || n(3) < 1 || n(3) > 31 || n(4) > 24 || n(5) > 59 || n(6) > 60) return undefined;
  if (iso[8] || zone === "utc") {
    const utc = Date.UTC(n(1), n(2) - 1, n(3), n(4), n(5), n(6), millis);
    if (!iso[8] || iso[8] === "Z") return utc;
    const off = /([+-])(\d{2}):?(\d{2})/.exec(iso[8]);
    const minutes = (off?.[1] === "-" ? -1 : 1) * (Number(off?.[2]) * 60 + Number(off?.[3]));
    return utc - minutes * 60_000;
  }
  return new Date(n(1), n(2) - 1, n(3), n(4), n(5), n(6), millis).getTime();
}

/** Spec → instants. A range that cannot be read or runs backwards becomes the default one. */
export function resolveRange(spec: RangeSpec, now: number): Range {
  const from = parseInstant(spec.from, now);
  const to = parseInstant(spec.to, now);
  if (from === undefined || to === undefined || from >= to) {
    return { from: now - 3_600_000, to: now };
  }
  return { from, to };
}

export function isRelative(spec: RangeSpec): boolean {
  return spec.to.startsWith("now");
}

/** "now-1h".."now" → "1h", for the words "last 1h"; undefined for absolute ranges. */
export function relativeLength(spec: RangeSpec): string | undefined {
  return spec.to === "now" && spec.from.startsWith("now-") ? spec.from.slice(4) : undefined;
}

/** Absolute range as the URL writes it. */
export function absoluteSpec(range: Range): RangeSpec {
  const iso = (ms: number) => new Date(Math.round(ms / 1000) * 1000).toISOString().replace(".000Z", "Z");
  return { from: iso(range.from), to: iso(Math.max(range.to, range.from + 1000)) };
}

/** The range twice as wide around the same middle, never into the future when it ended at "now". */
export function zoomOut(range: Range, now: number): Range {
  const half = range.to - range.from;
  const mid = (range.from + range.to) / 2;
  const to = Math.min(mid + half, Math.max(now, range.to));
  return { from: to - 2 * half, to };
}

export function shiftRange(range: Range, by: -1 | 1, now: number): Range {
  const d = ((range.to - range.from) / 2) * by;
  const over = Math.max(0, range.to + d - Math.max(now, range.to));
  return { from: range.from + d - over, to: range.to + d - over };
}

export type Zone = "local" | "utc";

const pad = (n: number, w = 2) => String(n).padStart(w, "0");

interface Parts {
  y: number;
  mo: number;
  d: number;
  h: number;
  mi: number;
  s: number;
  ms: number;
}

function parts(ms: number, zone: Zone): Parts {
  const t = new Date(ms);
  return zone === "utc"
    ? { y: t.getUTCFullYear(), mo: t.getUTCMonth() + 1, d: t.getUTCDate(), h: t.getUTCHours(), mi: t.getUTCMinutes(), s: t.getUTCSeconds(), ms: t.getUTCMilliseconds() }
    : { y: t.getFullYear(), mo: t.getMonth() + 1, d: t.getDate(), h: t.getHours(), mi: t.getMinutes(), s: t.getSeconds(), ms: t.getMilliseconds() };
}

/** "UTC", "UTC+09:00": the zone at that instant. */
export function zoneName(ms: number, zone: Zone): string {
  const off = zone === "utc" ? 0 : -new Date(ms).getTimezoneOffset();
  if (off === 0) return "UTC";
  const a = Math.abs(off);
  return `UTC${off < 0 ? "-" : "+"}${pad(Math.floor(a / 60))}:${pad(a % 60)}`;
}

/** "2026-11-20 22:13:15", optionally with the zone. */
export function formatInstant(ms: number, zone: Zone = "local", withZone = false): string {
  if (!Number.isFinite(ms)) return "–";
  const p = parts(ms, zone);
  const text = `${p.y}-${pad(p.mo)}-${pad(p.d)} ${pad(p.h)}:${pad(p.mi)}:${pad(p.s)}`;
  return withZone ? `${text} ${zoneName(ms, zone)}` : text;
}

/** Short form inside a known day: "22:13:15". */
export function formatClock(ms: number, zone: Zone = "local"): string {
  const p = parts(ms, zone);
  return `${pad(p.h)}:${pad(p.mi)}:${pad(p.s)}`;
}

const TICK_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600, 2_592_000];

/** Round instants for a time axis, aligned to the zone's clock. Seconds in, seconds out. */
export function timeTicks(fromS: number, toS: number, wanted: number, zone: Zone): { step: number; ticks: number[] } {
  const span = toS - fromS;
  const step = TICK_STEPS.find((s) => span / s <= wanted) ?? 31_536_000;
  const offset = zone === "utc" ? 0 : -new Date(fromS * 1000).getTimezoneOffset() * 60;
  const ticks: number[] = [];
  for (let t = Math.ceil((fromS + offset) / step) * step - offset; t <= toS && ticks.length < 100; t += step) ticks.push(t);
  return { step, ticks };
}

/** Text of one tick: the smallest part that changes; the date where a new day begins. */
export function tickLabel(seconds: number, step: number, zone: Zone): string {
  const p = parts(seconds * 1000, zone);
  if (step >= 86_400) return `${pad(p.mo)}-${pad(p.d)}`;
  if (p.h === 0 && p.mi === 0 && p.s === 0) return `${pad(p.mo)}-${pad(p.d)}`;
  return step < 60 ? `${pad(p.h)}:${pad(p.mi)}:${pad(p.s)}` : `${pad(p.h)}:${pad(p.mi)}`;
}
