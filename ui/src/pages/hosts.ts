/** Facts about hosts for Overview and Host, gathered from a handful of instant queries. */
import { useMemo } from "react";
import type { QueryData, VectorSample } from "../api/types";
import { parseValue } from "../chart/value";
import { useAlertRows, useInstant, useScrapeInterval, useTargets } from "../api/hooks";
import { alertsByInstance } from "../lib/alerts";
import { rateWindow } from "../lib/step";
import { type HostFacts, type HostView, hostState } from "../lib/state";
import { overviewQueries } from "../promql/host";

export function vector(data: QueryData | undefined): readonly VectorSample[] {
  return data?.resultType === "vector" ? data.result : [];
}

export function sampleValue(s: VectorSample | undefined): number | undefined {
  const text = s?.value?.[1];
  if (text === undefined) return undefined;
  const v = parseValue(text);
  return Number.isFinite(v) ? v : undefined;
}

/** A day of samples of all hosts is much to read: who was here is asked every five minutes only. */
const SLOW = 300_000;

function byInstance(data: QueryData | undefined): Map<string, VectorSample> {
  const m = new Map<string, VectorSample>();
  for (const s of vector(data)) {
    const i = s.metric.instance;
    if (i !== undefined) m.set(i, s);
  }
  return m;
}

/** Where a host is shown: its `service` label if it has one, else its job. */
export function serviceOf(labels: Readonly<Record<string, string>>): string {
  return labels.service ?? labels.job ?? "–";
}

export function useHosts() {
  const scrape = useScrapeInterval();
  const q = overviewQueries(`${Math.round(Math.max(60, rateWindow(0, scrape)))}s`);
  const targets = useTargets();
  const uname = useInstant(q.uname);
  const knownUname = useInstant(q.knownUname, undefined, true, SLOW);
  const up = useInstant(q.up);
  const upTime = useInstant(q.upTime);
  const unameTime = useInstant(q.unameTime);
  const known = useInstant(q.known, undefined, true, SLOW);
  const cpu = useInstant(q.cpu);
  const memory = useInstant(q.memory);
  const disk = useInstant(q.disk);
  const load = useInstant(q.load);
  const alerts = useAlertRows();

  const hosts = useMemo<HostView[]>(() => {
    const facts = new Map<string, HostFacts>();
    const get = (labels: Readonly<Record<string, string>>): HostFacts | undefined => {
      const instance = labels.instance;
      if (instance === undefined || instance === "") return undefined;
      let f = facts.get(instance);
      if (!f) {
        f = { instance, service: serviceOf(labels), jobs: [], nodename: "", kernel: "", labels, up: undefined, lastError: "", lastSample: undefined, hasNode: false, cpu: undefined, memory: undefined, disk: undefined, diskMount: "", load: undefined };
        facts.set(instance, f);
      }
      if (labels.job !== undefined && !f.jobs.includes(labels.job)) f.jobs.push(labels.job);
      return f;
    };
    for (const s of [...vector(knownUname.data?.data), ...vector(uname.data?.data)]) {
      const f = get(s.metric);
      if (!f) continue;
      f.hasNode = true;
      f.service = serviceOf(s.metric);
      f.labels = s.metric;
      f.nodename = s.metric.nodename ?? "";
      f.kernel = [s.metric.sysname, s.metric.release, s.metric.machine].filter(Boolean).join(" ");
    }
    for (const s of vector(known.data?.data)) get(s.metric);
    for (const s of vector(up.data?.data)) {
      const f = get(s.metric);
      if (f) f.up = f.up !== false && sampleValue(s) === 1;
    }
    for (const d of [upTime, unameTime]) {
      for (const s of vector(d.data?.data)) {
        const f = get(s.metric);
        const v = sampleValue(s);
        if (f && v !== undefined) f.lastSample = Math.max(f.lastSample ?? 0, v);
      }
    }
    for (const target of targets.data?.data.activeTargets ?? []) {
      const f = facts.get(target.labels.instance ?? "");
      if (f && target.lastError !== "") f.lastError = target.lastError;
    }
    const put = (d: QueryData | undefined, key: "cpu" | "memory" | "load") => {
      for (const [i, s] of byInstance(d)) {
        const f = facts.get(i);
        if (f) f[key] = sampleValue(s);
      }
    };
    put(cpu.data?.data, "cpu");
    put(memory.data?.data, "memory");
    put(load.data?.data, "load");
    for (const [i, s] of byInstance(disk.data?.data)) {
      const f = facts.get(i);
      if (f) {
        f.disk = sampleValue(s);
        f.diskMount = s.metric.mountpoint ?? "";
      }
    }
    const by = alertsByInstance(alerts.rows);
    const now = (up.data ?? uname.data) === undefined ? Date.now() / 1000 : Math.max(up.dataUpdatedAt, uname.dataUpdatedAt) / 1000;
    return [...facts.values()].map((f) => hostState(f, by.get(f.instance) ?? [], now));
  }, [uname.data, knownUname.data, known.data, up.data, upTime.data, unameTime.data, cpu.data, memory.data, disk.data, load.data, targets.data, alerts.rows]);

  return { hosts, loaded: up.isFetched && uname.isFetched && known.isFetched && knownUname.isFetched, error: up.error ?? uname.error, alerts };
}
