/** All that is known of one alert: labels, annotations, how its value went, who keeps it quiet, its history. */
import { Link } from "wouter";
import type { AmSilence } from "../api/types";
import { useT } from "../i18n";
import type { AlertRow } from "../lib/alerts";
import { formatInstant } from "../lib/time";
import { exploreLink } from "../lib/urlstate";
import { showText } from "../lib/units";
import { Icon } from "../parts/icons";
import { Instant, LabelList } from "../parts/parts";
import { settings, useStore } from "../state";
import { useLinkTo, useView } from "../view";
import { AlertHistory } from "./History";
import { Course } from "./OnCall";

/** What keeps an alert quiet, where that is no silence of somebody's. */
export function quietWord(r: AlertRow, silences: readonly AmSilence[], t: ReturnType<typeof useT>): string | undefined {
  if (maintenanceOf(r, silences) !== undefined) return t("inMaintenance");
  if (r.silencedBy.length > 0) return undefined;
  if (r.inhibitedBy.length > 0) return t("inhibited");
  return r.own?.ignoredBy === undefined ? undefined : t("watch_ignored");
}

/** The name of the maintenance window that hides an alert. */
export function maintenanceOf(r: AlertRow, silences: readonly AmSilence[]): string | undefined {
  if (r.silencedBy.length === 0) return undefined;
  return silences.find((s) => r.silencedBy.includes(s.id) && s.annotations?.hinomi_maintenance !== undefined)?.annotations?.hinomi_maintenance;
}

function exprOf(url: string): string | undefined {
  try {
    return new URL(url, location.origin).searchParams.get("g0.expr") ?? undefined;
  } catch {
    return undefined;
  }
}

export function AlertDetails({ row: r, filter, silences }: { row: AlertRow; filter: (k: string, v: string) => void; silences: readonly AmSilence[] }) {
  const t = useT();
  const { search } = useView();
  const to = useLinkTo();
  const { zone } = useStore(settings);
  const expr = exprOf(r.generatorURL);
  const runbook = r.annotations.runbook_url ?? r.annotations.runbook;
  return (
    <>
      <dl className="facts">
        <div className="wide"><dt>{t("labels")}</dt><dd><LabelList labels={r.labels} onPick={filter} /></dd></div>
        {Object.entries(r.annotations).map(([k, v]) => (
          <div className="wide" key={k}><dt>{k}</dt><dd>{v}</dd></div>
        ))}
        <div><dt>{t("since")}</dt><dd><Instant at={r.since} /></dd></div>
        <Course row={r} expr={expr} />
        {r.own?.acknowledged === undefined ? null : <div className="wide"><dt>{t("acknowledged")}</dt><dd>{r.own.acknowledged.by}{r.own.acknowledged.comment === undefined ? "" : `: ${r.own.acknowledged.comment}`} · <Instant at={Date.parse(r.own.acknowledged.at)} /></dd></div>}
        {r.own?.ignoredBy === undefined ? null : <div className="wide"><dt>{t("watch_ignored")}</dt><dd>{r.own.ignoredBy.owner}{r.own.ignoredBy.reason === "" ? "" : `: ${r.own.ignoredBy.reason}`} <span className="faint">{t("until", { time: formatInstant(Date.parse(r.own.ignoredBy.endsAt), zone) })}</span></dd></div>}
        {r.value === undefined ? null : <div><dt>{t("value")}</dt><dd>{showText(r.value, "short")}</dd></div>}
        {r.peak === undefined ? null : <div><dt>{t("peak")}</dt><dd>{showText(r.peak, "short")}</dd></div>}
        {r.receivers.length > 0 ? <div><dt>{t("receivers")}</dt><dd>{r.receivers.join(", ")}</dd></div> : null}
        {r.silencedBy.map((id) => {
          const s = silences.find((x) => x.id === id);
          const window = s?.annotations?.hinomi_maintenance;
          if (s !== undefined && window !== undefined) return <div className="wide" key={id}><dt>{t("inMaintenance")}</dt><dd><Link className="textlink" href={to("/maintenance")}>{window}</Link> <span className="faint">{s.createdBy}, {t("until", { time: formatInstant(Date.parse(s.endsAt), zone) })}</span></dd></div>;
          return <div className="wide" key={id}><dt>{t("silencedBy")}</dt><dd>{s ? `${s.createdBy}: ${s.comment}` : id}</dd></div>;
        })}
        <div className="wide links">
          <dd>
            {expr === undefined ? null : <Link className="textlink" href={exploreLink(expr, search)}>{t("openInExplore")}</Link>}
            {runbook === undefined ? null : <a className="textlink" href={runbook} rel="noreferrer noopener" target="_blank">{t("runbook")} <Icon name="out" size={12} /></a>}
          </dd>
        </div>
      </dl>
      {r.state === "pending" ? null : <AlertHistory labels={r.labels} />}
    </>
  );
}
