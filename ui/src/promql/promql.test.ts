import { parser } from "@prometheus-io/lezer-promql";
import { describe, expect, test } from "vitest";
import { expandMacros, hostSections, instanceSelector, overviewQueries, plainSections } from "./host";
import { guessUnit, metricsIn } from "./text";

describe("metrics named by a query", () => {
  test.each([
    ["up", ["up"]],
    ['sum by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m]))', ["node_cpu_seconds_total"]],
    ["a / on (job) group_left (x) b", ["a", "b"]],
    ['label_replace(up, "a", "$1", "b", "c_d")', ["up"]],
    ["histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))", ["h_bucket"]],
    ["1 + 2e5 - inf", []],
    ["x offset 5m # comment y", ["x"]],
  ])("%s", (expr, want) => expect(metricsIn(expr)).toEqual(want));
});

describe("unit by naming convention", () => {
  test.each([
    ["node_memory_MemFree_bytes", "bytes"],
    ["rate(node_network_receive_bytes_total[5m])", "binBps"],
    ["rate(node_cpu_seconds_total[5m])", "percentunit"],
    ["histogram_quantile(0.9, rate(http_seconds_bucket[5m]))", "s"],
    ["rate(http_requests_total[5m])", "cps"],
    ["node_memory_MemFree_bytes / node_memory_MemTotal_bytes", "short"],
    ["1 - node_memory_MemFree_bytes / node_memory_MemTotal_bytes", "percentunit"],
    ["count(node_cpu_seconds_total)", "short"],
    ["up", "short"],
    ["42", "short"],
  ])("%s", (expr, want) => expect(guessUnit(expr)).toBe(want));
});

test("every query of the pages is PromQL, whatever the instance is called", () => {
  const sel = instanceSelector('we"ird\\host:9100');
  const exprs = [
    ...[...hostSections(sel), ...plainSections(sel)].flatMap((s) => s.graphs).flatMap((g) => [...g.queries.map((q) => q.expr), ...(g.thresholdExpr ? [g.thresholdExpr] : [])]),
    ...Object.values(overviewQueries("1m")),
  ];
  expect(exprs.length).toBeGreaterThan(40);
  for (const e of exprs) {
    const text = expandMacros(e, 15, 15, 3600);
    let errors = 0;
    parser.parse(text).iterate({ enter: (n) => void (n.type.isError && errors++) });
    expect(errors, text).toBe(0);
    expect(text).not.toContain("$__");
  }
});
