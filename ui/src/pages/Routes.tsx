/** The route tree; with labels the way that an alert takes is lit, and what would hold it back is said. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { api } from "../api/client";
import type { RouteHold, RouteNode, TakenRoute } from "../api/types";
import { useT } from "../i18n";
import { parseMatchers } from "../lib/alerts";
import { humanDuration } from "../lib/time";
import { Ago, ErrorBox, Instant, Shape, Waiting } from "../parts/parts";
import { useView } from "../view";

export default function Routes() {
  const t = useT();
  const view = useView();
  const text = new URLSearchParams(view.search).get("labels") ?? "";
  const [typed, setTyped] = useState(text);
  useEffect(() => setTyped(text), [text]);
  const read = useMemo(() => labelsOf(text), [text]);
  const labels = "labels" in read ? read.labels : [];
  const explained = useQuery({ queryKey: ["explain", labels], queryFn: ({ signal }) => api.explain(labels, signal), refetchInterval: view.every, placeholderData: keepPreviousData, retry: 0 });
  const ask = (value: string) => view.set({ labels: value.trim() === "" ? undefined : value.trim() }, true);
  return (
    <div className="page" data-testid="page-routes">
      <h1 className="offscreen">{t("routeTree")}</h1>
      <form className="toolbar explain" onSubmit={(e) => { e.preventDefault(); ask(typed); }}>
        <label htmlFor="explain-labels">{t("explainLabels")}</label>
        <input id="explain-labels" className="input" data-filter data-testid="explain-labels" value={typed} onChange={(e) => setTyped(e.target.value)} placeholder={'alertname="HighLoad", severity="page"'} aria-invalid={"error" in read} spellCheck={false} autoComplete="off" />
        <button type="submit" className="btn primary" data-testid="explain">{t("explain")}</button>
        {text === "" ? null : <button type="button" className="btn" onClick={() => ask("")}>{t("clear")}</button>}
      </form>
      {"error" in read ? <p className="note st-warning" role="alert">{t("badLabels", { text: read.error })}</p> : null}
      {explained.error ? <ErrorBox error={explained.error} title={t("errAlertmanager")} /> : null}
      {explained.data === undefined ? (
        explained.error ? null : <Waiting />
      ) : (
        <>
          {explained.data.taken.map((taken) => <Way key={taken.groupKey} of={taken} />)}
          <section className="section" aria-label={t("routeTree")}>
            <h2>{t("routeTree")}</h2>
            {labels.length === 0 ? <p className="note">{t("explainHint")}</p> : null}
            <ul className="routes" data-testid="route-tree"><Node of={explained.data.tree} /></ul>
          </section>
        </>
      )}
    </div>
  );
}

/** `a="b", c=d`, or a word alone, which is a name. */
function labelsOf(text: string): { labels: (readonly [string, string])[] } | { error: string } {
  const trimmed = text.trim();
  if (trimmed !== "" && /^[^=~!{},"\s]+$/.test(trimmed)) return { labels: [["alertname", trimmed]] };
  const read = parseMatchers(trimmed);
  if ("error" in read) return read;
  const odd = read.matchers.find((m) => m.isRegex || m.isEqual === false);
  return odd ? { error: odd.name } : { labels: read.matchers.map((m) => [m.name, m.value] as const) };
}

function Node({ of: node }: { of: RouteNode }) {
  const t = useT();
  const lit = node.outcome === "taken" || node.outcome === "passed";
  return (
    <li className={`route${lit ? " lit" : ""}${node.outcome === "taken" ? " taken" : ""}${node.outcome !== undefined && !lit ? " dim" : ""}`} data-testid="route" data-outcome={node.outcome} aria-current={lit ? "true" : undefined}>
      <div className="routeline">
        <span className="mono">{node.matchers.length === 0 ? t("everything") : node.matchers.join(", ")}</span>
        <span>→ <b>{node.receiver}</b></span>
        {node.continue ? <span className="mini">{t("goesOn")}</span> : null}
        {node.outcome === undefined ? null : <span className="outcome">{node.outcome === "taken" ? "✓ " : ""}{t(`route_${node.outcome}`)}</span>}
      </div>
      {(node.mismatches ?? []).map((m) => <div key={m.matcher} className="faint small">{m.has === "" ? t("wantsHasNone", { matcher: m.matcher }) : t("wantsHas", { matcher: m.matcher, has: m.has })}</div>)}
      <Settings of={node} />
      {(node.escalate ?? []).map((step) => <div key={step.receiver} className="faint small">{t("escalatesAfter", { receiver: step.receiver, time: humanDuration(step.after) })}</div>)}
      {node.routes.length === 0 ? null : <ul>{node.routes.map((child, i) => <Node key={`${child.key}${i}`} of={child} />)}</ul>}
    </li>
  );
}

function Settings({ of: s }: { of: RouteNode | TakenRoute }) {
  const t = useT();
  const by = s.groupBy.length === 0 ? t("groupAll") : s.groupBy[0] === "..." ? t("groupEach") : t("groupBy", { names: s.groupBy.join(", ") });
  const parts = [by, t("routeTimers", { wait: humanDuration(s.groupWait), interval: humanDuration(s.groupInterval), repeat: humanDuration(s.repeatInterval) })];
  if (s.muteTimeIntervals) parts.push(t("routeMuted", { names: s.muteTimeIntervals.join(", ") }));
  if (s.activeTimeIntervals) parts.push(t("routeActive", { names: s.activeTimeIntervals.join(", ") }));
  if (s.occurrences) parts.push(t("routeOccurrences", { n: s.occurrences.count, within: humanDuration(s.occurrences.within) }));
  if (s.reissueDuration !== undefined) parts.push(`reissue_duration ${humanDuration(s.reissueDuration)}`);
  if (s.successDuration !== undefined) parts.push(`success_duration ${humanDuration(s.successDuration)}`);
  if (s.flap) parts.push(t("routeFlap", { n: s.flap.changes, within: humanDuration(s.flap.within), stable: humanDuration(s.flap.stable) }));
  return <div className="faint small">{parts.join(" · ")}</div>;
}

function Way({ of: taken }: { of: TakenRoute }) {
  const t = useT();
  return (
    <section className="panel" data-testid="taken" aria-label={t("goesTo", { receiver: taken.receiver })}>
      <h2>{t("goesTo", { receiver: taken.receiver })} <span className="faint">{taken.integrations.length === 0 ? t("tellsNobody") : taken.integrations.map((i) => i.replace("[0]", "")).join(", ")}</span></h2>
      {taken.holds.length === 0 ? (
        <p className="state st-ok"><Shape state="ok" /> {t("nothingHolds")}</p>
      ) : (
        taken.holds.map((h, i) => <p key={i} className="state st-warning" data-testid="hold"><Shape state="warning" /> <span><Hold of={h} /></span></p>)
      )}
      <dl className="facts">
        <div className="wide"><dt>{t("groupWord")}</dt><dd className="mono wrap">{taken.groupKey}</dd></div>
        <div className="wide"><dt>{t("timers")}</dt><dd><Settings of={taken} /></dd></div>
        {taken.nextFlushAt === undefined ? null : <div><dt>{t("nextLook")}</dt><dd><Ago at={Date.parse(taken.nextFlushAt)} ahead /> ({t("nAlerts", { n: taken.groupAlerts ?? 0 })})</dd></div>}
        {taken.escalation?.map((step) => (
          <div key={step.receiver}><dt>{t("thenReceiver", { receiver: step.receiver })}</dt><dd>{t("afterTime", { time: humanDuration(step.after) })}{step.told ? `, ${t("ev_sent")}` : ""}{step.at === undefined ? null : <> · <Ago at={Date.parse(step.at)} ahead /></>}</dd></div>
        ))}
        {taken.toldAt === undefined ? null : <div><dt>{t("watchIssued")}</dt><dd><Ago at={Date.parse(taken.toldAt)} /></dd></div>}
        {taken.againAt === undefined ? null : <div><dt>{t("watchAgain")}</dt><dd><Ago at={Date.parse(taken.againAt)} ahead /></dd></div>}
      </dl>
    </section>
  );
}

function Hold({ of: h }: { of: RouteHold }) {
  const t = useT();
  const by = (h.by ?? []).join(", ");
  const until = h.endsAt === undefined ? null : <span className="faint"> {t("ends")} <Instant at={Date.parse(h.endsAt)} /></span>;
  switch (h.kind) {
    case "silence":
      return <>{t("holdSilence", { owner: h.owner ?? "" })} {h.reason}{until}</>;
    case "maintenance":
      return <>{t("holdMaintenance", { name: by, owner: h.owner ?? "" })} {h.reason}{until}</>;
    case "dependency":
      return by === "" ? <>{t("holdParentAwaited")}{until}</> : <>{t("holdDependency")} <span className="mono">{by}</span></>;
    case "flapping":
      return <>{t("holdFlapping", { n: h.seen ?? 0 })}{until}</>;
    case "success":
      return <>{t("holdSuccess")}{until}</>;
    case "hostAway":
      return <>{t("holdHostAway", { host: by })}</>;
    case "snoozed":
      return <>{t("holdSnoozed", { owner: h.owner ?? "" })} {h.reason}{until}</>;
    case "acknowledged":
      return <>{t("holdAcknowledged", { owner: h.owner ?? "" })} {h.reason}{until}</>;
    case "ignore":
      return <>{t("holdIgnore", { owner: h.owner ?? "" })} {h.reason}{until}</>;
    case "inhibition":
      return <>{t("holdInhibition")} <span className="mono">{by}</span></>;
    case "mute":
      return <>{t("holdMute", { names: by })}</>;
    case "active":
      return <>{t("holdActive", { names: by })}</>;
    case "occurrences":
      return <>{t("holdOccurrences", { n: h.seen ?? 0 })}</>;
    case "noIntegrations":
      return <>{t("holdNobody")}</>;
    default:
      return <>{h.kind} {by}</>;
  }
}
