/**
 * A time graph: a thin layer over uPlot with the house's rules (docs/user/web-page.md) and no framework in it.
 * Model in, pixels out; gestures come back through the callbacks. Never fetches, never touches the URL.
 */
import uPlot from "uplot";
import { alpha, colour } from "../lib/palette";
import { type Zone, formatInstant, tickLabel, timeTicks } from "../lib/time";
import { type UnitId, axisLabels, niceRange, niceTicks, showText, startsAtZero } from "../lib/units";
import { type ChartData, type Column, type Span, extent, keepRange, loners, pointCount, stack } from "./data";

export interface Threshold {
  value: number;
  name: string;
}

export interface ChartModel {
  data: ChartData;
  /** Keys of series not drawn. */
  hidden: ReadonlySet<string>;
  unit: UnitId;
  stacked: boolean;
  max: number | undefined;
  /** Seconds since the epoch. */
  from: number;
  to: number;
  thresholds: readonly Threshold[];
  /** When alerts fired: a band under the axis. */
  spans: readonly Span[];
  dark: boolean;
  zone: Zone;
  height: number;
}

export interface ChartEvents {
  /** Seconds since the epoch. */
  onZoom(from: number, to: number): void;
  onReset(): void;
  /** Text of the tooltip's last row when series were left out. */
  moreText(n: number): string;
}

const TOOLTIP_ROWS = 12;
const EDGE_LABELS = 8;
/** The page's own families: a canvas does not inherit them. */
function font(px: number): string {
  return `${px}px ${getComputedStyle(document.body).fontFamily}`;
}

interface Ink {
  text: string;
  faint: string;
  grid: string;
  threshold: string;
  background: string;
  critical: string;
  warning: string;
}

const INK: Readonly<Record<"light" | "dark", Ink>> = {
  light: { text: "#5a6069", faint: "#8a9099", grid: "#e8eaed", threshold: "#b3261e", background: "#ffffff", critical: "#c4212b", warning: "#8f5b00" },
  dark: { text: "#a2a9b3", faint: "#757d88", grid: "#2b3036", threshold: "#ff7b72", background: "#16191d", critical: "#ff7b72", warning: "#e3a53c" },
};

export class Chart {
  private plot: uPlot | undefined;
  private signature = "";
  private model: ChartModel | undefined;
  private shown: ChartData["series"] = [];
  private drawn: Column[] = [];
  private yRange: [number, number] | undefined;
  private readonly tip: HTMLDivElement;
  private readonly observer: ResizeObserver;
  private hovering = false;
  private pinned = false;
  private width = 0;
  private panFrom: { x: number; from: number; to: number } | undefined;

  constructor(
    private readonly root: HTMLElement,
    private readonly syncKey: string,
    private readonly events: ChartEvents,
  ) {
    this.tip = document.createElement("div");
    this.tip.className = "chart-tip";
    this.tip.hidden = true;
    root.append(this.tip);
    this.width = Math.floor(root.clientWidth);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(root);
  }

  destroy(): void {
    this.observer.disconnect();
    this.plot?.destroy();
    this.tip.remove();
  }

  update(model: ChartModel): void {
    this.model = model;
    this.shown = model.data.series.filter((s) => !model.hidden.has(s.key));
    const columns = this.shown.map((s) => s.values);
    this.drawn = model.stacked ? stack(columns) : columns;
    if (model.stacked) {
      // From the top down, so that where layers are empty the line of the lower one stays in sight.
      this.shown.reverse();
      this.drawn.reverse();
    }
    const signature = [model.unit, model.stacked, model.dark, model.zone, model.height, ...this.shown.map((s) => `${s.key}:${s.colour}`)].join("|");
    if (signature !== this.signature) this.yRange = undefined;
    this.yRange = this.rangeOf(model);
    if (this.width < 40) return;
    const data = [model.data.xs, ...this.drawn] as uPlot.AlignedData;
    if (this.plot && signature === this.signature) {
      this.plot.batch(() => {
        this.plot?.setData(data, false);
        this.plot?.setScale("x", { min: model.from, max: model.to });
        this.plot?.setScale("y", { min: this.yRange?.[0] ?? 0, max: this.yRange?.[1] ?? 1 });
      });
    } else {
      this.signature = signature;
      this.build(model, data);
    }
    this.mark();
  }

