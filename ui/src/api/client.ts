/**
 * The only place that fetches. Same origin always; errors keep the server's words, its hint, and the request.
 */
import type { Acknowledgement, AlertHistoryPage, Explained, ReceiverInfo, ReceiverTest, TriedRules, ActiveAlertmanagers, AmAlert, AmGroup, AmSilence, AmStatus, ApiAlert, BuildInfo, Envelope, LabelMap, MaintenanceWindow, MatrixData, MetricMeta, NewSilence, NewWindow, Notice, QueryData, DiscoveryPool, RelabelStep, RuleGroup, RunningQuery, RuntimeInfo, TargetsData, TsdbStatus, IgnoreRule, WatchedAlert, WindowPreview } from "./types";
import { parseDuration } from "../lib/time";

/** The route prefix of the server, "" when it is the root: the page's <base> says it. */
export const PREFIX = typeof document === "undefined" ? "" : new URL(document.baseURI).pathname.replace(/\/[^/]*$/, "");

/** The server is an Alertmanager and nothing else: no rules, no targets, no queries. */
export const ALONE = typeof document !== "undefined" && document.documentElement.dataset.role === "alertmanager";

/** The server is an agent: it scrapes and sends on; no queries, no rules, no alerts. */
export const AGENT = typeof document !== "undefined" && document.documentElement.dataset.role === "agent";

/** Nothing is stored here that could be asked for. */
export const STORELESS = ALONE || AGENT;

/** Longer query strings go as a form in a POST body. */
const MAX_URL = 4000;

