/** Overview: services and their hosts; what is wrong stands first. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, Suspense, lazy, useMemo, useRef, useSyncExternalStore } from "react";
import { Link } from "wouter";
import { useRange } from "../api/hooks";
import { PREFIX } from "../api/client";
import { parseValue } from "../chart/value";
import { type Key, useT } from "../i18n";
import { matchesFilter } from "../lib/labels";
import { type HostView, type Reason, SEVERITY, type ServiceGroup, type State, groupHosts } from "../lib/state";
import { Icon } from "../parts/icons";
import { Ago, Bar, Code, Empty, ErrorBox, FilterBox, Num, Shape, StateMark, Waiting, useStateWord } from "../parts/parts";
import { Sparkline } from "../parts/Sparkline";
import { VirtualRows } from "../parts/VirtualRows";
import { change, settings, useStore } from "../state";
import { useLinkTo, useView } from "../view";
import { useHosts } from "./hosts";

const KeyGraphs = lazy(() => import("./HostGraphs"));

export function hostPath(instance: string): string {
  return `/hosts/${encodeURIComponent(instance).replace(/%3A/g, ":")}`;
}

export function useReason(): (r: Reason) => string {
  const t = useT();
  return (r) => t(r.key, r.args).replace(/[:：]\s*$/, "");
}

/** Load of the last range per instance, for the small lines. */
function useSparks(enabled: boolean): Map<string, (number | null)[]> {
  const { results, start, end, step } = useRange(["max by (instance) (node_load1)"], { width: 240, scrape: 15, enabled, tail: false });
  const data = results[0]?.data;
  return useMemo(() => {
    const n = Math.max(1, Math.floor((end - start) / step) + 1);
    const out = new Map<string, (number | null)[]>();
    for (const s of data?.data.result ?? []) {
      const line = new Array<number | null>(n).fill(null);
      for (const [at, v] of s.values ?? []) {
        const i = Math.round((at - start) / step);
        if (i >= 0 && i < n) line[i] = parseValue(v);
      }
      out.set(s.metric.instance ?? "", line);
    }
    return out;
  }, [data, start, end, step]);
}

type Row = { kind: "group"; group: ServiceGroup; folded: boolean } | { kind: "host"; host: HostView } | { kind: "tiles"; hosts: readonly HostView[] };

/** Tiles of one row of the list: as many as fill whole lines for most numbers of columns, few enough that some rows more cost little. */
const TILES = { wide: 60, narrow: 12 };

function tileRows(hosts: readonly HostView[], n: number): Row[] {
  const rows: Row[] = [];
  for (let at = 0; at < hosts.length; at += n) rows.push({ kind: "tiles", hosts: hosts.slice(at, at + n) });
  return rows;
}

export function Overview() {
  const t = useT();
  const view = useView();
  const s = useStore(settings);
  // A phone scrolls the page; elsewhere the list scrolls below its head.
  const narrow = useNarrow();
  const { hosts, loaded, error } = useHosts();
  const sparks = useSparks(hosts.some((h) => h.hasNode));
  const params = new URLSearchParams(view.search);
  const filter = params.get("q") ?? "";
  const only = params.get("state");
  // The first machine alone: its graphs stand here, so that the first page of a newcomer is the real thing.
  const observed = hosts.filter((h) => h.hasNode);
  const alone = observed.length === 1 ? observed[0] : undefined;
  const shown = useMemo(
    () => hosts.filter((h) => (only === null || h.state === only) && matchesFilter(filter, `${h.instance} ${h.nodename} ${h.service} ${h.jobs.join(" ")} ${h.state} ${Object.entries(h.labels).map(([k, v]) => `${k}=${v}`).join(" ")}`)),
    [hosts, filter, only],
  );
  const groups = useMemo(() => groupHosts(shown), [shown]);
  const rows = useMemo<Row[]>(
    () =>
      groups.flatMap((g): Row[] => {
        const folded = s.folded.includes(g.name) && filter === "";
        const head: Row = { kind: "group", group: g, folded };
        if (folded) return [head];
        return s.overview === "tiles" ? [head, ...tileRows(g.hosts, narrow ? TILES.narrow : TILES.wide)] : [head, ...g.hosts.map((host): Row => ({ kind: "host", host }))];
      }),
    [groups, s.folded, s.overview, filter, narrow],
  );
  return (
    <div className="page" data-testid="page-overview">
      <h1 className="offscreen">{t("navOverview")}</h1>
      <Counts hosts={hosts} only={only} pick={(state) => view.set({ state }, true)} />
      <div className="toolbar">
        <FilterBox value={filter} onChange={(q) => view.set({ q }, true)} placeholder={t("filterHosts")} testid="filter-hosts" />
        <span className="gap" />
        <div className="seg" role="group" aria-label={t("layout")}>
          <button type="button" aria-pressed={s.overview === "list"} onClick={() => change({ overview: "list" })} title={t("asList")}><Icon name="list" size={14} /><span>{t("asList")}</span></button>
          <button type="button" aria-pressed={s.overview === "tiles"} onClick={() => change({ overview: "tiles" })} title={t("asTiles")} data-testid="as-tiles"><Icon name="tiles" size={14} /><span>{t("asTiles")}</span></button>
        </div>
      </div>
      {error ? <ErrorBox error={error} /> : null}
      {!loaded && hosts.length === 0 ? (
        error ? null : <Waiting />
      ) : hosts.length === 0 ? (
        <NoHosts />
      ) : shown.length === 0 ? (
        <Empty title={t("noMatch")} why={t("noMatchHosts", { n: hosts.length })}>
          <button type="button" className="btn" onClick={() => view.set({ q: undefined, state: undefined }, true)}>{t("clearFilter")}</button>
        </Empty>
      ) : (
        <HostTable narrow={narrow} rows={rows} count={shown.length} sparks={sparks} toggle={(name) => change({ folded: s.folded.includes(name) ? s.folded.filter((f) => f !== name) : [...s.folded, name] })} />
      )}
      {alone ? <Suspense fallback={null}><KeyGraphs instance={alone.instance} /></Suspense> : null}
    </div>
  );
}

