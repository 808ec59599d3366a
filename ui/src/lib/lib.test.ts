import { describe, expect, test } from "vitest";
import type { AmAlert, ApiAlert } from "../api/types";
import { matcherText, matchersOf, matchesEverything, mergeAlerts, parseMatchers } from "./alerts";
import { csv } from "./csv";
import { secondsUntilEmpty, trend } from "./forecast";
import { commonLabels, cutMiddle, distinctNames, legendName, matchesFilter, seriesName } from "./labels";
import { DARK, LIGHT, alpha, assignColours } from "./palette";
import { type HostFacts, groupHosts, hostState, stateOfSeverity, worst } from "./state";
import { alignRange, chooseStep, expandMacros, rateWindow } from "./step";
import { carried, classicRedirect, exploreLink, panelsFrom, panelsInto, rangeFrom, rangeParams, refreshFrom, withParams } from "./urlstate";

describe("labels", () => {
  test.each([
    [{ __name__: "up", job: "a", instance: "b" }, 'up{instance="b",job="a"}'],
    [{ __name__: "up" }, "up"],
    [{}, "{}"],
    [{ x: 'a"b\\c\nd' }, '{x="a\\"b\\\\c\\nd"}'],
    [{ __name__: "http.requests", "a.b": "c" }, '{"http.requests","a.b"="c"}'],
  ])("%o", (labels, want) => expect(seriesName(labels as Record<string, string>)).toBe(want));
  test("names leave out what all share", () => expect(distinctNames([{ job: "n", cpu: "0" }, { job: "n", cpu: "1" }])).toEqual(['{cpu="0"}', '{cpu="1"}']));
  test("equal sets keep their whole name", () => expect(distinctNames([{ a: "1" }, { a: "1" }])).toEqual(['{a="1"}', '{a="1"}']));
  test("common labels", () => expect(commonLabels([{ a: "1", b: "2" }, { a: "1", b: "3" }])).toEqual({ a: "1" }));
  test("legend", () => expect(legendName("{{device}} {{ none }}in", { device: "eth0" })).toBe("eth0 in"));
  test("cut in the middle", () => expect(cutMiddle("abcdefghij", 5)).toBe("ab…ij"));
  test("every word must match, in any case", () => expect([matchesFilter("DB 01", "db-host01"), matchesFilter("db 02", "db-host01"), matchesFilter("", "x")]).toEqual([true, false, true]));
});

describe("steps", () => {
  test.each([
    [3_600_000, 800, 5, 10],
    [86_400_000, 800, 15, 300],
    [604_800_000, 800, 15, 1800],
    [300_000, 800, 15, 15],
    [365 * 86_400_000, 10, 15, 86_400],
  ])("%d ms on %d px", (range, width, min, want) => expect(chooseStep(range, width, min)).toBe(want));
  test("never more points than the server gives", () => {
    for (const range of [1e6, 1e9, 1e11, 1e13]) expect(range / 1000 / chooseStep(range, 1e6)).toBeLessThanOrEqual(11_000);
  });
  test("the rate window holds four scrapes", () => expect([rateWindow(15, 15), rateWindow(300, 60), rateWindow(15, 60)]).toEqual([60, 360, 240]));
  test("the grid does not move between refreshes", () => expect(alignRange(1_000_001, 1_059_999, 15)).toEqual(alignRange(1_000_007, 1_049_999 + 9000, 15)));
  test("macros", () => expect(expandMacros("rate(x[$__rate_interval]) + $__interval_ms + ${__range_s} + $__intervalx", 15, 15, 3600)).toBe("rate(x[60s]) + 15000 + 3600 + $__intervalx"));
});

