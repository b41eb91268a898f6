/** Lines over time, drawn by uPlot: one figure per question, with a legend and a sentence for those who cannot see it. */
import uPlot from "./vendor/uPlot.js";
import { h, seriesColour } from "./dom.js";

const HEIGHT = 190;

/** A line chart that keeps its canvas and takes new data. */
export class LineChart {
  /** @param {{title: string, labels: string[]}} options one line per label, values in [0, 1] */
  constructor({ title, labels }) {
    this.labels = labels;
    this.place = h("div", {});
    this.summary = h("p", { class: "sr" });
    const legend = h("ul", { class: "legend" }, ...labels.map((label, i) => h("li", {}, h("span", { vars: { swatch: seriesColour(i) } }), label)));
    this.node = h("figure", {}, h("figcaption", { text: title }), this.place, legend, this.summary);
    this.plot = null;
    this.observer = new ResizeObserver(() => this.plot?.setSize({ width: this.width(), height: HEIGHT }));
  }

  width() {
    return Math.max(200, this.place.clientWidth);
  }

  /**
   * @param {number[]} ages seconds before now, oldest first (negative or 0)
   * @param {(number|null)[][]} lines one list per label
   */
  draw(ages, lines) {
    const data = [ages, ...lines];
    if (this.plot) this.plot.setData(data);
    else this.create(data);
    const last = lines.map((line) => line.findLast((value) => value !== null));
    this.summary.textContent = this.labels.map((label, i) => `${label}: ${last[i] === undefined ? "no rows" : `${last[i].toFixed(3)} at the latest`}`).join("; ");
  }

  create(data) {
    const style = getComputedStyle(document.documentElement);
    const axis = { stroke: style.getPropertyValue("--soft").trim(), grid: { stroke: style.getPropertyValue("--line").trim(), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const series = this.labels.map((label, i) => ({ label, stroke: seriesColour(i), width: 1.5, spanGaps: false, points: { show: true, size: 4 } }));
    this.plot = new uPlot({ width: this.width(), height: HEIGHT, legend: { show: false }, cursor: { show: false }, scales: { x: { time: false }, y: { range: [0, 1] } },
      axes: [{ ...axis, values: (_, ticks) => ticks.map(ago) }, { ...axis, size: 44 }], series: [{}, ...series] }, data, this.place);
    this.plot.root.setAttribute("aria-hidden", "true");
    this.observer.observe(this.place);
  }

  destroy() {
    this.observer.disconnect();
    this.plot?.destroy();
    this.plot = null;
  }
}

const ago = (seconds) => (seconds >= 0 ? "now" : -seconds >= 120 ? `−${Math.round(-seconds / 60)} min` : `−${Math.round(-seconds)} s`);
