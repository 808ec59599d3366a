/** The flags this server runs with. */
import { useQuery } from "@tanstack/react-query";
import { api } from "../api/client";
import { useT } from "../i18n";
import { filterWords } from "../lib/targets";
import { CopyButton, Empty, ErrorBox, FilterBox, Waiting } from "../parts/parts";
import { useView } from "../view";

export default function Flags() {
  const t = useT();
  const view = useView();
  const { data, error } = useQuery({ queryKey: ["flags"], queryFn: ({ signal }) => api.flags(signal) });
  const filter = new URLSearchParams(view.search).get("q") ?? "";
  const words = filterWords(filter);
  const all = Object.entries(data?.data ?? {}).sort((a, b) => (a[0] < b[0] ? -1 : 1));
  const list = all.filter(([k, v]) => words.every((w) => `--${k}=${v}`.toLowerCase().includes(w)));
  return (
    <div className="page" data-testid="page-flags">
      <h1 className="offscreen">{t("flags")}</h1>
      <div className="toolbar">
        <FilterBox value={filter} onChange={(q) => view.set({ q }, true)} placeholder={t("filterFlags")} testid="filter-flags" />
      </div>
      {error ? <ErrorBox error={error} /> : null}
      {data === undefined ? (
        error ? null : <Waiting />
      ) : list.length === 0 ? (
        <Empty title={t("noMatch")}><button type="button" className="btn" onClick={() => view.set({ q: undefined }, true)}>{t("clearFilter")}</button></Empty>
      ) : (
        <table className="tbl kv flags" data-testid="flags">
          <tbody>
            {list.map(([k, v]) => (
              <tr key={k}>
                <th scope="row" className="mono">--{k}</th>
                <td className="mono wrap">{v === "" ? <span className="faint">–</span> : v}</td>
                <td className="actions"><CopyButton text={`--${k}=${v}`} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}