  private resize(): void {
    const w = Math.floor(this.root.clientWidth);
    if (w === this.width || w < 40) return;
    this.width = w;
    if (this.plot && this.model) this.plot.setSize({ width: w, height: this.model.height });
    else if (this.model) this.update(this.model);
  }

  private rangeOf(model: ChartModel): [number, number] {
    const e = extent(this.drawn);
    if (!e) return this.yRange ?? [0, model.max ?? 1];
    const zero = startsAtZero(model.unit) || model.stacked || e[0] >= 0;
    let wanted = niceRange(e[0], e[1], model.unit, zero);
    // A natural end (100 %) is kept in sight once it is near.
    if (model.max !== undefined && wanted[1] > model.max * 0.7 && e[1] <= model.max * 1.05) wanted = [wanted[0], model.max];
    for (const t of model.thresholds) if (t.value > wanted[1] && t.value < wanted[1] * 1.6) wanted = niceRange(wanted[0], t.value, model.unit, zero);
    return keepRange(this.yRange, wanted);
  }

  private build(model: ChartModel, data: uPlot.AlignedData): void {
    this.plot?.destroy();
    const ink = INK[model.dark ? "dark" : "light"];
    const grid: uPlot.Axis.Grid = { stroke: ink.grid, width: 1 };
    // Fills over each other turn to mud; beyond a few lines only the lines are drawn.
    const fill = !model.stacked && this.shown.length > 4 ? 0 : model.dark ? 0.07 : 0.08;
    const series: uPlot.Series[] = this.shown.map((s, i) => {
      const c = colour(s.colour, model.dark);
      return {
        stroke: c,
        width: 1.5,
        ...(fill > 0 ? { fill: alpha(c, model.stacked ? fill * 2.5 : fill) } : {}),
        spanGaps: false,
        points: { show: true, size: 4, fill: c, filter: () => loners(this.drawn[i] ?? []) },
      };
    });
    const options: uPlot.Options = {
      width: this.width,
      height: model.height,
      padding: [8, this.edgeWidth(model), 0, 0],
      legend: { show: false },
      focus: { alpha: 0.35 },
      cursor: this.cursor(),
      scales: {
        x: { time: true, range: () => [this.model?.from ?? 0, this.model?.to ?? 1] },
        y: { range: () => this.yRange ?? [0, 1] },
      },
      series: [{}, ...series],
      axes: [
        {
          stroke: ink.text,
          font: font(11),
          grid,
          ticks: { show: false },
          size: 24,
          gap: 4,
          splits: (u) => timeTicks(u.scales.x?.min ?? 0, u.scales.x?.max ?? 1, Math.max(3, Math.min(8, u.width / 90)), model.zone).ticks,
          values: (u, splits) => {
            const { step } = timeTicks(u.scales.x?.min ?? 0, u.scales.x?.max ?? 1, Math.max(3, Math.min(8, u.width / 90)), model.zone);
            return splits.map((t) => tickLabel(t, step, model.zone));
          },
        },
        {
          stroke: ink.text,
          font: font(11),
          grid,
          ticks: { show: false },
          gap: 6,
          size: (u, values) => this.axisWidth(u, values),
          splits: (u) => niceTicks(u.scales.y?.min ?? 0, u.scales.y?.max ?? 1, model.unit, model.height < 130 ? 3 : 5),
          values: (_, splits) => axisLabels(splits, model.unit),
        },
      ],
      hooks: {
        setSelect: [(u) => this.selected(u)],
        setCursor: [(u) => this.moved(u)],
        draw: [(u) => this.decorate(u, ink)],
        ready: [(u) => this.listen(u)],
      },
    };
    if (model.stacked) options.bands = this.shown.slice(1).map((_, i) => ({ series: [i + 1, i + 2] as [number, number] }));
    this.plot = new uPlot(options, data, this.root);
    this.root.append(this.tip);
  }

