/** Status: what this server is, how it was started, what it holds, and what it works on. */
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect } from "react";
import { Link, Redirect } from "wouter";
import { ALONE, STORELESS, api } from "../api/client";
import { type Key, useT } from "../i18n";
import { exploreLink } from "../lib/urlstate";
import { ErrorBox, Instant, Jump, Num, Waiting } from "../parts/parts";
import { useLinkTo, useView } from "../view";
import { Cluster } from "./Cluster";
import Queries from "./Queries";

/** Where parts of this page went that links from before name. */
const MOVED: Readonly<Record<string, string>> = { "#config": "/config", "#flags": "/flags", "#tsdb": "/tsdb-status", "#alertmanager": "/alertmanager-discovery" };

export default function Status() {
  const t = useT();
  const to = useLinkTo();
  const { every, search } = useView();
  const build = useQuery({ queryKey: ["buildinfo"], queryFn: ({ signal }) => api.buildinfo(signal) });
  const runtime = useQuery({ queryKey: ["runtimeinfo"], queryFn: ({ signal }) => api.runtimeinfo(signal), refetchInterval: every });
  const tsdb = useQuery({ queryKey: ["tsdb", 10], queryFn: ({ signal }) => api.tsdb(10, signal), refetchInterval: every, enabled: !STORELESS });
  const am = useQuery({ queryKey: ["am-status"], queryFn: ({ signal }) => api.amStatus(signal), refetchInterval: every, retry: 0, enabled: ALONE });
  const settled = [build, runtime, ...(STORELESS ? [] : [tsdb])].every((q) => q.isFetched);
  useEffect(() => {
    const id = location.hash.slice(1);
    if (id !== "" && settled) document.getElementById(id)?.scrollIntoView();
  }, [settled]);
  const moved = MOVED[location.hash];
  if (moved !== undefined) return <Redirect to={to(moved)} replace />;
  const head = tsdb.data?.data.headStats;
  return (
    <div className="page" data-testid="page-status">
      <h1 className="offscreen">{t("navStatus")}</h1>
      <nav className="jump toolbar" aria-label={t("sections")}>
        {(ALONE ? (["server", "runtime", "cluster"] as const) : STORELESS ? (["server", "runtime"] as const) : (["queries", "server", "runtime", "storage"] as const)).map((k) => <Jump key={k} id={k}>{t(k)}</Jump>)}
      </nav>
      {STORELESS ? null : <Queries />}
      <div className="columns">
        <Part id="server" word="server" q={build}>
          <KeyValues of={withoutGo({ ...(build.data?.data ?? {}) })} />
        </Part>
        <Part id="runtime" word="runtime" q={runtime}>
          <KeyValues of={withoutGo(runtime.data?.data ?? {})} />
        </Part>
        {ALONE ? <Part id="cluster" word="cluster" q={am}>{am.data === undefined ? null : <Cluster of={am.data.cluster} />}</Part> : null}
        {STORELESS ? null : <Part id="storage" word="storage" q={tsdb}>
          {head ? (
            <>
              <table className="tbl kv">
                <tbody>
                  <tr><th scope="row">{t("seriesCount")}</th><td className="r"><Num value={head.numSeries} unit="none" decimals={0} /></td></tr>
                  <tr><th scope="row">{t("labelPairs")}</th><td className="r"><Num value={head.numLabelPairs} unit="none" decimals={0} /></td></tr>
                  <tr><th scope="row">{t("chunks")}</th><td className="r"><Num value={head.chunkCount} unit="none" decimals={0} /></td></tr>
                  <tr><th scope="row">{t("oldestInMemory")}</th><td className="r">{plausible(head.minTime) ? <Instant at={head.minTime} /> : "–"}</td></tr>
                  <tr><th scope="row">{t("newestInMemory")}</th><td className="r">{plausible(head.maxTime) ? <Instant at={head.maxTime} /> : "–"}</td></tr>
                </tbody>
              </table>
              <p className="ways">
                <Link className="textlink" href={to("/tsdb-status")}>{t("tsdb")}</Link>
                <Link className="textlink" href={exploreLink(["prometheus_tsdb_head_series", "process_resident_memory_bytes"], search)}>{t("seriesOverTime")}</Link>
              </p>
            </>
          ) : null}
        </Part>}
      </div>
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
