/** Targets: what is scraped, how it went, and why not. Bulk rows are plain and virtual. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef, useState } from "react";
import { useTargets } from "../api/hooks";
import type { ActiveTarget } from "../api/types";
import { useT } from "../i18n";
import { matchesFilter, natural } from "../lib/labels";
import type { State } from "../lib/state";
import { humanDuration } from "../lib/time";
import { exploreLink } from "../lib/urlstate";
import { Icon } from "../parts/icons";
import { Ago, CopyButton, Empty, ErrorBox, FilterBox, LabelList, Shape, StateMark, Waiting } from "../parts/parts";
import { settings, useStore } from "../state";
import { useView } from "../view";
import { Link } from "wouter";

interface Pool {
  name: string;
  targets: ActiveTarget[];
  up: number;
}

type Row = { kind: "pool"; pool: Pool; folded: boolean } | { kind: "target"; target: ActiveTarget; open: boolean; key: string };

const STATE: Readonly<Record<ActiveTarget["health"], State>> = { up: "ok", down: "critical", unknown: "unknown" };

export default function Targets() {
  const t = useT();
  const view = useView();
  const { data, error, isFetched } = useTargets();
  const params = new URLSearchParams(view.search);
  const filter = params.get("q") ?? "";
  const health = params.get("health");
  const [folded, setFolded] = useState<ReadonlySet<string>>(new Set());
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const all = data?.data.activeTargets ?? [];
  const dropped = Object.values(data?.data.droppedTargetCounts ?? {}).reduce((a, b) => a + b, 0) || (data?.data.droppedTargets?.length ?? 0);
  const rows = useMemo<Row[]>(() => {
    const pools = new Map<string, Pool>();
    for (const x of all) {
      if (health !== null && x.health !== health) continue;
      if (!matchesFilter(filter, `${x.scrapePool} ${x.scrapeUrl} ${x.health} ${x.lastError} ${Object.entries(x.labels).map(([k, v]) => `${k}=${v}`).join(" ")}`)) continue;
      let p = pools.get(x.scrapePool);
      if (!p) {
        p = { name: x.scrapePool, targets: [], up: 0 };
        pools.set(x.scrapePool, p);
      }
      p.targets.push(x);
      if (x.health === "up") p.up++;
    }
    const bad = (p: Pool) => p.targets.length - p.up;
    return [...pools.values()]
      .sort((a, b) => Number(bad(b) > 0) - Number(bad(a) > 0) || natural(a.name, b.name))
      .flatMap((pool): Row[] => {
        const head: Row = { kind: "pool", pool, folded: folded.has(pool.name) };
        if (head.folded) return [head];
        const order = { down: 0, unknown: 1, up: 2 };
        const list = [...pool.targets].sort((a, b) => order[a.health] - order[b.health] || natural(a.scrapeUrl, b.scrapeUrl));
        return [head, ...list.map((target): Row => ({ kind: "target", target, key: `${pool.name} ${target.scrapeUrl} ${JSON.stringify(target.labels)}`, open: open.has(`${pool.name} ${target.scrapeUrl} ${JSON.stringify(target.labels)}`) }))];
      });
  }, [all, filter, health, folded, open]);
  const flip = (set: ReadonlySet<string>, key: string) => {
    const next = new Set(set);
    if (!next.delete(key)) next.add(key);
    return next;
  };
  const count = (h: ActiveTarget["health"]) => all.filter((x) => x.health === h).length;
  return (
    <div className="page" data-testid="page-targets">
      <h1 className="offscreen">{t("navTargets")}</h1>
      <div className="toolbar">
        <div className="counts" role="group" aria-label={t("targetsByState")}>
          <button type="button" className="countbtn" aria-pressed={health === null} onClick={() => view.set({ health: undefined }, true)}><b>{all.length}</b> {t("navTargets")}</button>
          {(["down", "unknown", "up"] as const).map((h) => {
            const n = count(h);
            return n === 0 && health !== h ? null : (
              <button type="button" key={h} className={`countbtn st-${STATE[h]}`} aria-pressed={health === h} onClick={() => view.set({ health: health === h ? undefined : h }, true)}>
                <Shape state={STATE[h]} /> <b>{n}</b> {t(`target_${h}`)}
              </button>
            );
          })}
        </div>
        <FilterBox value={filter} onChange={(q) => view.set({ q }, true)} placeholder={t("filterTargets")} testid="filter-targets" />
        <span className="gap" />
        {dropped > 0 ? <span className="faint">{t("droppedTargets", { n: dropped })}</span> : null}
      </div>
      {error ? <ErrorBox error={error} /> : null}
      {!isFetched ? (
        <Waiting />
      ) : all.length === 0 ? (
        error ? null : <Empty title={t("noTargets")} why={t("noTargetsWhy")} code={"scrape_configs:\n  - job_name: node\n    static_configs:\n      - targets: ['localhost:9100']"} />
      ) : rows.length === 0 ? (
        <Empty title={t("noMatch")} why={t("noMatchTargets", { n: all.length })}>
          <button type="button" className="btn" onClick={() => view.set({ q: undefined, health: undefined }, true)}>{t("clearFilter")}</button>
        </Empty>
      ) : (
        <TargetTable rows={rows} count={all.length} fold={(name) => setFolded(flip(folded, name))} unfold={(key) => setOpen(flip(open, key))} />
      )}
    </div>
  );
}

function TargetTable({ rows, count, fold, unfold }: { rows: readonly Row[]; count: number; fold: (name: string) => void; unfold: (key: string) => void }) {
  const t = useT();
  const { dense } = useStore(settings);
  const box = useRef<HTMLDivElement>(null);
  const scroller = useVirtualizer({ count: rows.length, getScrollElement: () => box.current, estimateSize: () => (dense ? 32 : 40), overscan: 20 });
  return (
    <div className="vtable targets" role="table" aria-label={t("navTargets")} aria-rowcount={count} ref={box}>
      <div className="vhead targetgrid" role="row">
        <span role="columnheader">{t("state")}</span>
        <span role="columnheader">{t("endpoint")}</span>
        <span role="columnheader" className="c-labels">{t("labels")}</span>
        <span role="columnheader" className="r">{t("lastScrape")}</span>
        <span role="columnheader" className="r c-took">{t("took")}</span>
        <span role="columnheader" className="c-err">{t("error")}</span>
      </div>
      <div className="vbody" style={{ height: scroller.getTotalSize() }} role="rowgroup">
        {scroller.getVirtualItems().map((v) => {
          const row = rows[v.index];
          if (!row) return null;
          return (
            <div key={v.key} data-index={v.index} ref={scroller.measureElement} className="vrow" style={{ transform: `translateY(${v.start}px)` }} role="presentation">
              {row.kind === "pool" ? <PoolRow pool={row.pool} folded={row.folded} fold={fold} /> : <TargetRow target={row.target} open={row.open} unfold={() => unfold(row.key)} />}
            </div>
          );
        })}
      </div>
    </div>
  );
}

function PoolRow({ pool, folded, fold }: { pool: Pool; folded: boolean; fold: (name: string) => void }) {
  const t = useT();
  const bad = pool.up < pool.targets.length;
  return (
    <div className="grouprow" role="row">
      <span role="rowheader">
        <button type="button" className="groupbtn" aria-expanded={!folded} onClick={() => fold(pool.name)}>
          <Icon name={folded ? "right" : "chevron"} size={14} />
          <span className="groupname">{pool.name}</span>
          <span className={`mini st-${bad ? (pool.targets.some((x) => x.health === "down") ? "critical" : "unknown") : "ok"}`}>
            <Shape state={bad ? (pool.targets.some((x) => x.health === "down") ? "critical" : "unknown") : "ok"} size={10} />
            {t("upOf", { up: pool.up, total: pool.targets.length })}
          </span>
        </button>
      </span>
    </div>
  );
}

function TargetRow({ target: x, open, unfold }: { target: ActiveTarget; open: boolean; unfold: () => void }) {
  const t = useT();
  const { search } = useView();
  const last = Date.parse(x.lastScrape);
  return (
    <>
      <div className="targetgrid targetrow" role="row" data-testid="target-row" data-health={x.health} aria-expanded={open}>
        <span role="cell"><StateMark state={STATE[x.health]} word={t(`target_${x.health}`)} /></span>
        <span role="cell" className="cutoff">
          <button type="button" className="linkbtn mono" data-row onClick={unfold} title={x.scrapeUrl}>{x.scrapeUrl}</button>
        </span>
        <span role="cell" className="c-labels cutoff"><LabelList labels={x.labels} without={["job"]} /></span>
        <span role="cell" className="r"><Ago at={last} /></span>
        <span role="cell" className="r c-took">{last > 0 ? humanDuration(x.lastScrapeDuration) : <span className="faint">–</span>}</span>
        <span role="cell" className="c-err cutoff st-critical" title={x.lastError}>{x.lastError}</span>
      </div>
      {open ? (
        <dl className="facts targetdetails">
          {x.lastError === "" ? null : <div className="wide"><dt>{t("error")}</dt><dd className="st-critical wrap">{x.lastError}</dd></div>}
          <div className="wide"><dt>{t("endpoint")}</dt><dd className="mono wrap">{x.scrapeUrl} <CopyButton text={`curl '${x.scrapeUrl}'`} label={t("copyCurl")} /></dd></div>
          <div className="wide"><dt>{t("labels")}</dt><dd><LabelList labels={x.labels} /></dd></div>
          <div className="wide"><dt>{t("discovered")}</dt><dd><LabelList labels={x.discoveredLabels} /></dd></div>
          <div><dt>{t("interval")}</dt><dd>{x.scrapeInterval} / {x.scrapeTimeout}</dd></div>
          <div><dt>{t("navExplore")}</dt><dd>
            <Link className="textlink" href={exploreLink(`up{job=${JSON.stringify(x.labels.job ?? "")},instance=${JSON.stringify(x.labels.instance ?? "")}}`, search)}>up</Link>{" "}
            <Link className="textlink" href={exploreLink(`scrape_duration_seconds{job=${JSON.stringify(x.labels.job ?? "")},instance=${JSON.stringify(x.labels.instance ?? "")}}`, search)}>scrape_duration_seconds</Link>
          </dd></div>
        </dl>
      ) : null}
    </>
  );
}