function Counts({ hosts, only, pick }: { hosts: readonly HostView[]; only: string | null; pick: (s: string | undefined) => void }) {
  const t = useT();
  const word = useStateWord();
  const of = (state: State) => hosts.filter((h) => h.state === state).length;
  if (hosts.length === 0) return null;
  return (
    <div className="counts" role="group" aria-label={t("hostsByState")}>
      <button type="button" className="countbtn" aria-pressed={only === null} onClick={() => pick(undefined)}>
        <b>{hosts.length}</b> {t("hosts")}
      </button>
      {SEVERITY.map((state) => {
        const n = of(state);
        return n === 0 && only !== state ? null : (
          <button type="button" key={state} className={`countbtn st-${state}`} aria-pressed={only === state} onClick={() => pick(only === state ? undefined : state)}>
            <Shape state={state} /> <b>{n}</b> {word(state)}
          </button>
        );
      })}
    </div>
  );
}

const COLUMNS: readonly (readonly [Key, string])[] = [["state", "c-state"], ["host", "c-host"], ["reason", "c-why"], ["alertsFiring", "c-alerts r"], ["cpu", "c-cpu"], ["memory", "c-mem"], ["disk", "c-disk"], ["load", "c-load r"], ["loadLine", "c-spark"], ["lastSample", "c-age r"]];

function HostTable({ narrow, rows, count, sparks, toggle }: { narrow: boolean; rows: readonly Row[]; count: number; sparks: Map<string, (number | null)[]>; toggle: (name: string) => void }) {
  const t = useT();
  const { dense, overview } = useStore(settings);
  const height = dense ? 32 : 40;
  const one = (row: Row): ReactNode =>
    row.kind === "group" ? <GroupRow group={row.group} folded={row.folded} toggle={toggle} /> : row.kind === "host" ? <HostRow host={row.host} spark={sparks.get(row.host.instance)} /> : <Tiles hosts={row.hosts} />;
  const head =
    overview === "list" ? (
      <div className="vhead hostgrid" role="row">
        {COLUMNS.map(([k, cls]) => (
          <span key={k} role="columnheader" className={cls}>{t(k)}</span>
        ))}
      </div>
    ) : null;
  const list = { rows, count, head, height, one, label: t("hosts") };
  return narrow ? <InPage {...list} /> : <InBox {...list} />;
}

const NARROW = typeof matchMedia === "undefined" ? undefined : matchMedia("(max-width: 640px)");

/** Whether the page has a phone's width, as the style sheet has it. */
function useNarrow(): boolean {
  return useSyncExternalStore(
    (changed) => {
      NARROW?.addEventListener("change", changed);
      return () => NARROW?.removeEventListener("change", changed);
    },
    () => NARROW?.matches ?? false,
  );
}

interface List {
  rows: readonly Row[];
  count: number;
  head: ReactNode;
  height: number;
  one: (row: Row) => ReactNode;
  label: string;
}

function rowKey(row: Row | undefined): string {
  if (!row) return "";
  return row.kind === "group" ? `g ${row.group.name}` : row.kind === "host" ? `h ${row.host.instance}` : `t ${row.hosts[0]?.instance ?? ""}`;
}

function InPage({ rows, count, head, height, one, label }: List) {
  return (
    <div className="vtable hosts" role="table" aria-label={label} aria-rowcount={count}>
      {head}
      <VirtualRows count={rows.length} keyOf={(i) => rowKey(rows[i])} estimate={rows.some((row) => row.kind === "tiles") ? 300 : height}>
        {(i) => { const row = rows[i]; return row ? one(row) : null; }}
      </VirtualRows>
    </div>
  );
}

