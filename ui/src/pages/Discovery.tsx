/** Service discovery: what was found, what was kept, what was dropped, and which relabel rule did it. */
import { useQuery } from "@tanstack/react-query";
import { memo, useDeferredValue, useMemo } from "react";
import { api } from "../api/client";
import { useTargets } from "../api/hooks";
import type { RelabelStep } from "../api/types";
import { useT } from "../i18n";
import type { Labels } from "../lib/labels";
import { type DiscoveredItem, type FoundHead, discoveredRows, prepareDiscovery } from "../lib/discovery";
import { compareLabels, ruleText } from "../lib/relabel";
import { flipped, listFrom, listInto } from "../lib/urlstate";
import { Icon } from "../parts/icons";
import { LabelDiff } from "../parts/LabelDiff";
import { CopyButton, Empty, ErrorBox, FilterBox, LabelList, Shape, StateMark, Waiting } from "../parts/parts";
import { VirtualRows } from "../parts/VirtualRows";
import { settings, useStore } from "../state";
import { useView } from "../view";
import { PoolSelect } from "./Targets";

export default function Discovery() {
  const t = useT();
  const view = useView();
  const { dense } = useStore(settings);
  const { data, error, isFetched } = useTargets(true);
  const params = new URLSearchParams(view.search);
  const [filter, state, pool] = [params.get("q") ?? "", params.get("state"), params.get("pool")];
  const foldedText = params.get("fold") ?? "";
  const folded = useMemo(() => new Set(listFrom(`fold=${encodeURIComponent(foldedText)}`, "fold")), [foldedText]);
  const open = listFrom(view.search, "open");
  const prepared = useMemo(() => prepareDiscovery(data?.data), [data]);
  const wanted = useDeferredValue(filter);
  const rows = useMemo(() => discoveredRows(prepared, { filter: wanted, state, pool, folded }), [prepared, wanted, state, pool, folded]);
  const names = prepared.pools.map((p) => p.name);
  const { kept, dropped } = prepared;
  const unfold = (key: string) => view.set({ open: listInto(flipped(open, key)) }, true);
  return (
    <div className="page" data-testid="page-discovery">
      <h1 className="offscreen">{t("discovery")}</h1>
      <div className="toolbar">
        <div className="counts" role="group" aria-label={t("targetsByState")}>
          <button type="button" className="countbtn" aria-pressed={state === null} onClick={() => view.set({ state: undefined }, true)}><b>{kept + dropped}</b> {t("found")}</button>
          <button type="button" className="countbtn st-ok" aria-pressed={state === "active"} onClick={() => view.set({ state: state === "active" ? undefined : "active" }, true)}><Shape state="ok" /> <b>{kept}</b> {t("kept")}</button>
          <button type="button" className="countbtn st-silenced" aria-pressed={state === "dropped"} onClick={() => view.set({ state: state === "dropped" ? undefined : "dropped" }, true)} data-testid="state-dropped"><Shape state="silenced" /> <b>{dropped}</b> {t("droppedWord")}</button>
        </div>
        <PoolSelect names={names} chosen={pool} pick={(name) => view.set({ pool: name }, true)} />
        <FilterBox value={filter} onChange={(q) => view.set({ q }, true)} placeholder={t("filterDiscovery")} testid="filter-discovery" />
      </div>
      {error ? <ErrorBox error={error} /> : null}
      <Troubles pool={pool} />
      {!isFetched ? (
        <Waiting />
      ) : kept + dropped === 0 ? (
        error ? null : <Empty title={t("nothingFoundYet")} why={t("nothingFoundYetWhy")} />
      ) : rows.length === 0 ? (
        <Empty title={t("noMatch")} why={t("noMatchTargets", { n: kept + dropped })}>
          <button type="button" className="btn" onClick={() => view.set({ q: undefined, state: undefined, pool: undefined }, true)}>{t("clearFilter")}</button>
        </Empty>
      ) : (
        <div className="ptable" role="table" aria-label={t("discovery")} aria-rowcount={rows.length}>
          <div className="vhead foundgrid" role="row">
            <span role="columnheader">{t("state")}</span>
            <span role="columnheader">{t("address")}</span>
            <span role="columnheader" className="c-labels">{t("labels")}</span>
          </div>
          <VirtualRows count={rows.length} keyOf={(i) => rows[i]?.key ?? String(i)} estimate={dense ? 33 : 41} at={open.length > 0 ? rows.findIndex((r) => r.key === open[0]) : undefined}>
            {(i) => {
              const row = rows[i];
              if (!row) return null;
              return row.kind === "pool" ? <FoundRow head={row} fold={(name) => view.set({ fold: listInto(flipped([...folded], name)) }, true)} /> : <DiscoveredRow item={row} open={open.includes(row.key)} unfold={unfold} />;
            }}
          </VirtualRows>
        </div>
      )}
    </div>
  );
}

/** Sources of targets that cannot be asked: what they found before stays, so nothing else on the page says so. */
function Troubles({ pool }: { pool: string | null }) {
  const t = useT();
  const { every } = useView();
  const { data } = useQuery({ queryKey: ["discovery"], queryFn: ({ signal }) => api.discovery(signal), refetchInterval: every });
  const pools = (data?.data.scrapePools ?? []).filter((p) => pool === null || p.scrapePool === pool);
  return pools.flatMap((p) =>
    p.sources.map((s, i) =>
      s.error === undefined ? null : (
        <ErrorBox key={`${p.scrapePool} ${i}`} title={t("discoveryFails", { job: p.scrapePool, mechanism: s.mechanism, since: new Date(s.since ?? 0).toLocaleString() })} error={new Error(s.error)} />
      ),
    ),
  );
}

