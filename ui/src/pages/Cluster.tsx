/** The managers that work together, as this one sees them: who is there, and which one answers here. */
import type { AmStatus } from "../api/types";
import { useT } from "../i18n";
import { StateMark } from "../parts/parts";

export function Cluster({ of: { status, name, peers = [] } }: { of: AmStatus["cluster"] }) {
  const t = useT();
  if (status === "disabled") return <p className="note">{t("clusterAlone")}</p>;
  return (
    <>
      <p><StateMark state={status === "ready" ? "ok" : "pending"} word={t(status === "ready" ? "clusterReady" : "clusterSettling")} /> <span className="faint">{t("clusterMembers", { n: peers.length })}</span></p>
      <table className="tbl" data-testid="cluster-table">
        <thead><tr><th scope="col">{t("peerName")}</th><th scope="col">{t("peerAddress")}</th><th scope="col"><span className="offscreen">{t("details")}</span></th></tr></thead>
        <tbody>
          {peers.map((p) => (
            <tr key={p.name} data-testid="cluster-member">
              <td>{p.name}</td>
              <td className="mono">{p.address}</td>
              <td className="faint">{p.name === name ? t("thisManager") : null}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
