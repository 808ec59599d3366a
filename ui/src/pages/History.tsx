/** What happened to alerts, silences and messages: the newest first, filtered in the address. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { api } from "../api/client";
import type { HistoryEvent } from "../api/types";
import { type Key, useT } from "../i18n";
import { matcherText, matchersOf, parseMatchers } from "../lib/alerts";
import type { Labels } from "../lib/labels";
import { seriesName } from "../lib/labels";
import type { State } from "../lib/state";
import { humanDuration } from "../lib/time";
import { showText } from "../lib/units";
import { Ago, Empty, ErrorBox, FilterBox, Instant, StateMark, Waiting } from "../parts/parts";
import { useView } from "../view";

/** Events of one answer. */
const PAGE = 100;
/** Events of an alert's own history. */
const OF_ALERT = 30;

/** What each kind looks like, and its word. */
const KINDS: Readonly<Record<HistoryEvent["kind"], readonly [State, Key]>> = {
  firing: ["warning", "ev_firing"],
  firing_again: ["warning", "ev_firing_again"],
  resolved: ["ok", "ev_resolved"],
  expired: ["ok", "ev_expired"],
  silenced: ["silenced", "ev_silenced"],
  unsilenced: ["pending", "ev_unsilenced"],
  inhibited: ["silenced", "ev_inhibited"],
  uninhibited: ["pending", "ev_uninhibited"],
  dependency_held: ["silenced", "ev_dependency_held"],
  dependency_freed: ["pending", "ev_dependency_freed"],
  flapping: ["silenced", "ev_flapping"],
  stable: ["pending", "ev_stable"],
  success_awaited: ["pending", "ev_success_awaited"],
  host_away: ["silenced", "ev_host_away"],
  host_back: ["pending", "ev_host_back"],
  escalated: ["warning", "ev_escalated"],
  acknowledged: ["ok", "ev_acknowledged"],
  snoozed: ["silenced", "ev_snoozed"],
  given_back: ["pending", "ev_given_back"],
  muted: ["silenced", "ev_muted"],
  unmuted: ["pending", "ev_unmuted"],
  silence_made: ["silenced", "ev_silence_made"],
  silence_changed: ["silenced", "ev_silence_changed"],
  silence_ended: ["pending", "ev_silence_ended"],
  maintenance_begun: ["silenced", "ev_maintenance_begun"],
  maintenance_changed: ["silenced", "ev_maintenance_changed"],
  maintenance_ended: ["pending", "ev_maintenance_ended"],
  sent: ["ok", "ev_sent"],
  retry: ["warning", "ev_retry"],
  failed: ["critical", "ev_failed"],
  dropped: ["unknown", "ev_dropped"],
};

/** What people look for, as lists of kinds. */
const SETS: readonly (readonly [Key, string])[] = [
  ["histAll", ""],
  ["histAlerts", "firing,firing_again,resolved,expired"],
  ["histHeld", "acknowledged,snoozed,given_back,silenced,unsilenced,inhibited,uninhibited,dependency_held,dependency_freed,flapping,stable,success_awaited,host_away,host_back,muted,unmuted,silence_made,silence_changed,silence_ended,maintenance_begun,maintenance_changed,maintenance_ended"],
  ["histSent", "sent,escalated,retry,failed"],
  ["histFailed", "retry,failed,dropped"],
];

const SPANS = ["", "1h", "24h", "7d", "30d"] as const;