function InBox({ rows, count, head, height, one, label }: List) {
  const box = useRef<HTMLDivElement>(null);
  const scroller = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: (i) => (rows[i]?.kind === "tiles" ? 300 : height),
    overscan: rows.some((row) => row.kind === "tiles") ? 2 : 20,
  });
  return (
    <div className="vtable hosts" role="table" aria-label={label} aria-rowcount={count} ref={box}>
      {head}
      <div className="vbody" style={{ height: scroller.getTotalSize() }} role="rowgroup">
        {scroller.getVirtualItems().map((v) => {
          const row = rows[v.index];
          return row ? (
            <div key={v.key} data-index={v.index} ref={scroller.measureElement} className="vrow" style={{ transform: `translateY(${v.start}px)` }} role="presentation">
              {one(row)}
            </div>
          ) : null;
        })}
      </div>
    </div>
  );
}

function GroupRow({ group, folded, toggle }: { group: ServiceGroup; folded: boolean; toggle: (name: string) => void }) {
  const t = useT();
  return (
    <div className="grouprow" role="row">
      <span role="rowheader">
        <button type="button" className="groupbtn" aria-expanded={!folded} onClick={() => toggle(group.name)}>
          <Icon name={folded ? "right" : "chevron"} size={14} />
          <span className="groupname">{group.name}</span>
          <span className="faint">{group.hosts.length === 1 ? t("oneHost") : t("nHosts", { n: group.hosts.length })}</span>
          {SEVERITY.filter((s) => s !== "ok").map((s) => {
            const n = group.hosts.filter((h) => h.state === s).length;
            return n > 0 ? <span key={s} className={`mini st-${s}`}><Shape state={s} size={10} />{n}</span> : null;
          })}
          {group.state === "ok" ? <span className="mini st-ok"><Shape state="ok" size={10} /></span> : null}
        </button>
      </span>
    </div>
  );
}

function pressureState(v: number | undefined): State | undefined {
  return v === undefined ? undefined : v >= 0.95 ? "critical" : v >= 0.9 ? "warning" : undefined;
}

function HostRow({ host: h, spark }: { host: HostView; spark: (number | null)[] | undefined }) {
  const t = useT();
  const to = useLinkTo();
  const say = useReason();
  const first = h.reasons[0];
  return (
    <div className="hostgrid hostrow" role="row" data-testid="host-row" data-state={h.state}>
      <span role="cell" className="c-state"><StateMark state={h.state} /></span>
      <span role="cell" className="c-host">
        <Link href={to(hostPath(h.instance))} data-row title={h.instance}>
          <b>{h.nodename || h.instance}</b>
          {h.nodename !== "" && h.nodename !== h.instance ? <span className="faint mono"> {h.instance}</span> : null}
        </Link>
      </span>
      <span role="cell" className="c-why" title={h.reasons.map(say).join("\n")}>{first ? say(first) : ""}{h.reasons.length > 1 ? <span className="faint"> +{h.reasons.length - 1}</span> : null}</span>
      <span role="cell" className="c-alerts r">{h.firing > 0 ? <Link href={`/alerts?q=${encodeURIComponent(h.instance)}`} title={t("alertsFiring")}>{h.firing}</Link> : <span className="faint">0</span>}</span>
      <span role="cell" className="c-cpu"><Bar value={h.cpu} /></span>
      <span role="cell" className="c-mem"><Bar value={h.memory} state={pressureState(h.memory)} /></span>
      <span role="cell" className="c-disk" title={h.diskMount}><Bar value={h.disk} state={pressureState(h.disk)} /></span>
      <span role="cell" className="c-load r"><Num value={h.load} unit="short" decimals={2} /></span>
      <span role="cell" className="c-spark">{spark ? <Sparkline values={spark} label={t("loadLine")} /> : null}</span>
      <span role="cell" className="c-age r">{h.lastSample === undefined ? <span className="faint">–</span> : <Ago at={h.lastSample * 1000} />}</span>
    </div>
  );
}

function Tiles({ hosts }: { hosts: readonly HostView[] }) {
  const to = useLinkTo();
  const say = useReason();
  const word = useStateWord();
  return (
    <div className="tiles" role="row">
      {hosts.map((h) => (
        <Link key={h.instance} href={to(hostPath(h.instance))} role="cell" className={`tile st-${h.state}`} title={[h.instance, ...h.reasons.map(say)].join("\n")} data-row>
          <Shape state={h.state} />
          <span className="tile-name">{h.nodename || h.instance}</span>
          <span className="tile-state">{word(h.state)}</span>
          <span className="faint"><Num value={h.cpu} unit="percentunit" decimals={0} /></span>
        </Link>
      ))}
    </div>
  );
}

function NoHosts() {
  const t = useT();
  return (
    <Empty title={t("noHosts")} why={t("noHostsWhy")}>
      <p>{t("noHostsBuiltin")}</p>
      <Code text={"hinomi:\n  host_metrics: true"} />
      <p>{t("noHostsScrape")}</p>
      <Code text={"scrape_configs:\n  - job_name: node\n    static_configs:\n      - targets: ['localhost:9100']"} />
      <p>{t("noHostsReload")}</p>
      <Code text={`curl -X POST ${location.origin}${PREFIX}/-/reload`} />
    </Empty>
  );
}

