/**
 * Line charts, drawn by uPlot: an axis that fits, values under the pointer and by the arrow keys, baselines, marks.
 *
 * A chart is a place that takes the focus; Left, Right, Home and End walk along its points. The legend has the values of the
 * point in hand, of the latest one otherwise, and a screen reader hears those of a point that the keys reach.
 */
import uPlot from "./vendor/uPlot.js";
import { h, seriesColour } from "./dom.js";
import { compact, weight } from "./format.js";

const HEIGHT = 190;
const KEYS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

/** Seconds before now as text. */
export const ago = (seconds) => (seconds >= 0 ? "now" : -seconds >= 120 ? `−${Math.round(-seconds / 60)} min` : `−${Math.round(-seconds)} s`);

/** A chart that keeps its canvas and takes new data. */
export class LineChart {
  /**
   * @param {{title: string, labels: string[], format?: Function, x?: Function, beside?: Node}} options one line per
   *   label; `format` writes a value and `x` a place on the axis below; `beside` stands behind the title, such as explain("entropy")
   */
  constructor({ title, labels, format = weight, x = ago, beside = null }) {
    Object.assign(this, { title, labels, format, x, plot: null, index: null, baselines: null, marks: [] });
    this.place = h("div", { class: "plot" });
    this.focus = h("div", { class: "chart", tabindex: "0", role: "group", "aria-label": `${title}: values by the arrow keys`, on: { keydown: (event) => this.key(event), blur: () => this.point(null) } }, this.place);
    this.values = labels.map(() => h("b", {}));
    this.when = h("p", { class: "soft when" });
    this.said = h("p", { class: "sr", role: "status" });
    const legend = h("ul", { class: "legend" }, ...labels.map((label, i) => h("li", {}, h("span", { vars: { swatch: seriesColour(i) } }), `${label} `, this.values[i])));
    this.node = h("figure", {}, h("figcaption", { class: "row" }, h("span", { text: title }), beside), this.focus, this.when, legend, this.said);
    this.observer = new ResizeObserver(() => this.plot?.setSize({ width: this.width(), height: HEIGHT }));
  }

  width() {
    return Math.max(200, this.place.clientWidth);
  }

  /**
   * @param {number[]} xs places, ascending, such as seconds before now
   * @param {(number|null)[][]} lines one list per label
   * @param {{baselines?: (number|null)[], marks?: {x: number, text: string}[]}} beside a value per label to be drawn dashed,
   *   and upright lines with a word on each
   */
  draw(xs, lines, { baselines = null, marks = [] } = {}) {
    Object.assign(this, { xs, lines, baselines, marks });
    if (this.plot) this.plot.setData([xs, ...lines]);
    else this.create([xs, ...lines]);
    this.read();
  }

