import { describe, expect, test } from "vitest";
import { axisLabels, niceRange, niceTicks, round3, showText, startsAtZero } from "./units";

describe("a value is shown with three significant digits and the unit of its size", () => {
  const cases: [number, string, string][] = [
    [0, "bytes", "0 B"],
    [1023, "bytes", "1023 B"],
    [1024, "bytes", "1 KiB"],
    [1536 * 1024, "bytes", "1.5 MiB"],
    [23.5 * 1024 ** 3, "bytes", "23.5 GiB"],
    [1500, "decbytes", "1.5 kB"],
    [999_999, "Bps", "1 MB/s"],
    [123_456_789, "bps", "123 Mb/s"],
    [0.0314159, "percentunit", "3.14%"],
    [1, "percentunit", "100%"],
    [0.000325, "percentunit", "0.03%"],
    [42.123, "percent", "42.1%"],
    [0, "s", "0 s"],
    [0.000_002, "s", "2 µs"],
    [0.0123, "s", "12.3 ms"],
    [59, "s", "59 s"],
    [90, "s", "1.5 min"],
    [7200, "s", "2 h"],
    [1500, "ms", "1.5 s"],
    [1_234_567, "short", "1.23 M"],
    [1260, "cps", "1.26 K/s"],
    [5, "cps", "5 /s"],
    [2500, "reqps", "2.5 K req/s"],
    [36.6, "celsius", "36.6 °C"],
    [12, "widgets", "12 widgets"],
    [-2048, "bytes", "-2 KiB"],
    [Number.NaN, "bytes", "NaN"],
    [Number.POSITIVE_INFINITY, "short", "+Inf"],
  ];
  test.each(cases)("%d %s → %s", (v, unit, want) => expect(showText(v, unit)).toBe(want));
});

test("decimals can be fixed", () => expect(showText(0.816, "percentunit", 0)).toBe("82%"));

test("round3 keeps the whole part and drops trailing zeros", () => {
  expect([0.00123, 1.0, 12.345, 123.45, 12345.6, 1e20, 1e-9].map(round3)).toEqual(["0.00123", "1", "12.3", "123", "12346", "1e+20", "1e-9"]);
});

describe("axes end on round numbers with four to seven ticks", () => {
  const cases: [number, number, string][] = [
    [0, 0.37, "percentunit"],
    [0, 23.5 * 1024 ** 3, "bytes"],
    [0, 700 * 1024 ** 2, "bytes"],
    [0, 3.1, "short"],
    [0, 950, "s"],
    [-5, 17, "short"],
  ];
  test.each(cases)("%d..%d %s", (lo, hi, unit) => {
    const [a, b] = niceRange(lo, hi, unit, true);
    expect(a).toBeLessThanOrEqual(lo);
    expect(b).toBeGreaterThanOrEqual(hi);
    const ticks = niceTicks(a, b, unit);
    expect(ticks.length).toBeGreaterThanOrEqual(3);
    expect(ticks.length).toBeLessThanOrEqual(7);
    const labels = axisLabels(ticks, unit);
    expect(new Set(labels).size).toBe(labels.length);
  });
});

test("binary axes step in whole GiB, not in powers of ten of bytes", () => {
  expect(axisLabels(niceTicks(0, 24 * 1024 ** 3, "bytes"), "bytes")).toEqual(["0 GiB", "5 GiB", "10 GiB", "15 GiB", "20 GiB"]);
});

test("labels of an axis share their decimals", () => {
  expect(axisLabels([0, 0.25, 0.5], "short")).toEqual(["0.00", "0.25", "0.50"]);
  expect(axisLabels([0, 2.5, 5], "none")).toEqual(["0.0", "2.5", "5.0"]);
});

test("bytes and counts begin at zero, temperatures do not", () => {
  expect([startsAtZero("bytes"), startsAtZero("short"), startsAtZero("celsius")]).toEqual([true, true, false]);
});

test("a flat line has a range around it", () => {
  expect(niceRange(0, 0, "short", true)).toEqual([0, 1]);
  const [lo, hi] = niceRange(5, 5, "short", true);
  expect(lo).toBe(0);
  expect(hi).toBeGreaterThan(5);
});
