/**
 * The frame of every page: rail (bottom bar on a phone), top line, progress line, messages, keyboard.
 */
import { Menu } from "@mantine/core";
import { useIsFetching } from "@tanstack/react-query";
import { type ReactNode, Suspense, lazy, useEffect, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { useAlertRows } from "../api/hooks";
import { type Key, LANGUAGES, useT } from "../i18n";
import { Icon, Logo } from "../parts/icons";
import { Jump, Shape } from "../parts/parts";
import { type Theme, change, clock, dismiss, settings, toasts, useStore } from "../state";
import { useLinkTo, useTicking } from "../view";
import { Notices } from "./Notices";
import { useKeyboard } from "./keyboard";
import { AGENT } from "../api/client";
import { PAGES, isAt, wordOf, wordOfMissing } from "./pages";
import { TimeRange } from "./TimeRange";

const Palette = lazy(() => import("./Palette"));
const Help = lazy(() => import("./Help"));

/** What `--web.page-title` says, before a page has put its own name before it. */
const TITLE = document.title;

/** The further pages of the one that is open. */
function Tabs() {
  const [path] = useLocation();
  const t = useT();
  const to = useLinkTo();
  const row = useRef<HTMLElement>(null);
  // On a phone the last ones stand outside of the window.
  useEffect(() => {
    row.current?.querySelector(".on")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [path, t]);
  const page = PAGES.find((p) => isAt(path, p));
  if (!page?.tabs) return null;
  return (
    <nav ref={row} className="tabs" aria-label={t(page.word)}>
      {page.tabs.map(([tab, word]) => (
        <Link key={tab} href={to(tab)} className={path === tab ? "on" : ""} aria-current={path === tab ? "page" : undefined} data-testid={`tab-${tab.slice(1)}`}>{t(word)}</Link>
      ))}
    </nav>
  );
}

function Progress() {
  const busy = useIsFetching() > 0;
  const [shown, setShown] = useState(false);
  useEffect(() => {
    if (!busy) {
      setShown(false);
      return;
    }
    const id = setTimeout(() => setShown(true), 100);
    return () => clearTimeout(id);
  }, [busy]);
  return <div className={`progress${shown ? " on" : ""}`} aria-hidden="true" />;
}

function Crumbs() {
  const [path] = useLocation();
  const t = useT();
  const to = useLinkTo();
  const word = wordOf(path);
  const page = PAGES.find((p) => isAt(path, p));
  const host = /^\/hosts\/(.+)$/.exec(path);
  return (
    <nav className="crumbs" aria-label={t("breadcrumbs")}>
      <Link href={to("/")} className="crumb-home" aria-label="Hinomi">
        <Logo size={20} />
        <span className="brand">Hinomi</span>
      </Link>
      <span className="faint" aria-hidden="true">/</span>
      {host ? (
        <>
          <Link href={to("/")}>{t("navOverview")}</Link>
          <span className="faint" aria-hidden="true">/</span>
          <span className="crumb-now mono">{decodeURIComponent(host[1] ?? "")}</span>
        </>
      ) : (
        <>
          {page && page.word !== word ? (
            <>
              <Link href={to(page.path)}>{t(page.word)}</Link>
              <span className="faint" aria-hidden="true">/</span>
            </>
          ) : null}
          <span className="crumb-now">{t(word ?? "notFound")}</span>
        </>
      )}
    </nav>
  );
}

function SettingsMenu() {
  const t = useT();
  const s = useStore(settings);
  const tick = (on: boolean) => (on ? <Icon name="check" size={14} /> : <span className="tick" />);
  const themes: readonly (readonly [Theme, Key])[] = [["auto", "themeAuto"], ["light", "themeLight"], ["dark", "themeDark"]];
  return (
    <Menu position="right-end" shadow="none" withinPortal closeOnItemClick={false}>
      <Menu.Target>
        <button type="button" className="rail-item" data-testid="settings" title={t("settings")}>
          <Icon name="settings" />
          <span>{t("settings")}</span>
        </button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{t("theme")}</Menu.Label>
        {themes.map(([v, word]) => (
          <Menu.Item key={v} leftSection={tick(s.theme === v)} onClick={() => change({ theme: v })} data-testid={`theme-${v}`}>
            {t(word)}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Label>{t("language")}</Menu.Label>
        {LANGUAGES.map(([v, word]) => (
          <Menu.Item key={v} leftSection={tick(s.lang === v)} onClick={() => change({ lang: v })} lang={v} data-testid={`lang-${v}`}>
            {word}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Item leftSection={tick(s.zone === "utc")} onClick={() => change({ zone: s.zone === "utc" ? "local" : "utc" })}>
          {t("timesInUtc")}
        </Menu.Item>
        <Menu.Item leftSection={tick(!s.dense)} onClick={() => change({ dense: !s.dense })}>
          {t("comfortable")}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

/** Tells a screen reader when the number of firing alerts changes; shown on the rail for everyone. */
function AlertCount() {
  const { rows } = useAlertRows();
  const t = useT();
  const n = rows.filter((r) => r.state === "critical" || r.state === "warning").length;
  const bad = rows.some((r) => r.state === "critical");
  return (
    <>
      {n > 0 ? (
        <span className={`count st-${bad ? "critical" : "warning"}`} aria-hidden="true">
          <Shape state={bad ? "critical" : "warning"} size={9} />
          {n}
        </span>
      ) : null}
      <span className="offscreen" role="status" aria-live="polite">
        {t("firingNow", { n })}
      </span>
    </>
  );
}

function Toasts() {
  const list = useStore(toasts);
  const t = useT();
  return (
    <div className="toasts" role="status" aria-live="polite">
      {list.map((x) => (
        <div key={x.id} className={`toast${x.bad ? " bad" : ""}`} data-testid="toast">
          <span>{x.text}</span>
          {x.action ? (
            <button type="button" className="textbtn" data-testid="toast-action" onClick={() => { x.action?.run(); dismiss(x.id); }}>
              {x.action.label}
            </button>
          ) : null}
          <button type="button" className="iconbtn" aria-label={t("close")} onClick={() => dismiss(x.id)}>
            <Icon name="close" size={12} />
          </button>
        </div>
      ))}
    </div>
  );
}

export function Frame({ children }: { children: ReactNode }) {
  const t = useT();
  const [path] = useLocation();
  const to = useLinkTo();
  const s = useStore(settings);
  useStore(clock);
  const [open, setOpen] = useState<"search" | "help" | undefined>();
  const refresh = useTicking();
  useKeyboard({ search: () => setOpen("search"), help: () => setOpen("help") });
  useEffect(() => {
    const host = /^\/hosts\/(.+)$/.exec(path);
    document.title = `${host ? decodeURIComponent(host[1] ?? "") : t(wordOf(path) ?? (AGENT ? wordOfMissing(path) : undefined) ?? "notFound")} · ${TITLE}`;
  }, [path, t]);
  return (
    <div className={`frame${s.rail ? "" : " narrow"}${s.dense ? "" : " comfort"}`}>
      <Jump className="skip" id="content">{t("skip")}</Jump>
      <Progress />
      <nav className="rail" aria-label={t("pages")}>
        {PAGES.map((p) => (
          <Link key={p.path} href={to(p.path)} className={`rail-item${isAt(path, p) ? " on" : ""}`} aria-current={isAt(path, p) ? "page" : undefined} title={t(p.word)} data-testid={`nav-${p.word}`}>
            <Icon name={p.icon} />
            <span>{t(p.word)}</span>
            {p.path === "/alerts" ? <AlertCount /> : null}
          </Link>
        ))}
        <span className="rail-gap" />
        <SettingsMenu />
        <button type="button" className="rail-item rail-fold" onClick={() => change({ rail: !s.rail })} title={t(s.rail ? "railNarrow" : "railWide")} aria-expanded={s.rail}>
          <Icon name="rail" />
          <span>{t("railNarrow")}</span>
        </button>
      </nav>
      <header className="top">
        <Crumbs />
        <button type="button" className="searchbtn" onClick={() => setOpen("search")} data-testid="open-search" aria-label={t("searchHint")}>
          <Icon name="search" size={14} />
          <span>{t("searchHint")}</span>
          <kbd>Ctrl K</kbd>
        </button>
        <TimeRange onRefresh={refresh} />
      </header>
      <main id="content" tabIndex={-1}>
        <Notices />
        <Tabs />
        {children}
      </main>
      <Toasts />
      <Suspense fallback={null}>
        {open === "search" ? <Palette onClose={() => setOpen(undefined)} /> : null}
        {open === "help" ? <Help onClose={() => setOpen(undefined)} /> : null}
      </Suspense>
    </div>
  );
}