  private cursor(): uPlot.Cursor {
    const pub = (type: string) => type !== "mousedown" && type !== "mouseup" && type !== "dblclick";
    return {
      drag: { x: true, y: false, setScale: false },
      focus: { prox: 24 },
      points: { size: 6, width: 1.5 },
      sync: { key: this.syncKey, setSeries: false, filters: { pub, sub: pub } },
      bind: {
        dblclick: () => () => {
          this.events.onReset();
          return null;
        },
        mousedown: (u, _, handler) => (e) => {
          if (e.shiftKey && this.model) {
            this.panFrom = { x: e.clientX, from: this.model.from, to: this.model.to };
            this.pan(u);
            return null;
          }
          handler(e);
          return null;
        },
      },
    };
  }

  /** Shift-drag: the picture follows the hand, the range changes when it lets go. */
  private pan(u: uPlot): void {
    const begin = this.panFrom;
    if (!begin) return;
    let shift = 0;
    const move = (e: MouseEvent) => {
      shift = ((begin.x - e.clientX) / u.over.clientWidth) * (begin.to - begin.from);
      if (this.model) this.model = { ...this.model, from: begin.from + shift, to: begin.to + shift };
      u.setScale("x", { min: begin.from + shift, max: begin.to + shift });
    };
    const up = () => {
      removeEventListener("mousemove", move);
      removeEventListener("mouseup", up);
      this.panFrom = undefined;
      if (Math.abs(shift) > (begin.to - begin.from) / 200) this.events.onZoom(begin.from + shift, begin.to + shift);
    };
    addEventListener("mousemove", move);
    addEventListener("mouseup", up);
  }

  private selected(u: uPlot): void {
    const { left, width } = u.select;
    if (width < 4) return;
    const from = u.posToVal(left, "x");
    const to = u.posToVal(left + width, "x");
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.hideTip();
    this.events.onZoom(from, to);
  }

  private listen(u: uPlot): void {
    u.over.addEventListener("mouseenter", () => {
      this.hovering = true;
    });
    u.over.addEventListener("mouseleave", () => {
      this.hovering = false;
      if (!this.pinned) this.hideTip();
    });
    let down = 0;
    u.over.addEventListener("mousedown", (e) => {
      down = e.clientX;
    });
    u.over.addEventListener("click", (e) => {
      if (Math.abs(e.clientX - down) > 3 || e.shiftKey) return;
      this.pinned = !this.pinned;
      this.tip.classList.toggle("pinned", this.pinned);
      if (!this.pinned) this.moved(u);
    });
  }

  /** Moves the crosshair with the keyboard; -1 and 1 are steps, the tooltip follows. */
  step(by: number): void {
    const u = this.plot;
    const n = this.model?.data.xs.length ?? 0;
    if (!u || n === 0) return;
    const at = u.cursor.idx ?? n - 1;
    const i = Math.max(0, Math.min(n - 1, at + by));
    this.hovering = true;
    u.setCursor({ left: u.valToPos(this.model?.data.xs[i] ?? 0, "x"), top: u.over.clientHeight / 2 });
  }

  leave(): void {
    this.hovering = false;
    this.pinned = false;
    this.tip.classList.remove("pinned");
    this.hideTip();
  }

  private hideTip(): void {
    this.tip.hidden = true;
  }

