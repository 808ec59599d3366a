import { describe, expect, test } from "vitest";
import { absoluteSpec, formatDuration, formatInstant, humanDuration, isRelative, parseDuration, parseInstant, resolveRange, shiftRange, tickLabel, timeTicks, zoneName, zoomOut } from "./time";

// The tests run in Asia/Tokyo (vite.config.ts).
const NOW = Date.UTC(2026, 10, 20, 22, 13, 15);

test.each([
  ["1h30m", 5_400_000],
  ["15s", 15_000],
  ["2d", 172_800_000],
  ["500ms", 500],
  ["1.5h", 5_400_000],
  ["30", 30_000],
  ["", undefined],
  ["h", undefined],
  ["1h x", undefined],
])("duration %s", (text, want) => expect(parseDuration(text)).toBe(want));

test.each([
  [90_000, "1m30s"],
  [3_600_000, "1h"],
  [8 * 86_400_000, "8d"],
  [604_800_000, "1w"],
  [0, "0s"],
  [1500, "1s500ms"],
])("%d ms is written %s", (ms, want) => {
  expect(formatDuration(ms)).toBe(want);
  if (ms > 0) expect(parseDuration(want)).toBe(ms);
});

test.each([
  [0.0193, "19ms"],
  [5.25, "5.2s"],
  [59.9, "59s"],
  [1624, "27m 4s"],
  [3088, "51m 28s"],
  [3600, "1h"],
  [266_400, "3d 2h"],
  [Number.NaN, "–"],
])("%d s reads %s", (s, want) => expect(humanDuration(s)).toBe(want));

test.each([
  ["now", NOW],
  ["now-1h", NOW - 3_600_000],
  ["now+5m", NOW + 300_000],
  ["2026-11-20T22:13:15Z", NOW],
  ["2026-11-21T07:13:15+09:00", NOW],
  ["2026-11-21 07:13:15", NOW],
  ["2026-11-21", Date.UTC(2026, 10, 20, 15)],
  ["1795212795", 1_795_212_795_000],
  ["1795212795000", 1_795_212_795_000],
  ["yesterday", undefined],
  ["2026-13-01", undefined],
])("instant %s", (text, want) => expect(parseInstant(text, NOW)).toBe(want));

test("a bare time is taken in UTC when the page shows UTC", () => expect(parseInstant("2026-11-20 22:13:15", NOW, "utc")).toBe(NOW));

describe("ranges", () => {
  test("relative ones follow now", () => expect(resolveRange({ from: "now-1d", to: "now" }, NOW)).toEqual({ from: NOW - 86_400_000, to: NOW }));
  test.each([
    ["now", "now-1h"],
    ["junk", "now"],
    ["now-1h", "junk"],
  ])("%s..%s falls back to the last hour", (from, to) => expect(resolveRange({ from, to }, NOW)).toEqual({ from: NOW - 3_600_000, to: NOW }));
  test("an absolute spec reads back", () => {
    const r = { from: NOW - 5000, to: NOW };
    expect(resolveRange(absoluteSpec(r), NOW)).toEqual(r);
  });
  test("a zoom of nothing is still a second wide", () => {
    const spec = absoluteSpec({ from: NOW, to: NOW });
    expect(resolveRange(spec, NOW).to - resolveRange(spec, NOW).from).toBe(1000);
  });
  test("zooming out doubles and does not pass now", () => expect(zoomOut({ from: NOW - 3_600_000, to: NOW }, NOW)).toEqual({ from: NOW - 7_200_000, to: NOW }));
  test("moving later stops at now", () => expect(shiftRange({ from: NOW - 3_600_000, to: NOW }, 1, NOW)).toEqual({ from: NOW - 3_600_000, to: NOW }));
  test("moving earlier goes by half", () => expect(shiftRange({ from: NOW - 3_600_000, to: NOW }, -1, NOW)).toEqual({ from: NOW - 5_400_000, to: NOW - 1_800_000 }));
  test("only a range that ends at now is live", () => expect([isRelative({ from: "now-1h", to: "now" }), isRelative(absoluteSpec({ from: 0, to: 1 }))]).toEqual([true, false]));
});

test("times are ISO ordered, 24 hours, with the zone", () => {
  expect(formatInstant(NOW, "local", true)).toBe("2026-11-21 07:13:15 UTC+09:00");
  expect(formatInstant(NOW, "utc", true)).toBe("2026-11-20 22:13:15 UTC");
  expect(zoneName(NOW, "local")).toBe("UTC+09:00");
  expect(formatInstant(Number.NaN)).toBe("–");
});

test("ticks stand on the zone's clock, and midnight shows the date", () => {
  const day = { from: Date.UTC(2026, 10, 20, 3) / 1000, to: Date.UTC(2026, 10, 21, 3) / 1000 };
  const { step, ticks } = timeTicks(day.from, day.to, 6, "local");
  expect(step).toBe(21_600);
  expect(ticks.map((t) => tickLabel(t, step, "local"))).toEqual(["12:00", "18:00", "11-21", "06:00", "12:00"]);
  expect(tickLabel(day.from + 5, 5, "utc")).toBe("03:00:05");
});
