/**
 * Catalogues: one typed key set, English inside the bundle, the others loaded when chosen.
 * A missing key does not compile; catalogue.test.ts checks the placeholders too.
 */
import { createStore, settings, useStore, type Lang } from "../state";
import { en } from "./en";

export type Key = keyof typeof en;
export type Catalogue = Readonly<Record<Key, string>>;
export type Args = Readonly<Record<string, string | number>>;
export type T = (key: Key, args?: Args) => string;

const current = createStore<Catalogue>(en);

export const LANGUAGES: readonly (readonly [Lang, string])[] = [
  ["en", "English"],
  ["ja", "日本語"],
  ["ko", "한국어"],
];

export function fill(text: string, args?: Args): string {
  return args ? text.replace(/\{(\w+)\}/g, (all, k: string) => (args[k] === undefined ? all : String(args[k]))) : text;
}

async function apply(lang: Lang): Promise<void> {
  const catalogue: Catalogue = lang === "ja" ? (await import("./ja")).ja : lang === "ko" ? (await import("./ko")).ko : en;
  if (settings.get().lang !== lang) return;
  document.documentElement.lang = lang;
  current.set(catalogue);
}

/** Loads the reader's language and follows later changes. */
export async function startLanguage(): Promise<void> {
  let shown = settings.get().lang;
  settings.subscribe(() => {
    const { lang } = settings.get();
    if (lang !== shown) {
      shown = lang;
      void apply(lang);
    }
  });
  await apply(shown);
}

export function useT(): T {
  const catalogue = useStore(current);
  return (key, args) => fill(catalogue[key] ?? en[key] ?? key, args);
}
