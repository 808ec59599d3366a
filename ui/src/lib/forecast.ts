/**
 * Forecast: when a filling thing is full, from a least-squares line over recent samples. Pure.
 * Says nothing rather than something wrong: flat or falling series, or too few points, give undefined.
 */

export interface Point {
  /** Seconds since the epoch. */
  t: number;
  v: number;
}

export interface Trend {
  /** Change per second. */
  slope: number;
  /** Value on the line at the last point. */
  last: number;
  /** Share of the variance the line explains, 0..1. */
  fit: number;
}

export function trend(points: readonly Point[]): Trend | undefined {
  const ps = points.filter((p) => Number.isFinite(p.v));
  if (ps.length < 3) return undefined;
  const t0 = ps[0]?.t ?? 0;
  const n = ps.length;
  let st = 0;
  let sv = 0;
  let stt = 0;
  let stv = 0;
  let svv = 0;
  for (const p of ps) {
    const t = p.t - t0;
    st += t;
    sv += p.v;
    stt += t * t;
    stv += t * p.v;
    svv += p.v * p.v;
  }
  const dt = stt - (st * st) / n;
  if (dt <= 0) return undefined;
  const cov = stv - (st * sv) / n;
  const slope = cov / dt;
  const dv = svv - (sv * sv) / n;
  const tLast = (ps[n - 1]?.t ?? 0) - t0;
  return { slope, last: sv / n + slope * (tLast - st / n), fit: dv <= 0 ? 1 : Math.min(1, (cov * cov) / (dt * dv)) };
}

/** Longest forecast that is said, in seconds: beyond a year a line over days means nothing. */
export const HORIZON = 365 * 86_400;

/** Seconds from the last point until the free space reaches zero; undefined if it does not within the horizon. */
export function secondsUntilEmpty(points: readonly Point[]): number | undefined {
  const line = trend(points);
  if (!line || line.slope >= 0 || line.fit < 0.5 || line.last <= 0) return undefined;
  const s = line.last / -line.slope;
  return s <= HORIZON ? s : undefined;
}