  private moved(u: uPlot): void {
    const model = this.model;
    if (this.pinned || !model) return;
    const { idx, left = -1, top = -1 } = u.cursor;
    if (!this.hovering || idx === null || idx === undefined || left < 0) {
      this.hideTip();
      return;
    }
    const rows = this.shown
      .map((s, i) => ({ s, value: s.values[idx] ?? null, y: this.drawn[i]?.[idx] ?? null }))
      .filter((r): r is { s: ChartData["series"][number]; value: number; y: number } => r.value !== null && r.y !== null);
    if (rows.length === 0) {
      this.hideTip();
      return;
    }
    let near = rows[0];
    for (const r of rows) if (near && Math.abs(u.valToPos(r.y, "y") - top) < Math.abs(u.valToPos(near.y, "y") - top)) near = r;
    rows.sort((a, b) => b.value - a.value);
    // The nearest line is always among the rows.
    let list = rows.slice(0, TOOLTIP_ROWS);
    if (near && !list.includes(near)) list = [...list.slice(0, TOOLTIP_ROWS - 1), near];
    this.fillTip(model, model.data.xs[idx] ?? 0, list, near, rows.length - list.length);
    this.placeTip(u, left, top);
  }

  private fillTip(model: ChartModel, x: number, rows: { s: ChartData["series"][number]; value: number }[], near: { s: ChartData["series"][number] } | undefined, more: number): void {
    const make = (tag: string, cls: string, text: string) => {
      const e = document.createElement(tag);
      e.className = cls;
      e.textContent = text;
      return e;
    };
    const table = document.createElement("table");
    for (const r of rows) {
      const tr = document.createElement("tr");
      if (r.s === near?.s) tr.className = "near";
      const mark = make("td", "mark", "");
      const swatch = make("span", "swatch", "");
      swatch.style.background = colour(r.s.colour, model.dark);
      mark.append(swatch);
      tr.append(mark, make("td", "name", r.s.name), make("td", "num", showText(r.value, model.unit)));
      table.append(tr);
    }
    const step = (model.data.xs[1] ?? 0) - (model.data.xs[0] ?? 0);
    const firing = [...new Set(model.spans.filter((s) => s.from - step / 2 <= x && x <= s.to + step / 2).map((s) => `${s.state === "critical" ? "■" : "▲"} ${s.name}`))];
    this.tip.replaceChildren(make("div", "time", formatInstant(x * 1000, model.zone, true)), ...firing.map((text) => make("div", text.startsWith("■") ? "fire critical" : "fire warning", text)), table);
    if (more > 0) this.tip.append(make("div", "more", this.events.moreText(more)));
    this.tip.hidden = false;
  }

  private placeTip(u: uPlot, left: number, top: number): void {
    const x0 = u.over.offsetLeft;
    const w = this.tip.offsetWidth;
    const right = x0 + left + 14;
    const x = right + w > this.width ? Math.max(0, x0 + left - w - 14) : right;
    this.tip.style.transform = `translate(${Math.round(x)}px, ${Math.round(Math.max(0, top - 8))}px)`;
  }

  private axisWidth(u: uPlot, values: string[] | null): number {
    const ctx = u.ctx;
    ctx.save();
    ctx.font = font(11 * devicePixelRatio);
    const w = Math.max(0, ...(values ?? []).map((v) => ctx.measureText(v).width));
    ctx.restore();
    // Steps of 8 px, so that graphs below each other keep one left edge.
    return Math.ceil((w / devicePixelRatio + 12) / 8) * 8;
  }

  private edgeWidth(model: ChartModel): number {
    const widest = Math.max(0, ...this.shown.map((s) => showText(lastOf(s.values) ?? 0, model.unit).length));
    return Math.min(96, Math.ceil((widest * 6.2 + 12) / 8) * 8);
  }

