/** Prometheus' view of the same: every alerting rule, and the alerts that are active of it. */
import { useDeferredValue, useMemo } from "react";
import type { RuleGroup } from "../api/types";
import { useT } from "../i18n";
import { countRules, ruleRows, worstFirst } from "../lib/rules";
import { listFrom } from "../lib/urlstate";
import { Empty, ErrorBox, Shape, Waiting } from "../parts/parts";
import { useView } from "../view";
import { RULE_STATES, RuleList } from "./RuleList";

export function AlertsByRule({ groups, filter, only, error }: { groups: readonly RuleGroup[] | undefined; filter: string; only: string | null; error: unknown }) {
  const t = useT();
  const view = useView();
  const foldedText = new URLSearchParams(view.search).get("fold") ?? "";
  const wanted = useDeferredValue(filter);
  const rows = useMemo(
    () => ruleRows(worstFirst(groups ?? []), { filter: wanted, type: "alerting", state: only, folded: new Set(listFrom(`fold=${encodeURIComponent(foldedText)}`, "fold")) }),
    [groups, wanted, only, foldedText],
  );
  const counts = useMemo(() => countRules(groups ?? [], (r) => (r.type === "alerting" ? r.state : undefined)), [groups]);
  const total = Object.values(counts).reduce((a, b) => a + b, 0);
  return (
    <section aria-label={t("byRule")} data-testid="alerts-by-rule">
      {error ? <ErrorBox error={error} title={t("errRules")} /> : null}
      <div className="toolbar">
        <div className="counts" role="group" aria-label={t("alertsByState")}>
          {RULE_STATES.map(([state, shape, word]) => (
            <button type="button" key={state} className={`countbtn st-${shape}`} aria-pressed={only === state} onClick={() => view.set({ state: only === state ? undefined : state }, true)} data-testid={`state-${state}`}>
              <Shape state={shape} /> <b>{counts[state] ?? 0}</b> {t(word)}
            </button>
          ))}
        </div>
      </div>
      {groups === undefined ? (
        error ? null : <Waiting />
      ) : total === 0 ? (
        <Empty title={t("noRules")} why={t("noRulesWhy")} code={"rule_files:\n  - rules.yml"} />
      ) : rows.length === 0 ? (
        <Empty title={t("noMatch")} why={t("noMatchRules", { n: total })}>
          <button type="button" className="btn" onClick={() => view.set({ q: undefined, state: undefined }, true)}>{t("clearFilter")}</button>
        </Empty>
      ) : (
        <RuleList rows={rows} />
      )}
    </section>
  );
}