describe("palette", () => {
  test("the first ten never share a colour", () => {
    for (let k = 0; k < 200; k++) expect(new Set(assignColours(Array.from({ length: 10 }, (_, i) => `series-${k}-${i}`))).size).toBe(10);
  });
  test("the same label has the same colour when nothing collides", () => expect(assignColours(["eth0"])).toEqual(assignColours(["eth0", "other"]).slice(0, 1)));
  test("lines stand out from their background by 3:1", () => {
    const lum = (hex: string) => {
      const n = Number.parseInt(hex.slice(1), 16);
      const [r, g, b] = [16, 8, 0].map((s) => ((n >> s) & 255) / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
      return 0.2126 * (r ?? 0) + 0.7152 * (g ?? 0) + 0.0722 * (b ?? 0);
    };
    const contrast = (a: string, b: string) => (Math.max(lum(a), lum(b)) + 0.05) / (Math.min(lum(a), lum(b)) + 0.05);
    for (const c of LIGHT) expect(contrast(c, "#ffffff"), c).toBeGreaterThanOrEqual(3);
    for (const c of DARK) expect(contrast(c, "#16191d"), c).toBeGreaterThanOrEqual(3);
    // Text of the states: 4.5:1, the same values as in app.css.
    for (const c of ["#1a7f37", "#8f5b00", "#c4212b", "#7239b8", "#626a74"]) expect(contrast(c, "#ffffff"), c).toBeGreaterThanOrEqual(4.5);
    for (const c of ["#56c271", "#e3a53c", "#ff7b72", "#b794f6", "#98a1ab"]) expect(contrast(c, "#16191d"), c).toBeGreaterThanOrEqual(4.5);
  });
  test("alpha", () => expect(alpha("#102030", 0.08)).toBe("rgba(16,32,48,0.08)"));
});

describe("forecast", () => {
  const line = (slope: number, noise = 0) => Array.from({ length: 60 }, (_, i) => ({ t: i * 60, v: 1e9 + slope * i * 60 + (i % 2 === 0 ? noise : -noise) }));
  test("a disk that loses 1 kB/s of 1 GB is full in about 11 days", () => expect(secondsUntilEmpty(line(-1000))).toBeCloseTo((1e9 - 1000 * 59 * 60) / 1000, 0));
  test.each([
    ["flat", line(0)],
    ["growing free space", line(1000)],
    ["noise without a trend", line(-1, 1e6)],
    ["two points", line(-1000).slice(0, 2)],
    ["beyond a year", line(-1)],
    ["nothing", []],
    ["NaN only", [{ t: 0, v: Number.NaN }, { t: 1, v: Number.NaN }, { t: 2, v: Number.NaN }]],
  ])("%s gives no forecast", (_, points) => expect(secondsUntilEmpty(points)).toBeUndefined());
  test("equal times have no slope", () => expect(trend([{ t: 1, v: 1 }, { t: 1, v: 2 }, { t: 1, v: 3 }])).toBeUndefined());
});

describe("the view in the URL", () => {
  test("panels read back as written", () => {
    const panels = [
      { expr: 'sum by (a) (rate(x{b="c&d=+"}[5m]))', tab: "graph" as const, step: 30, at: undefined, stacked: true },
      { expr: "up", tab: "table" as const, step: undefined, at: "2026-11-20T00:00:00Z", stacked: false },
    ];
    expect(panelsFrom(`?${panelsInto("from=now-6h", panels)}`)).toEqual(panels);
    expect(panelsInto("from=now-6h", panels)).toContain("from=now-6h");
  });
  test("an empty URL is one empty panel", () => expect(panelsFrom("")).toHaveLength(1));
  test("nonsense in the range is ignored", () => expect(rangeFrom("?from=x&to=now")).toEqual({ from: "now-1h", to: "now" }));
  test("the default range leaves no trace", () => expect(withParams("from=now-6h&q=a", rangeParams({ from: "now-1h", to: "now" }))).toBe("q=a"));
  test("unknown refresh is the default", () => expect([refreshFrom("?refresh=5s"), refreshFrom("?refresh=1ms"), refreshFrom("")]).toEqual(["5s", "15s", "15s"]));
  test("only range and refresh travel", () => expect(carried("?from=now-6h&q=x&refresh=5s")).toBe("?from=now-6h&refresh=5s"));
  test("explore links", () => expect(exploreLink("up", "?from=now-1d&q=z")).toBe("/explore?from=now-1d&g0.expr=up&g0.tab=graph"));
  test.each([
    ["/graph", "?g0.expr=up&g0.tab=1&g0.range_input=6h", "/explore?from=now-6h&to=now&g0.expr=up&g0.tab=table"],
    ["/query", "?g0.expr=up&g0.tab=graph", "/explore?g0.expr=up&g0.tab=graph"],
    ["/graph", "?g0.expr=up&g0.range_input=1h&g0.end_input=2026-11-20%2012:00:00", "/explore?from=2026-11-20T11:00:00Z&to=2026-11-20T12:00:00Z&g0.expr=up&g0.tab=graph"],
    ["/classic/graph", "?g0.expr=up&g0.tab=1", "/explore?g0.expr=up&g0.tab=table"],
    ["/rules", "", undefined],
    ["/flags/", "", "/flags"],
    ["/classic/rules", "", "/rules"],
    ["/classic/targets", "?search=a", "/targets?search=a"],
    ["/new/tsdb-status", "", "/tsdb-status"],
    ["/classic", "", "/"],
    ["/agent", "", "/status"],
    ["/nowhere", "", undefined],
  ])("%s%s", (path, search, want) => expect(classicRedirect(path, search)).toBe(want));
});

const am = (labels: Record<string, string>, silencedBy: string[] = [], inhibitedBy: string[] = []): AmAlert => ({
  labels, annotations: {}, startsAt: "2026-11-20T22:00:00Z", endsAt: "2026-11-20T23:00:00Z", updatedAt: "2026-11-20T22:00:00Z", fingerprint: JSON.stringify(labels), receivers: [{ name: "ops" }],
  status: { state: silencedBy.length > 0 ? "suppressed" : "active", silencedBy, inhibitedBy },
});
const rule = (labels: Record<string, string>, state: ApiAlert["state"] = "firing"): ApiAlert => ({ labels, annotations: { summary: "s" }, state, activeAt: "2026-11-20T21:00:00Z", value: "1e+00" });

describe("alerts", () => {
  test("a rule's alert and the alertmanager's are one row, external labels or not", () => {
    const rows = mergeAlerts([rule({ alertname: "A", instance: "x" })], [am({ alertname: "A", instance: "x", cluster: "eu" })]);
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ state: "warning", receivers: ["ops"], summary: "s", value: 1 });
  });
  test("worst first, silenced last, pending between", () => {
    const rows = mergeAlerts(
      [rule({ alertname: "P" }, "pending"), rule({ alertname: "W", severity: "warning" }), rule({ alertname: "C", severity: "critical" }), rule({ alertname: "S", severity: "critical" }), rule({ alertname: "N" }, "inactive")],
      [am({ alertname: "S", severity: "critical" }, ["id"])],
    );
    expect(rows.map((r) => `${r.name}:${r.state}`)).toEqual(["C:critical", "W:warning", "P:pending", "S:silenced"]);
  });
  test("an alert that every route ignores stands behind the others, without its severity", () => {
    const ignored: AmAlert = { ...am({ alertname: "I", severity: "critical" }), hinomi: { ignoredBy: { owner: "ann", reason: "", endsAt: "2030-01-01T00:00:00Z" } } };
    const rows = mergeAlerts([rule({ alertname: "I", severity: "critical" }), rule({ alertname: "W", severity: "warning" })], [ignored]);
    expect(rows.map((r) => `${r.name}:${r.state}`)).toEqual(["W:warning", "I:silenced"]);
  });
  test("alerts that only the alertmanager knows are shown", () => expect(mergeAlerts([], [am({ alertname: "X" })]).map((r) => r.name)).toEqual(["X"]));
  test.each([
    ['a="b"', [{ name: "a", value: "b", isRegex: false, isEqual: true }]],
    ['{a="b,c", d=~"x.*"}', [{ name: "a", value: "b,c", isRegex: false, isEqual: true }, { name: "d", value: "x.*", isRegex: true, isEqual: true }]],
    ["a!=b,c!~d", [{ name: "a", value: "b", isRegex: false, isEqual: false }, { name: "c", value: "d", isRegex: true, isEqual: false }]],
    ["", []],
  ])("matchers %s", (text, want) => expect(parseMatchers(text)).toEqual({ matchers: want }));
  test.each(["a", "a=\"b", "=x", "a=b c=d"])("bad matchers %s", (text) => expect(parseMatchers(text)).toHaveProperty("error"));
  test("matchers of labels read back", () => {
    const labels = { alertname: "A", path: 'C:\\x "y"', z: "1" };
    const parsed = parseMatchers(matchersOf(labels).map(matcherText).join(", "));
    expect("matchers" in parsed ? Object.fromEntries(parsed.matchers.map((m) => [m.name, m.value])) : parsed).toEqual(labels);
  });
  test.each([
    ['a=~".*"', true],
    ['a=""', true],
    ['a!="x"', true],
    ['a="x"', false],
    ['a=~".+"', false],
    ['a=~".*", b="c"', false],
  ])("%s hides everything: %s", (text, want) => {
    const p = parseMatchers(text);
    expect("matchers" in p && matchesEverything(p.matchers)).toBe(want);
  });
});

