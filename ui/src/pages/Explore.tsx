/** Explore: any number of queries, each as a graph or a table; all of it in the URL. */
import { Suspense, lazy, useEffect, useMemo, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { useLocation } from "wouter";
import { api } from "../api/client";
import type { QueryData } from "../api/types";
import { useInstant, useScrapeInterval } from "../api/hooks";
import { GraphPanel } from "../chart/GraphPanel";
import { parseValue } from "../chart/value";
import { type Key, useT } from "../i18n";
import { natural, seriesName } from "../lib/labels";
import { csv } from "../lib/csv";
import { expandMacros } from "../lib/step";
import { formatInstant, parseDuration, parseInstant } from "../lib/time";
import { EMPTY_PANEL, type ExplorePanel, panelsFrom, panelsInto } from "../lib/urlstate";
import { Icon } from "../parts/icons";
import { CopyButton, ErrorBox, Waiting, Warnings } from "../parts/parts";
import { guessUnit, metricsIn } from "../promql/text";
import { useView } from "../view";
import { PlainEditor } from "../promql/PlainEditor";

const Editor = lazy(() => import("../promql/Editor"));

/** Rows of the table drawn at once. */
const ROWS = 500;

const EXAMPLES: readonly (readonly [string, Key])[] = [
  ["up", "exUp"],
  ['100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])))', "exCpu"],
  ["node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "exMemory"],
  ["predict_linear(node_filesystem_avail_bytes[6h], 86400) < 0", "exDisk"],
  ["sum by (device) (rate(node_network_receive_bytes_total[5m])) * 8", "exNetwork"],
  ["topk(10, count by (__name__) ({__name__!=\"\"}))", "exCardinality"],
];

export default function Explore() {
  const t = useT();
  const view = useView();
  const [, navigate] = useLocation();
  const panels = useMemo(() => panelsFrom(view.search), [view.search]);
  const save = (next: readonly ExplorePanel[]) => navigate(`/explore?${panelsInto(location.search, next)}`);
  const put = (i: number, part: Partial<ExplorePanel>) => save(panels.map((p, n) => (n === i ? { ...p, ...part } : p)));
  return (
    <div className="page" data-testid="page-explore">
      <h1 className="offscreen">{t("navExplore")}</h1>
      {panels.map((p, i) => (
        <Panel key={i} index={i} panel={p} many={panels.length > 1} put={(part) => put(i, part)} remove={() => save(panels.filter((_, n) => n !== i))} />
      ))}
      <div className="toolbar">
        <button type="button" className="btn" onClick={() => save([...panels, EMPTY_PANEL])} data-testid="add-panel">
          <Icon name="plus" size={14} /> {t("addQuery")}
        </button>
      </div>
    </div>
  );
}

function Panel({ index, panel, many, put, remove }: { index: number; panel: ExplorePanel; many: boolean; put: (p: Partial<ExplorePanel>) => void; remove: () => void }) {
  const t = useT();
  const scrape = useScrapeInterval();
  const [text, setText] = useState(panel.expr);
  useEffect(() => setText(panel.expr), [panel.expr]);
  const run = (expr = text) => put({ expr: expr.trim() });
  const changed = text.trim() !== panel.expr;
  const queries = useMemo(() => [{ expr: panel.expr, legend: "" }], [panel.expr]);
  const [stepText, setStepText] = useState(panel.step === undefined ? "" : `${panel.step}s`);
  useEffect(() => setStepText(panel.step === undefined ? "" : `${panel.step}s`), [panel.step]);
  const applyStep = () => {
    const ms = parseDuration(stepText);
    put({ step: ms === undefined || ms <= 0 ? undefined : ms / 1000 });
  };
  return (
    <section className="panel" aria-label={t("queryN", { n: index + 1 })} data-testid="panel">
      <div className="panel-edit">
        <Suspense fallback={<PlainEditor value={text} onChange={setText} onRun={run} label={t("queryN", { n: index + 1 })} />}>
          <Editor value={text} onChange={setText} onRun={run} label={t("queryN", { n: index + 1 })} />
        </Suspense>
        <button type="button" className={`btn primary run${changed ? " changed" : ""}`} onClick={() => run()} data-testid="run">{t("run")}</button>
        {many ? (
          <button type="button" className="iconbtn" onClick={remove} aria-label={t("removeQuery")} title={t("removeQuery")}>
            <Icon name="close" size={14} />
          </button>
        ) : null}
      </div>
      {panel.expr === "" ? (
        <Examples pick={(e) => run(e)} />
      ) : (
        <>
          <div className="toolbar">
            <div className="seg" role="group" aria-label={t("showAs")}>
              <button type="button" aria-pressed={panel.tab === "graph"} onClick={() => put({ tab: "graph" })} data-testid="tab-graph">{t("graph")}</button>
              <button type="button" aria-pressed={panel.tab === "table"} onClick={() => put({ tab: "table" })} data-testid="tab-table">{t("table")}</button>
            </div>
            {panel.tab === "graph" ? (
              <>
                <label className="inline">
                  <span className="faint">{t("step")}</span>
                  <input className="input short" value={stepText} placeholder={t("auto")} onChange={(e) => setStepText(e.target.value)} onBlur={applyStep} onKeyDown={(e) => e.key === "Enter" && applyStep()} />
                </label>
                <button type="button" className="chip" aria-pressed={panel.stacked} onClick={() => put({ stacked: !panel.stacked })}>{t("stacked")}</button>
              </>
            ) : (
              <At value={panel.at} onChange={(at) => put({ at })} />
            )}
            <span className="gap" />
            <CopyButton text={panel.expr} label={t("copyPromql")} />
          </div>
          <MetricHelp expr={panel.expr} />
          {panel.tab === "graph" ? <GraphPanel bare title={panel.expr} queries={queries} unit={guessUnit(panel.expr)} stacked={panel.stacked} scrape={scrape} height={300} step={panel.step} emptyText={t("noDataQuery")} /> : <Table expr={panel.expr} at={panel.at} scrape={scrape} />}
        </>
      )}
    </section>
  );
}

/** Type and help of the metrics a query names. */
function MetricHelp({ expr }: { expr: string }) {
  const meta = useQuery({ queryKey: ["metadata"], queryFn: ({ signal }) => api.metadata(signal), staleTime: 300_000 });
  const names = useMemo(() => metricsIn(expr).slice(0, 3), [expr]);
  const known = names.flatMap((n) => {
    const m = meta.data?.data[n]?.[0] ?? meta.data?.data[n.replace(/_(bucket|sum|count|total)$/, "")]?.[0];
    return m ? [{ n, m }] : [];
  });
  if (known.length === 0) return null;
  return (
    <p className="metrichelp">
      {known.map(({ n, m }) => (
        <span key={n}>
          <span className="mono">{n}</span> <span className="tag">{m.type}</span> <span className="faint">{m.help}</span>
        </span>
      ))}
    </p>
  );
}

function Examples({ pick }: { pick: (expr: string) => void }) {
  const t = useT();
  return (
    <div className="examples" data-testid="examples">
      <p>{t("exploreEmpty")}</p>
      <ul>
        {EXAMPLES.map(([expr, word]) => (
          <li key={expr}>
            <button type="button" className="linkbtn" onClick={() => pick(expr)}>
              <span>{t(word)}</span>
              <code>{expr}</code>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

function At({ value, onChange }: { value: string | undefined; onChange: (at: string | undefined) => void }) {
  const t = useT();
  const { zone, range } = useView();
  const [text, setText] = useState(value ?? "");
  const [bad, setBad] = useState(false);
  useEffect(() => setText(value ?? ""), [value]);
  const apply = () => {
    if (text.trim() === "") {
      setBad(false);
      onChange(undefined);
      return;
    }
    const ms = parseInstant(text, Date.now(), zone);
    setBad(ms === undefined);
    if (ms !== undefined) onChange(text.trim().startsWith("now") ? text.trim() : new Date(ms).toISOString().replace(".000Z", "Z"));
  };
  return (
    <label className="inline">
      <span className="faint">{t("at")}</span>
      <input className="input" value={text} aria-invalid={bad} placeholder={formatInstant(range.to, zone)} onChange={(e) => setText(e.target.value)} onBlur={apply} onKeyDown={(e) => e.key === "Enter" && apply()} />
    </label>
  );
}

interface TableRow {
  name: string;
  value: string;
  n: number;
}

function rowsOf(data: QueryData): TableRow[] {
  switch (data.resultType) {
    case "vector":
      return data.result.map((s) => {
        const h = s.histogram?.[1];
        return { name: seriesName(s.metric), value: s.value?.[1] ?? (h ? `count ${h.count}, sum ${h.sum}` : ""), n: s.value ? parseValue(s.value[1]) : Number(h?.count ?? Number.NaN) };
      });
    case "matrix":
      return data.result.map((s) => ({ name: seriesName(s.metric), value: (s.values ?? []).slice(0, 100).map(([at, v]) => `${v} @${at}`).join("\n"), n: Number.NaN }));
    case "scalar":
    case "string":
      return [{ name: data.resultType, value: data.result[1], n: Number(data.result[1]) }];
  }
}

function Table({ expr, at, scrape }: { expr: string; at: string | undefined; scrape: number }) {
  const t = useT();
  const { range, spec } = useView();
  const [sort, setSort] = useState<"none" | "name" | "value">("none");
  const now = Date.now();
  const time = at !== undefined ? parseInstant(at, now) : spec.to === "now" ? undefined : range.to;
  const relative = at?.startsWith("now") ?? false;
  // An instant relative to now is rounded, so that the question does not change with every drawing.
  const ms = time === undefined ? undefined : relative ? Math.floor(time / 15_000) * 15_000 : time;
  const seconds = (range.to - range.from) / 1000;
  const q = useInstant(expandMacros(expr, 15, scrape, seconds), ms === undefined ? undefined : ms / 1000);
  const rows = useMemo(() => {
    const list = q.data ? rowsOf(q.data.data) : [];
    if (sort === "name") list.sort((a, b) => natural(a.name, b.name));
    if (sort === "value") list.sort((a, b) => b.n - a.n);
    return list;
  }, [q.data, sort]);
  const save = () => {
    const a = document.createElement("a");
    a.href = URL.createObjectURL(new Blob([csv([["series", "value"], ...rows.map((r) => [r.name, r.value])])], { type: "text/csv" }));
    a.download = "query.csv";
    a.click();
  };
  if (q.error) return <ErrorBox error={q.error} />;
  if (!q.data) return <Waiting />;
  return (
    <>
      <Warnings list={[...q.data.warnings, ...q.data.infos]} />
      <p className="note">
        {t("resultLine", { n: rows.length, ms: Math.round(q.data.took) })} <button type="button" className="textbtn" onClick={save}>CSV</button>
      </p>
      {rows.length === 0 ? (
        <p className="note">{t("noDataQuery")}</p>
      ) : (
        <table className="tbl results" data-testid="result-table">
          <thead>
            <tr>
              <th scope="col" aria-sort={sort === "name" ? "ascending" : "none"}><button type="button" className="sortbtn" onClick={() => setSort(sort === "name" ? "none" : "name")}>{t("series")}</button></th>
              <th scope="col" className="r" aria-sort={sort === "value" ? "descending" : "none"}><button type="button" className="sortbtn" onClick={() => setSort(sort === "value" ? "none" : "value")}>{t("value")}</button></th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, ROWS).map((r, i) => (
              <tr key={`${r.name}${i}`}>
                <td className="mono wrap">{r.name}</td>
                <td className="r mono pre">{r.value}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {rows.length > ROWS ? <p className="note">{t("drawnOf", { drawn: ROWS, total: rows.length })}</p> : null}
    </>
  );
}
