/** Alerts: what is wrong now, in groups where it is much, and what keeps some of it quiet. */
import { useDeferredValue, useEffect, useMemo } from "react";
import { useQuery } from "@tanstack/react-query";
import { Link, Redirect } from "wouter";
import { ALONE, api } from "../api/client";
import type { RuleGroup } from "../api/types";
import { useAlertRows, useRules, useSilences } from "../api/hooks";
import { useT } from "../i18n";
import { AS_TOLD, MANY, type ToldGroup, filterAlerts, groupAlerts, groupLabels, rowsOf } from "../lib/alertlist";
import type { AlertRow } from "../lib/alerts";
import { SEVERITY } from "../lib/state";
import { flipped, listFrom, listInto } from "../lib/urlstate";
import { Icon } from "../parts/icons";
import { Ago, Empty, ErrorBox, FilterBox, Shape, Waiting, useStateWord } from "../parts/parts";
import { useLinkTo, useView } from "../view";
import { AlertList } from "./AlertList";
import { AlertsByRule } from "./AlertsByRule";
import { BLANK, SilenceForm } from "./SilenceForm";
import { Watched } from "./Watched";

const NO_GROUPS: readonly ToldGroup[] = [];

export default function Alerts() {
  const t = useT();
  const view = useView();
  const to = useLinkTo();
  const { rows, rules, am, loaded } = useAlertRows();
  const silences = useSilences();
  const ruleGroups = useRules();
  const params = new URLSearchParams(view.search);
  const filter = params.get("q") ?? "";
  const only = params.get("state");
  const silenceText = params.get("silence");
  const byRule = params.get("by") === "rule";
  // Much at once is shown in groups, unless somebody chose; the word for "no groups" in the address is "none".
  const by = params.get("group") ?? (rows.length >= MANY ? "alertname" : "none");
  const foldText = params.get("fold") ?? "";
  // The list follows a moment later than the field, so that typing never waits for it.
  const wanted = useDeferredValue(filter);
  const shown = useMemo(() => filterAlerts(rows, wanted, only), [rows, wanted, only]);
  const told = useQuery({ queryKey: ["am-groups"], queryFn: ({ signal }) => api.amGroups(signal), refetchInterval: view.every, retry: 0, enabled: by === AS_TOLD });
  const list = useMemo(
    () => (by === "none" ? shown.map((row) => ({ kind: "alert" as const, key: row.key, row })) : rowsOf(groupAlerts(shown, by, told.data ?? NO_GROUPS, new Set(listFrom(`fold=${encodeURIComponent(foldText)}`, "fold"))))),
    [shown, by, told.data, foldText],
  );
  useEffect(() => {
    const id = location.hash.slice(1);
    if (id !== "" && loaded) document.getElementById(id)?.scrollIntoView();
  }, [loaded]);
  if (location.hash === "#rules") return <Redirect to={to("/rules")} replace />;
  if (location.hash === "#silences") return <Redirect to={to("/silences")} replace />;
  return (
    <div className="page" data-testid="page-alerts">
      <h1 className="offscreen">{t("navAlerts")}</h1>
      <div className="toolbar">
        {ALONE ? null : <span className="seg" role="group" aria-label={t("layout")}>
          <button type="button" aria-pressed={!byRule} onClick={() => view.set({ by: undefined, state: undefined }, true)}>{t("asList")}</button>
          <button type="button" aria-pressed={byRule} onClick={() => view.set({ by: "rule", state: undefined }, true)} data-testid="by-rule">{t("byRule")}</button>
        </span>}
        {byRule ? null : <Counts rows={rows} only={only} pick={(state) => view.set({ state }, true)} />}
        <FilterBox value={filter} onChange={(q) => view.set({ q }, true)} placeholder={t("filterAlerts")} testid="filter-alerts" />
        {byRule || rows.length === 0 ? null : <GroupBy by={by} rows={rows} choose={(group) => view.set({ group, fold: undefined }, true)} />}
        <span className="gap" />
        <button type="button" className="btn" onClick={() => view.set({ silence: /[=~]/.test(filter) ? filter : BLANK })} data-testid="new-silence">
          <Icon name="silence" size={14} /> {t("newSilence")}
        </button>
      </div>
      {rules.error ? <ErrorBox error={rules.error} title={t("errRules")} /> : null}
      {am.error ? <ErrorBox error={am.error} title={t("errAlertmanager")} /> : null}
      {am.error && am.data !== undefined ? <p className="note" role="status">{t("shownAsOf")} <Ago at={am.dataUpdatedAt} /></p> : null}
      {byRule ? <AlertsByRule groups={ruleGroups.data?.data.groups} filter={filter} only={only} error={ruleGroups.error} /> : null}
      <section aria-label={t("wrongNow")} id="now" hidden={byRule}>
        {!loaded ? (
          <Waiting />
        ) : shown.length > 0 ? (
          <AlertList rows={list} alerts={shown} silences={silences.data ?? []} isPart={shown.length < rows.length} fold={(key) => view.set({ fold: listInto(flipped(listFrom(view.search, "fold"), key)) }, true)} silence={(text) => view.set({ silence: text })} filter={(k, v) => view.set({ q: `${filter === "" ? "" : `${filter} `}${k}=${v}` }, true)} />
        ) : rows.length > 0 ? (
          <Empty title={t("noMatch")} why={t("noMatchAlerts", { n: rows.length })}>
            <button type="button" className="btn" onClick={() => view.set({ q: undefined, state: undefined }, true)}>{t("clearFilter")}</button>
          </Empty>
        ) : rules.error || am.error ? null : (
          <Quiet groups={ruleGroups.data?.data.groups ?? []} />
        )}
      </section>
      <Watched />
      {silenceText !== null ? <SilenceForm initial={silenceText} onClose={() => view.set({ silence: undefined }, true)} /> : null}
    </div>
  );
}

