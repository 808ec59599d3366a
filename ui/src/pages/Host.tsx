/** One host: its state and why, then graphs of what it reports. Nothing to set up. */
import { useMemo } from "react";
import { Link } from "wouter";
import { useQuery } from "@tanstack/react-query";
import { api } from "../api/client";
import { useInstant, useRange, useScrapeInterval } from "../api/hooks";
import { spansOf } from "../chart/data";
import { parseValue } from "../chart/value";
import { type Key, useT } from "../i18n";
import { secondsUntilEmpty } from "../lib/forecast";
import { natural } from "../lib/labels";
import { humanDuration } from "../lib/time";
import { exploreLink } from "../lib/urlstate";
import { Ago, Bar, Empty, ErrorBox, Jump, LabelList, Num, StateMark, Waiting } from "../parts/parts";
import { Icon } from "../parts/icons";
import { REAL_FS, type SectionDef, hostSections, instanceSelector, plainSections } from "../promql/host";
import { clock, useStore } from "../state";
import { useLinkTo, useView } from "../view";
import { HostGraph } from "./HostGraphs";
import { useReason } from "./Overview";
import { sampleValue, useHosts, vector } from "./hosts";

const SPANS = ["now-1h", "now-1d", "now-1w"] as const;
const SPAN_WORDS: Readonly<Record<(typeof SPANS)[number], Key>> = { "now-1h": "lastHour", "now-1d": "lastDay", "now-1w": "lastWeek" };

export default function Host({ instance }: { instance: string }) {
  const t = useT();
  const view = useView();
  const to = useLinkTo();
  const sel = instanceSelector(instance);
  const scrape = useScrapeInterval(instance);
  const { hosts, loaded, error } = useHosts();
  const host = hosts.find((h) => h.instance === instance);
  // What the host reports now, and what it reported at the end of the range: a zoom into an empty hour keeps the page whole.
  const names = useInstant(`group by (__name__) ({${sel}})`, undefined, true, 15_000);
  const past = useInstant(`group by (__name__) ({${sel}})`, view.range.to / 1000, view.spec.to !== "now");
  const have = useMemo(() => new Set([...vector(names.data?.data), ...vector(past.data?.data)].map((s) => s.metric.__name__ ?? "")), [names.data, past.data]);
  const sections = useMemo(() => {
    const node = hostSections(sel);
    const shown = node.filter((s) => s.needs.some((n) => have.has(n)));
    if (shown.length === 0) return { shown: plainSections(sel).filter((s) => s.needs.length === 0 || s.needs.some((n) => have.has(n))), missing: [] as SectionDef[] };
    return { shown, missing: node.filter((s) => !s.needs.some((n) => have.has(n))) };
  }, [sel, have]);

  const fired = useRange([`ALERTS{${sel},alertstate="firing"}`], { width: 800, scrape, tail: false });
  const firedData = fired.results[0]?.data;
  const spans = useMemo(() => spansOf(firedData?.data.result ?? [], fired.step), [firedData, fired.step]);

  if (!host && !loaded && !error) return <div className="page" data-testid="page-host"><Waiting /></div>;
  return (
    <div className="page" data-testid="page-host">
      <HostHead instance={instance} host={host} />
      {error ? <ErrorBox error={error} /> : null}
      {names.error ? <ErrorBox error={names.error} /> : null}
      {!host && loaded ? (
        <Empty title={t("hostUnknown", { instance })} why={t("hostUnknownWhy")}>
          <Link className="btn" href={to("/")}>{t("toOverview")}</Link> <Link className="btn" href={to("/targets")}>{t("navTargets")}</Link>
        </Empty>
      ) : null}
      {host ? (
        <div className="toolbar">
          <div className="seg" role="group" aria-label={t("range")}>
            {SPANS.map((r) => (
              <button type="button" key={r} aria-pressed={view.spec.from === r && view.spec.to === "now"} onClick={() => view.setRange({ from: r, to: "now" })} data-testid={`span-${r}`}>
                {t(SPAN_WORDS[r])}
              </button>
            ))}
          </div>
          <nav className="jump" aria-label={t("sections")}>
            {sections.shown.map((s) => (
              <Jump key={s.id} id={s.id}>{t(`section_${s.id}`)}</Jump>
            ))}
          </nav>
          <span className="gap" />
          <Link className="textlink" href={exploreLink(`{${sel}}`, view.search, "table")}>{t("allMetrics")}</Link>
        </div>
      ) : null}
      {host && names.isFetched
        ? sections.shown.map((s) => (
            <section key={s.id} id={s.id} className="section" aria-label={t(`section_${s.id}`)}>
              <h2>{t(`section_${s.id}`)}</h2>
              {s.id === "filesystem" ? <DiskTable sel={sel} /> : null}
              <div className="graphs">
                {s.graphs.map((g) => (
                  <HostGraph key={g.id} def={g} scrape={scrape} spans={spans} />
                ))}
              </div>
            </section>
          ))
        : null}
      {host && names.isFetched && !host.hasNode ? (
        <Empty title={t("noNode")} why={t("noNodeWhy", { instance })} code={"scrape_configs:\n  - job_name: node\n    static_configs:\n      - targets: ['" + instance.replace(/:\d+$/, "") + ":9100']"} />
      ) : null}
      {host?.hasNode && sections.missing.length > 0 ? <p className="note">{t("sectionsMissing", { list: sections.missing.map((s) => `${t(`section_${s.id}`)} (${s.collector})`).join(", ") })}</p> : null}
    </div>
  );
}

