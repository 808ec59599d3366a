/**
 * States and what they mean for a host: worst first, each with a reason a person can act on. Pure.
 */
import type { AlertRow } from "./alerts";
import { type Labels, natural } from "./labels";

export type State = "critical" | "warning" | "pending" | "unknown" | "silenced" | "ok";

/** Worst first; the order of lists. */
export const SEVERITY: readonly State[] = ["critical", "warning", "unknown", "pending", "silenced", "ok"];

export function worst(states: Iterable<State>): State {
  let best = SEVERITY.length - 1;
  for (const s of states) best = Math.min(best, SEVERITY.indexOf(s));
  return SEVERITY[best] ?? "ok";
}

/** The `severity` label → state. Names people use; anything else is a warning, since it fires. */
export function stateOfSeverity(severity: string | undefined): "critical" | "warning" {
  return /^(crit|critical|page|emerg|emergency|fatal|error|high|p1|sev1|disaster)$/i.test(severity ?? "") ? "critical" : "warning";
}

/** A reason: a catalogue key with its arguments, so that the page can say it in the reader's language. */
export interface Reason {
  state: State;
  key: "reasonDown" | "reasonGone" | "reasonAlert" | "reasonPending" | "reasonSilenced" | "reasonDisk" | "reasonNoScrape";
  args: Record<string, string>;
}

export interface HostFacts {
  instance: string;
  service: string;
  jobs: string[];
  nodename: string;
  kernel: string;
  labels: Labels;
  /** From `up`: false if any job of the instance is down; undefined if no `up` now. */
  up: boolean | undefined;
  lastError: string;
  /** Seconds since the epoch of the newest sample; undefined if none was seen. */
  lastSample: number | undefined;
  hasNode: boolean;
  cpu: number | undefined;
  memory: number | undefined;
  /** Fullest file system, 0..1, and where. */
  disk: number | undefined;
  diskMount: string;
  load: number | undefined;
}

export interface HostView extends HostFacts {
  state: State;
  reasons: Reason[];
  firing: number;
}

/** A host without a sample for this long is not known any more. */
export const STALE_SECONDS = 300;
export const DISK_FULL = 0.95;

/** `down` names the reason given by the scrape; `now` in seconds. */
export function hostState(facts: HostFacts, alerts: readonly AlertRow[], now: number): HostView {
  const reasons: Reason[] = [];
  const age = facts.lastSample === undefined ? undefined : now - facts.lastSample;
  if (facts.up === false) reasons.push({ state: "critical", key: "reasonDown", args: { error: facts.lastError } });
  else if (age === undefined && facts.up === undefined) reasons.push({ state: "unknown", key: "reasonNoScrape", args: {} });
  else if (age !== undefined && age > STALE_SECONDS) reasons.push({ state: "unknown", key: "reasonGone", args: { age: String(Math.round(age)) } });
  let firing = 0;
  for (const a of alerts) {
    if (a.state === "pending") reasons.push({ state: "pending", key: "reasonPending", args: { alert: a.name } });
    else if (a.state === "silenced") reasons.push({ state: "silenced", key: "reasonSilenced", args: { alert: a.name } });
    else {
      firing++;
      reasons.push({ state: a.state, key: "reasonAlert", args: { alert: a.name, summary: a.summary } });
    }
  }
  if (facts.disk !== undefined && facts.disk >= DISK_FULL && !reasons.some((r) => r.state === "critical")) {
    reasons.push({ state: "warning", key: "reasonDisk", args: { mount: facts.diskMount, used: String(Math.round(facts.disk * 100)) } });
  }
  reasons.sort((a, b) => SEVERITY.indexOf(a.state) - SEVERITY.indexOf(b.state));
  return { ...facts, reasons, firing, state: worst(reasons.map((r) => r.state)) };
}

export interface ServiceGroup {
  name: string;
  state: State;
  hosts: HostView[];
}

/** Hosts by service; services and hosts with the worst first, then by name. */
export function groupHosts(hosts: readonly HostView[]): ServiceGroup[] {
  const by = new Map<string, HostView[]>();
  for (const h of hosts) {
    const list = by.get(h.service);
    if (list) list.push(h);
    else by.set(h.service, [h]);
  }
  const rank = (s: State) => SEVERITY.indexOf(s);
  const groups = [...by].map(([name, list]) => ({
    name,
    state: worst(list.map((h) => h.state)),
    hosts: list.sort((a, b) => rank(a.state) - rank(b.state) || natural(a.nodename || a.instance, b.nodename || b.instance) || natural(a.instance, b.instance)),
  }));
  return groups.sort((a, b) => rank(a.state) - rank(b.state) || Number(b.hosts.some((h) => h.hasNode)) - Number(a.hosts.some((h) => h.hasNode)) || natural(a.name, b.name));
}
