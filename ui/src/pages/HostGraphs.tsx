/** Graphs of one host: the single graph of the Host page, and the few that stand on the Overview while one host is all there is. */
import { useMemo } from "react";
import { Link } from "wouter";
import { useInstant, useScrapeInterval } from "../api/hooks";
import { GraphPanel } from "../chart/GraphPanel";
import type { Span } from "../chart/data";
import { type Key, useT } from "../i18n";
import { type GraphDef, KEY_GRAPHS, hostSections, instanceSelector } from "../promql/host";
import { useLinkTo } from "../view";
import { hostPath } from "./Overview";
import { sampleValue, vector } from "./hosts";

export function HostGraph({ def, scrape, spans }: { def: GraphDef; scrape: number; spans: readonly Span[] }) {
  const t = useT();
  const limit = useInstant(def.thresholdExpr ?? "", undefined, def.thresholdExpr !== undefined);
  const value = sampleValue(vector(limit.data?.data)[0]);
  const thresholds = useMemo(() => (def.threshold && value !== undefined ? [{ value, name: t(def.threshold.key, { n: value }) }] : []), [def.threshold?.key, value, t]);
  return <GraphPanel title={t(`graph_${def.id}` as Key)} queries={def.queries} unit={def.unit} stacked={def.stacked ?? false} order={def.order} max={def.max} thresholds={thresholds} spans={spans} scrape={scrape} />;
}

const NO_SPANS: readonly Span[] = [];

/** The six graphs one looks at first, with the way to all others. */
export default function KeyGraphs({ instance }: { instance: string }) {
  const t = useT();
  const to = useLinkTo();
  const scrape = useScrapeInterval(instance);
  const graphs = useMemo(() => hostSections(instanceSelector(instance)).flatMap((s) => s.graphs).filter((g) => KEY_GRAPHS.includes(g.id)), [instance]);
  return (
    <section className="section keygraphs" aria-label={instance}>
      <h2>
        {instance} <Link className="textlink" href={to(hostPath(instance))}>{t("allGraphs")}</Link>
      </h2>
      <div className="graphs">
        {graphs.map((g) => (
          <HostGraph key={g.id} def={g} scrape={scrape} spans={NO_SPANS} />
        ))}
      </div>
    </section>
  );
}
