/** Alerts: what is wrong now, what is silenced, and which rules watch. */
import { type MouseEvent, useDeferredValue, useEffect, useMemo, useState } from "react";
import { useQueryClient } from "@tanstack/react-query";
import { Redirect, useLocation } from "wouter";
import { ALONE, api } from "../api/client";
import type { AmSilence, RuleGroup } from "../api/types";
import { useAlertRows, useRules, useSilences } from "../api/hooks";
import { Link } from "wouter";
import { useT } from "../i18n";
import { type AlertRow, matcherText, matchersOf } from "../lib/alerts";
import { matchesFilter } from "../lib/labels";
import { countRules, ruleRows, worstFirst } from "../lib/rules";
import { SEVERITY } from "../lib/state";
import { formatInstant } from "../lib/time";
import { exploreLink, listFrom } from "../lib/urlstate";
import { showText } from "../lib/units";
import { Icon } from "../parts/icons";
import { Ago, Empty, ErrorBox, FilterBox, Instant, LabelList, Shape, StateMark, Waiting, useStateWord } from "../parts/parts";
import { settings, toast, useStore } from "../state";
import { useLinkTo, useView } from "../view";
import { hostPath } from "./Overview";
import { RULE_STATES, RuleList } from "./RuleList";
import { SilenceForm } from "./SilenceForm";
import { AlertHistory } from "./History";
import { Course, type Deed, OnCallForm, OnCallMarks, useGiveBack } from "./OnCall";
import { IgnoreRules, Watched } from "./Watched";

/** Rows drawn at once; more on request. A storm must not stop the page. */
const SHOWN = 200;

