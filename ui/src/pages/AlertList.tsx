/** The alerts as rows, alone or under their groups, thousands of them; taken in hand or silenced one by one, by group, or many at once. */
import { type KeyboardEvent, type MouseEvent, memo, useCallback, useMemo, useRef, useState } from "react";
import { Link } from "wouter";
import type { AmSilence } from "../api/types";
import { useT } from "../i18n";
import type { AlertGroup, AlertItem } from "../lib/alertlist";
import { type AlertRow, matcherText, matchersOf } from "../lib/alerts";
import { cutMiddle } from "../lib/labels";
import { SEVERITY, stateOfSeverity } from "../lib/state";
import { Ago, Shape, StateMark, useStateWord } from "../parts/parts";
import { Icon } from "../parts/icons";
import { VirtualRows } from "../parts/VirtualRows";
import { settings, useStore } from "../state";
import { AlertDetails, maintenanceOf, quietWord } from "./AlertDetails";
import { type Deed, OnCallForm, OnCallMarks, useGiveBack } from "./OnCall";
import { hostPath } from "./Overview";

/** Longest value of a label in the head of a group, in letters; names that are made by machines differ at their end. */
const VALUE_MAX = 40;

interface Props {
  rows: readonly (AlertGroup | AlertItem)[];
  /** All alerts that are shown, also those of groups that are folded. */
  alerts: readonly AlertRow[];
  silences: readonly AmSilence[];
  /** Whether a filter took alerts away: then a silence for all that a group is made of would hide more than is seen. */
  isPart: boolean;
  fold: (key: string) => void;
  silence: (matchers: string) => void;
  filter: (name: string, value: string) => void;
}

/** What can be done with a row; the same object always, so that rows are not drawn anew for its sake. */
interface Hand {
  open: (key: string) => void;
  pick: (rows: readonly AlertRow[]) => void;
  fold: (key: string) => void;
  act: (rows: readonly AlertRow[], deed: Deed, matchers?: string) => void;
  giveBack: (row: AlertRow) => void;
  filter: (name: string, value: string) => void;
}

/** A pending alert is known to the rule alone: nobody is told of it, so there is nothing to take or to silence. */
const pickable = (r: AlertRow) => r.state !== "pending";

