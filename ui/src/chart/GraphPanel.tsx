/**
 * A graph on a page: asks, draws, and lets the reader take it along. Draws nothing before it comes near the screen,
 * and keeps the old picture until the new one is there.
 */
import { Menu } from "@mantine/core";
import { type KeyboardEvent, type MouseEvent, useEffect, useMemo, useRef, useState } from "react";
import { Link } from "wouter";
import { useRange } from "../api/hooks";
import { useT } from "../i18n";
import { csv } from "../lib/csv";
import { colour } from "../lib/palette";
import { exploreLink } from "../lib/urlstate";
import { type UnitId } from "../lib/units";
import { Icon } from "../parts/icons";
import { ErrorBox, Num, Warnings, useCopy } from "../parts/parts";
import type { GraphQuery } from "../promql/host";
import { useDark } from "../state";
import { useView } from "../view";
import { Chart, type Threshold } from "./chart";
import { MAX_DRAWN, type Span, inOrder, stats, toChartData, withTail } from "./data";
import "uplot/dist/uPlot.min.css";

export interface GraphPanelProps {
  title: string;
  queries: readonly GraphQuery[];
  unit: UnitId;
  scrape: number;
  stacked?: boolean;
  max?: number | undefined;
  thresholds?: readonly Threshold[];
  height?: number;
  step?: number | undefined;
  /** Without a head of its own: Explore has the query above. */
  bare?: boolean;
  spans?: readonly Span[];
  /** Legend names that come first; the bottom of a stack. */
  order?: readonly string[] | undefined;
  /** What to say when the answer is empty. */
  emptyText?: string;
}

const NO_THRESHOLDS: readonly Threshold[] = [];
const NO_SPANS: readonly Span[] = [];

function useNear(): [React.RefObject<HTMLDivElement | null>, boolean, number] {
  const ref = useRef<HTMLDivElement>(null);
  const [near, setNear] = useState(false);
  const [width, setWidth] = useState(600);
  useEffect(() => {
    const el = ref.current;
    if (!el) return;
    // The step comes from the width in steps of 200 px, so that a slow resize does not ask again and again.
    setWidth(Math.max(200, Math.round(el.clientWidth / 200) * 200));
    const seen = new IntersectionObserver((es) => es.some((e) => e.isIntersecting) && setNear(true), { rootMargin: "600px" });
    seen.observe(el);
    return () => seen.disconnect();
  }, []);
  return [ref, near, width];
}

function download(blob: Blob, name: string): void {
  const a = document.createElement("a");
  a.href = URL.createObjectURL(blob);
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10_000);
}

