/**
 * Small pieces every page uses: state marks, times, numbers, errors, empty states, copying.
 */
import { type ReactNode, useEffect, useState } from "react";
import { ApiError } from "../api/client";
import { type Key, useT } from "../i18n";
import { cutMiddle } from "../lib/labels";
import type { State } from "../lib/state";
import { formatInstant, humanDuration } from "../lib/time";
import { type UnitId, show } from "../lib/units";
import { settings, toast, useStore } from "../state";
import { Icon } from "./icons";

const WORD: Readonly<Record<State, Key>> = { ok: "stateOk", warning: "stateWarning", critical: "stateCritical", unknown: "stateUnknown", silenced: "stateSilenced", pending: "statePending" };

/** The shape of a state: circle, triangle, square, diamond; outlined when it waits or is quiet. */
export function Shape({ state, size = 12 }: { state: State; size?: number }) {
  const outlined = state === "silenced" || state === "pending";
  const props = outlined ? { fill: "none", stroke: "currentColor", strokeWidth: 1.6 } : { fill: "currentColor" };
  return (
    <svg className={`shape st-${state}`} width={size} height={size} viewBox="0 0 12 12" aria-hidden="true" focusable="false">
      {state === "ok" || state === "silenced" ? <circle cx="6" cy="6" r="4.4" {...props} /> : null}
      {state === "warning" || state === "pending" ? <path d="M6 1.2 11.2 10.6H.8z" strokeLinejoin="round" {...props} /> : null}
      {state === "critical" ? <rect x="1.4" y="1.4" width="9.2" height="9.2" rx=".8" {...props} /> : null}
      {state === "unknown" ? <path d="M6 .6 11.4 6 6 11.4.6 6z" {...props} /> : null}
    </svg>
  );
}

/** Colour, shape and word. */
export function StateMark({ state, word }: { state: State; word?: string | undefined }) {
  const t = useT();
  return (
    <span className={`state st-${state}`} data-state={state}>
      <Shape state={state} />
      <span>{word ?? t(WORD[state])}</span>
    </span>
  );
}

export function useStateWord(): (s: State) => string {
  const t = useT();
  return (s) => t(WORD[s]);
}

/** Number and lighter unit. */
export function Num({ value, unit, decimals }: { value: number | undefined; unit: UnitId; decimals?: number }) {
  if (value === undefined || Number.isNaN(value)) return <span className="faint">–</span>;
  const s = show(value, unit, decimals);
  return (
    <span className="num">
      {s.text}
      {s.unit === "" ? null : <span className="unit">{s.unit === "%" ? "%" : ` ${s.unit}`}</span>}
    </span>
  );
}

/** A share as a small bar with its number. */
export function Bar({ value, state }: { value: number | undefined; state?: State | undefined }) {
  if (value === undefined || Number.isNaN(value)) return <span className="faint">–</span>;
  const v = Math.max(0, Math.min(1, value));
  return (
    <span className="bar">
      <span className="bar-track" aria-hidden="true">
        <svg viewBox="0 0 100 4" preserveAspectRatio="none">
          <rect width={v * 100} height="4" className={state ? `fill-${state}` : "fill-plain"} />
        </svg>
      </span>
      <Num value={value} unit="percentunit" decimals={value < 0.0995 ? 1 : 0} />
    </span>
  );
}

function useSecond(): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const id = setInterval(() => setNow(Date.now()), 5000);
    return () => clearInterval(id);
  }, []);
  return now;
}

/** "3m 4s ago", the instant on hover. What is `ahead` may lie in the future; anything else that seems to is a clock's fault. */
export function Ago({ at, now, ahead = false }: { at: number | undefined; now?: number; ahead?: boolean }) {
  const t = useT();
  const { zone } = useStore(settings);
  const own = useSecond();
  if (at === undefined || !Number.isFinite(at) || at <= 0) return <span className="faint">–</span>;
  const exact = Math.round(((now ?? (ahead ? own : Math.max(own, at))) - at) / 1000);
  // Seconds say nothing about what is older than ten minutes, and would move all the time.
  const coarse = Math.abs(exact) >= 86_400 ? 3600 : Math.abs(exact) >= 600 ? 60 : 1;
  const s = Math.trunc(exact / coarse) * coarse;
  return (
    <time dateTime={new Date(at).toISOString()} title={formatInstant(at, zone, true)}>
      {s >= -1 && s < 1 ? t("justNow") : s < -1 ? t("inTime", { time: humanDuration(-s) }) : t("ago", { time: humanDuration(Math.max(0, s)) })}
    </time>
  );
}