describe("states of hosts", () => {
  const now = 1000;
  const facts = (part: Partial<HostFacts>): HostFacts => ({ instance: "i", service: "s", jobs: ["j"], nodename: "n", kernel: "", labels: {}, up: true, lastError: "", lastSample: now - 5, hasNode: true, cpu: 0.1, memory: 0.1, disk: 0.5, diskMount: "/", load: 1, ...part });
  const alert = (severity: string, state: ApiAlert["state"] = "firing", silenced: string[] = []) => mergeAlerts([rule({ alertname: "A", severity }, state)], silenced.length > 0 ? [am({ alertname: "A", severity }, silenced)] : []);
  test.each([
    ["fine", {}, [], "ok"],
    ["down", { up: false, lastError: "refused" }, [], "critical"],
    ["gone", { up: undefined, lastSample: undefined }, [], "unknown"],
    ["stale", { lastSample: now - 301 }, [], "unknown"],
    ["critical alert", {}, alert("critical"), "critical"],
    ["warning alert", {}, alert("warning"), "warning"],
    ["pending alert", {}, alert("critical", "pending"), "pending"],
    ["silenced alert", {}, alert("critical", "firing", ["x"]), "silenced"],
    ["full disk without a rule", { disk: 0.97 }, [], "warning"],
  ])("%s", (_, part, alerts, want) => expect(hostState(facts(part as Partial<HostFacts>), alerts as never, now).state).toBe(want));
  test("every state but ok gives a reason", () => expect(hostState(facts({ up: false, lastError: "refused" }), [], now).reasons[0]).toMatchObject({ key: "reasonDown", args: { error: "refused" } }));
  test("worst first, in services and among hosts", () => {
    const h = (instance: string, service: string, up: boolean) => hostState(facts({ instance, service, up, nodename: "" }), [], now);
    const groups = groupHosts([h("a10", "x", true), h("a2", "x", true), h("b", "y", true), h("c", "y", false)]);
    expect(groups.map((g) => [g.name, g.state, g.hosts.map((x) => x.instance)])).toEqual([["y", "critical", ["c", "b"]], ["x", "ok", ["a2", "a10"]]]);
  });
  test("severity words", () => expect([stateOfSeverity("page"), stateOfSeverity("CRITICAL"), stateOfSeverity("info"), stateOfSeverity(undefined)]).toEqual(["critical", "critical", "warning", "warning"]));
  test("the worst of none is ok", () => expect(worst([])).toBe("ok"));
});

test("csv quotes what needs it", () => expect(csv([["a", 'b"c', "d,e"], [1, null, "x\ny"]])).toBe('a,"b""c","d,e"\r\n1,,"x\ny"'));
