/** Cardinality: where the series come from, what it costs, and what to do about it. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { Link } from "wouter";
import { api } from "../api/client";
import type { NameValue } from "../api/types";
import { useT } from "../i18n";
import { escapeRegex, quote } from "../lib/labels";
import { exploreLink } from "../lib/urlstate";
import { Dialog } from "../parts/Dialog";
import { Code, ErrorBox, Instant, Num, Waiting } from "../parts/parts";
import { toast } from "../state";
import { useView } from "../view";

/** How many of each list; the server gives up to 10,000. */
const LIMITS = [10, 20, 50, 100, 500] as const;

const metric = (name: string) => (/^[a-zA-Z_:][\w:]*$/.test(name) ? name : `{${quote(name)}}`);
/** "job=node" → a selector. */
const pair = (text: string) => {
  const at = text.indexOf("=");
  return `{${text.slice(0, at)}=${quote(text.slice(at + 1))}}`;
};
const yaml = (text: string) => `'${text.replace(/'/g, "''")}'`;

export default function Cardinality() {
  const t = useT();
  const view = useView();
  const asked = Number(new URLSearchParams(view.search).get("limit"));
  const limit = LIMITS.find((n) => n === asked) ?? 10;
  const tsdb = useQuery({ queryKey: ["tsdb", limit], queryFn: ({ signal }) => api.tsdb(limit, signal), refetchInterval: view.every === false ? false : Math.max(view.every, 15_000) });
  const flags = useQuery({ queryKey: ["flags"], queryFn: ({ signal }) => api.flags(signal) });
  const [doomed, setDoomed] = useState<string>();
  const admin = flags.data?.data["web.enable-admin-api"] === "true";
  const data = tsdb.data?.data;
  const head = data?.headStats;
  const series = head?.numSeries ?? 0;
  const top = (list: readonly NameValue[] | null | undefined, not: readonly string[] = []) => (list ?? []).find((x) => !not.includes(x.name))?.name;
  // The most of a label that is a name rather than a kind; what every series has cannot be dropped.
  const label = top(data?.labelValueCountByLabelName, ["__name__", "instance", "job", "le"]) ?? "path";
  const name = top(data?.seriesCountByMetricName) ?? "http_request_duration_seconds_bucket";
  const remove = (selector: string) => (admin ? <button type="button" className="textbtn faint" onClick={() => setDoomed(selector)} data-testid="delete-series">{t("deleteSeries")}</button> : null);
  return (
    <div className="page" data-testid="page-tsdb">
      <h1 className="offscreen">{t("tsdb")}</h1>
      <div className="toolbar">
        <label className="inline"><span className="faint">{t("entries")}</span>
          <select className="select" value={limit} onChange={(e) => view.set({ limit: e.target.value === "10" ? undefined : e.target.value }, true)} data-testid="tsdb-limit">
            {LIMITS.map((n) => <option key={n} value={n}>{n}</option>)}
          </select>
        </label>
        <span className="gap" />
        <Link className="textlink" href={exploreLink("prometheus_tsdb_head_series", view.search)}>{t("seriesOverTime")}</Link>
      </div>
      {tsdb.error ? <ErrorBox error={tsdb.error} /> : null}
      {data === undefined || head === undefined ? (
        tsdb.error ? null : <Waiting />
      ) : (
        <>
          <dl className="facts bigfacts">
            <div><dt>{t("seriesCount")}</dt><dd><Num value={head.numSeries} unit="none" decimals={0} /></dd></div>
            <div><dt>{t("labelPairs")}</dt><dd><Num value={head.numLabelPairs} unit="none" decimals={0} /></dd></div>
            <div><dt>{t("chunks")}</dt><dd><Num value={head.chunkCount} unit="none" decimals={0} /></dd></div>
            {head.minTime > 0 && head.minTime < 8.64e15 ? <div><dt>{t("oldestInMemory")}</dt><dd><Instant at={head.minTime} /></dd></div> : null}
            {head.maxTime > 0 && head.maxTime < 8.64e15 ? <div><dt>{t("newestInMemory")}</dt><dd><Instant at={head.maxTime} /></dd></div> : null}
          </dl>
          <div className="columns wide">
            <Top title={t("topMetrics")} list={data.seriesCountByMetricName} of={series} note={t("adviceMetrics")} code={`metric_relabel_configs:\n  - {action: drop, source_labels: [__name__], regex: ${yaml(escapeRegex(name))}}`}
              link={(n) => exploreLink(`count by (job, instance) (${metric(n)})`, view.search, "table")} act={(n) => remove(metric(n))} />
            <Top title={t("topLabels")} list={data.labelValueCountByLabelName} note={t("adviceLabels")} code={`metric_relabel_configs:\n  - {action: labeldrop, regex: ${yaml(escapeRegex(label))}}`}
              link={(n) => exploreLink(`topk(20, count by (__name__) ({${/^[a-zA-Z_]\w*$/.test(n) ? n : quote(n)}!=""}))`, view.search, "table")} />
            <Top title={t("topPairs")} list={data.seriesCountByLabelValuePair} of={series} note={t("advicePairs")} link={(n) => exploreLink(`topk(20, count by (__name__) (${pair(n)}))`, view.search, "table")} act={(n) => (n.startsWith("__name__=") ? null : remove(pair(n)))} />
            <Top title={t("topMemory")} list={data.memoryInBytesByLabelName} unit="bytes" note={t("adviceMemory")} />
          </div>
          {admin ? null : <p className="note">{t("deleteNeedsAdmin")} <code>--web.enable-admin-api</code></p>}
        </>
      )}
      {doomed === undefined ? null : <DeleteSeries selector={doomed} onClose={() => setDoomed(undefined)} />}
    </div>
  );
}

