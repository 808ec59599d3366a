/** Keys that work on every page; typing in a field is never disturbed. */
import { useEffect, useRef } from "react";
import { useLocation } from "wouter";
import { AGENT, ALONE } from "../api/client";
import { useLinkTo } from "../view";

export const GOTO: Readonly<Record<string, string>> = ALONE ? { a: "/alerts", s: "/status" } : AGENT ? { t: "/targets", d: "/service-discovery", s: "/status" } : { h: "/", e: "/explore", a: "/alerts", t: "/targets", d: "/service-discovery", r: "/rules", s: "/status", c: "/tsdb-status" };

function typing(e: KeyboardEvent): boolean {
  const el = e.target as HTMLElement | null;
  return el !== null && (el.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(el.tagName));
}

/** Next or previous row that says it can be walked to (data-row), with focus. */
function walk(by: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")];
  if (rows.length === 0) return;
  const at = rows.findIndex((r) => r === document.activeElement || r.contains(document.activeElement));
  const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, at + by))];
  next?.focus();
}

export function useKeyboard(act: { search: () => void; help: () => void }): void {
  const [, navigate] = useLocation();
  const to = useLinkTo();
  const latest = useRef({ act, navigate, to });
  latest.current = { act, navigate, to };
  useEffect(() => {
    let wentG = 0;
    const down = (e: KeyboardEvent) => {
      const { act, navigate, to } = latest.current;
      if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "k") {
        e.preventDefault();
        act.search();
        return;
      }
      if (e.ctrlKey || e.metaKey || e.altKey || typing(e) || document.querySelector('[role="dialog"]')) return;
      if (Date.now() - wentG < 1200) {
        wentG = 0;
        const path = GOTO[e.key];
        if (path !== undefined) {
          e.preventDefault();
          navigate(to(path));
          return;
        }
      }
      const field = document.querySelector<HTMLElement>("[data-filter]");
      if (e.key === "g") wentG = Date.now();
      else if (e.key === "?") act.help();
      else if (e.key === "/" && field) {
        e.preventDefault();
        field.focus();
      } else if (e.key === "j") walk(1);
      else if (e.key === "k") walk(-1);
      else if (e.key === "s" || e.key === "x" || e.key === "u") {
        const button = (document.activeElement as HTMLElement | null)?.closest("[data-row]")?.querySelector<HTMLElement>(`[data-key="${e.key}"]`);
        if (button) {
          e.preventDefault();
          button.click();
        }
      }
    };
    addEventListener("keydown", down);
    return () => removeEventListener("keydown", down);
  }, []);
}
