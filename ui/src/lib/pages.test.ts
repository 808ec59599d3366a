import { describe, expect, test } from "vitest";
import type { ActiveTarget, RuleGroup, TargetsData } from "../api/types";
import { wordOfMissing } from "../frame/pages";
import { discoveredRows, prepareDiscovery } from "./discovery";
import { choiceOf, nextHour, ruleOf } from "./recurrence";
import { compareLabels, ruleText } from "./relabel";
import { countRules, nextRun, ruleRows, worstFirst } from "./rules";
import { filterWords, orderKey, prepareTargets, targetRows } from "./targets";
import { flipped, listFrom, listInto } from "./urlstate";

function target(pool: string, host: string, health: ActiveTarget["health"], labels: Record<string, string> = {}): ActiveTarget {
  return {
    discoveredLabels: { __address__: host, job: pool }, labels: { instance: host, job: pool, ...labels }, scrapePool: pool, scrapeUrl: `http://${host}/metrics`, globalUrl: `http://${host}/metrics`,
    lastError: health === "down" ? "connection refused" : "", lastScrape: "2026-11-21T10:00:00Z", lastScrapeDuration: 0.01, health, scrapeInterval: "15s", scrapeTimeout: "10s",
  };
}

const names = (rows: ReturnType<typeof targetRows>) => rows.map((r) => (r.kind === "pool" ? `${r.name} ${r.counts.up}/${r.total}` : (r.target.labels.instance ?? "")));

describe("targets", () => {
  const prepared = prepareTargets([target("b", "h10", "up"), target("b", "h2", "up"), target("a", "x", "up"), target("b", "h3", "down", { zone: "Z" })]);
  test.each([
    [{ filter: "" }, ["b 2/3", "h3", "h2", "h10", "a 1/1", "x"]],
    [{ filter: "zone=\"z\"" }, ["b 0/1", "h3"]],
    [{ filter: "h b 2" }, ["b 1/1", "h2"]],
    [{ filter: "REFUSED" }, ["b 0/1", "h3"]],
    [{ filter: "", health: "up", pool: "b" }, ["b 2/2", "h2", "h10"]],
    [{ filter: "", folded: new Set(["b"]) }, ["b 2/3", "a 1/1", "x"]],
    [{ filter: "nothing" }, []],
  ])("%o", (filter, want) => expect(names(targetRows(prepared, filter))).toEqual(want));
  test("are counted by health", () => expect([prepared.total, prepared.counts]).toEqual([4, { up: 3, down: 1, unknown: 0 }]));
  test("keys tell targets apart", () => expect(new Set(prepared.pools.flatMap((p) => p.items.map((i) => i.key))).size).toBe(4));
  test("numbers in names are numbers", () => expect(["h10", "h9", "h010a"].sort((a, b) => (orderKey(a) < orderKey(b) ? -1 : 1))).toEqual(["h9", "h10", "h010a"]));
  test("words of a filter", () => expect(filterWords('  A="b"  c ')).toEqual(["a=b", "c"]));
  test("fifty thousand are filtered within a blink", () => {
    const many = prepareTargets(Array.from({ length: 50_000 }, (_, i) => target(`job${i % 10}`, `host-${i}.example:9100`, i % 100 === 0 ? "down" : "up")));
    const begun = performance.now();
    const rows = targetRows(many, { filter: "host-4999 up" });
    // Measured 8 ms; a busy machine may take its time, a walk over labels for each key press would be ten times that.
    expect(performance.now() - begun).toBeLessThan(250);
    expect(rows.filter((r) => r.kind === "target")).toHaveLength(11);
  });
});

describe("discovery", () => {
  const data: TargetsData = {
    activeTargets: [target("a", "h2", "up")],
    droppedTargets: [{ discoveredLabels: { __address__: "h1", job: "a" }, scrapePool: "a" }],
    droppedTargetCounts: { a: 3, b: 2, c: 0 },
  };
  const prepared = prepareDiscovery(data);
  const shown = (filter: Parameters<typeof discoveredRows>[1]) => discoveredRows(prepared, filter).map((r) => (r.kind === "pool" ? `${r.name} ${r.kept}+${r.dropped} (${r.forgotten})` : `${r.labels ? "kept" : "dropped"} ${r.discovered.__address__}`));
  test.each([
    [{ filter: "" }, ["a 1+3 (2)", "dropped h1", "kept h2", "b 0+2 (2)"]],
    [{ filter: "", state: "dropped" }, ["a 1+3 (2)", "dropped h1", "b 0+2 (2)"]],
    [{ filter: "", state: "active" }, ["a 1+3 (2)", "kept h2"]],
    [{ filter: "h1" }, ["a 1+3 (2)", "dropped h1"]],
    [{ filter: "", pool: "b" }, ["b 0+2 (2)"]],
  ])("%o", (filter, want) => expect(shown(filter)).toEqual(want));
  test("those that are not remembered count", () => expect([prepared.kept, prepared.dropped]).toEqual([1, 5]));
});