interface TopProps {
  title: string;
  list: readonly NameValue[] | null | undefined;
  unit?: string;
  /** The whole, to say a share. */
  of?: number;
  note: string;
  code?: string;
  link?: (name: string) => string;
  act?: (name: string) => ReactNode;
}

function Top({ title, list, unit = "none", of, note, code, link, act }: TopProps) {
  const t = useT();
  const rows = list ?? [];
  return (
    <section className="top-list" aria-label={title}>
      <h2>{title}</h2>
      <table className="tbl kv top10">
        <tbody>
          {rows.map((x) => (
            <tr key={x.name}>
              <th scope="row" className="mono wrap">{link ? <Link className="textlink" href={link(x.name)}>{x.name}</Link> : x.name}</th>
              <td className="r"><Num value={x.value} unit={unit} {...(unit === "none" ? { decimals: 0 } : {})} /></td>
              {of === undefined ? null : <td className="r faint c-share">{of > 0 ? <Num value={x.value / of} unit="percentunit" decimals={1} /> : null}</td>}
              {act === undefined ? null : <td className="actions">{act(x.name)}</td>}
            </tr>
          ))}
          {rows.length === 0 ? <tr><td className="faint">{t("nothingYet")}</td></tr> : null}
        </tbody>
      </table>
      <details className="advice">
        <summary>{t("whatToDo")}</summary>
        <p className="note">{note}</p>
        {code === undefined ? null : <Code text={code} />}
      </details>
    </section>
  );
}

/** Says how many series it will take away, and that there is no way back. */
function DeleteSeries({ selector, onClose }: { selector: string; onClose: () => void }) {
  const t = useT();
  const client = useQueryClient();
  const [typed, setTyped] = useState("");
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const count = useQuery({ queryKey: ["doomed", selector], queryFn: ({ signal }) => api.query(`count(last_over_time(${selector}[1d]))`, undefined, signal) });
  const result = count.data?.data;
  const n = result?.resultType === "vector" ? Number(result.result[0]?.value?.[1] ?? 0) : undefined;
  const go = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await api.deleteSeries(selector);
      await api.cleanTombstones();
      toast(t("seriesDeleted", { selector }));
      void client.invalidateQueries();
      onClose();
    } catch (e) {
      setError(e);
      setBusy(false);
    }
  };
  return (
    <Dialog onClose={onClose} title={t("deleteSeries")} size={560}>
      <form className="form" onSubmit={(e) => { e.preventDefault(); if (typed.trim() === selector) void go(); }} data-testid="delete-form">
        <p><code className="wrap">{selector}</code></p>
        <p>{n === undefined ? <span className="faint">{t("loading")}</span> : t("deleteWill", { n })}</p>
        <p className="note">{t("deleteComesBack")}</p>
        <label><span>{t("deleteConfirm")}</span><input className="input mono" data-autofocus value={typed} onChange={(e) => setTyped(e.target.value)} placeholder={selector} spellCheck={false} data-testid="delete-confirm" /></label>
        {error === undefined ? null : <ErrorBox error={error} />}
        <div className="formend">
          <button type="button" className="btn" onClick={onClose}>{t("cancel")}</button>
          <button type="submit" className="btn danger" disabled={busy || typed.trim() !== selector} data-testid="delete-go">{t("deleteForever")}</button>
        </div>
      </form>
    </Dialog>
  );
}
