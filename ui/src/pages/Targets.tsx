/** Targets: what is scraped, how it went, and why not. Drawn for any number of them: only rows near the window exist. */
import { memo, useDeferredValue, useMemo } from "react";
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { STORELESS, api } from "../api/client";
import { useTargets } from "../api/hooks";
import type { ActiveTarget } from "../api/types";
import { useT } from "../i18n";
import { quote } from "../lib/labels";
import type { State } from "../lib/state";
import { type PoolHead, type TargetHealth, type TargetItem, prepareTargets, targetRows } from "../lib/targets";
import { humanDuration } from "../lib/time";
import { exploreLink, flipped, listFrom, listInto } from "../lib/urlstate";
import { Icon } from "../parts/icons";
import { LabelDiff } from "../parts/LabelDiff";
import { Ago, CopyButton, Empty, ErrorBox, FilterBox, LabelList, Shape, StateMark, Waiting } from "../parts/parts";
import { VirtualRows } from "../parts/VirtualRows";
import { settings, useStore } from "../state";
import { useLinkTo, useView } from "../view";

export const STATE: Readonly<Record<TargetHealth, State>> = { up: "ok", down: "critical", unknown: "unknown" };
const HEALTHS: readonly TargetHealth[] = ["down", "unknown", "up"];

export default function Targets() {
  const t = useT();
  const view = useView();
  const { dense } = useStore(settings);
  const { data, error, isFetched } = useTargets();
  const params = new URLSearchParams(view.search);
  const [filter, health, pool] = [params.get("q") ?? "", params.get("health"), params.get("pool")];
  const foldedText = params.get("fold") ?? "";
  const folded = useMemo(() => new Set(listFrom(`fold=${encodeURIComponent(foldedText)}`, "fold")), [foldedText]);
  const open = listFrom(view.search, "open");
  const prepared = useMemo(() => prepareTargets(data?.data.activeTargets ?? []), [data]);
  // The field answers at once; the list follows when there is time, and only for the last of several keys.
  const wanted = useDeferredValue(filter);
  const rows = useMemo(() => targetRows(prepared, { filter: wanted, health, pool, folded }), [prepared, wanted, health, pool, folded]);
  const fold = (name: string) => view.set({ fold: listInto(flipped([...folded], name)) }, true);
  const unfold = (key: string) => view.set({ open: listInto(flipped(open, key)) }, true);
  const names = prepared.pools.map((p) => p.name);
  return (
    <div className="page" data-testid="page-targets">
      <h1 className="offscreen">{t("navTargets")}</h1>
      <div className="toolbar">
        <div className="counts" role="group" aria-label={t("targetsByState")}>
          <button type="button" className="countbtn" aria-pressed={health === null} onClick={() => view.set({ health: undefined }, true)}><b>{prepared.total}</b> {t("navTargets")}</button>
          {HEALTHS.map((h) => {
            const n = prepared.counts[h];
            return n === 0 && health !== h ? null : (
              <button type="button" key={h} className={`countbtn st-${STATE[h]}`} aria-pressed={health === h} onClick={() => view.set({ health: health === h ? undefined : h }, true)} data-testid={`health-${h}`}>
                <Shape state={STATE[h]} /> <b>{n}</b> {t(`target_${h}`)}
              </button>
            );
          })}
        </div>
        <PoolSelect names={names} chosen={pool} pick={(name) => view.set({ pool: name }, true)} />
        <FilterBox value={filter} onChange={(q) => view.set({ q }, true)} placeholder={t("filterTargets")} testid="filter-targets" />
        <span className="gap" />
        {names.length > 1 ? <button type="button" className="textbtn" onClick={() => view.set({ fold: folded.size > 0 ? undefined : listInto(names) }, true)}>{t(folded.size > 0 ? "unfoldAll" : "foldAll")}</button> : null}
      </div>
      {error ? <ErrorBox error={error} /> : null}
      {!isFetched ? (
        <Waiting />
      ) : prepared.total === 0 ? (
        error ? null : <Empty title={t("noTargets")} why={t("noTargetsWhy")} code={"scrape_configs:\n  - job_name: node\n    static_configs:\n      - targets: ['localhost:9100']"} />
      ) : rows.length === 0 ? (
        <Empty title={t("noMatch")} why={t("noMatchTargets", { n: prepared.total })}>
          <button type="button" className="btn" onClick={() => view.set({ q: undefined, health: undefined, pool: undefined }, true)}>{t("clearFilter")}</button>
        </Empty>
      ) : (
        <div className="ptable targets" role="table" aria-label={t("navTargets")} aria-rowcount={prepared.total} data-testid="target-table">
          <div className="vhead targetgrid" role="row">
            <span role="columnheader">{t("state")}</span>
            <span role="columnheader">{t("endpoint")}</span>
            <span role="columnheader" className="c-labels">{t("labels")}</span>
            <span role="columnheader" className="r">{t("lastScrape")}</span>
            <span role="columnheader" className="r c-took">{t("took")}</span>
            <span role="columnheader" className="c-err">{t("error")}</span>
          </div>
          <VirtualRows count={rows.length} keyOf={(i) => rows[i]?.key ?? String(i)} estimate={dense ? 33 : 41} at={open.length > 0 ? rows.findIndex((r) => r.key === open[0]) : undefined}>
            {(i) => {
              const row = rows[i];
              if (!row) return null;
              return row.kind === "pool" ? <PoolRow pool={row} fold={fold} /> : <TargetRow item={row} open={open.includes(row.key)} unfold={unfold} search={view.search} />;
            }}
          </VirtualRows>
        </div>
      )}
      <Vanished />
    </div>
  );
}

