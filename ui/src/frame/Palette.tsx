/** Ctrl-K: pages, hosts and metrics in one list. Loaded when first opened. */
import { useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import { useLocation } from "wouter";
import { useSearch } from "wouter/use-browser-location";
import { STORELESS, api } from "../api/client";
import { type Key, useT } from "../i18n";
import { matchesFilter, natural } from "../lib/labels";
import { exploreLink } from "../lib/urlstate";
import { Dialog } from "../parts/Dialog";
import { Icon } from "../parts/icons";
import { useLinkTo } from "../view";
import { PAGES, isAt } from "./pages";

interface Item {
  kind: Key;
  text: string;
  detail: string;
  href: string;
}

const SHOWN = 50;

export default function Palette({ onClose }: { onClose: () => void }) {
  const t = useT();
  const [, navigate] = useLocation();
  const search = useSearch();
  const to = useLinkTo();
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const hosts = useQuery({ queryKey: ["palette-hosts"], queryFn: ({ signal }) => api.query("group by (instance, nodename) (node_uname_info) or group by (instance) (up)", undefined, signal), staleTime: 30_000, enabled: !STORELESS });
  const metrics = useQuery({ queryKey: ["metric-names"], queryFn: ({ signal }) => api.labelValues("__name__", undefined, signal), staleTime: 60_000, enabled: !STORELESS });
  const meta = useQuery({ queryKey: ["metadata"], queryFn: ({ signal }) => api.metadata(signal), staleTime: 300_000, enabled: !STORELESS });

  const items = useMemo<Item[]>(() => {
    const pages: Item[] = (
      [["navOverview", "/"], ["navExplore", "/explore"], ["navAlerts", "/alerts"], ["silences", "/silences"], ["rules", "/rules"], ["history", "/history"], ["receiversPage", "/receivers"], ["routeTree", "/routes"], ["navTargets", "/targets"], ["discovery", "/service-discovery"], ["navStatus", "/status"], ["queries", "/status#queries"], ["tsdb", "/tsdb-status"], ["configuration", "/config"], ["flags", "/flags"], ["alertmanager", "/alertmanager-discovery"]] as const
    ).filter(([, path]) => !STORELESS || PAGES.some((p) => isAt(path.replace(/#.*/, ""), p))).map(([word, path]) => ({ kind: "page", text: t(word), detail: path, href: to(path) }));
    const seen = new Map<string, string>();
    const result = hosts.data?.data.resultType === "vector" ? hosts.data.data.result : [];
    for (const s of result) {
      const i = s.metric.instance;
      if (i !== undefined && (s.metric.nodename || !seen.has(i))) seen.set(i, s.metric.nodename ?? "");
    }
    const hostItems: Item[] = [...seen].sort((a, b) => natural(a[0], b[0])).map(([i, name]) => ({ kind: "host", text: i, detail: name, href: to(`/hosts/${encodeURIComponent(i)}`) }));
    const metricItems: Item[] = (metrics.data?.data ?? []).map((m) => ({ kind: "metric", text: m, detail: meta.data?.data[m]?.[0]?.help ?? "", href: exploreLink(m, search) }));
    return [...pages, ...hostItems, ...metricItems];
  }, [hosts.data, metrics.data, meta.data, t, to, search]);

  const found = useMemo(() => {
    const hits = items.filter((i) => matchesFilter(text, `${i.text} ${i.kind === "metric" ? "" : i.detail}`));
    const q = text.toLowerCase();
    if (q !== "") hits.sort((a, b) => Number(b.text.toLowerCase().startsWith(q)) - Number(a.text.toLowerCase().startsWith(q)));
    return hits.slice(0, SHOWN);
  }, [items, text]);
  const chosen = Math.min(at, found.length - 1);
  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  const go = (item: Item | undefined) => {
    if (!item) return;
    onClose();
    navigate(item.href);
  };
  const key = (e: KeyboardEvent) => {
    if (e.key === "ArrowDown") setAt(Math.min(found.length - 1, chosen + 1));
    else if (e.key === "ArrowUp") setAt(Math.max(0, chosen - 1));
    else if (e.key === "Enter") go(found[chosen]);
    else return;
    e.preventDefault();
  };
  return (
    <Dialog onClose={onClose} withCloseButton={false} size={640} padding={0} yOffset="10vh" aria-label={t("search")}>
      <div className="palette" data-testid="palette">
        <div className="palette-head">
          <Icon name="search" />
          <input data-autofocus value={text} onChange={(e) => { setText(e.target.value); setAt(0); }} onKeyDown={key} placeholder={t("searchPlaceholder")} role="combobox" aria-expanded aria-controls="palette-list" aria-activedescendant={found[chosen] ? `pal-${chosen}` : undefined} aria-label={t("search")} spellCheck={false} />
        </div>
        <div className="palette-list" id="palette-list" role="listbox" aria-label={t("search")} ref={list}>
          {found.map((i, n) => (
            <div key={`${i.kind}${i.text}`} id={`pal-${n}`} role="option" aria-selected={n === chosen} className="palette-item" onMouseMove={() => setAt(n)} onClick={() => go(i)}>
              <span className="faint kind">{t(i.kind)}</span>
              <span className={i.kind === "page" ? "" : "mono"}>{i.text}</span>
              <span className="faint detail">{i.detail}</span>
            </div>
          ))}
          {found.length === 0 ? <p className="faint palette-none">{t("nothingFound", { text })}</p> : null}
        </div>
      </div>
    </Dialog>
  );
}