function GroupBy({ by, rows, choose }: { by: string; rows: readonly AlertRow[]; choose: (by: string) => void }) {
  const t = useT();
  const labels = useMemo(() => groupLabels(rows), [rows]);
  const more = by === "none" || by === AS_TOLD || labels.includes(by) ? [] : [by];
  return (
    <label className="inline">
      <span className="faint">{t("groupsBy")}</span>
      <select className="select" value={by} onChange={(e) => choose(e.target.value)} data-testid="group-by">
        <option value="none">{t("groupNone")}</option>
        <option value={AS_TOLD}>{t("groupTold")}</option>
        {[...labels, ...more].map((name) => <option key={name} value={name}>{name}</option>)}
      </select>
    </label>
  );
}

function Counts({ rows, only, pick }: { rows: readonly AlertRow[]; only: string | null; pick: (s: string | undefined) => void }) {
  const word = useStateWord();
  const t = useT();
  if (rows.length === 0) return null;
  return (
    <div className="counts" role="group" aria-label={t("alertsByState")}>
      {SEVERITY.map((state) => {
        const n = rows.filter((r) => r.state === state).length;
        return n === 0 && only !== state ? null : (
          <button type="button" key={state} className={`countbtn st-${state}`} aria-pressed={only === state} onClick={() => pick(only === state ? undefined : state)}>
            <Shape state={state} /> <b>{n}</b> {word(state)}
          </button>
        );
      })}
    </div>
  );
}

/** Why nothing is there: nothing is wrong, or nothing watches. */
function Quiet({ groups }: { groups: readonly RuleGroup[] }) {
  const t = useT();
  const to = useLinkTo();
  const nRules = groups.reduce((n, g) => n + g.rules.length, 0);
  if (ALONE) return <Empty title={t("allQuiet")} why={t("allQuietAlone")} />;
  if (nRules === 0) return <Empty title={t("noRules")} why={t("noRulesWhy")} code={"rule_files:\n  - rules.yml"} />;
  const last = Math.max(0, ...groups.map((g) => Date.parse(g.lastEvaluation ?? "")).filter(Number.isFinite));
  return (
    <Empty title={t("allQuiet")} why={t("allQuietWhy", { n: nRules })}>
      {last > 0 ? <p className="faint">{t("lastEvaluation")}: <Ago at={last} /></p> : null}
      <p><Link className="textlink" href={to("/rules")}>{t("rules")}</Link></p>
    </Empty>
  );
}
