/** CSV as RFC 4180 wants it: quotes doubled, CRLF between rows. Pure. */
export function csv(rows: readonly (readonly (string | number | null)[])[]): string {
  return rows
    .map((r) => r.map((c) => (c === null ? "" : typeof c === "number" ? String(c) : /[",\r\n]/.test(c) ? `"${c.replace(/"/g, '""')}"` : c)).join(","))
    .join("\r\n");
}
