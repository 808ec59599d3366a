/** Who is told of alerts: the Alertmanager inside, and those of the configuration. */
import { useQuery } from "@tanstack/react-query";
import { api } from "../api/client";
import { useT } from "../i18n";
import { Ago, CopyButton, ErrorBox, Waiting } from "../parts/parts";
import { useView } from "../view";
import { Cluster } from "./Cluster";

export default function Alertmanagers() {
  const t = useT();
  const { every } = useView();
  const list = useQuery({ queryKey: ["alertmanagers"], queryFn: ({ signal }) => api.alertmanagers(signal), refetchInterval: every });
  const am = useQuery({ queryKey: ["am-status"], queryFn: ({ signal }) => api.amStatus(signal), refetchInterval: every, retry: 0 });
  const data = list.data?.data;
  return (
    <div className="page" data-testid="page-alertmanagers">
      <h1 className="offscreen">{t("alertmanager")}</h1>
      <section className="section" aria-label={t("alertsGoTo")}>
        <h2>{t("alertsGoTo")}</h2>
        {list.error ? <ErrorBox error={list.error} /> : null}
        {data === undefined ? (list.error ? null : <Waiting />) : <Endpoints urls={data.activeAlertmanagers.map((x) => x.url)} />}
        {data && data.droppedAlertmanagers.length > 0 ? (
          <>
            <h3>{t("droppedWord")}</h3>
            <Endpoints urls={data.droppedAlertmanagers.map((x) => x.url)} />
          </>
        ) : null}
      </section>
      <section className="section" aria-label={t("amInside")}>
        <h2>{t("amInside")}</h2>
        {am.error ? <ErrorBox error={am.error} title={t("errAlertmanager")} /> : null}
        {am.data ? (
          <>
            <table className="tbl kv"><tbody>
              <tr><th scope="row">{t("version")}</th><td>{am.data.versionInfo.version ?? "–"}</td></tr>
              <tr><th scope="row">{t("since")}</th><td><Ago at={Date.parse(am.data.uptime)} /></td></tr>
            </tbody></table>
            <h3>{t("cluster")}</h3>
            <Cluster of={am.data.cluster} />
            {am.data.config.original.trim() === "" ? null : (
              <>
                <h3>{t("configuration")}</h3>
                <div className="code tall"><pre>{am.data.config.original}</pre><CopyButton text={am.data.config.original} /></div>
              </>
            )}
          </>
        ) : null}
      </section>
    </div>
  );
}

function Endpoints({ urls }: { urls: readonly string[] }) {
  const t = useT();
  if (urls.length === 0) return <p className="note">{t("nothingYet")}</p>;
  return (
    <table className="tbl">
      <tbody>{urls.map((u) => <tr key={u}><td className="mono wrap">{u}</td><td className="actions"><CopyButton text={u} /></td></tr>)}</tbody>
    </table>
  );
}