export function Instant({ at }: { at: number }) {
  const { zone } = useStore(settings);
  return (
    <time dateTime={Number.isFinite(at) ? new Date(at).toISOString() : undefined} className="mono" title={formatInstant(at, zone, true)}>
      {formatInstant(at, zone)}
    </time>
  );
}

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without a secure context the clipboard is closed; the old way still works.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "offscreen";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export function useCopy(): (text: string) => void {
  const t = useT();
  return (text) => {
    void copyText(text).then((ok) => toast(ok ? t("copied") : t("copyFailed"), { bad: !ok }));
  };
}

export function CopyButton({ text, label }: { text: string; label?: string }) {
  const t = useT();
  const copy = useCopy();
  return (
    <button type="button" className="iconbtn" onClick={() => copy(text)} title={label ?? t("copy")} aria-label={label ?? t("copy")}>
      <Icon name="copy" size={14} />
    </button>
  );
}

/** Text to take along: a command or a piece of configuration. */
export function Code({ text }: { text: string }) {
  return (
    <div className="code">
      <pre>{text}</pre>
      <CopyButton text={text} />
    </div>
  );
}

export function Mid({ text, max = 48 }: { text: string; max?: number }) {
  return (
    <span className="mono" title={text}>
      {cutMiddle(text, max)}
    </span>
  );
}

/** The server's words, its hint, and the request to copy. */
export function ErrorBox({ error, title }: { error: unknown; title?: string }) {
  const t = useT();
  const e = error instanceof ApiError ? error : undefined;
  const text = error instanceof Error ? error.message : String(error);
  const hint = e?.hint !== undefined && e.hint !== "" ? e.hint : e?.status === 0 ? t("hintNetwork") : e?.status === 404 ? t("hintNotFound") : "";
  return (
    <div className="error" role="alert">
      <div className="error-head">
        <Shape state="critical" />
        <b>{title ?? (e?.status === 0 ? t("errNetwork") : t("errServer", { kind: e ? `${e.kind}${e.status > 0 ? ` ${e.status}` : ""}` : "" }))}</b>
      </div>
      <pre className="error-text">{text}</pre>
      {hint === "" ? null : <p>{hint}</p>}
      {e ? <Code text={e.curl} /> : null}
    </div>
  );
}

export function Warnings({ list }: { list: readonly string[] }) {
  if (list.length === 0) return null;
  return (
    <ul className="warnings">
      {[...new Set(list)].map((w) => (
        <li key={w}>
          <Shape state="warning" /> {w}
        </li>
      ))}
    </ul>
  );
}

/** What would be here, why it is not, what to do. */
export function Empty({ title, why, code, children }: { title: string; why?: string; code?: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {why === undefined ? null : <p>{why}</p>}
      {children}
      {code === undefined ? null : <Code text={code} />}
    </div>
  );
}

/** A row of label=value, the common ones left out by the caller. */
export function LabelList({ labels, without = [], onPick }: { labels: Readonly<Record<string, string>>; without?: readonly string[]; onPick?: (name: string, value: string) => void }) {
  const keys = Object.keys(labels).filter((k) => !without.includes(k));
  if (keys.length === 0) return null;
  return (
    <span className="labels">
      {keys.sort().map((k) =>
        onPick ? (
          <button type="button" key={k} className="label" onClick={() => onPick(k, labels[k] ?? "")}>
            <span className="faint">{k}=</span>
            {labels[k]}
          </button>
        ) : (
          <span key={k} className="label">
            <span className="faint">{k}=</span>
            {labels[k]}
          </span>
        ),
      )}
    </span>
  );
}

/** A link within the page. With a <base> a bare "#id" would lead away, so it names the whole address. */
export function Jump({ id, className, children }: { id: string; className?: string; children: ReactNode }) {
  return (
    <a className={className} href={`${location.pathname}${location.search}#${id}`}>
      {children}
    </a>
  );
}

/** Says "loading" only after a while, so that quick answers do not flash. */
export function Waiting() {
  const t = useT();
  const [late, setLate] = useState(false);
  useEffect(() => {
    const id = setTimeout(() => setLate(true), 300);
    return () => clearTimeout(id);
  }, []);
  return <div className="waiting" aria-busy="true">{late ? <span className="faint">{t("loading")}</span> : null}</div>;
}

/** A field that filters; `/` jumps to the first one on the page. */
export function FilterBox({ value, onChange, placeholder, testid }: { value: string; onChange: (v: string) => void; placeholder: string; testid?: string }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  return (
    <span className="filter">
      <Icon name="search" size={14} />
      <input
        type="search"
        data-filter
        data-testid={testid}
        value={text}
        placeholder={placeholder}
        aria-label={placeholder}
        spellCheck={false}
        onChange={(e) => {
          setText(e.target.value);
          onChange(e.target.value);
        }}
      />
      <kbd aria-hidden="true">/</kbd>
    </span>
  );
}
