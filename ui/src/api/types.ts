/**
 * What the server sends: Prometheus' HTTP API v1 and Alertmanager's v2. Types only.
 */

export type LabelMap = Record<string, string>;
/** [seconds, value as text]. */
export type SamplePair = [number, string];

export interface HistogramValue {
  count: string;
  sum: string;
  buckets?: [number, string, string, string][];
}

export interface VectorSample {
  metric: LabelMap;
  value?: SamplePair;
  histogram?: [number, HistogramValue];
}

export interface MatrixSeries {
  metric: LabelMap;
  values?: SamplePair[];
  histograms?: [number, HistogramValue][];
}

export type QueryData =
  | { resultType: "vector"; result: VectorSample[] }
  | { resultType: "matrix"; result: MatrixSeries[] }
  | { resultType: "scalar"; result: SamplePair }
  | { resultType: "string"; result: SamplePair };

export interface MatrixData {
  resultType: "matrix";
  result: MatrixSeries[];
}

export interface Envelope<T> {
  status: "success" | "error";
  data?: T;
  errorType?: string;
  error?: string;
  /** Ours: what to do about the error. */
  hint?: string;
  warnings?: string[];
  infos?: string[];
}

export interface ActiveTarget {
  discoveredLabels: LabelMap;
  labels: LabelMap;
  scrapePool: string;
  scrapeUrl: string;
  globalUrl: string;
  lastError: string;
  lastScrape: string;
  /** Seconds. */
  lastScrapeDuration: number;
  health: "up" | "down" | "unknown";
  scrapeInterval: string;
  scrapeTimeout: string;
}

export interface DroppedTarget {
  discoveredLabels: LabelMap;
  scrapePool: string;
}

export interface RelabelRule {
  source_labels?: string[];
  separator: string;
  regex: string;
  modulus?: number;
  target_label?: string;
  replacement: string;
  action: string;
}

/** How the sources of a job's targets do. */
export interface DiscoveryPool {
  scrapePool: string;
  sources: { mechanism: string; error?: string; since?: string }[];
}

export interface RelabelStep {
  rule: RelabelRule;
  /** Labels after the rule; empty once dropped. */
  output: LabelMap;
  keep: boolean;
}

export interface Notice {
  text: string;
  date: string;
  active: boolean;
}

export interface TargetsData {
  activeTargets: ActiveTarget[];
  droppedTargets?: DroppedTarget[] | null;
  droppedTargetCounts?: Record<string, number> | null;
}

export interface ApiAlert {
  labels: LabelMap;
  annotations: LabelMap;
  state: "pending" | "firing" | "inactive" | "unknown";
  activeAt: string;
  value: string;
  keepFiringSince?: string;
  noDataSince?: string;
}

export interface ApiRule {
  type: "alerting" | "recording";
  name: string;
  query: string;
  health: "ok" | "err" | "unknown";
  lastError?: string;
  labels?: LabelMap;
  annotations?: LabelMap;
  /** Seconds. */
  duration?: number;
  keepFiringFor?: number;
  noData?: "keep" | "alert";
  noDataFor?: number;
  state?: "inactive" | "pending" | "firing" | "unknown";
  alerts?: ApiAlert[];
  evaluationTime?: number;
  lastEvaluation?: string;
}

export interface RuleGroup {
  name: string;
  file: string;
  interval: number;
  /** Most series or alerts of one rule; 0 for any. */
  limit?: number;
  rules: ApiRule[];
  evaluationTime?: number;
  lastEvaluation?: string;
}

export interface BuildInfo {
  version: string;
  revision: string;
  branch: string;
  buildUser: string;
  buildDate: string;
  goVersion: string;
}

export type RuntimeInfo = Record<string, string | number | boolean>;

export interface RunningQuery {
  id: number;
  kind: string;
  query: string;
  /** Who asked over HTTP; a rule's query has its group instead. */
  client?: string;
  userAgent?: string;
  ruleGroup?: { file: string; name: string };
  state: string;
  startedAt: string;
  samplesRead: number;
  memoryBytes: number;
}

export interface ActiveAlertmanagers {
  activeAlertmanagers: { url: string }[];
  droppedAlertmanagers: { url: string }[];
}

