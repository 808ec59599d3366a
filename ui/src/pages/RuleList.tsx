/** Groups and their rules as rows, for the page of rules and for alerts by rule. Opened, a rule says all it knows. */
import { memo } from "react";
import { Link } from "wouter";
import type { ApiAlert, ApiRule, RuleGroup } from "../api/types";
import { type Key, useT } from "../i18n";
import { matcherText, matchersOf } from "../lib/alerts";
import { type GroupHead, type RuleItem, nextRun } from "../lib/rules";
import type { State } from "../lib/state";
import { stateOfSeverity } from "../lib/state";
import { humanDuration } from "../lib/time";
import { showText } from "../lib/units";
import { exploreLink, flipped, listFrom, listInto } from "../lib/urlstate";
import { Icon } from "../parts/icons";
import { Ago, CopyButton, Instant, LabelList, Shape, StateMark } from "../parts/parts";
import { VirtualRows } from "../parts/VirtualRows";
import { settings, useStore } from "../state";
import { useView } from "../view";
import { TryRule } from "./TryRule";

export const RULE_HEALTH: Readonly<Record<ApiRule["health"], readonly [State, "healthOk" | "healthErr" | "healthUnknown"]>> = {
  ok: ["ok", "healthOk"],
  err: ["critical", "healthErr"],
  unknown: ["unknown", "healthUnknown"],
};

/** States of alerting rules, worst first, each with its shape and word. */
export const RULE_STATES: readonly (readonly ["firing" | "pending" | "inactive", State, Key])[] = [["firing", "warning", "ruleFiring"], ["pending", "pending", "rulePending"], ["inactive", "ok", "ruleInactive"]];

/** Active alerts drawn of one rule; the page of alerts has all. */
const ALERTS_SHOWN = 100;

/** What the state of an alerting rule looks like. */
export function alertingState(rule: ApiRule): readonly [State, "ruleFiring" | "rulePending" | "ruleInactive"] {
  if (rule.state === "firing") return [stateOfSeverity(rule.labels?.severity), "ruleFiring"];
  return rule.state === "pending" ? ["pending", "rulePending"] : ["ok", "ruleInactive"];
}

export function RuleList({ rows }: { rows: readonly (GroupHead | RuleItem)[] }) {
  const t = useT();
  const view = useView();
  const { dense } = useStore(settings);
  const folded = listFrom(view.search, "fold");
  const open = listFrom(view.search, "open");
  const fold = (key: string) => view.set({ fold: listInto(flipped(folded, key)) }, true);
  const unfold = (key: string) => view.set({ open: listInto(flipped(open, key)) }, true);
  return (
    <div className="ptable" role="table" aria-label={t("rules")} aria-rowcount={rows.length}>
      <div className="vhead rulegrid" role="row">
        <span role="columnheader">{t("health")}</span>
        <span role="columnheader">{t("rule")}</span>
        <span role="columnheader" className="c-query">{t("query")}</span>
        <span role="columnheader">{t("state")}</span>
        <span role="columnheader" className="r c-last">{t("lastEvaluation")}</span>
        <span role="columnheader" className="r c-took">{t("took")}</span>
      </div>
      <VirtualRows count={rows.length} keyOf={(i) => rows[i]?.key ?? String(i)} estimate={dense ? 33 : 41} at={open.length > 0 ? rows.findIndex((r) => r.key === open[0]) : undefined}>
        {(i) => {
          const row = rows[i];
          if (!row) return null;
          return row.kind === "group" ? <GroupRow head={row} fold={fold} /> : <RuleRow item={row} open={open.includes(row.key)} unfold={unfold} search={view.search} />;
        }}
      </VirtualRows>
    </div>
  );
}