export class ApiError extends Error {
  constructor(
    message: string,
    /** HTTP status; 0 when nothing answered. */
    readonly status: number,
    readonly kind: string,
    readonly hint: string,
    /** Command that repeats the request. */
    readonly curl: string,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

export interface Answer<T> {
  data: T;
  warnings: string[];
  /** Remarks on the query's style; for the one who wrote it. */
  infos: string[];
  /** Milliseconds from request to parsed answer. */
  took: number;
}

function shellQuote(text: string): string {
  return `'${text.replace(/'/g, `'\\''`)}'`;
}

export function curlOf(method: string, path: string, params?: URLSearchParams, body?: string): string {
  const url = `${globalThis.location?.origin ?? ""}${PREFIX}${path}`;
  if (params && [...params].length > 0) {
    const data = [...params].map(([k, v]) => `--data-urlencode ${shellQuote(`${k}=${v}`)}`).join(" ");
    return `curl ${method === "GET" ? "-G " : ""}${shellQuote(url)} ${data}`;
  }
  if (body !== undefined) return `curl -X ${method} -H 'Content-Type: application/json' -d ${shellQuote(body)} ${shellQuote(url)}`;
  return method === "GET" ? `curl ${shellQuote(url)}` : `curl -X ${method} ${shellQuote(url)}`;
}

async function send(method: string, path: string, opts: { params?: URLSearchParams | undefined; json?: unknown; signal?: AbortSignal | undefined }): Promise<{ response: Response; text: string; curl: string }> {
  const { params, json, signal } = opts;
  const body = json === undefined ? undefined : JSON.stringify(json);
  const curl = curlOf(method, path, params, body);
  let url = `${PREFIX}${path}`;
  let verb = method;
  const init: RequestInit = { headers: { Accept: "application/json" }, credentials: "same-origin" };
  if (signal) init.signal = signal;
  if (params) {
    const text = params.toString();
    if (method === "GET" && text.length > MAX_URL) {
      verb = "POST";
      init.body = params;
    } else if (text !== "") url = `${url}?${text}`;
  }
  if (body !== undefined) {
    init.body = body;
    init.headers = { ...init.headers, "Content-Type": "application/json" };
  }
  init.method = verb;
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (e) {
    if (e instanceof DOMException && e.name === "AbortError") throw e;
    throw new ApiError(e instanceof Error ? e.message : String(e), 0, "network", "", curl);
  }
  return { response, text: await response.text(), curl };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Prometheus API v1: unwraps the envelope. */
export async function v1<T>(path: string, params?: Record<string, string | readonly string[] | undefined>, signal?: AbortSignal, method: "GET" | "DELETE" = "GET"): Promise<Answer<T>> {
  const p = new URLSearchParams();
  for (const [k, v] of Object.entries(params ?? {})) {
    if (v === undefined) continue;
    if (typeof v === "string") p.set(k, v);
    else for (const one of v) p.append(k, one);
  }
  const begun = performance.now();
  const { response, text, curl } = await send(method, `/api/v1/${path}`, { params: p, signal });
  const env = parse(text) as Envelope<T> | undefined;
  if (env === undefined || typeof env !== "object" || env === null) {
    throw new ApiError(text.trim().slice(0, 400) || response.statusText, response.status, "http", "", curl);
  }
  if (env.status !== "success" || env.data === undefined) {
    throw new ApiError(env.error ?? response.statusText, response.status, env.errorType ?? "http", env.hint ?? "", curl);
  }
  return { data: env.data, warnings: env.warnings ?? [], infos: env.infos ?? [], took: performance.now() - begun };
}

/** Alertmanager API v2: the body is the answer. */
export async function v2<T>(method: "GET" | "POST" | "PUT" | "DELETE", path: string, opts: { params?: URLSearchParams; json?: unknown; signal?: AbortSignal } = {}): Promise<T> {
  const { response, text, curl } = await send(method, `/api/v2/${path}`, opts);
  const body = parse(text);
  if (!response.ok) {
    const said = typeof body === "string" ? body : typeof body === "object" && body !== null && "message" in body ? String(body.message) : text.trim().slice(0, 400);
    throw new ApiError(said || response.statusText, response.status, "http", "", curl);
  }
  if (method === "GET" && body === undefined) throw new ApiError(text.trim().slice(0, 200), response.status, "http", "", curl);
  return body as T;
}

/** Groups of rules asked for at once: an answer of some megabytes at most. */
const GROUPS_PER_PAGE = 1000;

/** All rules. Few servers have more groups than fit into one answer. */
async function rulesInPages(signal?: AbortSignal): Promise<Answer<{ groups: RuleGroup[] }>> {
  const groups: RuleGroup[] = [];
  let took = 0;
  for (let token: string | undefined; ; ) {
    const page: Answer<{ groups: RuleGroup[]; groupNextToken?: string }> = await v1("rules", { group_limit: String(GROUPS_PER_PAGE), group_next_token: token }, signal);
    groups.push(...page.data.groups);
    took += page.took;
    token = page.data.groupNextToken;
    if (token === undefined || token === "") return { ...page, data: { groups }, took };
  }
}

/** Something to do on the server; the answer has no body. */
async function command(path: string, params: Record<string, string>): Promise<void> {
  const p = new URLSearchParams(params);
  const { response, text, curl } = await send("POST", `/api/v1/${path}`, { params: p });
  if (response.ok) return;
  const env = parse(text) as Envelope<never> | undefined;
  throw new ApiError(env?.error ?? (text.trim().slice(0, 400) || response.statusText), response.status, env?.errorType ?? "http", env?.hint ?? "", curl);
}

export const api = {
  query: (query: string, time: number | undefined, signal?: AbortSignal) => v1<QueryData>("query", { query, time: time?.toString() }, signal),
  queryRange: (query: string, start: number, end: number, step: number, signal?: AbortSignal) =>
    v1<MatrixData>("query_range", { query, start: start.toString(), end: end.toString(), step: step.toString() }, signal),
  series: (match: readonly string[], start: number, end: number, signal?: AbortSignal) => v1<LabelMap[]>("series", { "match[]": match, start: start.toString(), end: end.toString() }, signal),
  labelValues: (label: string, match?: readonly string[], signal?: AbortSignal) => v1<string[]>(`label/${encodeURIComponent(label)}/values`, { "match[]": match }, signal),
  targets: (state: "active" | "any", signal?: AbortSignal) => v1<TargetsData>("targets", { state }, signal),
  relabelSteps: (scrapePool: string, labels: LabelMap, signal?: AbortSignal) => v1<{ steps: RelabelStep[] }>("targets/relabel_steps", { scrapePool, labels: JSON.stringify(labels) }, signal),
  discovery: (signal?: AbortSignal) => v1<{ scrapePools: DiscoveryPool[] }>("status/discovery", {}, signal),
  rules: (signal?: AbortSignal) => rulesInPages(signal),
  notices: (signal?: AbortSignal) => v1<Notice[]>("notifications", {}, signal),
  alertmanagers: (signal?: AbortSignal) => v1<ActiveAlertmanagers>("alertmanagers", {}, signal),
  deleteSeries: (match: string) => command("admin/tsdb/delete_series", { "match[]": match }),
  cleanTombstones: () => command("admin/tsdb/clean_tombstones", {}),
  alerts: (signal?: AbortSignal) => v1<{ alerts: ApiAlert[] }>("alerts", {}, signal),
  metadata: (signal?: AbortSignal) => v1<Record<string, MetricMeta[]>>("metadata", {}, signal),
  buildinfo: (signal?: AbortSignal) => v1<BuildInfo>("status/buildinfo", {}, signal),
  runtimeinfo: (signal?: AbortSignal) => v1<RuntimeInfo>("status/runtimeinfo", {}, signal),
  flags: (signal?: AbortSignal) => v1<Record<string, string>>("status/flags", {}, signal),
  config: (signal?: AbortSignal) => v1<{ yaml: string }>("status/config", {}, signal),
  queries: (signal?: AbortSignal) => v1<{ queries: RunningQuery[] }>("status/queries", {}, signal),
  cancelQuery: (id: number) => v1<unknown>(`status/queries/${id}`, {}, undefined, "DELETE"),
  tsdb: (limit: number, signal?: AbortSignal) => v1<TsdbStatus>("status/tsdb", { limit: String(limit) }, signal),
  amAlerts: (filters: readonly string[] = [], signal?: AbortSignal) => {
    const params = new URLSearchParams();
    for (const f of filters) params.append("filter", f);
    return v2<AmAlert[]>("GET", "alerts", signal ? { params, signal } : { params });
  },
  amGroups: (signal?: AbortSignal) => v2<AmGroup[]>("GET", "alerts/groups", signal ? { signal } : {}),
  amStatus: (signal?: AbortSignal) => v2<AmStatus>("GET", "status", signal ? { signal } : {}),
  history: (q: { filters: readonly string[]; kind: string; since: string; receiver: string; limit: number; cursor: string }, signal?: AbortSignal) => {
    const params = new URLSearchParams({ limit: String(q.limit) });
    for (const f of q.filters) params.append("filter", f);
    if (q.kind !== "") params.set("kind", q.kind);
    const ago = q.since === "" ? undefined : parseDuration(q.since);
    if (ago !== undefined) params.set("since", String((Date.now() - ago) / 1000));
    if (q.receiver !== "") params.set("receiver", q.receiver);
    if (q.cursor !== "") params.set("cursor", q.cursor);
    return v2<AlertHistoryPage>("GET", "alerts/history", signal ? { params, signal } : { params });
  },
  receivers: (signal?: AbortSignal) => v2<ReceiverInfo[]>("GET", "receivers/integrations", signal ? { signal } : {}),
  testReceiver: (receiver: string) => v2<ReceiverTest>("POST", "receivers/test", { json: { receiver } }),
  explain: (labels: readonly (readonly [string, string])[], signal?: AbortSignal) => {
    const params = new URLSearchParams();
    for (const [name, value] of labels) params.append("label", `${name}=${value}`);
    return v2<Explained>("GET", "explain", signal ? { params, signal } : { params });
  },
  tryRule: (q: { expr: string; hold: string; keep: number; alert: string; since: string; interval: string }, signal?: AbortSignal) =>
    v1<TriedRules>("rules/try", { expr: q.expr, for: q.hold, keep_firing_for: `${Math.round(q.keep * 1000)}ms`, alert: q.alert, since: q.since, interval: q.interval }, signal),
  watched: (signal?: AbortSignal) => v2<WatchedAlert[]>("GET", "alerts/watched", signal ? { signal } : {}),
  ignores: (signal?: AbortSignal) => v2<IgnoreRule[]>("GET", "ignores", signal ? { signal } : {}),
  maintenance: (signal?: AbortSignal) => v2<MaintenanceWindow[]>("GET", "maintenance", signal ? { signal } : {}),
  createWindow: (w: NewWindow) => v2<MaintenanceWindow>("POST", "maintenance", { json: w }),
  changeWindow: (id: string, w: NewWindow) => v2<MaintenanceWindow>("PUT", `maintenance/${encodeURIComponent(id)}`, { json: w }),
  deleteWindow: (id: string) => v2<unknown>("DELETE", `maintenance/${encodeURIComponent(id)}`),
  endWindow: (id: string) => v2<MaintenanceWindow>("POST", `maintenance/${encodeURIComponent(id)}/end`),
  windowPreview: (id: string, signal?: AbortSignal) => v2<WindowPreview>("GET", `maintenance/${encodeURIComponent(id)}/preview`, signal ? { signal } : {}),
  previewWindow: (w: Partial<NewWindow>, signal?: AbortSignal) => v2<WindowPreview>("POST", "maintenance/preview", signal ? { json: w, signal } : { json: w }),
  acknowledge: (a: Acknowledgement) => v2<{ alerts: { fingerprint: string }[] }>("POST", "acknowledgements", { json: a }),
  endAcknowledgement: (a: Acknowledgement) => v2<{ alerts: { fingerprint: string }[] }>("POST", "acknowledgements/end", { json: a }),
  silences: (signal?: AbortSignal) => v2<AmSilence[]>("GET", "silences", signal ? { signal } : {}),
  createSilence: (s: NewSilence) => v2<{ silenceID: string }>("POST", "silences", { json: s }),
  expireSilence: (id: string) => v2<unknown>("DELETE", `silence/${encodeURIComponent(id)}`),
};