export interface NameValue {
  name: string;
  value: number;
}

export interface TsdbStatus {
  headStats: { numSeries: number; numLabelPairs: number; chunkCount: number; minTime: number; maxTime: number };
  seriesCountByMetricName?: NameValue[] | null;
  labelValueCountByLabelName?: NameValue[] | null;
  memoryInBytesByLabelName?: NameValue[] | null;
  seriesCountByLabelValuePair?: NameValue[] | null;
}

export interface MetricMeta {
  type: string;
  help: string;
  unit: string;
}

export interface AmMatcher {
  name: string;
  value: string;
  isRegex: boolean;
  /** Absent means true. */
  isEqual?: boolean;
}

/** What only a Hinomi knows of an alert. */
export interface AlertOwn {
  value?: number;
  peak?: number;
  lowerIsWorse?: boolean;
  acknowledged?: { by: string; comment?: string; at: string; until?: string; snoozed: boolean };
  escalation?: { receiver: string; told: boolean; at?: string }[];
  hiddenBecause?: { fingerprint: string; labels: LabelMap };
  waitsUntil?: string;
  /** Time intervals that keep every route it takes quiet. */
  mutedBy?: string[];
  flapping?: { since: string; changes: number; stableAt: string };
  /** The rule that ignores it on every route: nobody is told. */
  ignoredBy?: { owner: string; reason: string; endsAt: string };
}

/** Somebody takes alerts in hand, or gives them back. */
export interface Acknowledgement {
  fingerprints: readonly string[];
  createdBy: string;
  comment?: string;
  endsAt?: string;
}

export interface AmAlert {
  labels: LabelMap;
  annotations: LabelMap;
  startsAt: string;
  endsAt: string;
  updatedAt: string;
  generatorURL?: string;
  fingerprint: string;
  receivers: { name: string }[];
  hinomi?: AlertOwn;
  status: { state: "active" | "suppressed" | "unprocessed"; silencedBy: string[]; inhibitedBy: string[]; mutedBy?: string[] };
}

/** Alerts that a receiver is told of together. */
export interface AmGroup {
  labels: LabelMap;
  receiver: { name: string };
  alerts: AmAlert[];
}

/** One alert on one route that watches, issues again or ignores. */
export interface WatchedAlert {
  fingerprint: string;
  labels: LabelMap;
  route: string;
  receiver: string;
  state: "ignored" | "counting" | "waiting" | "issued" | "clearing" | "hostAway";
  occurrences?: { seen: number; needed: number; withinSeconds: number };
  detectedAt?: string;
  issuedAt?: string;
  reissueAt?: string;
  successAt?: string;
  host?: { label: string; value: string; state: "active" | "inactive" | "unknown" };
  ignoredBy?: { owner: string; reason: string; endsAt: string };
}

export interface IgnoreRule {
  route: string;
  matchers: string[];
  owner: string;
  reason: string;
  endsAt: string;
  state: "active" | "expired";
  hides: number;
}

/** What is asked for of a maintenance window. */
export interface NewWindow {
  name: string;
  matchers: AmMatcher[];
  /** On the clock of the zone, `2026-11-22T02:00`. */
  start: string;
  duration: string;
  /** RRULE, empty for a single run. */
  recurrence: string;
  except: string[];
  timeZone: string;
  owner: string;
  reason: string;
}

export interface WindowRun {
  startsAt: string;
  endsAt: string;
}

export interface MaintenanceWindow extends NewWindow {
  id: string;
  origin: "file" | "api";
  state: "active" | "waiting" | "over";
  runs: WindowRun[];
  silences: string[];
  matchedAlerts: number;
}

export interface WindowPreview {
  runs: WindowRun[];
  matchedAlerts: number;
  alerts: { fingerprint: string; labels: LabelMap }[];
}

export interface AmSilence {
  id: string;
  matchers: AmMatcher[];
  startsAt: string;
  endsAt: string;
  updatedAt: string;
  createdBy: string;
  comment: string;
  annotations?: LabelMap;
  status: { state: "active" | "pending" | "expired" };
}

export interface NewSilence {
  id?: string;
  matchers: AmMatcher[];
  startsAt: string;
  endsAt: string;
  createdBy: string;
  comment: string;
}