export default function History() {
  const t = useT();
  const view = useView();
  const params = new URLSearchParams(view.search);
  const [filter, kind, since] = [params.get("q") ?? "", params.get("kind") ?? "", params.get("since") ?? ""];
  const receiver = params.get("receiver") ?? "";
  const filters = useMemo(() => filtersOf(filter), [filter]);
  const bad = "error" in filters ? filters.error : undefined;
  return (
    <div className="page" data-testid="page-history">
      <h1 className="offscreen">{t("history")}</h1>
      <div className="toolbar">
        <span className="seg" role="group" aria-label={t("kind")}>
          {SETS.map(([word, kinds]) => (
            <button type="button" key={word} aria-pressed={kind === kinds} onClick={() => view.set({ kind: kinds === "" ? undefined : kinds }, true)} data-testid={`kind-${word}`}>{t(word)}</button>
          ))}
        </span>
        <select className="select" value={since} onChange={(e) => view.set({ since: e.target.value === "" ? undefined : e.target.value }, true)} aria-label={t("histSince")}>
          {SPANS.map((s) => <option key={s} value={s}>{s === "" ? t("histEver") : t("histLast", { span: s })}</option>)}
        </select>
        {receiver === "" ? null : (
          <button type="button" className="chip" onClick={() => view.set({ receiver: undefined }, true)} title={t("clearFilter")}>{t("receiver")}: {receiver} ×</button>
        )}
        <FilterBox value={filter} onChange={(q) => view.set({ q: q === "" ? undefined : q }, true)} placeholder={t("filterHistory")} testid="filter-history" />
      </div>
      {bad === undefined ? null : <p className="note st-warning">{t("badMatcher", { text: bad })}</p>}
      <Events filters={"list" in filters ? filters.list : []} kind={kind} since={since} receiver={receiver} limit={PAGE} pick={(k, v) => view.set({ q: `${filter === "" ? "" : `${filter}, `}${k}=${JSON.stringify(v)}` }, true)} />
    </div>
  );
}

