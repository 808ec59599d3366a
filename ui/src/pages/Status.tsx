/** Status: what this server is, how it was started, what it holds. */
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect, useState } from "react";
import { Link } from "wouter";
import { api } from "../api/client";
import type { NameValue } from "../api/types";
import { type Key, useT } from "../i18n";
import { matchesFilter } from "../lib/labels";
import { exploreLink } from "../lib/urlstate";
import { Ago, CopyButton, ErrorBox, FilterBox, Instant, Jump, Num, Waiting } from "../parts/parts";
import { useView } from "../view";
import Queries from "./Queries";

export default function Status() {
  const t = useT();
  const { every } = useView();
  const build = useQuery({ queryKey: ["buildinfo"], queryFn: ({ signal }) => api.buildinfo(signal) });
  const runtime = useQuery({ queryKey: ["runtimeinfo"], queryFn: ({ signal }) => api.runtimeinfo(signal), refetchInterval: every });
  const tsdb = useQuery({ queryKey: ["tsdb"], queryFn: ({ signal }) => api.tsdb(signal), refetchInterval: every });
  const flags = useQuery({ queryKey: ["flags"], queryFn: ({ signal }) => api.flags(signal) });
  const config = useQuery({ queryKey: ["config"], queryFn: ({ signal }) => api.config(signal), refetchInterval: every });
  const am = useQuery({ queryKey: ["am-status"], queryFn: ({ signal }) => api.amStatus(signal), retry: 0 });
  const settled = [build, runtime, tsdb, flags, config].every((q) => q.isFetched);
  useEffect(() => {
    const id = location.hash.slice(1);
    if (id !== "" && settled) document.getElementById(id)?.scrollIntoView();
  }, [settled]);
  const head = tsdb.data?.data.headStats;
  return (
    <div className="page" data-testid="page-status">
      <h1 className="offscreen">{t("navStatus")}</h1>
      <nav className="jump toolbar" aria-label={t("sections")}>
        {(["server", "storage", "queries", "tsdb", "configuration", "flags", "alertmanager"] as const).map((k) => (
          <Jump key={k} id={k === "configuration" ? "config" : k}>{t(k)}</Jump>
        ))}
      </nav>
      <div className="columns">
        <Part id="server" word="server" q={build}>
          <KeyValues of={withoutGo({ ...(build.data?.data ?? {}) })} />
        </Part>
        <Part id="runtime" word="runtime" q={runtime}>
          <KeyValues of={withoutGo(runtime.data?.data ?? {})} />
        </Part>
        <Part id="storage" word="storage" q={tsdb}>
          {head ? (
            <table className="tbl kv">
              <tbody>
                <tr><th scope="row">{t("seriesCount")}</th><td className="r"><Num value={head.numSeries} unit="none" decimals={0} /></td></tr>
                <tr><th scope="row">{t("labelPairs")}</th><td className="r"><Num value={head.numLabelPairs} unit="none" decimals={0} /></td></tr>
                <tr><th scope="row">{t("chunks")}</th><td className="r"><Num value={head.chunkCount} unit="none" decimals={0} /></td></tr>
                <tr><th scope="row">{t("oldestInMemory")}</th><td className="r">{plausible(head.minTime) ? <Instant at={head.minTime} /> : "–"}</td></tr>
                <tr><th scope="row">{t("newestInMemory")}</th><td className="r">{plausible(head.maxTime) ? <Instant at={head.maxTime} /> : "–"}</td></tr>
              </tbody>
            </table>
          ) : null}
        </Part>
      </div>
      <Queries />
      <section className="section" id="tsdb" aria-label={t("tsdb")}>
        <h2>{t("tsdb")}</h2>
        <p className="note">{t("tsdbWhy")}</p>
        <div className="columns">
          <Top title={t("topMetrics")} list={tsdb.data?.data.seriesCountByMetricName} link={(n) => `topk(20, count by (instance) (${/^[a-zA-Z_:][\w:]*$/.test(n) ? n : `{${JSON.stringify(n)}}`}))`} />
          <Top title={t("topLabels")} list={tsdb.data?.data.labelValueCountByLabelName} />
          <Top title={t("topPairs")} list={tsdb.data?.data.seriesCountByLabelValuePair} />
          <Top title={t("topMemory")} list={tsdb.data?.data.memoryInBytesByLabelName} unit="bytes" />
        </div>
      </section>
      <Part id="config" word="configuration" q={config}>
        <div className="code tall"><pre data-testid="config-yaml">{config.data?.data.yaml.trim() === "" ? t("configEmpty") : config.data?.data.yaml}</pre><CopyButton text={config.data?.data.yaml ?? ""} /></div>
      </Part>
      <Flags q={flags} of={flags.data?.data ?? {}} />
      <section className="section" id="alertmanager" aria-label={t("alertmanager")}>
        <h2>{t("alertmanager")}</h2>
        {am.error ? <ErrorBox error={am.error} title={t("errAlertmanager")} /> : null}
        {am.data ? (
          <>
            <table className="tbl kv"><tbody>
              <tr><th scope="row">{t("version")}</th><td>{am.data.versionInfo.version ?? "–"}</td></tr>
              <tr><th scope="row">{t("since")}</th><td><Ago at={Date.parse(am.data.uptime)} /></td></tr>
              <tr><th scope="row">{t("cluster")}</th><td>{am.data.cluster.status}</td></tr>
            </tbody></table>
            <div className="code tall"><pre>{am.data.config.original}</pre><CopyButton text={am.data.config.original} /></div>
          </>
        ) : null}
      </section>
    </div>
  );
}

