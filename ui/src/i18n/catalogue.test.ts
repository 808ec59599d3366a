import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { hostSections, plainSections } from "../promql/host";
import { en } from "./en";
import { fill } from "./index";
import { ja } from "./ja";
import { ko } from "./ko";

const holes = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort();

describe.each([["ja", ja], ["ko", ko]] as const)("%s", (_, catalogue) => {
  test("has exactly the keys of English", () => expect(Object.keys(catalogue).sort()).toEqual(Object.keys(en).sort()));
  test.each(Object.keys(en) as (keyof typeof en)[])("%s has its text and the same holes", (key) => {
    expect(catalogue[key].trim()).not.toBe("");
    expect(holes(catalogue[key])).toEqual(holes(en[key]));
  });
});

test("sections and graphs of a host have their words", () => {
  for (const s of [...hostSections("a"), ...plainSections("a")]) {
    expect(en).toHaveProperty(`section_${s.id}`);
    for (const g of s.graphs) expect(en).toHaveProperty(`graph_${g.id}`);
  }
});

test("no words outside the catalogues", () => {
  const dir = join(import.meta.dirname, "..");
  const files = readdirSync(dir, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".tsx"));
  expect(files.length).toBeGreaterThan(10);
  const names = new Set(["PNG", "CSV", "Hinomi", "Ctrl K", "up", "scrape_duration_seconds", "scrape_samples_scraped", "--web.enable-admin-api"]);
  for (const f of files) {
    const source = readFileSync(join(dir, f), "utf8");
    const found = [
      ...[...source.matchAll(/<[a-zA-Z.]+(?:\s[^<>]*)?>([^<>{}=;()]*[A-Za-z]{2}[^<>{}=;()]*)<\//g)].map((m) => m[1]?.trim() ?? ""),
      ...[...source.matchAll(/\b(?:placeholder|title|aria-label)="([^"]*[A-Za-z]{2}[^"]*)"/g)].map((m) => m[1] ?? ""),
    ].filter((t) => !names.has(t));
    expect(found, f).toEqual([]);
  }
});

test("holes are filled, unknown ones stay", () => expect(fill("{a} {b}", { a: 1 })).toBe("1 {b}"));