/** A word alone is an alert's name, and so is a word that is not finished yet. */
function filtersOf(text: string): { list: string[] } | { error: string } {
  const trimmed = text.trim();
  if (trimmed === "") return { list: [] };
  if (/^[^=~!{},"\s]+$/.test(trimmed)) return { list: [`alertname=~${JSON.stringify(`.*(?i:${trimmed.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}).*`)}`] };
  const read = parseMatchers(trimmed);
  return "error" in read ? read : { list: read.matchers.map(matcherText) };
}

/** The history of one alert, among its details. */
export function AlertHistory({ labels }: { labels: Labels }) {
  const t = useT();
  return (
    <section className="section" aria-label={t("history")} data-testid="alert-history">
      <h3>{t("history")}</h3>
      <Events filters={matchersOf(labels).map(matcherText)} kind="" since="" receiver="" limit={OF_ALERT} own />
    </section>
  );
}

interface Asked {
  filters: readonly string[];
  kind: string;
  since: string;
  receiver: string;
  limit: number;
  /** Of one alert: what it is about is known. */
  own?: boolean;
  pick?: (name: string, value: string) => void;
}

function Events({ filters, kind, since, receiver, limit, own = false, pick }: Asked) {
  const t = useT();
  const { every } = useView();
  const found = useInfiniteQuery({
    queryKey: ["history", filters, kind, since, receiver, limit],
    queryFn: ({ signal, pageParam }) => api.history({ filters, kind, since, receiver, limit, cursor: pageParam }, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.next,
    refetchInterval: (q) => (every === false || (q.state.data?.pages.length ?? 0) > 1 ? false : Math.max(every, 10_000)),
    retry: 0,
  });
  const pages = found.data?.pages ?? [];
  const events = pages.flatMap((p) => p.events);
  const problem = pages[0]?.problem;
  const more = found.hasNextPage ? (
    <button type="button" className="btn" onClick={() => void found.fetchNextPage()} disabled={found.isFetchingNextPage} data-testid="older">{t("histOlder")}</button>
  ) : null;
  if (found.error) return <ErrorBox error={found.error} title={t("errHistory")} />;
  if (!found.isFetched) return <Waiting />;
  return (
    <>
      {problem === undefined ? null : <p className="note st-critical" role="alert">{t("histProblem", { why: problem })}</p>}
      {events.length === 0 ? (
        own ? <p className="note">{t("histNothingOfAlert")}</p> : <Empty title={t("histNothing")} why={filters.length > 0 || kind !== "" || since !== "" ? t("histNothingFound") : t("histNothingWhy")}>{more}</Empty>
      ) : (
        <>
          <table className="tbl cards events" data-testid="history-table">
            <thead>
              <tr>
                <th scope="col" className="c-time">{t("time")}</th>
                <th scope="col" className="c-event">{t("event")}</th>
                {own ? null : <th scope="col">{t("about")}</th>}
                <th scope="col">{t("details")}</th>
              </tr>
            </thead>
            <tbody>
              {events.map((e, i) => (
                <tr key={`${e.at}${e.kind}${i}`} data-testid="history-row" data-kind={e.kind} data-row tabIndex={0}>
                  <td className="c-time"><span className="phone-hide"><Instant at={Date.parse(e.at)} /></span><span className="phone-only faint"><Ago at={Date.parse(e.at)} /></span></td>
                  <td className="c-event"><StateMark state={KINDS[e.kind]?.[0] ?? "unknown"} word={KINDS[e.kind] ? t(KINDS[e.kind][1]) : e.kind} /></td>
                  {own ? null : <td className="wrap"><About of={e} pick={pick} /></td>}
                  <td className="wrap"><Detail of={e} /></td>
                </tr>
              ))}
            </tbody>
          </table>
          {more}
        </>
      )}
    </>
  );
}

function About({ of: e, pick }: { of: HistoryEvent; pick: ((name: string, value: string) => void) | undefined }) {
  if (e.silence) return <span className="mono">{e.silence.matchers.join(", ")}</span>;
  const labels = e.groupLabels ?? e.alerts?.[0]?.labels ?? {};
  const name = labels.alertname;
  const rest = seriesName(labels, ["alertname"]);
  const shown = name ?? (rest === "{}" ? (e.alerts?.[0]?.fingerprint ?? "") : "");
  return (
    <>
      {name !== undefined && pick ? <button type="button" className="linkbtn" onClick={() => pick("alertname", name)}><b>{name}</b></button> : <b>{shown}</b>}
      {rest === "{}" ? null : <span className="mono faint"> {rest}</span>}
    </>
  );
}

function Detail({ of: e }: { of: HistoryEvent }) {
  const t = useT();
  const by = (e.by ?? []).join(", ");
  switch (e.kind) {
    case "sent":
    case "retry":
    case "failed": {
      const counts = [e.alertsTotal ? t("histFiring", { n: e.alertsTotal }) : "", e.resolvedTotal ? t("histResolved", { n: e.resolvedTotal }) : ""].filter((x) => x !== "");
      return (
        <>
          <b>{e.receiver}</b> {e.integration}: {counts.join(", ")}, {e.reason}, {humanDuration(e.tookSeconds ?? 0)}
          {(e.attempt ?? 1) > 1 ? `, ${t("histAttempt", { n: e.attempt ?? 1 })}` : ""}
          {e.error === undefined ? null : <span className="st-critical mono"> {e.error}</span>}
        </>
      );
    }
    case "resolved":
    case "expired": {
      const lasted = Math.max(0, (Date.parse(e.endsAt ?? "") - Date.parse(e.startsAt ?? "")) / 1000);
      return <>{t("histAfter", { time: humanDuration(lasted) })}{e.peak === undefined ? "" : `, ${t("peak")} ${showText(e.peak, "short")}`}</>;
    }
    case "silence_made":
    case "silence_changed":
    case "silence_ended":
    case "maintenance_begun":
    case "maintenance_changed":
    case "maintenance_ended":
      return <>{by === "" ? null : <b>{by} </b>}{e.silence?.createdBy}: {e.silence?.comment} <span className="faint">{t("ends")} <Instant at={Date.parse(e.endsAt ?? "")} /></span></>;
    case "flapping":
    case "stable":
    case "success_awaited":
    case "host_away":
    case "host_back":
    case "escalated":
      return <b>{by}</b>;
    case "muted":
    case "unmuted":
      return <><b>{e.receiver}</b> {by}</>;
    case "dropped":
      return <>{t("histDropped", { n: e.count ?? 0 })}</>;
    default:
      return by === "" ? null : <span className="faint mono">{by}</span>;
  }
}
