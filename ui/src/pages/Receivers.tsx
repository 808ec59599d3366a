/** Receivers: who is told, how the last attempt went, and a test for each. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { api } from "../api/client";
import type { ReceiverInfo, ReceiverTest } from "../api/types";
import { useT } from "../i18n";
import { matchesFilter } from "../lib/labels";
import { humanDuration } from "../lib/time";
import { Icon } from "../parts/icons";
import { Ago, Empty, ErrorBox, FilterBox, StateMark, Waiting } from "../parts/parts";
import { useLinkTo, useView } from "../view";

export default function Receivers() {
  const t = useT();
  const view = useView();
  const { every } = view;
  const list = useQuery({ queryKey: ["receivers"], queryFn: ({ signal }) => api.receivers(signal), refetchInterval: every, retry: 0 });
  const filter = new URLSearchParams(view.search).get("q") ?? "";
  const all = list.data ?? [];
  const shown = all.filter((r) => matchesFilter(filter, `${r.name} ${r.integrations.map((i) => i.name).join(" ")} ${r.routes.join(" ")}`));
  return (
    <div className="page" data-testid="page-receivers">
      <h1 className="offscreen">{t("receiversPage")}</h1>
      <div className="toolbar">
        <FilterBox value={filter} onChange={(q) => view.set({ q }, true)} placeholder={t("filterReceivers")} testid="filter-receivers" />
      </div>
      {list.error ? <ErrorBox error={list.error} title={t("errAlertmanager")} /> : null}
      {!list.isFetched ? (
        <Waiting />
      ) : shown.length === 0 ? (
        list.error ? null : <Empty title={t("noMatch")}><button type="button" className="btn" onClick={() => view.set({ q: undefined }, true)}>{t("clearFilter")}</button></Empty>
      ) : (
        shown.map((r) => <One key={r.name} receiver={r} />)
      )}
    </div>
  );
}

function One({ receiver: r }: { receiver: ReceiverInfo }) {
  const t = useT();
  const escalations = r.escalations ?? [];
  const to = useLinkTo();
  const client = useQueryClient();
  const [asked, setAsked] = useState(false);
  const [state, setState] = useState<{ busy?: boolean; tested?: ReceiverTest; error?: unknown }>({});
  const run = async () => {
    setAsked(false);
    setState({ busy: true });
    try {
      setState({ tested: await api.testReceiver(r.name) });
    } catch (error) {
      setState({ error });
    }
    void client.invalidateQueries({ queryKey: ["receivers"] });
  };
  return (
    <section className="section" aria-label={r.name} data-testid="receiver" data-name={r.name}>
      <h2 className="withaction">
        <span>{r.name} {r.integrations.length === 0 ? <span className="faint">{t("tellsNobody")}</span> : null}</span>
        <span className="gap" />
        <Link className="textlink small" href={`${to("/history")}?receiver=${encodeURIComponent(r.name)}`}>{t("history")}</Link>
        {r.integrations.length === 0 ? null : asked ? (
          <>
            <button type="button" className="btn small primary" onClick={() => void run()} data-testid="test-really" autoFocus>{t("testReally", { n: r.integrations.length })}</button>
            <button type="button" className="btn small" onClick={() => setAsked(false)}>{t("cancel")}</button>
          </>
        ) : (
          <button type="button" className="btn small" disabled={state.busy} onClick={() => setAsked(true)} data-testid="test-receiver">{state.busy ? t("testing") : t("sendTest")}</button>
        )}
      </h2>
      <p className="note">{r.routes.length + escalations.length === 0 ? t("noRouteLeads") : r.routes.length === 0 ? null : <>{t("routesHere")} {r.routes.map((key) => <code key={key} className="mono">{key} </code>)}</>}</p>
      {escalations.length === 0 ? null : <p className="note">{t("escalationsHere")} {escalations.map((key) => <code key={key} className="mono">{key} </code>)}</p>}
      {r.integrations.length === 0 ? null : (
        <table className="tbl cards receivers">
          <thead>
            <tr>
              <th scope="col">{t("integration")}</th>
              <th scope="col" className="c-event">{t("lastMessage")}</th>
              <th scope="col">{t("details")}</th>
              <th scope="col" className="r">{t("tellsEnds")}</th>
            </tr>
          </thead>
          <tbody>
            {r.integrations.map((i) => (
              <tr key={`${i.name}${i.index}`} data-row tabIndex={0}>
                <td className="c-name">{i.name}{r.integrations.filter((x) => x.name === i.name).length > 1 ? ` ${i.index + 1}` : ""}</td>
                <td className="c-event">{i.last ? <StateMark state={i.last.isDelivered ? "ok" : "critical"} word={t(i.last.isDelivered ? "delivered" : "notDelivered")} /> : <span className="faint">{t("nothingYet")}</span>}</td>
                <td className="wrap">{i.last ? <><Ago at={Date.parse(i.last.at)} />, {humanDuration(i.last.tookSeconds)} {i.last.error ? <span className="mono st-critical">{i.last.error}</span> : null}</> : null}</td>
                <td className="r" data-label={t("tellsEnds")}>{t(i.sendResolved ? "yes" : "no")}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {state.error ? <ErrorBox error={state.error} title={t("errTest")} /> : null}
      {state.tested ? <Tested of={state.tested} close={() => setState({})} /> : null}
    </section>
  );
}

function Tested({ of: tested, close }: { of: ReceiverTest; close: () => void }) {
  const t = useT();
  return (
    <div className="panel" data-testid="test-result" role="status">
      <h3 className="withaction"><span>{t("testResult")} <span className="faint">{tested.labels.alertname}</span></span><span className="gap" /><button type="button" className="iconbtn" onClick={close} aria-label={t("close")}><Icon name="close" size={14} /></button></h3>
      {tested.integrations.flatMap((i) =>
        i.messages.map((m) => (
          <details key={`${i.name}${i.index}${m.status}`}>
            <summary>
              <StateMark state={m.isDelivered ? "ok" : "critical"} word={t(m.isDelivered ? "delivered" : "notDelivered")} /> <b>{i.name}</b> {t(m.status === "firing" ? "ev_firing" : "ev_resolved")}, {humanDuration(m.tookSeconds)}
              {m.error ? <span className="mono st-critical"> {m.error}</span> : null}
              {m.exchanges.map((x, n) => <span key={n} className="mono faint"> {x.to} → {x.status ?? t("noAnswer")} {(x.answer ?? "").slice(0, 80)}</span>)}
            </summary>
            {m.exchanges.map((x, n) => <pre key={n} className="sent">{x.sent}</pre>)}
          </details>
        )),
      )}
      <p className="note">{t("testNote")}</p>
    </div>
  );
}