export function GraphPanel(props: GraphPanelProps) {
  const { title, queries, unit, scrape, stacked = false, max, thresholds = NO_THRESHOLDS, spans = NO_SPANS, height = 168, bare = false } = props;
  const t = useT();
  const dark = useDark();
  const view = useView();
  const copy = useCopy();
  const [box, near, width] = useNear();
  const canvas = useRef<HTMLDivElement>(null);
  const chart = useRef<Chart | undefined>(undefined);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const exprs = useMemo(() => queries.map((q) => q.expr), [queries]);
  const { results, exprs: asked, start, end, step, range, tail, tails } = useRange(exprs, { width, scrape, step: props.step, enabled: near });
  const events = useRef({ zoom: view.zoom, reset: view.reset, more: (n: number) => t("moreSeries", { n }) });
  events.current = { zoom: view.zoom, reset: view.reset, more: (n) => t("moreSeries", { n }) };

  const answers = results.map((r) => r.data);
  const ready = answers.some((a) => a !== undefined);
  const ends = tails.map((r) => r.data);
  const ended = tail !== undefined && ends.every((e) => e !== undefined) ? tail : undefined;
  const data = useMemo(() => {
    const parts = answers.map((a, i) => {
      const now = ends[i]?.data;
      const result = a?.data.result ?? [];
      return { result: ended !== undefined && now?.resultType === "vector" ? withTail(result, now.result) : result, legend: queries[i]?.legend ?? "" };
    });
    const made = toChartData(parts, start, end, step, ended);
    return props.order ? { ...made, series: inOrder(made.series, props.order) } : made;
  }, [...answers, ...ends, ended, start, end, step, queries, props.order]);
  const error = results.find((r) => r.error)?.error;
  const warnings = answers.flatMap((a) => [...(a?.warnings ?? []), ...(bare ? (a?.infos ?? []) : [])]);
  const stale = results.some((r) => r.isPlaceholderData) || (tail !== undefined && ended === undefined && !tails.some((r) => r.error));

  useEffect(() => {
    if (!canvas.current) return;
    const c = new Chart(canvas.current, "page", {
      onZoom: (a, b) => events.current.zoom(a, b),
      onReset: () => events.current.reset(),
      moreText: (n) => events.current.more(n),
    });
    chart.current = c;
    return () => {
      c.destroy();
      chart.current = undefined;
    };
  }, []);

  useEffect(() => {
    // The answer on screen may still be that of the old range: keep its picture until the new one is there.
    if (!ready || stale) return;
    chart.current?.update({ data, hidden, unit, stacked, max, from: range.from / 1000, to: range.to / 1000, thresholds, spans, dark, zone: view.zone, height });
  }, [data, hidden, unit, stacked, max, range, thresholds, spans, dark, view.zone, height, ready, stale]);

  const key = (e: KeyboardEvent) => {
    const by = e.key === "ArrowLeft" ? -1 : e.key === "ArrowRight" ? 1 : 0;
    if (by !== 0) {
      e.preventDefault();
      chart.current?.step(by * (e.shiftKey ? 10 : 1));
    } else if (e.key === "Escape") chart.current?.leave();
  };
  const toCsv = () => {
    const rows = [["time", ...data.series.map((s) => s.name)], ...data.xs.map((x, i) => [new Date(x * 1000).toISOString(), ...data.series.map((s) => s.values[i] ?? null)])];
    download(new Blob([csv(rows)], { type: "text/csv" }), `${title}.csv`);
  };
  const toPng = () => void chart.current?.toPng(title).then((b) => b && download(b, `${title}.png`));
  const empty = ready && data.series.length === 0 && !error;

  return (
    <section className={`graph${bare ? " bare" : ""}`} aria-label={title} ref={box}>
      <header className="graph-head">
        {bare ? <span /> : <h3>{title}</h3>}
        <Menu position="bottom-end" shadow="none" withinPortal>
          <Menu.Target>
            <button type="button" className="iconbtn" aria-label={t("graphMenu", { title })} title={t("more")}>
              <Icon name="more" />
            </button>
          </Menu.Target>
          <Menu.Dropdown>
            {bare ? null : (
              <Menu.Item component={Link} href={exploreLink(asked, view.search)}>
                {t("openInExplore")}
              </Menu.Item>
            )}
            <Menu.Item onClick={() => copy(asked.join("\n"))}>{t("copyPromql")}</Menu.Item>
            <Menu.Item onClick={() => copy(location.href)}>{t("copyLink")}</Menu.Item>
            <Menu.Item onClick={toPng}>PNG</Menu.Item>
            <Menu.Item onClick={toCsv}>CSV</Menu.Item>
          </Menu.Dropdown>
        </Menu>
      </header>
      <div className="graph-canvas" style={{ minHeight: height }}>
        <div
          ref={canvas}
          data-testid="chart"
          className="chart"
          role="img"
          tabIndex={0}
          onKeyDown={key}
          onBlur={() => chart.current?.leave()}
          aria-label={t("chartLabel", { title, n: data.series.length })}
        />
        {empty ? <div className="graph-empty">{props.emptyText ?? t("noDataInRange")}</div> : null}
      </div>
      {error ? <ErrorBox error={error} /> : null}
      <Warnings list={warnings} />
      {data.total > MAX_DRAWN ? <p className="note">{t("drawnOf", { drawn: MAX_DRAWN, total: data.total })}</p> : null}
      {data.series.length > 0 ? <Legend data={data} hidden={hidden} setHidden={setHidden} unit={unit} dark={dark} focus={(k) => chart.current?.focus(k)} /> : null}
    </section>
  );
}

interface LegendProps {
  data: ReturnType<typeof toChartData>;
  hidden: ReadonlySet<string>;
  setHidden: (h: ReadonlySet<string>) => void;
  unit: UnitId;
  dark: boolean;
  focus: (key: string | undefined) => void;
}

/** Click isolates a line, ctrl-click takes one away; a second click brings all back. */
function Legend({ data, hidden, setHidden, unit, dark, focus }: LegendProps) {
  const t = useT();
  const rows = useMemo(() => data.series.map((s) => ({ s, ...stats(s.values) })), [data]);
  const pick = (key: string, e: MouseEvent) => {
    const all = data.series.map((s) => s.key);
    if (e.ctrlKey || e.metaKey) {
      const next = new Set(hidden);
      if (!next.delete(key)) next.add(key);
      setHidden(next.size === all.length ? new Set() : next);
      return;
    }
    const alone = !hidden.has(key) && hidden.size === all.length - 1;
    setHidden(alone || all.length === 1 ? new Set() : new Set(all.filter((k) => k !== key)));
  };
  return (
    <div className="legend">
      <table>
        <thead>
          <tr>
            <th scope="col">{t("series")}</th>
            <th scope="col" className="r">{t("last")}</th>
            <th scope="col" className="r">{t("average")}</th>
            <th scope="col" className="r">{t("maximum")}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ s, last, avg, max }) => (
            <tr key={s.key} className={hidden.has(s.key) ? "off" : undefined} onMouseEnter={() => focus(s.key)} onMouseLeave={() => focus(undefined)}>
              <td>
                <button type="button" className="legend-name" aria-pressed={!hidden.has(s.key)} title={s.name} onClick={(e) => pick(s.key, e)}>
                  <svg width="12" height="8" aria-hidden="true">
                    <rect y="2.5" width="12" height="3" rx="1" fill={colour(s.colour, dark)} />
                  </svg>
                  <span>{s.name}</span>
                </button>
              </td>
              <td className="r"><Num value={last ?? undefined} unit={unit} /></td>
              <td className="r"><Num value={avg ?? undefined} unit={unit} /></td>
              <td className="r"><Num value={max ?? undefined} unit={unit} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