export interface AmStatus {
  uptime: string;
  versionInfo: Record<string, string>;
  config: { original: string };
  cluster: { status: string; name?: string; peers?: { name: string; address: string }[] };
}

export interface HistoryAlert {
  fingerprint: string;
  labels: LabelMap;
}

/** What has nothing to say is left out. */
export interface HistoryEvent {
  at: string;
  kind: "firing" | "firing_again" | "resolved" | "expired" | "silenced" | "unsilenced" | "inhibited" | "uninhibited" | "dependency_held" | "dependency_freed" | "flapping" | "stable" | "success_awaited" | "host_away" | "host_back" | "escalated" | "acknowledged" | "snoozed" | "given_back" | "muted" | "unmuted" | "silence_made" | "silence_changed" | "silence_ended" | "maintenance_begun" | "maintenance_changed" | "maintenance_ended" | "sent" | "retry" | "failed" | "dropped";
  alerts?: HistoryAlert[];
  resolved?: HistoryAlert[];
  alertsTotal?: number;
  resolvedTotal?: number;
  startsAt?: string;
  endsAt?: string;
  value?: number;
  peak?: number;
  by?: string[];
  receiver?: string;
  integration?: string;
  index?: number;
  groupLabels?: LabelMap;
  reason?: string;
  error?: string;
  attempt?: number;
  tookSeconds?: number;
  silence?: { id: string; matchers: string[]; createdBy: string; comment: string };
  count?: number;
}

export interface AlertHistoryPage {
  events: HistoryEvent[];
  next?: string;
  damaged: number;
  problem?: string;
}

export interface ReceiverInfo {
  name: string;
  labels: LabelMap;
  routes: string[];
  escalations?: string[];
  integrations: { name: string; index: number; sendResolved: boolean; last?: { at: string; isDelivered: boolean; tookSeconds: number; error?: string } }[];
}

export interface ReceiverTest {
  receiver: string;
  at: string;
  labels: LabelMap;
  integrations: {
    name: string;
    index: number;
    messages: { status: "firing" | "resolved"; isDelivered: boolean; tookSeconds: number; error?: string; reason?: string; exchanges: { to: string; sent: string; status?: number; answer?: string }[] }[];
  }[];
}

interface RouteSettings {
  groupBy: string[];
  groupWait: number;
  groupInterval: number;
  repeatInterval: number;
  muteTimeIntervals?: string[];
  activeTimeIntervals?: string[];
  occurrences?: { count: number; within: number };
  reissueDuration?: number;
  successDuration?: number;
  flap?: { changes: number; within: number; stable: number };
}

export interface RouteNode extends RouteSettings {
  key: string;
  matchers: string[];
  receiver: string;
  continue: boolean;
  escalate?: { receiver: string; after: number }[];
  outcome?: "taken" | "passed" | "notMatched" | "notReached";
  mismatches?: { matcher: string; has: string }[];
  routes: RouteNode[];
}

export interface RouteHold {
  kind: string;
  by?: string[];
  owner?: string;
  reason?: string;
  endsAt?: string;
  seen?: number;
}

export interface TakenRoute extends RouteSettings {
  path: string[];
  receiver: string;
  integrations: string[];
  groupKey: string;
  groupLabels: LabelMap;
  groupAlerts?: number;
  nextFlushAt?: string;
  toldAt?: string;
  againAt?: string;
  /** Who else is told, so many seconds after the first one. */
  escalation?: { receiver: string; after: number; told: boolean; at?: string }[];
  holds: RouteHold[];
}

export interface Explained {
  labels: LabelMap;
  at: string;
  isLive: boolean;
  isFiring: boolean;
  tree: RouteNode;
  taken: TakenRoute[];
}

export interface TriedRules {
  start: string;
  end: string;
  rules: {
    group: string;
    name: string;
    query: string;
    intervalSeconds: number;
    evaluations: number;
    failed: number;
    error?: string;
    count: number;
    medianSeconds: number;
    longestSeconds: number;
    firings: { labels: LabelMap; activeAt: string; start: string; end?: string; peak: string }[];
  }[];
}