export default function Alerts() {
  const t = useT();
  const view = useView();
  const [, navigate] = useLocation();
  const to = useLinkTo();
  const { rows, rules, am, loaded } = useAlertRows();
  const silences = useSilences();
  const ruleGroups = useRules();
  const params = new URLSearchParams(view.search);
  const filter = params.get("q") ?? "";
  const only = params.get("state");
  const silenceText = params.get("silence");
  const byRule = params.get("by") === "rule";
  const shown = useMemo(
    () => rows.filter((r) => (only === null || r.state === only) && matchesFilter(filter, `${r.name} ${r.state} ${r.severity} ${r.summary} ${Object.entries(r.labels).map(([k, v]) => `${k}=${v} ${k}="${v}"`).join(" ")}`)),
    [rows, filter, only],
  );
  const openSilence = (text: string) => view.set({ silence: text });
  useEffect(() => {
    const id = location.hash.slice(1);
    if (id !== "" && loaded) document.getElementById(id)?.scrollIntoView();
  }, [loaded]);
  const nRules = ruleGroups.data?.data.groups.reduce((n, g) => n + g.rules.length, 0) ?? 0;
  if (location.hash === "#rules") return <Redirect to={to("/rules")} replace />;
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
        <span className="gap" />
        <button type="button" className="btn" onClick={() => openSilence(filter !== "" && /[=~]/.test(filter) ? filter : "alertname=\"\"")} data-testid="new-silence">
          <Icon name="silence" size={14} /> {t("newSilence")}
        </button>
      </div>
      {rules.error ? <ErrorBox error={rules.error} title={t("errRules")} /> : null}
      {am.error ? <ErrorBox error={am.error} title={t("errAlertmanager")} /> : null}
      {byRule ? <ByRule groups={ruleGroups.data?.data.groups} filter={filter} only={only} error={ruleGroups.error} /> : null}
      <section aria-label={t("wrongNow")} id="now" hidden={byRule}>
        {!loaded ? (
          <Waiting />
        ) : shown.length === 0 ? (
          rows.length > 0 ? (
            <Empty title={t("noMatch")} why={t("noMatchAlerts", { n: rows.length })}>
              <button type="button" className="btn" onClick={() => view.set({ q: undefined, state: undefined }, true)}>{t("clearFilter")}</button>
            </Empty>
          ) : rules.error || am.error ? null : ALONE ? (
            <Empty title={t("allQuiet")} why={t("allQuietAlone")} />
          ) : nRules === 0 ? (
            <Empty title={t("noRules")} why={t("noRulesWhy")} code={"rule_files:\n  - rules.yml"} />
          ) : (
            <Empty title={t("allQuiet")} why={t("allQuietWhy", { n: nRules })}>
              <LastEvaluation groups={ruleGroups.data?.data.groups ?? []} />
              <p><Link className="textlink" href={to("/rules")}>{t("rules")}</Link></p>
            </Empty>
          )
        ) : (
          <AlertTable rows={shown} silence={(r) => openSilence(matchersOf(r.labels).map(matcherText).join(", "))} filter={(k, v) => view.set({ q: `${filter === "" ? "" : `${filter} `}${k}=${v}` }, true)} silences={silences.data ?? []} />
        )}
      </section>
      <Watched />
      <SilenceList silences={silences.data} error={silences.error} rows={rows} edit={(text) => openSilence(text)} />
      <IgnoreRules />
      {silenceText !== null ? <SilenceForm initial={silenceText} onClose={() => { view.set({ silence: undefined }, true); void navigate; }} /> : null}
    </div>
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

function LastEvaluation({ groups }: { groups: readonly RuleGroup[] }) {
  const t = useT();
  const last = Math.max(0, ...groups.map((g) => Date.parse(g.lastEvaluation ?? "")).filter(Number.isFinite));
  return last > 0 ? <p className="faint">{t("lastEvaluation")}: <Ago at={last} /></p> : null;
}

function AlertTable({ rows, silence, filter, silences }: { rows: readonly AlertRow[]; silence: (r: AlertRow) => void; filter: (k: string, v: string) => void; silences: readonly AmSilence[] }) {
  const t = useT();
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const [all, setAll] = useState(false);
  const [picked, setPicked] = useState<ReadonlySet<string>>(new Set());
  const [form, setForm] = useState<{ rows: readonly AlertRow[]; deed: Deed }>();
  const giveBack = useGiveBack();
  const pick = (key: string) => {
    const next = new Set(picked);
    if (!next.delete(key)) next.add(key);
    setPicked(next);
  };
  const chosen = rows.filter((r) => picked.has(r.key) && r.state !== "pending");
  /** The row's own, or all that are chosen when it is one of them. */
  const about = (r: AlertRow) => (picked.has(r.key) && chosen.length > 1 ? chosen : [r]);
  const list = all ? rows : rows.slice(0, SHOWN);
  const flip = (key: string) => {
    const next = new Set(open);
    if (!next.delete(key)) next.add(key);
    setOpen(next);
  };
  return (
    <>
      <table className="tbl cards" data-testid="alert-table">
        <thead>
          <tr>
            <th scope="col" className="c-state">{t("state")}</th>
            <th scope="col">{t("alert")}</th>
            <th scope="col" className="phone-hide">{t("where")}</th>
            <th scope="col" className="phone-hide">{t("summary")}</th>
            <th scope="col" className="r">{t("since")}</th>
            <th scope="col" className="actions"><span className="offscreen">{t("actions")}</span></th>
          </tr>
        </thead>
        {list.map((r) => (
          <tbody key={r.key}>
            <tr className="clickable" data-testid="alert-row" data-state={r.state} tabIndex={0} data-row aria-expanded={open.has(r.key)} onClick={(e) => inside(e) || flip(r.key)} onKeyDown={(e) => e.key === "Enter" && e.target === e.currentTarget && flip(r.key)}>
              <td className="c-state"><StateMark state={r.state} word={quietWord(r, silences, t)} /></td>
              <td>
                {r.state === "pending" ? <span className="pickbox" /> : <input type="checkbox" className="pickbox" checked={picked.has(r.key)} onChange={() => pick(r.key)} onClick={(e) => e.stopPropagation()} data-key="x" data-testid="pick-alert" aria-label={t("select", { what: r.name })} />}
                <b>{r.name}</b>
                {r.severity !== "" ? <span className="faint"> {r.severity}</span> : null}
                {maintenanceOf(r, silences) === undefined ? null : <span className="faint"> · {maintenanceOf(r, silences)}</span>}
                <span className="phone-only faint">{r.labels.instance ?? ""} {r.summary}</span>
                <OnCallMarks row={r} />
              </td>
              <td className="phone-hide">{r.labels.instance ? <Link href={hostPath(r.labels.instance)} className="mono">{r.labels.instance}</Link> : <span className="faint">–</span>}{r.labels.service ?? r.labels.job ? <span className="faint"> {r.labels.service ?? r.labels.job}</span> : null}</td>
              <td className="phone-hide cutoff" title={r.summary}>{r.summary}</td>
              <td className="r c-time"><Ago at={r.since} /></td>
              <td className="actions">
                {r.fingerprint === undefined ? null : r.own?.acknowledged === undefined ? (
                  <button type="button" className="btn small" data-key="u" data-testid="ack-alert" onClick={() => setForm({ rows: about(r), deed: "ack" })}>{t("deed_ack")}</button>
                ) : (
                  <button type="button" className="btn small" data-key="u" data-testid="unack-alert" onClick={() => giveBack(r)}>{t("giveBack")}</button>
                )}
                {r.state === "pending" || r.silencedBy.length > 0 ? null : (
                  <button type="button" className="btn small" data-key="s" data-testid="silence-alert" onClick={() => (about(r).length > 1 ? setForm({ rows: about(r), deed: "silence" }) : silence(r))}>{t("silence")}</button>
                )}
              </td>
            </tr>
            {open.has(r.key) ? (
              <tr className="detailrow">
                <td colSpan={6}><AlertDetails row={r} filter={filter} silences={silences} /></td>
              </tr>
            ) : null}
          </tbody>
        ))}
      </table>
      {rows.length > list.length ? <button type="button" className="btn" onClick={() => setAll(true)}>{t("showAll", { n: rows.length })}</button> : null}
      {chosen.length === 0 ? null : (
        <div className="bulkbar" role="group" aria-label={t("actions")} data-testid="bulkbar">
          <b>{t("pickedAlerts", { n: chosen.length })}</b>
          {(["ack", "snooze", "silence"] as const).map((deed) => (
            <button type="button" className="btn" key={deed} data-testid={`bulk-${deed}`} onClick={() => setForm({ rows: chosen, deed })}>{t(`deed_${deed}`)}</button>
          ))}
          <span className="gap" />
          {chosen.length < rows.length ? <button type="button" className="btn" onClick={() => setPicked(new Set(rows.map((r) => r.key)))}>{t("selectAll", { n: rows.length })}</button> : null}
          <button type="button" className="btn" onClick={() => setPicked(new Set())}>{t("selectNone")}</button>
        </div>
      )}
      {form === undefined ? null : <OnCallForm rows={form.rows} deed={form.deed} onClose={() => setForm(undefined)} onDone={() => { setForm(undefined); setPicked(new Set()); }} />}
    </>
  );
}

/** A click on something that acts by itself does not fold the row. */
function inside(e: MouseEvent): boolean {
  return (e.target as HTMLElement).closest("a,button,input") !== null || (getSelection()?.toString() ?? "") !== "";
}

/** What keeps an alert quiet, where that is no silence of somebody's. */
function quietWord(r: AlertRow, silences: readonly AmSilence[], t: ReturnType<typeof useT>): string | undefined {
  if (maintenanceOf(r, silences) !== undefined) return t("inMaintenance");
  if (r.silencedBy.length > 0) return undefined;
  if (r.inhibitedBy.length > 0) return t("inhibited");
  return r.own?.ignoredBy === undefined ? undefined : t("watch_ignored");
}

/** The name of the maintenance window that hides an alert. */
function maintenanceOf(r: AlertRow, silences: readonly AmSilence[]): string | undefined {
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

function AlertDetails({ row: r, filter, silences }: { row: AlertRow; filter: (k: string, v: string) => void; silences: readonly AmSilence[] }) {
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

function SilenceList({ silences, error, rows, edit }: { silences: readonly AmSilence[] | undefined; error: unknown; rows: readonly AlertRow[]; edit: (text: string) => void }) {
  const t = useT();
  const client = useQueryClient();
  const [old, setOld] = useState(false);
  const live = (silences ?? []).filter((s) => s.status.state !== "expired").sort((a, b) => Date.parse(a.endsAt) - Date.parse(b.endsAt));
  const gone = (silences ?? []).filter((s) => s.status.state === "expired").sort((a, b) => Date.parse(b.endsAt) - Date.parse(a.endsAt)).slice(0, 50);
  const list = old ? [...live, ...gone] : live;
  const again = () => {
    void client.invalidateQueries({ queryKey: ["silences"] });
    void client.invalidateQueries({ queryKey: ["am-alerts"] });
  };
  const expire = async (s: AmSilence) => {
    try {
      await api.expireSilence(s.id);
      toast(t("silenceExpired"), {
        action: {
          label: t("undo"),
          run: () =>
            void api
              .createSilence({ matchers: s.matchers, startsAt: new Date().toISOString(), endsAt: s.endsAt, createdBy: s.createdBy, comment: s.comment })
              .then(() => toast(t("silenceBack")), (e: unknown) => toast(e instanceof Error ? e.message : String(e), { bad: true }))
              .finally(again),
        },
      });
    } catch (e) {
      toast(e instanceof Error ? e.message : String(e), { bad: true });
    }
    again();
  };
  const hides = (s: AmSilence) => rows.filter((r) => r.silencedBy.includes(s.id)).length;
  return (
    <section className="section" id="silences" aria-label={t("silences")}>
      <h2>{t("silences")} <span className="faint">{live.length}</span></h2>
      {error || silences === undefined ? (
        error ? <p className="note">{t("silencesUnavailable")}</p> : <Waiting />
      ) : list.length === 0 ? (
        <p className="note">{t("noSilences")}</p>
      ) : (
        <table className="tbl cards" data-testid="silence-table">
          <thead>
            <tr>
              <th scope="col" className="c-state">{t("state")}</th>
              <th scope="col">{t("matchers")}</th>
              <th scope="col" className="r">{t("hides")}</th>
              <th scope="col">{t("by")}</th>
              <th scope="col">{t("comment")}</th>
              <th scope="col" className="r">{t("ends")}</th>
              <th scope="col" className="actions"><span className="offscreen">{t("actions")}</span></th>
            </tr>
          </thead>
          <tbody>
            {list.map((s) => (
              <tr key={s.id} data-testid="silence-row" data-state={s.status.state} data-row tabIndex={0}>
                <td className="c-state"><StateMark state={s.status.state === "pending" ? "pending" : "silenced"} word={t(s.status.state === "active" ? "silActive" : s.status.state === "pending" ? "silPending" : "silExpired")} /></td>
                <td className="mono wrap">{s.matchers.map(matcherText).join(", ")}</td>
                <td className="r" data-label={t("hides")}>{s.status.state === "active" && hides(s) === 0 ? <span className="faint" title={t("hidesNothing")}>0</span> : s.status.state === "expired" ? "" : hides(s)}</td>
                <td data-label={t("by")}>{s.createdBy}</td>
                <td className="wrap">{s.comment}</td>
                <td className="r c-time"><Ago at={Date.parse(s.endsAt)} ahead /></td>
                <td className="actions">
                  {s.status.state === "expired" ? (
                    <button type="button" className="btn small" onClick={() => edit(s.matchers.map(matcherText).join(", "))}>{t("again")}</button>
                  ) : (
                    <button type="button" className="btn small" data-testid="expire-silence" onClick={() => void expire(s)}>{t("expire")}</button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {gone.length > 0 ? <button type="button" className="textbtn" onClick={() => setOld(!old)}>{old ? t("hideExpired") : t("showExpired", { n: gone.length })}</button> : null}
    </section>
  );
}

/** Prometheus' view of the same: every alerting rule, and the alerts that are active of it. */
function ByRule({ groups, filter, only, error }: { groups: readonly RuleGroup[] | undefined; filter: string; only: string | null; error: unknown }) {
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
