/** Maintenance windows: quiet that is planned, with what it hides, when it comes and who answers for it. */
import { useQuery } from "@tanstack/react-query";
import { Fragment, type MouseEvent, useState } from "react";
import { api } from "../api/client";
import { useMaintenance } from "../api/hooks";
import type { MaintenanceWindow, NewWindow } from "../api/types";
import { type Key, type T, useT } from "../i18n";
import { matcherText } from "../lib/alerts";
import { matchesFilter } from "../lib/labels";
import { choiceOf, monthdayOf, nthKey, weekdayOf } from "../lib/recurrence";
import { Icon } from "../parts/icons";
import { Ago, Empty, ErrorBox, FilterBox, StateMark, Waiting } from "../parts/parts";
import { settings, toast, useStore } from "../state";
import { useView } from "../view";
import { MaintenanceForm, Previewed, minuteOf, useAgain } from "./MaintenanceForm";

const WORD: Readonly<Record<MaintenanceWindow["state"], Key>> = { active: "winActive", waiting: "winWaiting", over: "winOver" };

export default function Maintenance() {
  const t = useT();
  const view = useView();
  const list = useMaintenance();
  const params = new URLSearchParams(view.search);
  const filter = params.get("q") ?? "";
  const edited = params.get("window");
  const windows = list.data ?? [];
  const shown = windows.filter((w) => matchesFilter(filter, `${w.name} ${w.owner} ${w.reason} ${w.matchers.map(matcherText).join(" ")}`));
  const edit = (id: string | undefined) => view.set({ window: id }, true);
  const initial = windows.find((w) => w.id === edited);
  return (
    <div className="page" data-testid="page-maintenance">
      <h1 className="offscreen">{t("maintenance")}</h1>
      <div className="toolbar">
        {windows.length > 0 ? <FilterBox value={filter} onChange={(q) => view.set({ q }, true)} placeholder={t("filterWindows")} testid="filter-windows" /> : null}
        <span className="gap" />
        <button type="button" className="btn" onClick={() => edit("new")} data-testid="new-window">
          <Icon name="plus" size={14} /> {t("newWindow")}
        </button>
      </div>
      {list.error ? <ErrorBox error={list.error} title={t("errAlertmanager")} /> : null}
      {list.data === undefined ? (
        list.error ? null : <Waiting />
      ) : windows.length === 0 ? (
        <Empty title={t("noWindows")} why={t("noWindowsWhy")} code={"hinomi maintenance add --name 'db backup' --matcher 'job=\"db\"' \\\n  --start 2026-11-22T02:00 --duration 90m --recurrence FREQ=DAILY \\\n  --time-zone Asia/Tokyo --reason 'disk copy'"} />
      ) : shown.length === 0 ? (
        <Empty title={t("noMatch")}><button type="button" className="btn" onClick={() => view.set({ q: undefined }, true)}>{t("clearFilter")}</button></Empty>
      ) : (
        <Windows list={shown} edit={edit} />
      )}
      {edited === "new" || initial !== undefined ? <MaintenanceForm key={edited} initial={initial} onClose={() => edit(undefined)} /> : null}
    </div>
  );
}

function Windows({ list, edit }: { list: readonly MaintenanceWindow[]; edit: (id: string) => void }) {
  const t = useT();
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const flip = (id: string) => {
    const next = new Set(open);
    if (!next.delete(id)) next.add(id);
    setOpen(next);
  };
  const inside = (e: MouseEvent) => (e.target as HTMLElement).closest("a,button") !== null || (getSelection()?.toString() ?? "") !== "";
  return (
    <table className="tbl cards" role="treegrid" data-testid="window-table">
      <thead>
        <tr>
          <th scope="col" className="c-state">{t("state")}</th>
          <th scope="col">{t("window")}</th>
          <th scope="col">{t("repeats")}</th>
          <th scope="col">{t("windowNext")}</th>
          <th scope="col" className="r">{t("hides")}</th>
          <th scope="col">{t("owner")}</th>
          <th scope="col" className="actions"><span className="offscreen">{t("actions")}</span></th>
        </tr>
      </thead>
      <tbody>
        {list.map((w) => (
          <Fragment key={w.id}>
            <tr className="clickable" data-testid="window-row" data-state={w.state} data-row tabIndex={0} aria-expanded={open.has(w.id)} onClick={(e) => inside(e) || flip(w.id)} onKeyDown={(e) => e.key === "Enter" && e.target === e.currentTarget && flip(w.id)}>
              <td className="c-state"><StateMark state={w.state === "active" ? "silenced" : "pending"} word={t(WORD[w.state])} /></td>
              <td className="wrap">
                <b>{w.name}</b> {w.origin === "file" ? <span className="faint" title={t("ofFileWhy")}>{t("ofFile")}</span> : null}
              </td>
              <td className="wrap">{repeatWords(w, t)}</td>
              <td className="c-time"><Next of={w} /></td>
              <td className="r" data-label={t("hides")}>{w.matchedAlerts === 0 ? <span className="faint" title={t("hidesNothing")}>0</span> : w.matchedAlerts}</td>
              <td data-label={t("owner")}>{w.owner}</td>
              <td className="actions">
                <Actions of={w} edit={edit} />
                <button type="button" className="offscreen" data-key="x" tabIndex={-1} onClick={() => flip(w.id)}>{t("details")}</button>
              </td>
            </tr>
            {open.has(w.id) ? <tr className="detailrow"><td colSpan={7}><Details of={w} edit={edit} /></td></tr> : null}
          </Fragment>
        ))}
      </tbody>
    </table>
  );
}

