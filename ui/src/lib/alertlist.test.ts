import { describe, expect, test } from "vitest";
import type { AmAlert } from "../api/types";
import { AS_TOLD, MANY, filterAlerts, groupAlerts, groupLabels, rowsOf } from "./alertlist";
import { mergeAlerts } from "./alerts";

const alert = (labels: Record<string, string>, since = 0): AmAlert => ({
  labels, annotations: {}, startsAt: new Date(since).toISOString(), endsAt: "", updatedAt: "", fingerprint: JSON.stringify(labels), receivers: [],
  status: { state: "active", silencedBy: [], inhibitedBy: [] },
});
const rows = mergeAlerts([], [
  alert({ alertname: "Disk", instance: "db1:9100", severity: "critical" }, 1000),
  alert({ alertname: "Disk", instance: "db2:9100", severity: "warning" }, 3000),
  alert({ alertname: "Slow", instance: "web1", severity: "warning" }, 2000),
]);
const shape = (list: ReturnType<typeof rowsOf>) => list.map((r) => (r.kind === "group" ? `${r.receiver ?? ""}${JSON.stringify(r.labels)} ${JSON.stringify(r.counts)} ${r.newest}` : r.row.labels.instance));

describe("the list of alerts", () => {
  test.each([
    ["disk", null, 2],
    ["disk severity=warning", null, 1],
    ['instance="web1"', null, 1],
    ["", "critical", 1],
    ["slow", "critical", 0],
  ])("%s in state %s finds %d", (filter, state, n) => expect(filterAlerts(rows, filter, state)).toHaveLength(n));

  test("by a label, the worst group first", () => {
    expect(shape(rowsOf(groupAlerts(rows, "alertname", [], new Set())))).toEqual([
      '{"alertname":"Disk"} {"critical":1,"warning":1} 3000', "db1:9100", "db2:9100", '{"alertname":"Slow"} {"warning":1} 2000', "web1",
    ]);
  });

  test("without the label is a group too, and a folded one shows its head alone", () => {
    const some = mergeAlerts([], [alert({ alertname: "A", team: "web" }), alert({ alertname: "B" })]);
    expect(shape(rowsOf(groupAlerts(some, "team", [], new Set([""]))))).toEqual(['{} {"warning":1} 0', '{"team":"web"} {"warning":1} 0', undefined]);
  });

  test("as told: an alert is in each of its groups, and what nobody is told of is by itself", () => {
    const told = [
      { labels: { alertname: "Disk" }, receiver: { name: "team" }, alerts: rows.slice(0, 2).map((r) => ({ fingerprint: r.fingerprint ?? "" })) },
      { labels: { alertname: "Disk" }, receiver: { name: "boss" }, alerts: [{ fingerprint: rows[0]?.fingerprint ?? "" }] },
    ];
    expect(groupAlerts(rows, AS_TOLD, told, new Set()).map((g) => [g.receiver, g.rows.length])).toEqual([["team", 2], ["boss", 1], [undefined, 1]]);
  });

  test("many alerts begin folded", () => {
    const many = mergeAlerts([], Array.from({ length: MANY }, (_, i) => alert({ alertname: "A", instance: `h${i}` })));
    expect(rowsOf(groupAlerts(many, "alertname", [], new Set()))).toHaveLength(1);
    expect(rowsOf(groupAlerts(many, "alertname", [], new Set(["A"])))).toHaveLength(MANY + 1);
  });

  test("labels to group by: the name, then those that most have", () => expect(groupLabels(rows)).toEqual(["alertname", "instance", "severity"]));
});