  create(data) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    Object.assign(this, { ink: colour("soft"), paper: colour("card") });
    const axis = { stroke: this.ink, grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const series = this.labels.map((label, i) => ({ label, stroke: seriesColour(i), width: 1.5, spanGaps: false, points: { show: (_, one) => this.lines[one - 1].filter((v) => v !== null).length < 30, size: 4 } }));
    this.plot = new uPlot({ width: this.width(), height: HEIGHT, legend: { show: false }, cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: { x: { time: false }, y: { range: () => this.fit() } }, axes: [{ ...axis, size: 28, values: (_, ticks) => ticks.map(this.x) }, { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => this.tick(tick, ticks)) }], series: [{}, ...series],
      hooks: { setCursor: [(plot) => plot.cursor.event && this.point(plot.cursor.idx ?? null, false)], draw: [(plot) => this.decorate(plot)] } }, data, this.place);
    this.plot.root.setAttribute("aria-hidden", "true");
    this.observer.observe(this.place);
  }

  /** The span of what is drawn, with a little room; of values that are all alike, some room around them. */
  fit() {
    const all = [...this.lines.flat(), ...(this.baselines ?? [])].filter((value) => value !== null && value !== undefined);
    if (!all.length) return [0, 1];
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const room = high > low ? 0.06 * (high - low) : 0.1 * Math.abs(high) || 1;
    return [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
  }

  /** As many decimals as tell neighbouring ticks apart. */
  tick(value, ticks) {
    const step = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) : Math.abs(value) || 1;
    let decimals = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
    while (decimals < 8 && Math.abs(step * 10 ** decimals - Math.round(step * 10 ** decimals)) > 1e-6) decimals += 1;
    return Math.abs(value) >= 1e5 ? compact(value) : value.toFixed(decimals).replace("-", "−");
  }

  /** Baselines dashed in their lines' colours, marks upright with their words. */
  decorate(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
    (this.baselines ?? []).forEach((value, i) => value !== null && this.line(ctx, seriesColour(i), [bbox.left, plot.valToPos(value, "y", true)], [bbox.left + bbox.width, plot.valToPos(value, "y", true)]));
    ctx.font = `${11 * devicePixelRatio}px system-ui`;
    ctx.textAlign = "left";
    for (const { x, text } of this.marks.filter((mark) => mark.x >= plot.scales.x.min && mark.x <= plot.scales.x.max)) {
      const at = plot.valToPos(x, "x", true);
      this.line(ctx, this.ink, [at, bbox.top], [at, bbox.top + bbox.height]);
      const left = at > bbox.left + bbox.width / 2 ? at - ctx.measureText(` ${text} `).width : at;
      ctx.fillStyle = this.paper;
      ctx.fillRect(left + devicePixelRatio, bbox.top, ctx.measureText(` ${text} `).width - 2 * devicePixelRatio, 14 * devicePixelRatio);
      ctx.fillStyle = this.ink;
      ctx.fillText(` ${text} `, left, bbox.top + 11 * devicePixelRatio);
    }
    ctx.restore();
  }

  line(ctx, colour, from, to) {
    ctx.strokeStyle = colour;
    ctx.beginPath();
    ctx.moveTo(...from);
    ctx.lineTo(...to);
    ctx.stroke();
  }

  key(event) {
    const step = KEYS[event.key];
    if (step === undefined || !this.plot) return;
    event.preventDefault();
    const last = this.xs.length - 1;
    this.point(Math.min(last, Math.max(0, (this.index ?? (step > 0 ? -1 : last + 1)) + step)), true);
  }

  /** Take a point in hand: its values are in the legend, and said where the keys reached it. */
  point(index, said) {
    this.index = index;
    if (said !== false) this.plot?.setCursor(index === null ? { left: -10, top: -10 } : { left: this.plot.valToPos(this.xs[index], "x"), top: 10 }, false);
    this.read();
    if (said) this.said.textContent = `${this.x(this.xs[index])}: ${this.text()}`;
  }

  read() {
    const at = this.index !== null && this.index < this.xs.length ? this.index : null;
    const shown = this.lines.map((line) => (at === null ? line.findLast((value) => value !== null) : line[at]) ?? null);
    shown.forEach((value, i) => (this.values[i].textContent = value === null ? "–" : this.format(value) + this.compared(i)));
    this.when.textContent = at === null ? this.latest() : `At ${this.x(this.xs[at])}${this.marked(this.xs[at])}`;
  }

  latest() {
    const marks = this.marks.map(({ x, text }) => `${text} (${this.x(x)})`);
    return ["Latest values", this.baselines && "dashed: baseline", ...marks].filter(Boolean).join("; ");
  }

  marked(x) {
    const passed = this.marks.filter((mark) => mark.x <= x).at(-1);
    return passed ? `, ${passed.text}` : "";
  }

  compared(i) {
    const base = this.baselines?.[i];
    return base === null || base === undefined ? "" : ` (baseline ${this.format(base)})`;
  }

  text() {
    return this.labels.map((label, i) => `${label} ${this.values[i].textContent === "–" ? "no value" : this.values[i].textContent}`).join("; ");
  }

  destroy() {
    this.observer.disconnect();
    this.plot?.destroy();
    this.plot = null;
    this.index = null;
  }
}
