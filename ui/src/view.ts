/**
 * The view: range, refresh and other parameters, read from and written to the URL.
 */
import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo } from "react";
import { useLocation } from "wouter";
// As it stands in the address: the other hook of this name decodes it first, and "+" and "&" in values are lost.
import { useSearch } from "wouter/use-browser-location";
import { type Range, type RangeSpec, absoluteSpec, isRelative, parseDuration, resolveRange } from "./lib/time";
import { carried, rangeFrom, rangeParams, refreshFrom, withParams, type Params } from "./lib/urlstate";
import { clock, settings, useStore } from "./state";

export interface View {
  spec: RangeSpec;
  range: Range;
  refresh: string;
  /** Refresh in ms for lists; false when off. */
  every: number | false;
  zone: "local" | "utc";
  search: string;
  setRange(spec: RangeSpec): void;
  zoom(fromSeconds: number, toSeconds: number): void;
  /** Goes back to the range before the zoom; the default one if there is none. */
  reset(): void;
  set(params: Params, replace?: boolean): void;
}

const before: RangeSpec[] = [];

export function useView(): View {
  const [path, navigate] = useLocation();
  const search = useSearch();
  const now = useStore(clock);
  const { zone } = useStore(settings);
  const spec = useMemo(() => rangeFrom(search), [search]);
  const range = useMemo(() => resolveRange(spec, now), [spec, now]);
  const refresh = refreshFrom(search);
  const set = useCallback(
    (params: Params, replace = false) => {
      const text = withParams(location.search, params);
      navigate(`${path}${text === "" ? "" : `?${text}`}${location.hash}`, { replace });
    },
    [path, navigate],
  );
  const setRange = useCallback((next: RangeSpec) => set(rangeParams(next)), [set]);
  const zoom = useCallback(
    (from: number, to: number) => {
      before.push(rangeFrom(location.search));
      if (before.length > 50) before.shift();
      setRange(absoluteSpec({ from: from * 1000, to: to * 1000 }));
    },
    [setRange],
  );
  const reset = useCallback(() => setRange(before.pop() ?? { from: "now-1h", to: "now" }), [setRange]);
  return { spec, range, refresh, every: paceOf(refresh, search), zone, search, setRange, zoom, reset, set };
}

/** A page just opened looks more often: on a server just begun every sample is news. */
const EAGER = [
  { until: 10_000, every: 2000 },
  { until: 60_000, every: 5000 },
] as const;

function paceOf(refresh: string, search: string): number | false {
  if (refresh === "off") return false;
  const ms = parseDuration(refresh) ?? false;
  const chosen = new URLSearchParams(search).has("refresh");
  const eager = EAGER.find((phase) => performance.now() < phase.until);
  return ms !== false && !chosen && eager !== undefined ? Math.min(ms, eager.every) : ms;
}

/** Path with range and refresh carried along. */
export function useLinkTo(): (path: string) => string {
  const search = useSearch();
  const keep = carried(search);
  return useCallback((path) => {
    const [p, hash] = path.split("#");
    return `${p}${keep}${hash ? `#${hash}` : ""}`;
  }, [keep]);
}

/** Moves the shared clock while the range follows "now". One caller: the frame. */
export function useTicking(): () => void {
  const { every, spec } = useView();
  const client = useQueryClient();
  const live = isRelative(spec);
  useEffect(() => {
    if (every === false || !live) return;
    const id = setInterval(() => {
      if (!document.hidden) clock.set(Date.now());
    }, every);
    const seen = () => {
      if (!document.hidden && Date.now() - clock.get() > every) clock.set(Date.now());
    };
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearInterval(id);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [every, live]);
  return useCallback(() => {
    clock.set(Date.now());
    void client.invalidateQueries();
  }, [client]);
}
