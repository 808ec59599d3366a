/** A maintenance window made or changed: its next runs and what it would hide are shown as it is typed. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useMemo, useState } from "react";
import { ApiError, api } from "../api/client";
import type { MaintenanceWindow, NewWindow, WindowPreview, WindowRun } from "../api/types";
import { useT } from "../i18n";
import { matcherText, matchesEverything, parseMatchers } from "../lib/alerts";
import { type Repeat, WEEKDAYS, type Weekday, choiceOf, monthdayOf, nextHour, nthKey, ruleOf, weekdayOf } from "../lib/recurrence";
import { type Zone, formatInstant, parseDuration } from "../lib/time";
import { Dialog } from "../parts/Dialog";
import { ErrorBox, LabelList } from "../parts/parts";
import { change, settings, toast, useStore } from "../state";

const LENGTHS = ["30m", "1h", "2h", "4h", "8h", "1d"] as const;
const REPEATS: readonly Repeat[] = ["once", "daily", "weekly", "monthday", "monthweek", "custom"];

function ownZone(): string {
  return settings.get().zone === "utc" ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone;
}

function zones(): readonly string[] {
  return typeof Intl.supportedValuesOf === "function" ? ["UTC", ...Intl.supportedValuesOf("timeZone")] : ["UTC"];
}

interface Fields {
  name: string;
  matchers: string;
  start: string;
  length: string;
  repeat: Repeat;
  days: readonly Weekday[];
  rule: string;
  except: string;
  zone: string;
  owner: string;
  reason: string;
}

function fieldsOf(w: MaintenanceWindow | undefined): Fields {
  if (w === undefined) {
    const zone = ownZone();
    return { name: "", matchers: "", start: nextHour(Date.now(), zone), length: "2h", repeat: "once", days: [], rule: "", except: "", zone, owner: settings.get().author, reason: "" };
  }
  const { repeat, days } = choiceOf(w.recurrence, w.start);
  return { name: w.name, matchers: w.matchers.map(matcherText).join(", "), start: w.start.slice(0, 16), length: w.duration, repeat, days, rule: w.recurrence, except: w.except.join(", "), zone: w.timeZone, owner: w.owner, reason: w.reason };
}

export function MaintenanceForm({ initial, onClose }: { initial: MaintenanceWindow | undefined; onClose: () => void }) {
  const t = useT();
  const again = useAgain();
  const [f, setF] = useState<Fields>(() => fieldsOf(initial));
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const put = (part: Partial<Fields>) => setF((old) => ({ ...old, ...part }));
  const parsed = useMemo(() => parseMatchers(f.matchers), [f.matchers]);
  const matchers = "matchers" in parsed ? parsed.matchers : [];
  const ms = parseDuration(f.length);
  const problem = "error" in parsed ? t("matcherBad", { text: parsed.error }) : matchers.length > 0 && matchesEverything(matchers) ? t("matcherWide") : undefined;
  const lengthBad = ms === undefined || ms <= 0;
  const window: NewWindow = {
    name: f.name.trim(),
    matchers,
    start: f.start,
    duration: f.length.trim(),
    recurrence: ruleOf(f.repeat, f.start, f.days, f.rule),
    except: f.except.split(/[\s,]+/).filter((x) => x !== ""),
    timeZone: f.zone.trim(),
    owner: f.owner.trim(),
    reason: f.reason.trim(),
  };
  const askable = matchers.length > 0 && problem === undefined && !lengthBad && f.start !== "";
  const text = JSON.stringify({ ...window, name: "", owner: "", reason: "" });
  const [asked, setAsked] = useState(text);
  useEffect(() => {
    const id = setTimeout(() => setAsked(text), 250);
    return () => clearTimeout(id);
  }, [text]);
  const preview = useQuery({ queryKey: ["window-preview", "new", asked], queryFn: ({ signal }) => api.previewWindow(JSON.parse(asked) as Partial<NewWindow>, signal), enabled: askable && asked === text, retry: 0, placeholderData: (old) => old });
  // What the server does not take it says in one sentence, with the field first.
  const refused = askable && asked === text && preview.error instanceof ApiError && preview.error.status === 400 ? preview.error.message : undefined;
  const ready = askable && refused === undefined && window.name !== "" && window.owner !== "" && window.reason !== "" && (f.repeat !== "custom" || window.recurrence !== "");
  const submit = async (e: FormEvent) => {
    e.preventDefault();
    if (!ready) return;
    setBusy(true);
    try {
      const made = initial === undefined ? await api.createWindow(window) : await api.changeWindow(initial.id, window);
      change({ author: window.owner });
      toast(t(made.state === "active" ? "windowRuns" : initial === undefined ? "windowMade" : "windowChanged", { name: made.name }));
      again();
      onClose();
    } catch (x) {
      setError(x);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog onClose={onClose} title={t(initial === undefined ? "newWindow" : "changeWindow")} size={720}>
      <form className="form" onSubmit={(e) => void submit(e)} data-testid="window-form">
        <label>
          <span>{t("windowName")}</span>
          <input className="input" value={f.name} onChange={(e) => put({ name: e.target.value })} required maxLength={200} placeholder={t("windowNameHint")} data-autofocus data-testid="window-name" />
        </label>
        <label>
          <span>{t("matchers")}</span>
          <textarea className="input mono" rows={2} value={f.matchers} onChange={(e) => put({ matchers: e.target.value })} placeholder={'job="db", instance=~"db.*"'} spellCheck={false} data-testid="window-matchers" aria-invalid={problem !== undefined && f.matchers !== ""} />
        </label>
        {problem !== undefined && f.matchers !== "" ? <p className="st-critical">{problem}</p> : null}
        <Refused said={refused} at={["matchers"]} />
        <div className="formrow when">
          <label>
            <span>{t("startsAt")}</span>
            <input className="input" type="datetime-local" value={f.start} onChange={(e) => put({ start: e.target.value })} required data-testid="window-start" />
          </label>
          <label>
            <span>{t("timeZone")}</span>
            <input className="input" list="zones" value={f.zone} onChange={(e) => put({ zone: e.target.value })} spellCheck={false} autoComplete="off" data-testid="window-zone" />
            <datalist id="zones">{zones().map((z) => <option key={z} value={z} />)}</datalist>
          </label>
        </div>
        <div className="formrow">
          <label>
            <span>{t("duration")}</span>
            <input className="input" value={f.length} onChange={(e) => put({ length: e.target.value })} aria-invalid={lengthBad} data-testid="window-length" />
          </label>
          <div className="chips">
            {LENGTHS.map((l) => (
              <button type="button" key={l} className={`chip${l === f.length ? " on" : ""}`} onClick={() => put({ length: l })}>{l}</button>
            ))}
          </div>
        </div>
        {lengthBad ? <p className="st-critical">{t("durationBad")}</p> : null}
        <Refused said={refused} at={["start", "time zone", "duration"]} />
        <Repeats f={f} put={put} rule={window.recurrence} />
        <Refused said={refused} at={["recurrence", "except"]} />
        <div className="formrow two">
          <label>
            <span>{t("owner")}</span>
            <input className="input" value={f.owner} onChange={(e) => put({ owner: e.target.value })} required autoComplete="username" data-testid="window-owner" />
          </label>
          <label>
            <span>{t("windowWhy")}</span>
            <input className="input" value={f.reason} onChange={(e) => put({ reason: e.target.value })} required placeholder={t("windowWhyHint")} data-testid="window-reason" />
          </label>
        </div>
        <Refused said={refused} at={["name", "owner", "reason"]} />
        {askable && refused === undefined ? <Previewed runs={preview.data?.runs ?? []} preview={preview.data} /> : <p className="note">{t("previewRuns")}</p>}
        {error === undefined ? null : <ErrorBox error={error} />}
        <div className="formend">
          <button type="button" className="btn" onClick={onClose}>{t("cancel")}</button>
          <button type="submit" className="btn primary" disabled={!ready || busy} data-testid="window-submit">{t(initial === undefined ? "windowDo" : "windowSave")}</button>
        </div>
      </form>
    </Dialog>
  );
}

/** What the server says of these fields: it names them first. */
function Refused({ said, at }: { said: string | undefined; at: readonly string[] }) {
  if (said === undefined || !at.some((field) => said.startsWith(`${field}:`))) return null;
  return <p className="st-critical" role="alert" data-testid="window-refused">{said}</p>;
}

