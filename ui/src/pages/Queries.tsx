/** What the query engine works on now, what it has cost so far, and a way to stop it. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "wouter";
import { api } from "../api/client";
import type { RunningQuery } from "../api/types";
import { useT } from "../i18n";
import { exploreLink } from "../lib/urlstate";
import { Ago, ErrorBox, Num } from "../parts/parts";
import { toast } from "../state";
import { useView } from "../view";

/** Queries come and go: looked at more often than the rest of the page, in ms. Not while nobody sees it. */
const LOOK_EVERY = 2000;

export default function Queries() {
  const t = useT();
  const { search } = useView();
  const client = useQueryClient();
  const queries = useQuery({ queryKey: ["queries"], queryFn: ({ signal }) => api.queries(signal), refetchInterval: LOOK_EVERY });
  const list = queries.data?.data.queries ?? [];
  const cancel = async (query: RunningQuery) => {
    try {
      await api.cancelQuery(query.id);
      toast(t("queryCanceled"));
    } catch (e) {
      toast(e instanceof Error ? e.message : String(e), { bad: true });
    }
    void client.invalidateQueries({ queryKey: ["queries"] });
  };
  return (
    <section className="section" id="queries" aria-label={t("queries")} data-testid="queries">
      <h2>{t("queries")}</h2>
      {queries.error ? <ErrorBox error={queries.error} /> : null}
      {queries.data !== undefined && list.length === 0 ? <p className="note">{t("noQueries")}</p> : null}
      {list.length > 0 ? (
        <div className="scrollx">
          <table className="tbl queries">
            <thead>
              <tr>
                <th scope="col">{t("query")}</th>
                <th scope="col" className="phone-hide">{t("askedBy")}</th>
                <th scope="col" className="r">{t("since")}</th>
                <th scope="col" className="r phone-hide">{t("samplesRead")}</th>
                <th scope="col" className="r phone-hide">{t("memory")}</th>
                <th scope="col" />
              </tr>
            </thead>
            <tbody>
              {list.map((query) => (
                <tr key={query.id} data-testid="query-row">
                  <td className="mono wrap"><Link className="textlink" href={exploreLink(query.query, search, query.kind === "range" ? "graph" : "table")}>{query.query}</Link></td>
                  <td className="phone-hide" title={query.userAgent ?? query.ruleGroup?.file}>{query.ruleGroup?.name ?? query.client ?? "–"}</td>
                  <td className="r"><Ago at={Date.parse(query.startedAt)} /></td>
                  <td className="r phone-hide"><Num value={query.samplesRead} unit="none" decimals={0} /></td>
                  <td className="r phone-hide"><Num value={query.memoryBytes} unit="bytes" /></td>
                  <td className="r">{query.state === "canceled" ? <span className="faint">{t("queryCanceled")}</span> : <button type="button" className="btn small" data-testid="stop-query" onClick={() => void cancel(query)}>{t("stop")}</button>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : null}
    </section>
  );
}