function HostHead({ instance, host }: { instance: string; host: ReturnType<typeof useHosts>["hosts"][number] | undefined }) {
  const t = useT();
  const to = useLinkTo();
  const say = useReason();
  const now = useStore(clock);
  const sel = instanceSelector(instance);
  const boot = useInstant(`node_boot_time_seconds{${sel}}`);
  const cores = useInstant(`count(count by (cpu) (node_cpu_seconds_total{${sel}}))`);
  const total = useInstant(`node_memory_MemTotal_bytes{${sel}}`);
  const bootAt = sampleValue(vector(boot.data?.data)[0]);
  const nCores = sampleValue(vector(cores.data?.data)[0]);
  const nTotal = sampleValue(vector(total.data?.data)[0]);
  return (
    <header className="hosthead">
      <div className="hosttitle">
        <h1>{host?.nodename || instance}</h1>
        {host?.nodename && host.nodename !== instance ? <span className="mono faint">{instance}</span> : null}
        {host ? <StateMark state={host.state} /> : null}
        <span className="gap" />
        {host ? (
          <Link className="btn" href={`/alerts?silence=${encodeURIComponent(`instance=${JSON.stringify(instance)}`)}`}>
            <Icon name="silence" size={14} /> {t("silenceHost")}
          </Link>
        ) : null}
      </div>
      {host && host.reasons.length > 0 ? (
        <ul className="reasons">
          {host.reasons.map((r, i) => (
            <li key={`${r.key}${i}`}>
              <StateMark state={r.state} /> <span>{say(r)}</span>
            </li>
          ))}
        </ul>
      ) : null}
      {host ? (
        <dl className="facts">
          <div><dt>{t("service")}</dt><dd><Link href={`${to("/")}${to("/").includes("?") ? "&" : "?"}q=${encodeURIComponent(host.service)}`}>{host.service}</Link></dd></div>
          {bootAt === undefined ? null : <div><dt>{t("uptime")}</dt><dd title={new Date(bootAt * 1000).toISOString()}>{humanDuration(now / 1000 - bootAt)}</dd></div>}
          {host.kernel === "" ? null : <div><dt>{t("kernel")}</dt><dd>{host.kernel}</dd></div>}
          {nCores === undefined ? null : <div><dt>{t("cores")}</dt><dd className="num">{nCores}</dd></div>}
          {nTotal === undefined ? null : <div><dt>{t("memory")}</dt><dd><Num value={nTotal} unit="bytes" /></dd></div>}
          <div><dt>{t("lastSample")}</dt><dd>{host.lastSample === undefined ? "–" : <Ago at={host.lastSample * 1000} />}</dd></div>
          <div className="wide"><dt>{t("labels")}</dt><dd><LabelList labels={host.labels} without={["__name__", "nodename", "sysname", "release", "machine", "version", "domainname"]} /></dd></div>
        </dl>
      ) : null}
    </header>
  );
}

