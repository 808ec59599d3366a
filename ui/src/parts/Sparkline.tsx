/** A line of 90×24 px without axes; the number beside it says the rest. */
export function Sparkline({ values, max, threshold, width = 90, height = 24, label }: { values: readonly (number | null)[]; max?: number; threshold?: number; width?: number; height?: number; label: string }) {
  const known = values.filter((v): v is number => v !== null);
  const n = values.length;
  if (known.length === 0) return <span className="spark faint" role="img" aria-label={label}>·</span>;
  const hi = Math.max(max ?? 0, threshold ?? 0, ...known) || 1;
  const x = (i: number) => ((i / Math.max(1, n - 1)) * (width - 2) + 1).toFixed(1);
  const y = (v: number) => (height - 2 - (Math.max(0, v) / hi) * (height - 4)).toFixed(1);
  let line = "";
  let area = "";
  let begin = -1;
  const close = (end: number) => {
    if (begin >= 0) area += `L${x(end)} ${height - 1}L${x(begin)} ${height - 1}Z`;
    begin = -1;
  };
  values.forEach((v, i) => {
    if (v === null) return close(i - 1);
    const p = `${begin < 0 ? "M" : "L"}${x(i)} ${y(v)}`;
    line += p;
    area += p;
    if (begin < 0) begin = i;
  });
  close(n - 1);
  return (
    <svg className="spark" width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="img" aria-label={label} data-testid="spark">
      <path d={area} className="spark-area" />
      <path d={line} className="spark-line" />
      {threshold === undefined ? null : <line x1="1" x2={width - 1} y1={y(threshold)} y2={y(threshold)} className="spark-threshold" data-testid="spark-threshold" />}
      {known.length === 1 ? <circle cx={x(values.findIndex((v) => v !== null))} cy={y(known[0] ?? 0)} r="1.5" className="spark-dot" /> : null}
    </svg>
  );
}
