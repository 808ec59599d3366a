/** The configuration that is in force, secrets masked, and whether the last attempt to load it went well. */
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { api } from "../api/client";
import { useT } from "../i18n";
import { filterWords } from "../lib/targets";
import { Ago, CopyButton, ErrorBox, FilterBox, StateMark, Waiting } from "../parts/parts";
import { useView } from "../view";

export default function Config() {
  const t = useT();
  const view = useView();
  const config = useQuery({ queryKey: ["config"], queryFn: ({ signal }) => api.config(signal), refetchInterval: view.every });
  const runtime = useQuery({ queryKey: ["runtimeinfo"], queryFn: ({ signal }) => api.runtimeinfo(signal), refetchInterval: view.every });
  const filter = new URLSearchParams(view.search).get("q") ?? "";
  const yaml = config.data?.data.yaml ?? "";
  const lines = useMemo(() => yaml.replace(/\n$/, "").split("\n"), [yaml]);
  const words = filterWords(filter);
  const hits = words.length === 0 ? 0 : lines.filter((l) => isHit(l, words)).length;
  const loaded = runtime.data?.data.reloadConfigSuccess;
  return (
    <div className="page" data-testid="page-config">
      <h1 className="offscreen">{t("configuration")}</h1>
      <div className="toolbar">
        {loaded === undefined ? null : <StateMark state={loaded ? "ok" : "critical"} word={t(loaded ? "configTaken" : "configRefused")} />}
        {runtime.data ? <span className="faint">{t("configSince")} <Ago at={Date.parse(String(runtime.data.data.lastConfigTime))} /></span> : null}
        <span className="gap" />
        {words.length > 0 ? <span className="faint">{t("linesFound", { n: hits })}</span> : null}
        <FilterBox value={filter} onChange={(q) => view.set({ q }, true)} placeholder={t("findInConfig")} testid="find-config" />
        <CopyButton text={yaml} />
      </div>
      {loaded === false ? <p className="note">{t("configRefusedWhy")}</p> : null}
      {config.error ? <ErrorBox error={config.error} /> : null}
      {config.data === undefined ? (
        config.error ? null : <Waiting />
      ) : yaml.trim() === "" ? (
        <div className="code"><pre data-testid="config-yaml">{t("configEmpty")}</pre></div>
      ) : (
        <pre className="yaml" data-testid="config-yaml" tabIndex={0}>
          {lines.map((l, i) => <YamlLine key={i} line={l} hit={words.length > 0 && isHit(l, words)} />)}
        </pre>
      )}
    </div>
  );
}

function isHit(line: string, words: readonly string[]): boolean {
  const text = line.toLowerCase().replace(/"/g, "");
  return words.every((w) => text.includes(w));
}

/** A line with its key a little stronger. */
function YamlLine({ line, hit }: { line: string; hit: boolean }) {
  const key = /^(\s*(?:- )*)([\w.-]+:)((?: .*)?)$/.exec(line);
  return <span className={`yamlline${hit ? " hit" : ""}`}>{key ? <>{key[1]}<b>{key[2]}</b>{key[3]}</> : line}{"\n"}</span>;
}
