/** Silences, and the ignore rules of the file: what keeps alerts quiet, who says so and until when. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../api/client";
import { useAlertRows, useSilences } from "../api/hooks";
import type { AmSilence } from "../api/types";
import { useT } from "../i18n";
import { type AlertRow, matcherText } from "../lib/alerts";
import { matchesFilter } from "../lib/labels";
import { Icon } from "../parts/icons";
import { Ago, Empty, ErrorBox, FilterBox, StateMark, Waiting } from "../parts/parts";
import { toast } from "../state";
import { useView } from "../view";
import { BLANK, SilenceForm } from "./SilenceForm";
import { IgnoreRules } from "./Watched";

/** Silences that are over, drawn on request; the API has them all. */
const OVER_SHOWN = 50;

export default function Silences() {
  const t = useT();
  const view = useView();
  const { rows } = useAlertRows();
  const silences = useSilences();
  const params = new URLSearchParams(view.search);
  const filter = params.get("q") ?? "";
  const text = params.get("silence");
  return (
    <div className="page" data-testid="page-silences">
      <h1 className="offscreen">{t("silences")}</h1>
      <div className="toolbar">
        <FilterBox value={filter} onChange={(q) => view.set({ q }, true)} placeholder={t("filterSilences")} testid="filter-silences" />
        <span className="gap" />
        <button type="button" className="btn" onClick={() => view.set({ silence: BLANK })} data-testid="new-silence">
          <Icon name="silence" size={14} /> {t("newSilence")}
        </button>
      </div>
      <SilenceList silences={silences.data} error={silences.error} filter={filter} rows={rows} edit={(again) => view.set({ silence: again })} />
      <IgnoreRules />
      {text === null ? null : <SilenceForm initial={text} onClose={() => view.set({ silence: undefined }, true)} />}
    </div>
  );
}

function SilenceList({ silences, error, filter, rows, edit }: { silences: readonly AmSilence[] | undefined; error: unknown; filter: string; rows: readonly AlertRow[]; edit: (text: string) => void }) {
  const t = useT();
  const client = useQueryClient();
  const [old, setOld] = useState(false);
  const wanted = (silences ?? []).filter((s) => matchesFilter(filter, `${s.matchers.map(matcherText).join(" ")} ${s.createdBy} ${s.comment} ${s.id}`));
  const live = wanted.filter((s) => s.status.state !== "expired").sort((a, b) => Date.parse(a.endsAt) - Date.parse(b.endsAt));
  const gone = wanted.filter((s) => s.status.state === "expired").sort((a, b) => Date.parse(b.endsAt) - Date.parse(a.endsAt)).slice(0, OVER_SHOWN);
  const list = old ? [...live, ...gone] : live;
  const again = () => {
    void client.invalidateQueries({ queryKey: ["silences"] });
    void client.invalidateQueries({ queryKey: ["am-alerts"] });
  };
  const expire = async (s: AmSilence) => {
    try {
      await api.expireSilence(s.id);
      toast(t("silenceExpired"), {
        action: {
          label: t("undo"),
          run: () =>
            void api
              .createSilence({ matchers: s.matchers, startsAt: new Date().toISOString(), endsAt: s.endsAt, createdBy: s.createdBy, comment: s.comment })
              .then(() => toast(t("silenceBack")), (e: unknown) => toast(e instanceof Error ? e.message : String(e), { bad: true }))
              .finally(again),
        },
      });
    } catch (e) {
      toast(e instanceof Error ? e.message : String(e), { bad: true });
    }
    again();
  };
  const hides = (s: AmSilence) => rows.filter((r) => r.silencedBy.includes(s.id)).length;
  return (
    <section aria-label={t("silences")}>
      {error ? <ErrorBox error={error} title={t("silencesUnavailable")} /> : null}
      {silences === undefined ? (
        error ? null : <Waiting />
      ) : list.length === 0 ? (
        wanted.length < (silences ?? []).length && filter !== "" ? <Empty title={t("noMatch")} why={t("noMatchSilences", { n: silences.length })} /> : <Empty title={t("noSilencesTitle")} why={t("noSilences")} />
      ) : (
        <table className="tbl cards" data-testid="silence-table">
          <thead>
            <tr>
              <th scope="col" className="c-state">{t("state")}</th>
              <th scope="col">{t("matchers")}</th>
              <th scope="col" className="r">{t("hides")}</th>
              <th scope="col">{t("by")}</th>
              <th scope="col">{t("comment")}</th>
              <th scope="col" className="r">{t("ends")}</th>
              <th scope="col" className="actions"><span className="offscreen">{t("actions")}</span></th>
            </tr>
          </thead>
          <tbody>
            {list.map((s) => (
              <tr key={s.id} data-testid="silence-row" data-state={s.status.state} data-row tabIndex={0}>
                <td className="c-state"><StateMark state={s.status.state === "pending" ? "pending" : "silenced"} word={t(s.status.state === "active" ? "silActive" : s.status.state === "pending" ? "silPending" : "silExpired")} /></td>
                <td className="mono wrap">{s.matchers.map(matcherText).join(", ")}</td>
                <td className="r" data-label={t("hides")}>{s.status.state === "active" && hides(s) === 0 ? <span className="faint" title={t("hidesNothing")}>0</span> : s.status.state === "expired" ? "" : hides(s)}</td>
                <td data-label={t("by")}>{s.createdBy}</td>
                <td className="wrap">{s.comment}</td>
                <td className="r c-time"><Ago at={Date.parse(s.endsAt)} ahead /></td>
                <td className="actions">
                  {s.status.state === "expired" ? (
                    <button type="button" className="btn small" onClick={() => edit(s.matchers.map(matcherText).join(", "))}>{t("again")}</button>
                  ) : (
                    <button type="button" className="btn small" data-testid="expire-silence" onClick={() => void expire(s)}>{t("expire")}</button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {gone.length > 0 ? <button type="button" className="textbtn" onClick={() => setOld(!old)}>{old ? t("hideExpired") : t("showExpired", { n: gone.length })}</button> : null}
    </section>
  );
}
