/** Between the simple choices of a form and RRULEs of iCalendar. Pure; what it does not know it leaves as it is written. */

export const WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"] as const;
export type Weekday = (typeof WEEKDAYS)[number];
export type Repeat = "once" | "daily" | "weekly" | "monthday" | "monthweek" | "custom";

/** `2026-11-22T02:00` → its day, counted without any zone. */
function dayOf(start: string): Date | undefined {
  const m = /^(\d{4})-(\d\d)-(\d\d)/.exec(start);
  return m ? new Date(Date.UTC(Number(m[1]), Number(m[2]) - 1, Number(m[3]))) : undefined;
}

export function weekdayOf(start: string): Weekday {
  const day = dayOf(start);
  return WEEKDAYS[day ? (day.getUTCDay() + 6) % 7 : 0] ?? "MO";
}

/** Which of its weekday in the month: 1 to 4, or -1 for a fifth, which is the last. */
export function nthOf(start: string): number {
  const day = dayOf(start);
  const n = day ? Math.ceil(day.getUTCDate() / 7) : 1;
  return n > 4 ? -1 : n;
}

export function monthdayOf(start: string): number {
  return dayOf(start)?.getUTCDate() ?? 1;
}

export function ruleOf(repeat: Repeat, start: string, days: readonly Weekday[], custom: string): string {
  switch (repeat) {
    case "once":
      return "";
    case "daily":
      return "FREQ=DAILY";
    case "weekly":
      return `FREQ=WEEKLY;BYDAY=${(days.length > 0 ? WEEKDAYS.filter((d) => days.includes(d)) : [weekdayOf(start)]).join(",")}`;
    case "monthday":
      return `FREQ=MONTHLY;BYMONTHDAY=${monthdayOf(start)}`;
    case "monthweek":
      return `FREQ=MONTHLY;BYDAY=${nthOf(start)}${weekdayOf(start)}`;
    case "custom":
      return custom.trim();
  }
}

/** The choice that gives this rule back. */
export function choiceOf(rule: string, start: string): { repeat: Repeat; days: Weekday[] } {
  const text = rule.trim().toUpperCase().replace(/^RRULE:/, "");
  const days = /^FREQ=WEEKLY;BYDAY=([A-Z,]+)$/.exec(text)?.[1]?.split(",").filter((d): d is Weekday => (WEEKDAYS as readonly string[]).includes(d)) ?? [];
  for (const repeat of ["once", "daily", "weekly", "monthday", "monthweek"] as const) {
    if (ruleOf(repeat, start, days, "") === text) return { repeat, days };
  }
  return { repeat: "custom", days: [] };
}

/** `2026-11-22T02:00` of an instant on the clock of `zone`; the next full hour after it. */
export function nextHour(now: number, zone: string): string {
  const at = new Date(Math.ceil((now + 60_000) / 3_600_000) * 3_600_000);
  const parts = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "short" }).format(at);
  return parts.replace(" ", "T");
}

/** The word for which of its weekday it is. */
export function nthKey(start: string): "nth_1" | "nth_2" | "nth_3" | "nth_4" | "nth_last" {
  const n = nthOf(start);
  return n === 1 ? "nth_1" : n === 2 ? "nth_2" : n === 3 ? "nth_3" : n === 4 ? "nth_4" : "nth_last";
}
