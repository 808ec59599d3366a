/**
 * What the page remembers outside the URL: the reader's settings (kept in this browser) and the clock all graphs share.
 * Anything that makes the view what it is belongs into the URL instead.
 */
import { useSyncExternalStore } from "react";
import type { Zone } from "./lib/time";

export type Theme = "auto" | "light" | "dark";
export type Lang = "en" | "ja" | "ko";

export interface Settings {
  theme: Theme;
  lang: Lang;
  zone: Zone;
  dense: boolean;
  rail: boolean;
  /** Written into silences. */
  author: string;
  overview: "list" | "tiles";
  folded: string[];
}

const KEY = "hinomi.settings";

function browserLang(): Lang {
  const l = typeof navigator === "undefined" ? "en" : navigator.language.slice(0, 2);
  return l === "ja" || l === "ko" ? l : "en";
}

function load(): Settings {
  const base: Settings = { theme: "auto", lang: browserLang(), zone: "local", dense: true, rail: true, author: "", overview: "list", folded: [] };
  try {
    return { ...base, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Settings>) };
  } catch {
    return base;
  }
}

class Store<T> {
  private readonly listeners = new Set<() => void>();
  constructor(private value: T) {}
  get = (): T => this.value;
  set(value: T): void {
    if (Object.is(value, this.value)) return;
    this.value = value;
    for (const l of this.listeners) l();
  }
  subscribe = (l: () => void): (() => void) => {
    this.listeners.add(l);
    return () => this.listeners.delete(l);
  };
}

export function createStore<T>(value: T): Store<T> {
  return new Store(value);
}

export function useStore<T>(store: Store<T>): T {
  return useSyncExternalStore(store.subscribe, store.get);
}

export const settings = createStore<Settings>(load());

export function change(part: Partial<Settings>): void {
  const next = { ...settings.get(), ...part };
  settings.set(next);
  try {
    localStorage.setItem(KEY, JSON.stringify(next));
  } catch {
    // Private windows may refuse; the setting then lasts as long as the page.
  }
}

const darkQuery = typeof matchMedia === "undefined" ? undefined : matchMedia("(prefers-color-scheme: dark)");
const systemDark = createStore(darkQuery?.matches ?? false);
darkQuery?.addEventListener("change", (e) => systemDark.set(e.matches));

export function useDark(): boolean {
  const { theme } = useStore(settings);
  const system = useStore(systemDark);
  return theme === "dark" || (theme === "auto" && system);
}

/** "Now" of all relative ranges, in ms; moves when the page refreshes, so that all graphs agree. */
export const clock = createStore(Date.now());

export interface Toast {
  id: number;
  text: string;
  bad: boolean;
  action?: { label: string; run: () => void };
}

export const toasts = createStore<readonly Toast[]>([]);
let nextToast = 1;

/** A message at the bottom that leaves by itself; with an action (undo) it stays longer. */
export function toast(text: string, opts: { bad?: boolean; action?: Toast["action"] } = {}): void {
  const t: Toast = { id: nextToast++, text, bad: opts.bad ?? false };
  if (opts.action) t.action = opts.action;
  toasts.set([...toasts.get(), t]);
  setTimeout(() => dismiss(t.id), opts.action ? 12_000 : 5000);
}

export function dismiss(id: number): void {
  toasts.set(toasts.get().filter((t) => t.id !== id));
}