/** Simple choices, and the rule itself for all others. */
function Repeats({ f, put, rule }: { f: Fields; put: (part: Partial<Fields>) => void; rule: string }) {
  const t = useT();
  const chosen = f.days.length > 0 ? f.days : [weekdayOf(f.start)];
  const flip = (d: Weekday) => put({ days: chosen.includes(d) ? chosen.filter((x) => x !== d) : [...chosen, d] });
  const word = (r: Repeat) =>
    r === "monthday" ? t("repeat_monthday", { n: monthdayOf(f.start) }) : r === "monthweek" ? t("repeat_monthweek", { nth: t(nthKey(f.start)), day: t(`day_${weekdayOf(f.start)}`) }) : t(`repeat_${r}`);
  return (
    <>
      <div className="formrow">
        <label>
          <span>{t("repeats")}</span>
          <select className="select" value={f.repeat} onChange={(e) => put({ repeat: e.target.value as Repeat, rule })} data-testid="window-repeat">
            {REPEATS.map((r) => <option key={r} value={r}>{word(r)}</option>)}
          </select>
        </label>
        {f.repeat === "weekly" ? (
          <div className="chips" role="group" aria-label={t("weekdays")}>
            {WEEKDAYS.map((d) => (
              <button type="button" key={d} className="chip" aria-pressed={chosen.includes(d)} onClick={() => flip(d)} data-testid={`day-${d}`}>{t(`day_${d}`)}</button>
            ))}
          </div>
        ) : null}
      </div>
      {f.repeat === "custom" ? (
        <label>
          <span>{t("rrule")}</span>
          <input className="input mono" value={f.rule} onChange={(e) => put({ rule: e.target.value })} placeholder={"FREQ=MONTHLY;BYDAY=2TU"} spellCheck={false} data-testid="window-rule" />
        </label>
      ) : null}
      {f.repeat === "once" ? null : (
        <label>
          <span>{t("except")}</span>
          <input className="input mono" value={f.except} onChange={(e) => put({ except: e.target.value })} placeholder={t("exceptHint")} spellCheck={false} data-testid="window-except" />
        </label>
      )}
    </>
  );
}

