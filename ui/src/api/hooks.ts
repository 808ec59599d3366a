/**
 * Server state as React sees it. Lists refresh with the page; range queries follow the shared clock on an aligned grid.
 */
import { keepPreviousData, useQueries, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { mergeAlerts } from "../lib/alerts";
import { alignRange, chooseStep, expandMacros } from "../lib/step";
import { parseDuration } from "../lib/time";
import { useView } from "../view";
import { AGENT, ALONE, STORELESS, api } from "./client";

const GC = 60_000;

/**
 * Targets; with `dropped` those that relabelling took away, too. An answer about tens of thousands takes a while to read:
 * then it is asked for less often, so that the page stays quick under the hand. Their times change always: nothing to share.
 */
export function useTargets(dropped = false) {
  const { every } = useView();
  return useQuery({
    queryKey: ["targets", dropped],
    queryFn: ({ signal }) => api.targets(dropped ? "any" : "active", signal),
    refetchInterval: (q) => (every === false ? false : Math.max(every, 20 * (q.state.data?.took ?? 0))),
    structuralSharing: false,
  });
}

export function useRules() {
  const { every } = useView();
  return useQuery({ queryKey: ["rules"], queryFn: ({ signal }) => api.rules(signal), refetchInterval: every, enabled: !STORELESS });
}

export function useAlertRows() {
  const { every } = useView();
  const rules = useQuery({ queryKey: ["alerts"], queryFn: ({ signal }) => api.alerts(signal), refetchInterval: every, enabled: !STORELESS });
  const am = useQuery({ queryKey: ["am-alerts"], queryFn: ({ signal }) => api.amAlerts([], signal), refetchInterval: every, retry: 0, enabled: !AGENT });
  const rows = useMemo(() => mergeAlerts(rules.data?.data.alerts ?? [], am.data ?? []), [rules.data, am.data]);
  return { rows, rules, am, loaded: (ALONE || rules.isFetched) && am.isFetched };
}

export function useSilences() {
  const { every } = useView();
  return useQuery({ queryKey: ["silences"], queryFn: ({ signal }) => api.silences(signal), refetchInterval: every, retry: 0 });
}

export function useMaintenance() {
  const { every } = useView();
  return useQuery({ queryKey: ["maintenance"], queryFn: ({ signal }) => api.maintenance(signal), refetchInterval: every, retry: 0 });
}

/** Instant query; `time` undefined = the server's now, refreshed with the page, or every `pace` ms if that is slower. */
export function useInstant(expr: string, time?: number, enabled = true, pace = 0) {
  const { every: page } = useView();
  const every = page === false ? false : Math.max(page, pace);
  return useQuery({
    queryKey: ["query", expr, time ?? "now"],
    queryFn: ({ signal }) => api.query(expr, time, signal),
    refetchInterval: time === undefined ? every : false,
    placeholderData: keepPreviousData,
    gcTime: GC,
    staleTime: Math.max(3000, pace),
    enabled: enabled && expr !== "",
  });
}

/** Largest scrape interval of the targets, in seconds: no rate window may be shorter than four of them. */
export function useScrapeInterval(instance?: string): number {
  const targets = useTargets();
  return useMemo(() => {
    const list = (targets.data?.data.activeTargets ?? []).filter((t) => instance === undefined || t.labels.instance === instance);
    const all = list.map((t) => (parseDuration(t.scrapeInterval) ?? 15_000) / 1000);
    return all.length > 0 ? Math.min(300, Math.max(...all)) : 15;
  }, [targets.data, instance]);
}

export interface RangeOptions {
  /** CSS pixels. */
  width: number;
  scrape: number;
  step?: number | undefined;
  enabled?: boolean;
  /** False: the grid alone will do. */
  tail?: boolean;
}

/** Several range queries on one grid. */
export function useRange(exprs: readonly string[], opts: RangeOptions) {
  const { range, spec } = useView();
  const step = opts.step ?? chooseStep(range.to - range.from, opts.width, Math.min(opts.scrape, 15));
  const { start, end } = alignRange(range.from, range.to, step);
  const seconds = (range.to - range.from) / 1000;
  const list = useMemo(() => exprs.map((e) => expandMacros(e, step, opts.scrape, seconds)), [exprs.join("\n"), step, opts.scrape, seconds]);
  const results = useQueries({
    queries: list.map((expr) => ({
      queryKey: ["range", expr, start, end, step],
      queryFn: ({ signal }: { signal: AbortSignal }) => api.queryRange(expr, start, end, step, signal),
      placeholderData: keepPreviousData,
      gcTime: GC,
      staleTime: Number.POSITIVE_INFINITY,
      enabled: opts.enabled !== false && expr.trim() !== "",
    })),
  });
  // One instant more says how things stand where the grid ends well before now, as one of minutes does, and where it
  // holds next to nothing: a server in its first seconds has its samples between two steps.
  const coarse = step >= 60;
  const young = results.every((r) => r.data !== undefined && !r.isPlaceholderData && r.data.data.result.every((s) => (s.values?.length ?? 0) < 2));
  const at = coarse ? Math.floor(range.to / 15_000) * 15 : Math.floor(range.to / 1000);
  const wanted = spec.to === "now" && (coarse || young) && at > end && opts.enabled !== false && opts.tail !== false;
  const tails = useQueries({
    queries: list.map((expr) => ({
      queryKey: ["query", expr, at],
      queryFn: ({ signal }: { signal: AbortSignal }) => api.query(expr, at, signal),
      gcTime: GC,
      staleTime: Number.POSITIVE_INFINITY,
      enabled: wanted && expr.trim() !== "",
    })),
  });
  return { results, exprs: list, start, end, step, range, tail: wanted ? at : undefined, tails };
}