function FoundRow({ head, fold }: { head: FoundHead; fold: (name: string) => void }) {
  const t = useT();
  return (
    <div className="grouprow foundrow" role="row" data-testid="pool-row">
      <span role="rowheader">
        <button type="button" className="groupbtn" data-row aria-expanded={!head.folded} onClick={() => fold(head.name)}>
          <Icon name={head.folded ? "right" : "chevron"} size={14} />
          <span className="groupname cutoff">{head.name}</span>
          <span className="mini">{t("keptOf", { kept: head.kept, total: head.kept + head.dropped })}</span>
          {head.forgotten > 0 ? <span className="faint cutoff phone-hide">{t("droppedForgotten", { n: head.forgotten })}</span> : null}
        </button>
      </span>
    </div>
  );
}

const DiscoveredRow = memo(function DiscoveredRow({ item, open, unfold }: { item: DiscoveredItem; open: boolean; unfold: (key: string) => void }) {
  const t = useT();
  return (
    <>
      <div className="foundgrid targetrow" role="row" data-testid="found-row" data-state={item.labels ? "kept" : "dropped"}>
        <span role="cell"><StateMark state={item.labels ? "ok" : "silenced"} word={t(item.labels ? "kept" : "droppedWord")} /></span>
        <span role="cell" className="cutoff"><button type="button" className="linkbtn mono cutoff" data-row aria-expanded={open} onClick={() => unfold(item.key)}>{item.discovered.__address__ ?? item.discovered.instance ?? "–"}</button></span>
        <span role="cell" className="c-labels cutoff"><LabelList labels={item.labels ?? item.discovered} without={["job", "__address__", "__metrics_path__", "__scheme__", "__scrape_interval__", "__scrape_timeout__"]} /></span>
      </div>
      {open ? (
        <div className="targetdetails">
          <Steps pool={item.pool} discovered={item.discovered} kept={item.labels !== undefined} />
          {item.labels ? (
            <>
              <h3>{t("beforeAndAfter")}</h3>
              <LabelDiff before={item.discovered} after={item.labels} testid="found-labels" />
            </>
          ) : null}
        </div>
      ) : null}
    </>
  );
});

/** The job's rules in their order, each with what it did to this target. */
function Steps({ pool, discovered, kept }: { pool: string; discovered: Labels; kept: boolean }) {
  const t = useT();
  const { data, error } = useQuery({ queryKey: ["relabel", pool, JSON.stringify(discovered)], queryFn: ({ signal }) => api.relabelSteps(pool, discovered as Record<string, string>, signal) });
  if (error) return <ErrorBox error={error} />;
  if (!data) return <Waiting />;
  const { steps } = data.data;
  const at = steps.findIndex((s) => !s.keep);
  return (
    <div data-testid="relabel-steps">
      <h3>{t("relabelSteps")}</h3>
      {steps.length === 0 ? <p className="note">{t("noRelabelRules")}</p> : null}
      <ol className="steps">
        {steps.map((step, i) => {
          const before: Labels = i === 0 ? discovered : (steps[i - 1]?.output ?? {});
          const passed = at >= 0 && i > at;
          return (
            <li key={i} className={passed ? "passed" : ""} data-testid="relabel-step" data-dropped={i === at}>
              <div className="step-rule"><code className="wrap">{ruleText(step.rule)}</code><CopyButton text={`- ${ruleText(step.rule)}`} /></div>
              <StepResult step={step} before={before} drops={i === at} passed={passed} />
            </li>
          );
        })}
      </ol>
      {at < 0 && kept ? <p className="note">{t("relabelAfter")}</p> : null}
      {at < 0 && !kept ? <p className="note">{t("relabelNoAddress")}</p> : null}
    </div>
  );
}

function StepResult({ step, before, drops, passed }: { step: RelabelStep; before: Labels; drops: boolean; passed: boolean }) {
  const t = useT();
  if (passed) return <p className="faint">{t("stepPassed")}</p>;
  if (drops) return <p className="state st-silenced"><Shape state="silenced" /> <b>{t("stepDropped")}</b></p>;
  const changes = compareLabels(before, step.output).filter((c) => c.kind !== "same");
  if (changes.length === 0) return <p className="faint">{t("stepNothing")}</p>;
  return (
    <ul className="changes">
      {changes.map((c) => (
        <li key={c.name} className={`lc-${c.kind} mono wrap`}>
          <span className="c-mark" aria-hidden="true">{c.kind === "added" ? "+" : c.kind === "removed" ? "−" : "~"}</span>
          <span className="offscreen">{t(c.kind === "added" ? "labelAdded" : c.kind === "removed" ? "labelRemoved" : "labelChanged")}</span>
          {c.name} = {c.kind === "changed" ? <><s>{c.before}</s> → {c.after}</> : c.kind === "removed" ? <s>{c.before}</s> : c.after}
        </li>
      ))}
    </ul>
  );
}
