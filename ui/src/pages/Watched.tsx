/** What routes with settings of ours watch: what counts, was issued, waits for its success; and the ignore rules. */
import { useQuery } from "@tanstack/react-query";
import { api } from "../api/client";
import type { WatchedAlert } from "../api/types";
import { useT } from "../i18n";
import { formatInstant, humanDuration } from "../lib/time";
import { Ago, StateMark } from "../parts/parts";
import { useView } from "../view";

/** Rows drawn; the API has them all. */
const SHOWN = 200;

export function Watched() {
  const t = useT();
  const { every } = useView();
  const watched = useQuery({ queryKey: ["watched"], queryFn: ({ signal }) => api.watched(signal), refetchInterval: every, retry: 0 });
  const rows = watched.data ?? [];
  if (rows.length === 0) return null;
  return (
    <section className="section" id="watched" aria-label={t("watched")}>
      <h2>{t("watched")} <span className="faint">{rows.length}</span></h2>
      <table className="tbl" data-testid="watched-table">
        <thead>
          <tr>
            <th scope="col" className="c-state">{t("state")}</th>
            <th scope="col">{t("alert")}</th>
            <th scope="col" className="phone-hide">{t("receiver")}</th>
            <th scope="col">{t("watchedWhy")}</th>
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, SHOWN).map((w) => (
            <tr key={`${w.route} ${w.fingerprint}`} data-testid="watched-row" data-state={w.state} data-row tabIndex={0}>
              <td><StateMark state={w.state === "issued" ? "warning" : w.state === "ignored" ? "silenced" : "pending"} word={t(`watch_${w.state}`)} /></td>
              <td><b>{w.labels.alertname ?? w.fingerprint}</b> <span className="mono faint">{w.host?.value ?? w.labels.instance ?? ""}</span></td>
              <td className="phone-hide" title={w.route}>{w.receiver}</td>
              <td className="wrap"><Why of={w} /></td>
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > SHOWN ? <p className="note">{t("watchedMore", { n: rows.length - SHOWN })}</p> : null}
    </section>
  );
}

function Why({ of: w }: { of: WatchedAlert }) {
  const t = useT();
  const { occurrences: o, ignoredBy: i } = w;
  if (i) return <>{i.owner}{i.reason === "" ? "" : `: ${i.reason}`} <span className="faint">{t("until", { time: formatInstant(Date.parse(i.endsAt)) })}</span></>;
  return (
    <>
      {o && w.state === "counting" ? <span>{t("watchSeen", { seen: o.seen, needed: o.needed, within: humanDuration(o.withinSeconds) })} </span> : null}
      {w.state === "waiting" ? <span>{t("watchWaiting")} </span> : null}
      {w.issuedAt ? <span>{t("watchIssued")} <Ago at={Date.parse(w.issuedAt)} />. </span> : null}
      {w.reissueAt && w.state === "issued" ? <span>{t("watchAgain")} <Ago at={Date.parse(w.reissueAt)} ahead />. </span> : null}
      {w.successAt && w.state === "clearing" ? <span>{t("watchSuccess")} <Ago at={Date.parse(w.successAt)} ahead />. </span> : null}
      {w.host && (w.state === "hostAway" || w.state === "clearing") ? <span>{t(w.host.state === "active" ? "watchHostActive" : w.host.state === "inactive" ? "watchHostAway" : "watchHostUnknown", { host: w.host.value })}</span> : null}
    </>
  );
}

/** Rules of the file by which nobody is told, with who answers for them. */
export function IgnoreRules() {
  const t = useT();
  const { every } = useView();
  const ignores = useQuery({ queryKey: ["ignores"], queryFn: ({ signal }) => api.ignores(signal), refetchInterval: every, retry: 0 });
  const list = ignores.data ?? [];
  if (list.length === 0) return null;
  return (
    <section className="section" id="ignores" aria-label={t("ignores")}>
      <h2>{t("ignores")} <span className="faint">{list.filter((i) => i.state === "active").length}</span></h2>
      <table className="tbl cards" data-testid="ignore-table">
        <thead>
          <tr>
            <th scope="col" className="c-state">{t("state")}</th>
            <th scope="col">{t("matchers")}</th>
            <th scope="col" className="r">{t("hides")}</th>
            <th scope="col">{t("owner")}</th>
            <th scope="col">{t("comment")}</th>
            <th scope="col" className="r">{t("ends")}</th>
          </tr>
        </thead>
        <tbody>
          {list.map((i) => (
            <tr key={`${i.route} ${i.matchers.join()} ${i.owner} ${i.endsAt}`} data-testid="ignore-row" data-row tabIndex={0}>
              <td className="c-state"><StateMark state={i.state === "active" ? "silenced" : "pending"} word={t(i.state === "active" ? "silActive" : "silExpired")} /></td>
              <td className="mono wrap" title={i.route}>{i.matchers.join(", ")}</td>
              <td className="r" data-label={t("hides")}>{i.state === "active" ? i.hides : ""}</td>
              <td data-label={t("owner")}>{i.owner}</td>
              <td className="wrap">{i.reason}</td>
              <td className="r c-time"><Ago at={Date.parse(i.endsAt)} ahead /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