/** Found by discovery within the last day, and not now; asked for once, since it reads a day. */
const VANISHED = 'max_over_time(timestamp(up)[1d:5m]) unless up';

function Vanished() {
  const t = useT();
  const gone = useQuery({ queryKey: ["vanished"], queryFn: ({ signal }) => api.query(VANISHED, undefined, signal), staleTime: 300_000, retry: 0, enabled: !STORELESS });
  const data = gone.data?.data;
  const rows = data?.resultType === "vector" ? [...data.result].sort((a, b) => Number(b.value?.[1] ?? 0) - Number(a.value?.[1] ?? 0)) : [];
  if (rows.length === 0) return null;
  return (
    <section className="section" id="vanished" aria-label={t("vanished")}>
      <h2>{t("vanished")} <span className="faint">{rows.length}</span></h2>
      <table className="tbl" data-testid="vanished-table">
        <thead><tr><th scope="col">{t("labels")}</th><th scope="col">{t("hostClass")}</th><th scope="col" className="r">{t("lastSeen")}</th></tr></thead>
        <tbody>
          {rows.slice(0, 200).map((r) => (
            <tr key={JSON.stringify(r.metric)} data-row tabIndex={0}>
              <td className="wrap"><LabelList labels={r.metric} without={["host_class"]} /></td>
              <td>{t(r.metric.host_class === "pet" ? "classPet" : "classCattle")}</td>
              <td className="r"><Ago at={Number(r.value?.[1]) * 1000} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** One job of many; nothing when there is no choice. */
export function PoolSelect({ names, chosen, pick }: { names: readonly string[]; chosen: string | null; pick: (name: string | undefined) => void }) {
  const t = useT();
  if (names.length < 2 && chosen === null) return null;
  return (
    <select className="select" value={chosen ?? ""} onChange={(e) => pick(e.target.value === "" ? undefined : e.target.value)} aria-label={t("job")} data-testid="pool-select">
      <option value="">{t("allJobs")}</option>
      {chosen !== null && !names.includes(chosen) ? <option value={chosen}>{chosen}</option> : null}
      {[...names].sort().map((n) => <option key={n} value={n}>{n}</option>)}
    </select>
  );
}

function PoolRow({ pool, fold }: { pool: PoolHead; fold: (name: string) => void }) {
  const t = useT();
  const { down, unknown, up } = pool.counts;
  const state: State = down > 0 ? "critical" : unknown > 0 ? "unknown" : "ok";
  return (
    <div className="grouprow" role="row" data-testid="pool-row">
      <span role="rowheader">
        <button type="button" className="groupbtn" data-row aria-expanded={!pool.folded} onClick={() => fold(pool.name)}>
          <Icon name={pool.folded ? "right" : "chevron"} size={14} />
          <span className="groupname cutoff">{pool.name}</span>
          <span className={`mini st-${state}`}>
            <Shape state={state} size={10} />
            {t("upOf", { up, total: pool.total })}
          </span>
        </button>
      </span>
    </div>
  );
}

const TargetRow = memo(function TargetRow({ item, open, unfold, search }: { item: TargetItem; open: boolean; unfold: (key: string) => void; search: string }) {
  const t = useT();
  const x = item.target;
  const last = Date.parse(x.lastScrape);
  return (
    <>
      <div className="targetgrid targetrow" role="row" data-testid="target-row" data-health={x.health}>
        <span role="cell"><StateMark state={STATE[x.health]} word={t(`target_${x.health}`)} /></span>
        <span role="cell" className="cutoff">
          <button type="button" className="linkbtn mono cutoff" data-row aria-expanded={open} onClick={() => unfold(item.key)} title={x.scrapeUrl}>{x.scrapeUrl}</button>
          {x.lastError === "" || open ? null : <span className="phone-only cutoff st-critical">{x.lastError}</span>}
        </span>
        <span role="cell" className="c-labels cutoff"><LabelList labels={x.labels} without={["job"]} /></span>
        <span role="cell" className="r"><Ago at={last} /></span>
        <span role="cell" className="r c-took">{last > 0 ? humanDuration(x.lastScrapeDuration) : <span className="faint">–</span>}</span>
        <span role="cell" className="c-err cutoff st-critical" title={x.lastError}>{x.lastError}</span>
      </div>
      {open ? <TargetDetails target={x} search={search} /> : null}
    </>
  );
});

function TargetDetails({ target: x, search }: { target: ActiveTarget; search: string }) {
  const t = useT();
  const to = useLinkTo();
  const of = (metric: string) => exploreLink(`${metric}{job=${quote(x.labels.job ?? "")},instance=${quote(x.labels.instance ?? "")}}`, search);
  const isWeb = /^https?:\/\//.test(x.globalUrl);
  const steps = to("/service-discovery");
  return (
    <div className="targetdetails" data-testid="target-details">
      {x.lastError === "" ? null : <pre className="error-text st-critical" data-testid="target-error">{x.lastError}</pre>}
      <dl className="facts">
        <div className="wide">
          <dt>{t("endpoint")}</dt>
          <dd className="mono wrap">
            {isWeb ? <a className="textlink" href={x.globalUrl} target="_blank" rel="noreferrer noopener">{x.scrapeUrl} <Icon name="out" size={12} /></a> : x.scrapeUrl}
            {isWeb ? <CopyButton text={`curl '${x.scrapeUrl.replace(/'/g, "%27")}'`} label={t("copyCurl")} /> : null}
          </dd>
        </div>
        <div><dt>{t("interval")}</dt><dd>{x.scrapeInterval} / {x.scrapeTimeout}</dd></div>
        <div>
          <dt>{t("navExplore")}</dt>
          <dd className="ways">
            <Link className="textlink" href={of("up")}>up</Link>
            <Link className="textlink" href={of("scrape_duration_seconds")}>scrape_duration_seconds</Link>
            <Link className="textlink" href={of("scrape_samples_scraped")}>scrape_samples_scraped</Link>
          </dd>
        </div>
        <div><dt>{t("discovery")}</dt><dd><Link className="textlink" href={`${steps}${steps.includes("?") ? "&" : "?"}pool=${encodeURIComponent(x.scrapePool)}&q=${encodeURIComponent(x.discoveredLabels.__address__ ?? "")}`}>{t("relabelSteps")}</Link></dd></div>
      </dl>
      <LabelDiff before={x.discoveredLabels} after={x.labels} testid="target-labels" />
    </div>
  );
}
