/** A rule over stored history: when it would have fired, and for how long. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../api/client";
import type { ApiRule } from "../api/types";
import { useT } from "../i18n";
import { seriesName } from "../lib/labels";
import { formatDuration, humanDuration, parseDuration } from "../lib/time";
import { showText } from "../lib/units";
import { ErrorBox, Instant, Waiting } from "../parts/parts";

/** Firings drawn; the command lists them all. */
const SHOWN = 50;
const SPANS = ["1d", "7d", "30d"] as const;

/** Evaluations of one request that the server makes surely. */
const STEPS = 90_000;

/** How often a rule is evaluated over a span, in whole seconds: as live, or less often where that would be too often. */
function paceOf(interval: number, span: string): number {
  return Math.max(interval, Math.ceil((parseDuration(span) ?? 0) / 1000 / STEPS));
}

export function TryRule({ rule, interval }: { rule: ApiRule; interval: number }) {
  const t = useT();
  const held = formatDuration((rule.duration ?? 0) * 1000);
  const [form, setForm] = useState({ expr: rule.query, hold: held, span: "7d" });
  const [asked, setAsked] = useState<typeof form>();
  const bad = parseDuration(form.hold) === undefined && form.hold !== "0" && form.hold !== "";
  return (
    <div className="tryrule" data-testid="try-rule">
      <h3>{t("tryRule")}</h3>
      <form className="toolbar" onSubmit={(e) => { e.preventDefault(); if (!bad) setAsked({ ...form }); }}>
        <input className="input mono expr" aria-label={t("query")} value={form.expr} onChange={(e) => setForm({ ...form, expr: e.target.value })} spellCheck={false} data-testid="try-expr" />
        <label>{t("for")} <input className="input short" value={form.hold} aria-invalid={bad} onChange={(e) => setForm({ ...form, hold: e.target.value })} data-testid="try-for" /></label>
        <select className="select" value={form.span} onChange={(e) => setForm({ ...form, span: e.target.value })} aria-label={t("tryOver")}>
          {SPANS.map((s) => <option key={s} value={s}>{t("histLast", { span: s })}</option>)}
        </select>
        <button type="submit" className="btn primary" data-testid="try-run">{t("tryRun")}</button>
      </form>
      {asked === undefined ? null : <Answer key={JSON.stringify(asked)} {...asked} name={rule.name} keep={rule.keepFiringFor ?? 0} pace={paceOf(interval, asked.span)} />}
    </div>
  );
}

function Answer({ expr, hold, span, name, keep, pace }: { expr: string; hold: string; span: string; name: string; keep: number; pace: number }) {
  const t = useT();
  const found = useQuery({
    queryKey: ["try", expr, hold, span, name, keep, pace],
    queryFn: ({ signal }) => api.tryRule({ expr, hold: hold === "" ? "0s" : hold, keep, alert: name, since: span, interval: `${Math.round(pace * 1000)}ms` }, signal),
    retry: 0,
    staleTime: 60_000,
    refetchOnWindowFocus: false,
  });
  if (found.error) return <ErrorBox error={found.error} title={t("errTry")} />;
  const rule = found.data?.data.rules[0];
  if (rule === undefined) return <Waiting />;
  const rows = [...rule.firings].reverse();
  return (
    <div data-testid="try-answer">
      <p className="lead"><b>{rule.count === 0 ? t("tryNone") : t("tryFirings", { n: rule.count })}</b>{rule.count === 0 ? null : <> {t("tryLasted", { median: humanDuration(rule.medianSeconds), longest: humanDuration(rule.longestSeconds) })}</>} <span className="faint">{t("everyInterval", { interval: humanDuration(rule.intervalSeconds) })}</span></p>
      {rule.failed > 0 ? <p className="note st-warning">{t("tryFailed", { n: rule.failed, all: rule.evaluations })} <span className="mono">{rule.error}</span></p> : null}
      {rows.length === 0 ? null : (
        <table className="tbl">
          <thead><tr><th scope="col">{t("begins")}</th><th scope="col">{t("lasted")}</th><th scope="col">{t("labels")}</th><th scope="col" className="r">{t("peak")}</th></tr></thead>
          <tbody>
            {rows.slice(0, SHOWN).map((f) => (
              <tr key={`${f.start}${seriesName(f.labels)}`} data-row tabIndex={0}>
                <td><Instant at={Date.parse(f.start)} /></td>
                <td>{f.end === undefined ? t("tryStill") : humanDuration((Date.parse(f.end) - Date.parse(f.start)) / 1000)}</td>
                <td className="mono wrap">{seriesName(f.labels, ["alertname"])}</td>
                <td className="r">{showText(Number(f.peak), "short")}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {rule.count > SHOWN ? <p className="note">{t("andMore", { n: rule.count - SHOWN })}</p> : null}
    </div>
  );
}
