/**
 * Resolution of range queries: the step from range and pixels, the rate window from the real scrape interval.
 * Pure. A rate window shorter than four scrapes shows gaps, so it is never chosen.
 */

/** Prometheus refuses more points per series than this. */
export const MAX_POINTS = 11_000;

const ROUND: readonly (readonly [below: number, to: number])[] = [
  [1.5, 1], [3.5, 2], [7.5, 5], [12.5, 10], [17.5, 15], [25, 20], [45, 30], [90, 60], [210, 120], [450, 300], [750, 600],
  [1050, 900], [1500, 1200], [2700, 1800], [5400, 3600], [9000, 7200], [16_200, 10_800], [32_400, 21_600], [86_400, 43_200],
  [604_800, 86_400], [1_814_400, 604_800],
];

/** A round interval near `seconds`. */
export function roundInterval(seconds: number): number {
  for (const [below, to] of ROUND) if (seconds < below) return to;
  return 2_592_000;
}

/** Step in seconds for a range drawn `width` CSS pixels wide: one point per two pixels, not finer than the samples are. */
export function chooseStep(rangeMs: number, width: number, minSeconds = 1): number {
  const seconds = rangeMs / 1000;
  const wanted = roundInterval(seconds / Math.max(60, width / 2));
  return Math.max(wanted, minSeconds, Math.ceil(seconds / MAX_POINTS));
}

/** Window of `rate()` in seconds for a step and a scrape interval, both in seconds. */
export function rateWindow(step: number, scrape: number): number {
  return Math.max(step + scrape, 4 * scrape);
}

/** Start and end (ms) floored to the step, so that a refresh asks for the same grid. */
export function alignRange(fromMs: number, toMs: number, step: number): { start: number; end: number } {
  const s = step * 1000;
  return { start: (Math.floor(fromMs / s) * s) / 1000, end: (Math.floor(toMs / s) * s) / 1000 };
}

/** Replaces $__rate_interval, $__interval and $__range (with or without braces) in an expression. */
export function expandMacros(expr: string, step: number, scrape: number, rangeSeconds: number): string {
  const value: Record<string, string> = {
    __rate_interval: `${Math.round(rateWindow(step, scrape))}s`,
    __interval_ms: String(Math.round(step * 1000)),
    __interval: `${Math.round(step)}s`,
    __range_ms: String(Math.round(rangeSeconds * 1000)),
    __range_s: String(Math.round(rangeSeconds)),
    __range: `${Math.round(rangeSeconds)}s`,
  };
  return expr.replace(/\$(?:\{(__\w+)\}|(__rate_interval|__interval_ms|__interval|__range_ms|__range_s|__range)(?!\w))/g, (all, braced: string, bare: string) => value[braced ?? bare] ?? all);
}