function plausible(ms: number): boolean {
  return ms > 0 && ms < 8.64e15;
}

function Part({ id, word, q, children }: { id: string; word: Key; q: { error: unknown; isFetched: boolean; data: unknown }; children: ReactNode }) {
  const t = useT();
  return (
    <section className="section" id={id} aria-label={t(word)}>
      <h2>{t(word)}</h2>
      {q.error ? <ErrorBox error={q.error} /> : null}
      {q.data === undefined ? (q.error ? null : <Waiting />) : children}
    </section>
  );
}

/** The API keeps the fields of Prometheus' Go runtime for its clients; to people they say nothing here, and empty ones neither. */
function withoutGo(of: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const says = ([k, v]: [string, unknown]) => v !== "" && !/^(GO|goroutine)/.test(k);
  const named = Object.entries(of).filter(says).map(([k, v]): [string, unknown] => [k === "goVersion" ? "compiler" : k, v]);
  return Object.fromEntries(named);
}

function KeyValues({ of }: { of: Readonly<Record<string, unknown>> }) {
  return (
    <table className="tbl kv">
      <tbody>
        {Object.entries(of).map(([k, v]) => (
          <tr key={k}>
            <th scope="row">{k}</th>
            <td className="wrap">{typeof v === "string" && /^\d{4}-\d\d-\d\dT/.test(v) && Number.isFinite(Date.parse(v)) ? <Instant at={Date.parse(v)} /> : String(v)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Top({ title, list, unit = "none", link }: { title: string; list: readonly NameValue[] | null | undefined; unit?: string; link?: (name: string) => string }) {
  const { search } = useView();
  const t = useT();
  return (
    <div>
      <h3>{title}</h3>
      <table className="tbl kv top10">
        <tbody>
          {(list ?? []).slice(0, 10).map((x) => (
            <tr key={x.name}>
              <th scope="row" className="mono wrap">{link ? <Link className="textlink" href={exploreLink(link(x.name), search, "table")}>{x.name}</Link> : x.name}</th>
              <td className="r"><Num value={x.value} unit={unit} {...(unit === "none" ? { decimals: 0 } : {})} /></td>
            </tr>
          ))}
          {(list ?? []).length === 0 ? <tr><td className="faint">{t("nothingYet")}</td></tr> : null}
        </tbody>
      </table>
    </div>
  );
}

function Flags({ of, q }: { of: Readonly<Record<string, string>>; q: { error: unknown; isFetched: boolean; data: unknown } }) {
  const t = useT();
  const [filter, setFilter] = useState("");
  const list = Object.entries(of).filter(([k, v]) => matchesFilter(filter, `${k} ${v}`)).sort((a, b) => (a[0] < b[0] ? -1 : 1));
  return (
    <Part id="flags" word="flags" q={q}>
      <FilterBox value={filter} onChange={setFilter} placeholder={t("filterFlags")} />
      <table className="tbl kv" data-testid="flags">
        <tbody>
          {list.map(([k, v]) => (
            <tr key={k}>
              <th scope="row" className="mono">--{k}</th>
              <td className="mono wrap">{v === "" ? <span className="faint">–</span> : v}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Part>
  );
}