interface Disk {
  mount: string;
  device: string;
  type: string;
  size: number;
  avail: number;
  full: number | undefined;
}

/** File systems with the time until they are full, by a line through the last six hours. */
function DiskTable({ sel }: { sel: string }) {
  const t = useT();
  const now = useStore(clock);
  const size = useInstant(`node_filesystem_size_bytes{${sel},${REAL_FS}}`);
  const avail = useInstant(`node_filesystem_avail_bytes{${sel},${REAL_FS}}`);
  const end = Math.floor(now / 300_000) * 300;
  const history = useQuery({
    queryKey: ["disk-history", sel, end],
    queryFn: ({ signal }) => api.queryRange(`node_filesystem_avail_bytes{${sel},${REAL_FS}}`, end - 6 * 3600, end, 300, signal),
    placeholderData: (old) => old,
  });
  const disks = useMemo<Disk[]>(() => {
    const id = (m: Readonly<Record<string, string>>) => `${m.device}|${m.mountpoint}`;
    const free = new Map(vector(avail.data?.data).map((s) => [id(s.metric), sampleValue(s) ?? Number.NaN]));
    const past = new Map((history.data?.data.result ?? []).map((s) => [id(s.metric), (s.values ?? []).map(([at, v]) => ({ t: at, v: parseValue(v) }))]));
    return vector(size.data?.data)
      .map((s) => ({
        mount: s.metric.mountpoint ?? "",
        device: s.metric.device ?? "",
        type: s.metric.fstype ?? "",
        size: sampleValue(s) ?? Number.NaN,
        avail: free.get(id(s.metric)) ?? Number.NaN,
        full: secondsUntilEmpty(past.get(id(s.metric)) ?? []),
      }))
      .sort((a, b) => a.avail / a.size - b.avail / b.size || natural(a.mount, b.mount));
  }, [size.data, avail.data, history.data]);
  if (disks.length === 0) return null;
  return (
    <div className="scrollx">
      <table className="tbl" data-testid="disk-table">
        <thead>
          <tr>
            <th scope="col">{t("mount")}</th>
            <th scope="col">{t("used")}</th>
            <th scope="col" className="r">{t("free")}</th>
            <th scope="col" className="r">{t("size")}</th>
            <th scope="col">{t("fullIn")}</th>
            <th scope="col" className="wide-only">{t("device")}</th>
          </tr>
        </thead>
        <tbody>
          {disks.map((d) => {
            const used = 1 - d.avail / d.size;
            return (
              <tr key={`${d.device}${d.mount}`}>
                <td className="mono">{d.mount}</td>
                <td><Bar value={used} state={used >= 0.95 ? "critical" : used >= 0.9 ? "warning" : undefined} /></td>
                <td className="r"><Num value={d.avail} unit="bytes" /></td>
                <td className="r"><Num value={d.size} unit="bytes" /></td>
                <td>{d.full === undefined ? <span className="faint">{t("notFilling")}</span> : <StateMark state={d.full < 86_400 ? "critical" : d.full < 7 * 86_400 ? "warning" : "ok"} word={humanDuration(d.full)} />}</td>
                <td className="faint wide-only">{d.device} {d.type}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