function GroupRow({ head, fold }: { head: GroupHead; fold: (key: string) => void }) {
  const t = useT();
  const g = head.group;
  const bad = g.rules.filter((r) => r.health === "err").length;
  const next = nextRun(g);
  const slow = (g.evaluationTime ?? 0) > g.interval;
  return (
    <div className="grouprow" role="row" data-testid="group-row">
      <span role="rowheader">
        <button type="button" className="groupbtn" data-row aria-expanded={!head.folded} onClick={() => fold(head.key)}>
          <Icon name={head.folded ? "right" : "chevron"} size={14} />
          <span className="groupname cutoff">{g.name}</span>
          {bad > 0 ? <span className="mini st-critical"><Shape state="critical" size={10} /> {t("rulesFail", { n: bad })}</span> : <span className="mini st-ok"><Shape state="ok" size={10} /> {t("nRules", { n: g.rules.length })}</span>}
          <span className="faint cutoff phone-hide">{g.file}</span>
          <span className="gap" />
          <span className="groupfacts faint">
            <span className="phone-hide">{t("everyInterval", { interval: humanDuration(g.interval) })}{g.limit ? ` · ${t("limitOf", { n: g.limit })}` : ""}</span>
            <span className="phone-hide">{t("lastEvaluation")} <Ago at={Date.parse(g.lastEvaluation ?? "")} /></span>
            <span className={slow ? "st-warning slow" : ""} title={slow ? t("slowGroup") : undefined}>{slow ? <Shape state="warning" size={10} /> : null} {t("took")} {humanDuration(g.evaluationTime ?? 0)}</span>
            {next === undefined ? null : <span>{t("nextRun")} <Ago at={next} ahead /></span>}
          </span>
        </button>
      </span>
    </div>
  );
}

const RuleRow = memo(function RuleRow({ item, open, unfold, search }: { item: RuleItem; open: boolean; unfold: (key: string) => void; search: string }) {
  const t = useT();
  const r = item.rule;
  const [health, word] = RULE_HEALTH[r.health];
  return (
    <>
      <div className="rulegrid targetrow" role="row" data-testid="rule-row" data-health={r.health} data-state={r.state}>
        <span role="cell"><StateMark state={health} word={t(word)} /></span>
        <span role="cell" className="cutoff">
          <button type="button" className="linkbtn cutoff" data-row aria-expanded={open} onClick={() => unfold(item.key)}><b>{r.name}</b></button>
          {r.lastError && !open ? <span className="phone-only cutoff st-critical">{r.lastError}</span> : null}
        </span>
        <span role="cell" className={`c-query cutoff mono${r.lastError ? " st-critical" : ""}`} title={r.lastError ?? r.query}>{r.lastError ? r.lastError : r.query}</span>
        <span role="cell"><RuleState rule={r} /></span>
        <span role="cell" className="r c-last"><Ago at={Date.parse(r.lastEvaluation ?? "")} /></span>
        <span role="cell" className="r c-took">{humanDuration(r.evaluationTime ?? 0)}</span>
      </div>
      {open ? <RuleDetails rule={r} group={item.group} search={search} /> : null}
    </>
  );
});

function RuleState({ rule }: { rule: ApiRule }) {
  const t = useT();
  if (rule.type === "recording") return <span className="faint">{t("recording")}</span>;
  const [state, word] = alertingState(rule);
  const n = rule.alerts?.length ?? 0;
  return <span className={`state st-${state}`}><Shape state={state} /><span>{t(word)}{n > 0 ? ` ${n}` : ""}</span></span>;
}