  /** Thresholds, and the last value of each line at the right edge where there is room. */
  private decorate(u: uPlot, ink: Ink): void {
    const model = this.model;
    if (!model) return;
    const { ctx } = u;
    const r = devicePixelRatio;
    const { left, top, width, height } = u.bbox;
    ctx.save();
    ctx.font = font(11 * r);
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    for (const t of model.thresholds) {
      const y = u.valToPos(t.value, "y", true);
      if (y < top || y > top + height) continue;
      ctx.strokeStyle = ink.threshold;
      ctx.setLineDash([4 * r, 4 * r]);
      ctx.lineWidth = r;
      ctx.beginPath();
      ctx.moveTo(left, y);
      ctx.lineTo(left + width, y);
      ctx.stroke();
      ctx.fillStyle = ink.text;
      ctx.fillText(t.name, left + 6 * r, y - 8 * r);
    }
    for (const s of model.spans) {
      const x0 = Math.max(left, u.valToPos(s.from, "x", true));
      const x1 = Math.min(left + width, Math.max(u.valToPos(s.to, "x", true), x0 + 2 * r));
      if (x1 <= x0) continue;
      ctx.fillStyle = ink[s.state];
      ctx.fillRect(x0, top + height + r, x1 - x0, 3 * r);
    }
    const labels = this.shown
      .map((s, i) => ({ s, y: lastOf(this.drawn[i] ?? []), value: lastOf(s.values) }))
      .filter((l): l is typeof l & { y: number; value: number } => l.y !== null && l.value !== null)
      .sort((a, b) => b.value - a.value)
      .slice(0, 40);
    const placed: number[] = [];
    for (const l of labels) {
      const y = u.valToPos(l.y, "y", true);
      if (y < top - r || y > top + height + r || placed.length >= EDGE_LABELS || placed.some((p) => Math.abs(p - y) < 12 * r)) continue;
      placed.push(y);
      ctx.fillStyle = colour(l.s.colour, model.dark);
      ctx.fillText(showText(l.value, model.unit), left + width + 5 * r, Math.max(top + 6 * r, y));
    }
    ctx.restore();
    this.mark();
  }

  /** For tests and for screen readers' descriptions: what has been drawn. */
  private mark(): void {
    if (!this.plot) return;
    this.root.dataset.seriesCount = String(this.shown.length);
    this.root.dataset.pointCount = String(pointCount(this.shown.map((s) => s.values)));
  }

  /** The picture with its title, as a PNG blob. */
  toPng(title: string): Promise<Blob | null> {
    const source = this.plot?.ctx.canvas;
    const model = this.model;
    if (!source || !model) return Promise.resolve(null);
    const ink = INK[model.dark ? "dark" : "light"];
    const r = devicePixelRatio;
    const head = 28 * r;
    const rows = this.shown.slice(0, 20);
    const out = document.createElement("canvas");
    out.width = source.width;
    out.height = head + source.height + rows.length * 16 * r + 8 * r;
    const ctx = out.getContext("2d");
    if (!ctx) return Promise.resolve(null);
    ctx.fillStyle = ink.background;
    ctx.fillRect(0, 0, out.width, out.height);
    ctx.font = `600 ${font(13 * r)}`;
    ctx.fillStyle = ink.text;
    ctx.textBaseline = "middle";
    ctx.fillText(title, 8 * r, head / 2);
    ctx.drawImage(source, 0, head);
    ctx.font = font(11 * r);
    rows.forEach((s, i) => {
      const y = head + source.height + (i + 0.5) * 16 * r;
      ctx.fillStyle = colour(s.colour, model.dark);
      ctx.fillRect(10 * r, y - 1.5 * r, 12 * r, 3 * r);
      ctx.fillStyle = ink.text;
      ctx.fillText(`${s.name}  ${showText(lastOf(s.values) ?? Number.NaN, model.unit)}`, 28 * r, y);
    });
    return new Promise((done) => out.toBlob(done, "image/png"));
  }

  /** Fades all lines but one; undefined brings them back. */
  focus(key: string | undefined): void {
    const i = key === undefined ? -1 : this.shown.findIndex((s) => s.key === key);
    if (i >= 0) this.plot?.setSeries(i + 1, { focus: true });
    else this.plot?.setSeries(null, { focus: true });
  }
}

function lastOf(column: Column): number | null {
  for (let i = column.length - 1; i >= 0; i--) {
    const v = column[i];
    if (v !== null && v !== undefined) return v;
  }
  return null;
}
