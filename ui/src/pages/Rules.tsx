/** Rules: what is computed and watched, how it went, and what is wrong with it. */
import { useDeferredValue, useMemo } from "react";
import { useRules } from "../api/hooks";
import { useT } from "../i18n";
import { countRules, ruleRows, worstFirst } from "../lib/rules";
import { listFrom } from "../lib/urlstate";
import { Empty, ErrorBox, FilterBox, Shape, Waiting } from "../parts/parts";
import { useView } from "../view";
import { RULE_HEALTH, RULE_STATES, RuleList } from "./RuleList";

export default function Rules() {
  const t = useT();
  const view = useView();
  const { data, error, isFetched } = useRules();
  const params = new URLSearchParams(view.search);
  const [filter, health, state, type, file] = [params.get("q") ?? "", params.get("health"), params.get("state"), params.get("type"), params.get("file")];
  const groups = useMemo(() => worstFirst(data?.data.groups ?? []), [data]);
  const foldedText = params.get("fold") ?? "";
  const wanted = useDeferredValue(filter);
  const rows = useMemo(
    () => ruleRows(groups, { filter: wanted, health, state, type, file, folded: new Set(listFrom(`fold=${encodeURIComponent(foldedText)}`, "fold")) }),
    [groups, wanted, health, state, type, file, foldedText],
  );
  const byHealth = useMemo(() => countRules(groups, (r) => r.health), [groups]);
  const byState = useMemo(() => countRules(groups, (r) => (r.type === "alerting" ? r.state : undefined)), [groups]);
  const total = groups.reduce((n, g) => n + g.rules.length, 0);
  const files = [...new Set(groups.map((g) => g.file))];
  const pick = (name: string, value: string) => view.set({ [name]: params.get(name) === value ? undefined : value }, true);
  return (
    <div className="page" data-testid="page-rules">
      <h1 className="offscreen">{t("rules")}</h1>
      <div className="toolbar">
        <div className="counts" role="group" aria-label={t("rulesByHealth")}>
          <button type="button" className="countbtn" aria-pressed={health === null && state === null && type === null} onClick={() => view.set({ health: undefined, state: undefined, type: undefined }, true)}><b>{total}</b> {t("rules")}</button>
          {(["err", "unknown", "ok"] as const).map((h) => {
            const [shape, word] = RULE_HEALTH[h];
            const n = byHealth[h] ?? 0;
            return n === 0 && health !== h ? null : <button type="button" key={h} className={`countbtn st-${shape}`} aria-pressed={health === h} onClick={() => pick("health", h)} data-testid={`health-${h}`}><Shape state={shape} /> <b>{n}</b> {t(word)}</button>;
          })}
        </div>
        <div className="counts" role="group" aria-label={t("alertsByState")}>
          {RULE_STATES.map(([s, shape, word]) => {
            const n = byState[s] ?? 0;
            return n === 0 && state !== s ? null : <button type="button" key={s} className={`countbtn st-${shape}`} aria-pressed={state === s} onClick={() => pick("state", s)} data-testid={`state-${s}`}><Shape state={shape} /> <b>{n}</b> {t(word)}</button>;
          })}
        </div>
        <span className="seg" role="group" aria-label={t("kind")}>
          {(["alerting", "recording"] as const).map((k) => <button type="button" key={k} aria-pressed={type === k} onClick={() => pick("type", k)}>{t(k)}</button>)}
        </span>
        {files.length > 1 || file !== null ? (
          <select className="select" value={file ?? ""} onChange={(e) => view.set({ file: e.target.value }, true)} aria-label={t("file")}>
            <option value="">{t("allFiles")}</option>
            {files.map((f) => <option key={f} value={f}>{f}</option>)}
          </select>
        ) : null}
        <FilterBox value={filter} onChange={(q) => view.set({ q }, true)} placeholder={t("filterRules")} testid="filter-rules" />
      </div>
      {error ? <ErrorBox error={error} title={t("errRules")} /> : null}
      {!isFetched ? (
        <Waiting />
      ) : total === 0 ? (
        error ? null : <Empty title={t("noRules")} why={t("noRulesWhy")} code={"rule_files:\n  - rules.yml"} />
      ) : rows.length === 0 ? (
        <Empty title={t("noMatch")} why={t("noMatchRules", { n: total })}>
          <button type="button" className="btn" onClick={() => view.set({ q: undefined, health: undefined, state: undefined, type: undefined, file: undefined }, true)}>{t("clearFilter")}</button>
        </Empty>
      ) : (
        <RuleList rows={rows} />
      )}
    </div>
  );
}
