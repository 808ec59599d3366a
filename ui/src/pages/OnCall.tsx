/** Who has an alert: the marks in its row, the dialog to take many at once, and how its value went. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ALONE, api } from "../api/client";
import { useT } from "../i18n";
import { type AlertRow, comparison, matchersOf } from "../lib/alerts";
import { isSubset } from "../lib/labels";
import { formatInstant, parseDuration } from "../lib/time";
import { Dialog } from "../parts/Dialog";
import { Icon } from "../parts/icons";
import { ErrorBox, LabelList } from "../parts/parts";
import { Sparkline } from "../parts/Sparkline";
import { change, settings, toast, useStore } from "../state";

export type Deed = "ack" | "snooze" | "silence";
const DEEDS: readonly Deed[] = ["ack", "snooze", "silence"];
const LENGTHS = ["30m", "1h", "2h", "4h", "8h", "1d"] as const;
/** An hour, in points of the sparkline. */
const COURSE_SECONDS = 3600;
const COURSE_STEP = 60;

function useAgain(): () => void {
  const client = useQueryClient();
  return () => {
    void client.invalidateQueries({ queryKey: ["silences"] });
    void client.invalidateQueries({ queryKey: ["am-alerts"] });
  };
}

const said = (e: unknown) => toast(e instanceof Error ? e.message : String(e), { bad: true });

/** Who has it, because of what it is hidden, who is told next. */
export function OnCallMarks({ row }: { row: AlertRow }) {
  const t = useT();
  const s = useStore(settings);
  const at = (time: string) => formatInstant(Date.parse(time), s.zone, true);
  const { acknowledged: ack, hiddenBecause: parent, waitsUntil, escalation, flapping, mutedBy } = row.own ?? {};
  const next = escalation?.find((step) => !step.told && step.at !== undefined);
  const told = escalation?.filter((step) => step.told) ?? [];
  return (
    <span className="marks" data-testid="on-call-marks">
      {ack === undefined ? null : (
        <span className="mark" data-testid="acknowledged" title={ack.comment}>
          <Icon name={ack.snoozed ? "clock" : "check"} size={12} /> {ack.snoozed && ack.until !== undefined ? t("snoozedBy", { who: ack.by, time: at(ack.until) }) : t("acknowledgedBy", { who: ack.by })}
        </span>
      )}
      {parent === undefined ? null : <span className="mark"><Icon name="silence" size={12} /> {t("hiddenBecause", { what: `${parent.labels.alertname ?? ""} ${parent.labels.instance ?? ""}`.trim() })}</span>}
      {mutedBy === undefined ? null : <span className="mark"><Icon name="silence" size={12} /> {t("holdMute", { names: mutedBy.join(", ") })}</span>}
      {flapping === undefined ? null : <span className="mark"><Icon name="refresh" size={12} /> {t("flapping", { n: flapping.changes, time: at(flapping.stableAt) })}</span>}
      {waitsUntil === undefined ? null : <span className="mark"><Icon name="clock" size={12} /> {t("waitsForParent", { time: at(waitsUntil) })}</span>}
      {told.map((step) => <span className="mark" key={step.receiver}><Icon name="out" size={12} /> {t("escalatedTo", { who: step.receiver })}</span>)}
      {next?.at === undefined ? null : <span className="mark faint"><Icon name="right" size={12} /> {t("escalatesTo", { who: next.receiver, time: at(next.at) })}</span>}
    </span>
  );
}

/** Gives an alert back; it is told again. */
export function useGiveBack(): (row: AlertRow) => void {
  const t = useT();
  const again = useAgain();
  const s = useStore(settings);
  return (row) => {
    if (row.fingerprint === undefined) return;
    void api
      .endAcknowledgement({ fingerprints: [row.fingerprint], createdBy: s.author.trim() === "" ? "web" : s.author.trim() })
      .then(() => toast(t("givenBack")), said)
      .finally(again);
  };
}