export function AlertList({ rows, alerts, silences, isPart, fold, silence, filter }: Props) {
  const t = useT();
  const { dense } = useStore(settings);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const [picked, setPicked] = useState<ReadonlySet<string>>(new Set());
  const [form, setForm] = useState<{ rows: readonly AlertRow[]; deed: Deed }>();
  const giveBack = useGiveBack();
  const chosen = useMemo(() => alerts.filter((r) => picked.has(r.key) && pickable(r)), [alerts, picked]);
  const act: Hand["act"] = (own, deed, matchers) => {
    // A row's own, or all that are chosen when it is one of them.
    const about = own.some((r) => picked.has(r.key)) && chosen.length > own.length ? chosen : own.filter(pickable);
    if (deed === "silence" && about === chosen && chosen.length > 1) setForm({ rows: chosen, deed });
    else if (deed === "silence" && matchers !== undefined) silence(matchers);
    else if (about.length > 0) setForm({ rows: about, deed });
  };
  const pick: Hand["pick"] = (list) => {
    const next = new Set(picked);
    const wanted = list.filter(pickable);
    const has = wanted.every((r) => next.has(r.key));
    for (const r of wanted) if (has) next.delete(r.key); else next.add(r.key);
    setPicked(next);
  };
  const latest = useRef({ act, pick, fold, giveBack, filter });
  latest.current = { act, pick, fold, giveBack, filter };
  const hand = useMemo<Hand>(() => ({
    open: (key) => setOpen((was) => { const next = new Set(was); if (!next.delete(key)) next.add(key); return next; }),
    act: (...a) => latest.current.act(...a),
    pick: (list) => latest.current.pick(list),
    fold: (key) => latest.current.fold(key),
    giveBack: (row) => latest.current.giveBack(row),
    filter: (name, value) => latest.current.filter(name, value),
  }), []);
  const draw = useCallback((i: number) => {
    const row = rows[i];
    if (!row) return null;
    if (row.kind === "group") return <GroupRow group={row} isPart={isPart} picked={row.rows.every((r) => picked.has(r.key) || !pickable(r)) && row.rows.some(pickable)} hand={hand} />;
    return <Row item={row} open={open.has(row.key)} picked={picked.has(row.row.key)} silences={silences} hand={hand} />;
  }, [rows, open, picked, silences, isPart, hand]);
  const nPickable = useMemo(() => alerts.filter(pickable).length, [alerts]);
  return (
    <>
      <div className="ptable" role="treegrid" aria-label={t("wrongNow")} aria-rowcount={rows.length + 1} data-testid="alert-table">
        <div className="vhead alertgrid" role="row">
          <span role="columnheader">{t("state")}</span>
          <span role="columnheader">{t("alert")}</span>
          <span role="columnheader" className="c-where">{t("where")}</span>
          <span role="columnheader" className="c-summary">{t("summary")}</span>
          <span role="columnheader" className="r">{t("since")}</span>
          <span role="columnheader"><span className="offscreen">{t("actions")}</span></span>
        </div>
        <VirtualRows count={rows.length} keyOf={(i) => rows[i]?.key ?? String(i)} estimate={dense ? 33 : 41}>{draw}</VirtualRows>
      </div>
      {chosen.length === 0 ? null : (
        <div className="bulkbar" role="group" aria-label={t("actions")} data-testid="bulkbar">
          <b>{t("pickedAlerts", { n: chosen.length })}</b>
          {(["ack", "snooze", "silence"] as const).map((deed) => (
            <button type="button" className="btn" key={deed} data-testid={`bulk-${deed}`} onClick={() => setForm({ rows: chosen, deed })}>{t(`deed_${deed}`)}</button>
          ))}
          <span className="gap" />
          {chosen.length < nPickable ? <button type="button" className="btn" onClick={() => setPicked(new Set(alerts.filter(pickable).map((r) => r.key)))}>{t("selectAll", { n: nPickable })}</button> : null}
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

/** Enter opens and closes; the arrows do one of the two, as in every tree. */
function onKey(e: KeyboardEvent, isOpen: boolean, flip: () => void): void {
  if (e.target !== e.currentTarget) return;
  if (e.key === "Enter" || (e.key === "ArrowRight" && !isOpen) || (e.key === "ArrowLeft" && isOpen)) {
    e.preventDefault();
    flip();
  }
}

const GroupRow = memo(function GroupRow({ group: g, isPart, picked, hand }: { group: AlertGroup; isPart: boolean; picked: boolean; hand: Hand }) {
  const t = useT();
  const word = useStateWord();
  const flip = () => hand.fold(g.key);
  const labels = Object.keys(g.labels);
  const { alertname, ...others } = g.labels;
  const name = alertname ?? (labels.length === 0 ? t(g.receiver === undefined ? "groupRest" : "groupsAll") : "");
  const matchers = labels.length === 0 || isPart ? undefined : matchersOf(g.labels).map(matcherText).join(", ");
  const states = SEVERITY.filter((s): s is AlertRow["state"] => (g.counts as Record<string, number>)[s] !== undefined);
  return (
    <div className="alertgrid grouped clickable" role="row" aria-level={1} aria-expanded={!g.folded} tabIndex={0} data-row data-testid="alert-group" onClick={(e) => inside(e) || flip()} onKeyDown={(e) => onKey(e, !g.folded, flip)}>
      <span role="rowheader" className="c-group">
        <Icon name={g.folded ? "right" : "chevron"} size={14} />
        <input type="checkbox" className="pickbox" checked={picked} onChange={() => hand.pick(g.rows)} data-key="x" aria-label={t("select", { what: name === "" ? labels.map((k) => g.labels[k]).join(" ") : name })} />
        {name === "" ? null : <b className="cutoff">{name}</b>}
        {Object.entries(others).map(([k, v]) => <span key={k} className="mono cutoff" title={`${k}=${v}`}><span className="faint">{k}=</span>{cutMiddle(v, VALUE_MAX)}</span>)}
        {g.receiver === undefined ? null : <span className="faint cutoff">→ {g.receiver}</span>}
      </span>
      <span role="gridcell" className="c-counts">
        {states.map((s) => <span key={s} className={`mini st-${s}`} title={word(s)}><Shape state={s} size={10} /> {g.counts[s]}<span className="offscreen"> {word(s)}</span></span>)}
      </span>
      <span role="gridcell" className="r c-time"><Ago at={g.newest} /></span>
      <span role="gridcell" className="actions">
        <button type="button" className="btn small" data-key="u" data-testid="ack-group" onClick={() => hand.act(g.rows.filter((r) => r.own?.acknowledged === undefined && r.fingerprint !== undefined), "ack")}>{t("deed_ack")}</button>
        <button type="button" className="btn small" data-key="s" data-testid="silence-group" onClick={() => hand.act(g.rows, "silence", matchers)}>{t("silence")}</button>
      </span>
    </div>
  );
});

interface RowProps {
  item: AlertItem;
  open: boolean;
  picked: boolean;
  silences: readonly AmSilence[];
  hand: Hand;
}

const Row = memo(function Row({ item: { key, row: r }, open, picked, silences, hand }: RowProps) {
  const t = useT();
  const flip = () => hand.open(key);
  const window = maintenanceOf(r, silences);
  // What the state's word says already is not said twice.
  const severity = r.severity === r.state || (r.state === "silenced" && stateOfSeverity(r.severity) === r.severity) ? "" : r.severity;
  const where = r.labels.service ?? r.labels.job;
  return (
    <>
      <div className="alertgrid targetrow clickable" role="row" aria-level={2} aria-expanded={open} tabIndex={0} data-row data-testid="alert-row" data-state={r.state} onClick={(e) => inside(e) || flip()} onKeyDown={(e) => onKey(e, open, flip)}>
        <span role="gridcell"><StateMark state={r.state} word={quietWord(r, silences, t)} /></span>
        <span role="gridcell" className="c-name" title={r.name}>
          {pickable(r) ? <input type="checkbox" className="pickbox" checked={picked} onChange={() => hand.pick([r])} data-key="x" data-testid="pick-alert" aria-label={t("select", { what: r.name })} /> : <span className="pickbox" />}
          <b className="cutoff">{r.name}</b>
          {severity === "" ? null : <span className="faint">{severity}</span>}
          {window === undefined ? null : <span className="faint cutoff">· {window}</span>}
        </span>
        <span role="gridcell" className="c-where cutoff" title={r.labels.instance}>
          {r.labels.instance === undefined ? <span className="faint">–</span> : <Link href={hostPath(r.labels.instance)} className="mono">{r.labels.instance}</Link>}
          {where === undefined ? null : <span className="faint"> {where}</span>}
        </span>
        <span role="gridcell" className="c-summary cutoff" title={r.summary}>{r.summary}</span>
        <span role="gridcell" className="r c-time"><Ago at={r.since} /></span>
        <span role="gridcell" className="actions">
          {r.fingerprint === undefined ? null : r.own?.acknowledged === undefined ? (
            <button type="button" className="btn small" data-key="u" data-testid="ack-alert" onClick={() => hand.act([r], "ack")}>{t("deed_ack")}</button>
          ) : (
            <button type="button" className="btn small" data-key="u" data-testid="unack-alert" onClick={() => hand.giveBack(r)}>{t("giveBack")}</button>
          )}
          {r.state === "pending" || r.silencedBy.length > 0 ? null : (
            <button type="button" className="btn small" data-key="s" data-testid="silence-alert" onClick={() => hand.act([r], "silence", matchersOf(r.labels).map(matcherText).join(", "))}>{t("silence")}</button>
          )}
        </span>
        <OnCallMarks row={r} />
      </div>
      {open ? <div className="alertdetails" role="row"><div role="gridcell"><AlertDetails row={r} filter={hand.filter} silences={silences} /></div></div> : null}
    </>
  );
});