/** Everything that windows change: themselves, silences, states of alerts. */
export function useAgain(): () => void {
  const client = useQueryClient();
  return () => {
    for (const key of ["maintenance", "silences", "am-alerts"]) void client.invalidateQueries({ queryKey: [key] });
  };
}

/** `2026-11-22 02:00` */
export function minuteOf(at: string, zone: Zone): string {
  return formatInstant(Date.parse(at), zone).slice(0, 16);
}

/** The day only where it is another one. */
function endOf(run: WindowRun, zone: Zone): string {
  const end = minuteOf(run.endsAt, zone);
  return end.slice(0, 10) === minuteOf(run.startsAt, zone).slice(0, 10) ? end.slice(11) : end;
}

/** The next five runs, and the alerts that match now. */
export function Previewed({ runs, preview }: { runs: readonly WindowRun[]; preview: WindowPreview | undefined }) {
  const t = useT();
  const { zone } = useStore(settings);
  const alerts = preview?.alerts.slice(0, 20) ?? [];
  const more = (preview?.matchedAlerts ?? 0) - alerts.length;
  return (
    <div className="previewed">
      <div>
        <h3>{t("nextRuns")}</h3>
        <ol className="runs" data-testid="window-runs">
          {runs.map((r) => (
            <li key={r.startsAt}>
              <span className="mono">{minuteOf(r.startsAt, zone)}</span> <span className="faint">{t("until", { time: endOf(r, zone) })}</span>
            </li>
          ))}
          {runs.length === 0 ? <li className="faint">{t("noRunLeft")}</li> : null}
        </ol>
      </div>
      <div className="preview" aria-live="polite" data-testid="window-preview" data-count={preview?.matchedAlerts ?? ""}>
        <h3>{preview === undefined ? t("previewNone") : t("matchesNow", { n: preview.matchedAlerts })}</h3>
        <ul>
          {alerts.map((a) => (
            <li key={a.fingerprint}><b>{a.labels.alertname}</b> <LabelList labels={a.labels} without={["alertname"]} /></li>
          ))}
          {more > 0 ? <li className="faint">{t("andMore", { n: more })}</li> : null}
          {preview !== undefined && preview.matchedAlerts === 0 ? <li className="faint">{t("previewLater")}</li> : null}
        </ul>
      </div>
    </div>
  );
}