/** Takes alerts in hand, or silences each of them, all at once. */
export function OnCallForm({ rows, deed: first, onClose, onDone }: { rows: readonly AlertRow[]; deed: Deed; onClose: () => void; onDone: () => void }) {
  const t = useT();
  const s = useStore(settings);
  const again = useAgain();
  const [deed, setDeed] = useState<Deed>(first);
  const [length, setLength] = useState("2h");
  const [author, setAuthor] = useState(s.author);
  const [comment, setComment] = useState("");
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const ms = deed === "ack" ? 0 : parseDuration(length);
  const ready = author.trim() !== "" && ms !== undefined && (deed === "ack" || ms > 0) && (deed !== "silence" || comment.trim() !== "");
  const submit = async (e: FormEvent) => {
    e.preventDefault();
    if (!ready || ms === undefined) return;
    setBusy(true);
    const now = Date.now();
    const endsAt = new Date(now + ms).toISOString();
    const by = { createdBy: author.trim(), comment: comment.trim() };
    try {
      if (deed === "silence") {
        const made: string[] = [];
        const undo = () => Promise.all(made.map((id) => api.expireSilence(id))).then(() => toast(t("silenceExpired")), said).finally(again);
        try {
          for (const r of rows) made.push((await api.createSilence({ matchers: matchersOf(r.labels), startsAt: new Date(now).toISOString(), endsAt, ...by })).silenceID);
        } finally {
          // Also what was made before one of them was refused.
          if (made.length > 0) toast(t("silenceMade", { until: formatInstant(now + ms, s.zone) }), { action: { label: t("undo"), run: () => void undo() } });
        }
      } else {
        const fingerprints = rows.map((r) => r.fingerprint).filter((f) => f !== undefined);
        const { alerts } = await api.acknowledge({ fingerprints, ...by, ...(deed === "snooze" ? { endsAt } : {}) });
        const ids = alerts.map((a) => a.fingerprint);
        toast(t("taken", { n: ids.length }), { action: { label: t("undo"), run: () => void api.endAcknowledgement({ fingerprints: ids, createdBy: by.createdBy }).then(() => toast(t("givenBack")), said).finally(again) } });
      }
      change({ author: author.trim() });
      again();
      onDone();
    } catch (x) {
      setError(x);
      again();
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog onClose={onClose} title={t("pickedAlerts", { n: rows.length })} size={560}>
      <form className="form" onSubmit={(e) => void submit(e)} data-testid="on-call-form">
        <span className="seg" role="group" aria-label={t("actions")}>
          {DEEDS.map((d) => (
            <button type="button" key={d} aria-pressed={d === deed} onClick={() => setDeed(d)} data-testid={`deed-${d}`}>{t(`deed_${d}`)}</button>
          ))}
        </span>
        <p className="note">{t(`deedWhy_${deed}`)}</p>
        {deed === "ack" ? null : (
          <div className="formrow">
            <label>
              <span>{t("duration")}</span>
              <input className="input" value={length} onChange={(e) => setLength(e.target.value)} />
            </label>
            <div className="chips">
              {LENGTHS.map((l) => <button type="button" key={l} className={`chip${l === length ? " on" : ""}`} onClick={() => setLength(l)}>{l}</button>)}
            </div>
            <span className="faint">{ms === undefined ? t("durationBad") : t("until", { time: formatInstant(Date.now() + ms, s.zone, true) })}</span>
          </div>
        )}
        <div className="formrow two">
          <label>
            <span>{t("by")}</span>
            <input className="input" value={author} onChange={(e) => setAuthor(e.target.value)} required autoComplete="username" data-testid="on-call-author" data-autofocus={author === "" ? true : undefined} />
          </label>
          <label>
            <span>{t("comment")}</span>
            <input className="input" value={comment} onChange={(e) => setComment(e.target.value)} required={deed === "silence"} placeholder={t("commentHint")} data-testid="on-call-comment" data-autofocus={author === "" ? undefined : true} />
          </label>
        </div>
        <div className="preview">
          <ul>
            {rows.slice(0, 20).map((r) => <li key={r.key}><b>{r.name}</b> <LabelList labels={r.labels} without={["alertname"]} /></li>)}
            {rows.length > 20 ? <li className="faint">{t("andMore", { n: rows.length - 20 })}</li> : null}
          </ul>
        </div>
        {error === undefined ? null : <ErrorBox error={error} />}
        <div className="formend">
          <button type="button" className="btn" onClick={onClose}>{t("cancel")}</button>
          <button type="submit" className="btn primary" disabled={!ready || busy} data-testid="on-call-submit">{t(`deed_${deed}`)}</button>
        </div>
      </form>
    </Dialog>
  );
}

/** The last hour of what the rule compares, with its threshold. */
export function Course({ row, expr }: { row: AlertRow; expr: string | undefined }) {
  const t = useT();
  const compared = expr === undefined ? undefined : comparison(expr);
  const course = useQuery({
    queryKey: ["course", compared?.left, row.key],
    enabled: compared !== undefined && !ALONE,
    retry: 0,
    staleTime: 60_000,
    queryFn: async ({ signal }) => {
      const end = Math.floor(Date.now() / 1000 / COURSE_STEP) * COURSE_STEP;
      const begin = end - COURSE_SECONDS;
      const { data } = await api.queryRange(compared?.left ?? "", begin, end, COURSE_STEP, signal);
      const series = data.result.find((one) => {
        const { __name__: _, ...labels } = one.metric;
        return isSubset(labels, row.labels);
      });
      const at = new Map((series?.values ?? []).map(([time, value]) => [Math.round(time), Number(value)]));
      return Array.from({ length: COURSE_SECONDS / COURSE_STEP + 1 }, (_, i) => at.get(begin + i * COURSE_STEP) ?? null);
    },
  });
  if (compared === undefined || course.data === undefined || course.data.every((v) => v === null)) return null;
  const label = t("courseLabel", { op: compared.op, value: String(compared.threshold) });
  return (
    <div className="wide">
      <dt>{t("course")}</dt>
      <dd className="course"><Sparkline values={course.data} threshold={compared.threshold} width={240} height={48} label={label} /> <span className="faint mono">{compared.op} {compared.threshold}</span></dd>
    </div>
  );
}
