/** Range and refresh of the page; both live in the URL. */
import { Popover } from "@mantine/core";
import { type FormEvent, useEffect, useState } from "react";
import { useT } from "../i18n";
import { RELATIVE_RANGES, REFRESHES, absoluteSpec, formatInstant, parseInstant, relativeLength, shiftRange, zoneName, zoomOut } from "../lib/time";
import { Icon } from "../parts/icons";
import { useView } from "../view";

export function TimeRange({ onRefresh }: { onRefresh: () => void }) {
  const t = useT();
  const view = useView();
  const [open, setOpen] = useState(false);
  const length = relativeLength(view.spec);
  const short = (ms: number) => formatInstant(ms, view.zone).slice(5, 16);
  const label = length === undefined ? `${short(view.range.from)} – ${short(view.range.to)}` : t("lastRange", { range: length });
  const now = Date.now();
  return (
    <div className="timerange">
      <button type="button" className="iconbtn wide-only" title={t("earlier")} aria-label={t("earlier")} onClick={() => view.setRange(absoluteSpec(shiftRange(view.range, -1, now)))}>
        <Icon name="left" />
      </button>
      <Popover opened={open} onChange={setOpen} position="bottom-end" shadow="none" trapFocus withinPortal>
        <Popover.Target>
          <button type="button" className="rangebtn" data-testid="range" onClick={() => setOpen(!open)} aria-expanded={open} title={`${formatInstant(view.range.from, view.zone)} – ${formatInstant(view.range.to, view.zone, true)}`}>
            <Icon name="clock" size={14} />
            <span>{label}</span>
            <span className="faint zone">{zoneName(view.range.to, view.zone)}</span>
          </button>
        </Popover.Target>
        <Popover.Dropdown>
          <RangeForm close={() => setOpen(false)} />
        </Popover.Dropdown>
      </Popover>
      <button type="button" className="iconbtn wide-only" title={t("later")} aria-label={t("later")} onClick={() => view.setRange(absoluteSpec(shiftRange(view.range, 1, now)))}>
        <Icon name="right" />
      </button>
      <button type="button" className="iconbtn" title={t("refreshNow")} aria-label={t("refreshNow")} data-testid="refresh" onClick={onRefresh}>
        <Icon name="refresh" />
      </button>
      <select className="select wide-only" aria-label={t("refreshEvery")} title={t("refreshEvery")} value={view.refresh} onChange={(e) => view.set({ refresh: e.target.value === "15s" ? undefined : e.target.value }, true)}>
        {REFRESHES.map((r) => (
          <option key={r} value={r}>
            {r === "off" ? t("off") : r}
          </option>
        ))}
      </select>
    </div>
  );
}

function RangeForm({ close }: { close: () => void }) {
  const t = useT();
  const view = useView();
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const [bad, setBad] = useState(false);
  useEffect(() => {
    const abs = (text: string, ms: number) => (text.startsWith("now") ? text : formatInstant(ms, view.zone));
    setFrom(abs(view.spec.from, view.range.from));
    setTo(abs(view.spec.to, view.range.to));
  }, [view.spec, view.zone]);
  const apply = (e: FormEvent) => {
    e.preventDefault();
    const now = Date.now();
    const a = parseInstant(from, now, view.zone);
    const b = parseInstant(to, now, view.zone);
    if (a === undefined || b === undefined || a >= b) {
      setBad(true);
      return;
    }
    const iso = (text: string, ms: number) => (text.trim().startsWith("now") ? text.trim() : new Date(ms).toISOString().replace(".000Z", "Z"));
    view.setRange({ from: iso(from, a), to: iso(to, b) });
    close();
  };
  return (
    <div className="rangeform">
      <div className="rangegrid">
        {RELATIVE_RANGES.map((r) => (
          <button type="button" key={r} className={`chip${view.spec.from === r && view.spec.to === "now" ? " on" : ""}`} data-testid={`range-${r}`} onClick={() => { view.setRange({ from: r, to: "now" }); close(); }}>
            {r.slice(4)}
          </button>
        ))}
      </div>
      <form onSubmit={apply}>
        <label>
          <span>{t("from")}</span>
          <input className="input mono" value={from} onChange={(e) => { setFrom(e.target.value); setBad(false); }} aria-invalid={bad} />
        </label>
        <label>
          <span>{t("to")}</span>
          <input className="input mono" value={to} onChange={(e) => { setTo(e.target.value); setBad(false); }} aria-invalid={bad} />
        </label>
        <p className={bad ? "st-critical" : "faint"}>{bad ? t("rangeBad") : t("rangeHelp", { zone: zoneName(view.range.to, view.zone) })}</p>
        <div className="rangebuttons">
          <button type="button" className="btn" onClick={() => view.setRange(absoluteSpec(zoomOut(view.range, Date.now())))}>{t("zoomOut")}</button>
          <button type="submit" className="btn primary">{t("apply")}</button>
        </div>
      </form>
    </div>
  );
}