function Next({ of: w }: { of: MaintenanceWindow }) {
  const t = useT();
  const { zone } = useStore(settings);
  const first = w.runs[0];
  if (first === undefined) return <span className="faint">{t("noRunLeft")}</span>;
  if (w.state === "active") return <>{t("until", { time: minuteOf(first.endsAt, zone) })}</>;
  return <Ago at={Date.parse(first.startsAt)} ahead />;
}

/** A rule in words where it is one of the simple ones; else as it is written. */
function repeatWords(w: NewWindow, t: T): string {
  const { repeat, days } = choiceOf(w.recurrence, w.start);
  switch (repeat) {
    case "weekly":
      return t("repeat_weekly_on", { days: days.map((d) => t(`day_${d}`)).join(", ") });
    case "monthday":
      return t("repeat_monthday", { n: monthdayOf(w.start) });
    case "monthweek":
      return t("repeat_monthweek", { nth: t(nthKey(w.start)), day: t(`day_${weekdayOf(w.start)}`) });
    case "custom":
      return w.recurrence;
    default:
      return t(`repeat_${repeat}`);
  }
}

function bare(w: MaintenanceWindow): NewWindow {
  const { name, matchers, start, duration, recurrence, except, timeZone, owner, reason } = w;
  return { name, matchers, start, duration, recurrence, except, timeZone, owner, reason };
}

function Actions({ of: w, edit }: { of: MaintenanceWindow; edit: (id: string) => void }) {
  const t = useT();
  const again = useAgain();
  const bad = (e: unknown) => toast(e instanceof Error ? e.message : String(e), { bad: true });
  const end = () =>
    void api
      .endWindow(w.id)
      .then((now) => toast(t(now.runs.length > 0 ? "windowEnded" : "windowEndedLast", { name: w.name })), bad)
      .finally(again);
  return (
    <>
      {w.state === "active" ? <button type="button" className="btn small" data-testid="end-window" onClick={end}>{t("endNow")}</button> : null}
      {w.origin === "api" ? <button type="button" className={`btn small${w.state === "active" ? " phone-hide" : ""}`} data-testid="change-window" onClick={() => edit(w.id)}>{t("change")}</button> : null}
    </>
  );
}

function Details({ of: w, edit }: { of: MaintenanceWindow; edit: (id: string) => void }) {
  const t = useT();
  const again = useAgain();
  const { every } = useView();
  // What is deleted is not asked about any more.
  const [gone, setGone] = useState(false);
  const preview = useQuery({ queryKey: ["window-preview", w.id, w.matchers], queryFn: ({ signal }) => api.windowPreview(w.id, signal), refetchInterval: every, retry: 0, enabled: !gone });
  const bad = (e: unknown) => toast(e instanceof Error ? e.message : String(e), { bad: true });
  const remove = () => {
    setGone(true);
    void api
      .deleteWindow(w.id)
      .then(
        () =>
          toast(t("windowDeleted", { name: w.name }), {
            action: { label: t("undo"), run: () => void api.createWindow(bare(w)).then(() => toast(t("windowBack", { name: w.name })), bad).finally(again) },
          }),
        (e: unknown) => {
          setGone(false);
          bad(e);
        },
      )
      .finally(again);
  };
  return (
    <div data-testid="window-details">
      <dl className="facts">
        <div className="wide"><dt>{t("windowWhy")}</dt><dd>{w.reason}</dd></div>
        <div className="wide"><dt>{t("matchers")}</dt><dd className="mono wrap">{w.matchers.map(matcherText).join(", ")}</dd></div>
        <div><dt>{t("startsAt")}</dt><dd className="mono">{w.start.replace("T", " ")} {w.timeZone}</dd></div>
        <div><dt>{t("duration")}</dt><dd>{w.duration}</dd></div>
        {w.recurrence === "" ? null : <div><dt>{t("rrule")}</dt><dd className="mono wrap">{w.recurrence}</dd></div>}
        {w.except.length === 0 ? null : <div className="wide"><dt>{t("except")}</dt><dd className="mono wrap">{w.except.join(", ")}</dd></div>}
        <div><dt>{t("owner")}</dt><dd>{w.owner}</dd></div>
      </dl>
      {preview.error ? <ErrorBox error={preview.error} /> : null}
      <Previewed runs={w.runs} preview={preview.data} />
      {w.origin === "api" ? (
        <div className="formend">
          <span className="phone-only"><button type="button" className="btn small" onClick={() => edit(w.id)}>{t("change")}</button></span>
          <button type="button" className="btn small" data-testid="delete-window" onClick={remove}>{t("delete")}</button>
        </div>
      ) : <p className="faint">{t("ofFileWhy")}</p>}
    </div>
  );
}
