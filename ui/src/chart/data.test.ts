import { describe, expect, test } from "vitest";
import { MAX_DRAWN, extent, inOrder, keepRange, loners, pointCount, spansOf, stack, stats, toChartData, withTail } from "./data";

const series = (metric: Record<string, string>, values: [number, string][]) => ({ metric, values });

describe("columns", () => {
  test("a missing step is a gap, and so are NaN and infinities", () => {
    const d = toChartData([{ result: [series({ a: "1" }, [[0, "1"], [30, "3"], [45, "NaN"], [60, "+Inf"]])], legend: "" }], 0, 60, 15);
    expect(d.xs).toEqual([0, 15, 30, 45, 60]);
    expect(d.series[0]?.values).toEqual([1, null, 3, null, null]);
  });
  test("samples off the grid's ends are left out", () => expect(toChartData([{ result: [series({}, [[-15, "1"], [75, "2"]])], legend: "" }], 0, 60, 15).series[0]?.values).toEqual([null, null, null, null, null]));
  test("no more lines than can be drawn, but all are counted", () => {
    const many = Array.from({ length: MAX_DRAWN + 5 }, (_, i) => series({ i: String(i) }, [[0, "1"]]));
    const d = toChartData([{ result: many, legend: "" }], 0, 0, 15);
    expect([d.series.length, d.total]).toEqual([MAX_DRAWN, MAX_DRAWN + 5]);
  });
  test("equal names of two queries stay two series", () => expect(new Set(toChartData([{ result: [series({}, [])], legend: "x" }, { result: [series({}, [])], legend: "x" }], 0, 0, 1).series.map((s) => s.key)).size).toBe(2));
  test("native histograms are drawn by their count", () => expect(toChartData([{ result: [{ metric: {}, histograms: [[0, { count: "7", sum: "1" }]] }], legend: "" }], 0, 0, 1).series[0]?.values).toEqual([7]));
});

test("a stack treats a gap as nothing where others have values", () => {
  expect(stack([[1, null, null], [2, 3, null]])).toEqual([[1, 0, null], [3, 3, null]]);
  expect(stack([])).toEqual([]);
});
test("legend numbers skip gaps", () => expect(stats([1, null, 5, 3, null])).toEqual({ last: 3, avg: 3, max: 5 }));
test("nothing has no numbers", () => expect(stats([null])).toEqual({ last: null, avg: null, max: null }));
test("extent", () => expect([extent([[1, null], [-2, 4]]), extent([[null]])]).toEqual([[-2, 4], undefined]));
test("lone points are found", () => expect(loners([1, null, 2, 3, null, 4])).toEqual([0, 5]));
test("points are counted", () => expect(pointCount([[1, null], [2, 3]])).toBe(3));
test("the y range stays while the values fit and use half of it", () => {
  expect(keepRange([0, 10], [0, 6])).toEqual([0, 10]);
  expect(keepRange([0, 10], [0, 4])).toEqual([0, 4]);
  expect(keepRange([0, 10], [0, 12])).toEqual([0, 12]);
  expect(keepRange(undefined, [0, 12])).toEqual([0, 12]);
});
test("an instant behind a coarse grid is the last point", () => {
  const tail = [{ metric: { a: "1" }, value: [100, "9"] as [number, string] }, { metric: { a: "2" }, value: [100, "8"] as [number, string] }];
  const d = toChartData([{ result: withTail([series({ a: "1" }, [[0, "1"], [60, "2"]])], tail), legend: "" }], 0, 60, 60, 100);
  expect(d.xs).toEqual([0, 60, 100]);
  expect(d.series.map((s) => s.values)).toEqual([[1, 2, 9], [null, null, 8]]);
});
test("alerts become spans, a gap ends one, the worse lies on top", () => {
  const spans = spansOf([series({ alertname: "C", severity: "critical" }, [[0, "1"], [15, "1"], [60, "1"]]), series({ alertname: "W" }, [[0, "1"]])], 15);
  expect(spans).toEqual([
    { from: 0, to: 0, name: "W", state: "warning" },
    { from: 0, to: 15, name: "C", state: "critical" },
    { from: 60, to: 60, name: "C", state: "critical" },
  ]);
});
test("named series come first", () => {
  const d = toChartData([{ result: ["c", "a", "b"].map((n) => series({ n }, [])), legend: "{{n}}" }], 0, 0, 1);
  expect(inOrder(d.series, ["b", "x"]).map((s) => s.name)).toEqual(["b", "c", "a"]);
});