describe("relabelling", () => {
  test("differences of label sets", () =>
    expect(compareLabels({ a: "1", b: "2", c: "3" }, { a: "1", b: "x", d: "4" }).map((c) => `${c.kind} ${c.name}`)).toEqual(["same a", "changed b", "removed c", "added d"]));
  test.each([
    [{ action: "drop", source_labels: ["__address__"], separator: ";", regex: ".*it's", replacement: "$1" }, "{action: drop, source_labels: [__address__], regex: '.*it''s'}"],
    [{ action: "replace", separator: "-", regex: "(.*)", target_label: "a", replacement: "b" }, "{action: replace, separator: '-', target_label: a, replacement: b}"],
    [{ action: "hashmod", source_labels: ["a", "b"], separator: ";", regex: "(.*)", modulus: 4, target_label: "__tmp", replacement: "$1" }, "{action: hashmod, source_labels: [a, b], modulus: 4, target_label: __tmp}"],
  ])("a rule in one line", (rule, want) => expect(ruleText(rule)).toBe(want));
});

describe("rules", () => {
  const rule = (name: string, health: "ok" | "err", state?: "firing" | "inactive") => ({ type: state ? ("alerting" as const) : ("recording" as const), name, query: `sum(${name})`, health, ...(state ? { state } : {}) });
  const groups: RuleGroup[] = [
    { name: "quiet", file: "a.yml", interval: 30, rules: [rule("A", "ok", "inactive"), rule("r", "ok")], lastEvaluation: "2026-11-21T10:00:00Z" },
    { name: "loud", file: "a.yml", interval: 30, rules: [rule("B", "ok", "firing")] },
    { name: "broken", file: "b.yml", interval: 30, rules: [rule("C", "err", "inactive")], lastEvaluation: "0001-01-01T00:00:00Z" },
  ];
  const shown = (filter: Parameters<typeof ruleRows>[1]) => ruleRows(groups, filter).map((r) => (r.kind === "group" ? `${r.group.name} ${r.shown}` : r.rule.name));
  test.each([
    [{ filter: "" }, ["quiet 2", "A", "r", "loud 1", "B", "broken 1", "C"]],
    [{ filter: "", health: "err" }, ["broken 1", "C"]],
    [{ filter: "", state: "firing" }, ["loud 1", "B"]],
    [{ filter: "", type: "recording" }, ["quiet 1", "r"]],
    [{ filter: "sum(a)" }, ["quiet 1", "A"]],
    [{ filter: "", file: "b.yml" }, ["broken 1", "C"]],
    [{ filter: "", folded: new Set(["a.yml;quiet"]) }, ["quiet 2", "loud 1", "B", "broken 1", "C"]],
  ])("%o", (filter, want) => expect(shown(filter)).toEqual(want));
  test("what is wrong stands first", () => expect(worstFirst(groups).map((g) => g.name)).toEqual(["broken", "loud", "quiet"]));
  test("are counted", () => expect(countRules(groups, (r) => r.health)).toEqual({ ok: 3, err: 1 }));
  test("run an interval after the last time", () => expect(groups.map(nextRun)).toEqual([Date.parse("2026-11-21T10:00:30Z"), undefined, undefined]));
});

describe("lists in the address", () => {
  test.each([[[]], [["a"]], [["a,b", "~c", "~", "x y&z=%2F"]]])("%o", (list) => {
    const params = new URLSearchParams();
    const text = listInto(list);
    if (text !== undefined) params.set("open", text);
    expect(listFrom(`?${params}`, "open")).toEqual(list);
  });
  test("are flipped one by one", () => expect(flipped(flipped(["a"], "b"), "a")).toEqual(["b"]));
});

describe("recurrence", () => {
  const sunday = "2026-11-22T02:00";
  test.each([
    ["once", [], ""],
    ["daily", [], "FREQ=DAILY"],
    ["weekly", ["SU", "MO"], "FREQ=WEEKLY;BYDAY=MO,SU"],
    ["weekly", [], "FREQ=WEEKLY;BYDAY=SU"],
    ["monthday", [], "FREQ=MONTHLY;BYMONTHDAY=22"],
    ["monthweek", [], "FREQ=MONTHLY;BYDAY=4SU"],
    ["custom", [], "FREQ=YEARLY;BYMONTH=4"],
  ] as const)("%s %s", (repeat, days, rule) => {
    expect(ruleOf(repeat, sunday, days, rule)).toBe(rule);
    expect(choiceOf(rule, sunday).repeat).toBe(repeat);
  });
  test("a fifth weekday is the last", () => expect(ruleOf("monthweek", "2026-11-30T02:00", [], "")).toBe("FREQ=MONTHLY;BYDAY=-1MO"));
  test("another day of the month stays as it is written", () => expect(choiceOf("FREQ=MONTHLY;BYMONTHDAY=3", sunday).repeat).toBe("custom"));
  test("the next hour on the clock of a zone", () => {
    expect(nextHour(Date.parse("2026-11-21T16:20:00Z"), "Asia/Tokyo")).toBe("2026-11-22T02:00");
    expect(nextHour(Date.parse("2026-11-21T16:20:00Z"), "UTC")).toBe("2026-11-21T17:00");
  });
});

describe("pages of an agent", () => {
  test.each([
    ["/explore", "navExplore"],
    ["/alerts", "navAlerts"],
    ["/rules", "rules"],
    ["/tsdb-status", "tsdb"],
    ["/alertmanager-discovery", "alertmanager"],
    ["/hosts/a%3A1", "navOverview"],
    // Those it has, and what is nowhere.
    ["/targets", undefined],
    ["/service-discovery", undefined],
    ["/config", undefined],
    ["/status", undefined],
    ["/nope", undefined],
  ])("%s", (path, word) => {
    expect(wordOfMissing(path)).toBe(word);
  });
});