function RuleDetails({ rule: r, group, search }: { rule: ApiRule; group: RuleGroup; search: string }) {
  const t = useT();
  const next = nextRun(group);
  const shown = r.type === "recording" ? r.name : r.query;
  return (
    <div className="targetdetails" data-testid="rule-details">
      {r.lastError ? <pre className="error-text st-critical" data-testid="rule-error">{r.lastError}</pre> : null}
      <div className="code"><pre>{r.query}</pre><CopyButton text={r.query} label={t("copyPromql")} /></div>
      <p className="ways">
        <Link className="textlink" href={exploreLink(r.query, search)}>{t("openInExplore")}</Link>
        {r.type === "recording" ? <Link className="textlink" href={exploreLink(shown, search)}>{t("openRecorded")}</Link> : <Link className="textlink" href={exploreLink(`ALERTS{alertname=${JSON.stringify(r.name)}}`, search)}>{t("openAlerts")}</Link>}
      </p>
      <dl className="facts">
        <div><dt>{t("lastEvaluation")}</dt><dd>{Date.parse(r.lastEvaluation ?? "") > 0 ? <Instant at={Date.parse(r.lastEvaluation ?? "")} /> : "–"}</dd></div>
        <div><dt>{t("took")}</dt><dd>{humanDuration(r.evaluationTime ?? 0)}</dd></div>
        {next === undefined ? null : <div><dt>{t("nextRun")}</dt><dd><Ago at={next} ahead /></dd></div>}
        {r.duration ? <div><dt>{t("for")}</dt><dd>{humanDuration(r.duration)}</dd></div> : null}
        {r.keepFiringFor ? <div><dt>{t("keepFiringFor")}</dt><dd>{humanDuration(r.keepFiringFor)}</dd></div> : null}
        {r.noData ? <div><dt>{t("noDataWord")}</dt><dd>{t(r.noData === "keep" ? "noDataKeep" : "noDataAlert", { time: humanDuration(r.noDataFor ?? 0) })}</dd></div> : null}
        {Object.keys(r.labels ?? {}).length > 0 ? <div className="wide"><dt>{t("labels")}</dt><dd><LabelList labels={r.labels ?? {}} /></dd></div> : null}
        {Object.entries(r.annotations ?? {}).map(([k, v]) => <div className="wide" key={k}><dt>{k}</dt><dd className="wrap">{v}</dd></div>)}
      </dl>
      {r.type === "alerting" ? <TryRule rule={r} interval={group.interval} /> : null}
      {r.alerts && r.alerts.length > 0 ? <ActiveAlerts alerts={r.alerts} severity={r.labels?.severity} /> : null}
    </div>
  );
}

function ActiveAlerts({ alerts, severity }: { alerts: readonly ApiAlert[]; severity: string | undefined }) {
  const t = useT();
  const silence = (a: ApiAlert) => `/alerts?silence=${encodeURIComponent(matchersOf(a.labels).map(matcherText).join(", "))}`;
  return (
    <>
      <h3>{t("activeAlerts")}</h3>
      <table className="tbl activealerts" data-testid="active-alerts">
        <thead>
          <tr><th scope="col" className="c-state">{t("state")}</th><th scope="col">{t("labels")}</th><th scope="col" className="r phone-hide">{t("value")}</th><th scope="col" className="r">{t("since")}</th><th scope="col" className="actions"><span className="offscreen">{t("actions")}</span></th></tr>
        </thead>
        <tbody>
          {alerts.slice(0, ALERTS_SHOWN).map((a, i) => (
            <tr key={i}>
              <td><StateMark state={a.state === "firing" ? stateOfSeverity(a.labels.severity ?? severity) : "pending"} word={t(a.state === "firing" ? "ruleFiring" : "rulePending")} /></td>
              <td className="wrap"><LabelList labels={a.labels} without={["alertname"]} />{a.keepFiringSince ? <span className="faint"> {t("keepFiringSince")} <Ago at={Date.parse(a.keepFiringSince)} /></span> : null}{a.noDataSince ? <span className="faint"> {t("noDataSince")} <Ago at={Date.parse(a.noDataSince)} /></span> : null}</td>
              <td className="r phone-hide">{showText(Number(a.value), "short")}</td>
              <td className="r"><Ago at={Date.parse(a.activeAt)} /></td>
              <td className="actions">{a.state === "firing" ? <Link className="btn small" href={silence(a)}>{t("silence")}</Link> : null}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {alerts.length > ALERTS_SHOWN ? <Link className="textlink" href={`/alerts?q=${encodeURIComponent(alerts[0]?.labels.alertname ?? "")}`}>{t("showAll", { n: alerts.length })}</Link> : null}
    </>
  );
}
