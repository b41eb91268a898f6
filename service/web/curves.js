/** Curves over a feature: lines in SVG on one scale, the row's own value marked, and a cursor that all curves share. */
import { h, seriesColour } from "./dom.js";

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [480, 200, 54, 24, 8];
const SVG = "http://www.w3.org/2000/svg";

function s(tag, attributes, text = null) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  return node;
}

/** Numbers at which an axis is marked: three to six round ones. */
export function ticks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((one) => one >= rough);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/**
 * A figure of curves.
 * @param {{title: string, x: number[], lines: {label: string, values: number[]}[], own: number|null, range?: [number, number],
 *   writeX: Function, writeY: Function, moved: (place: number) => void}} options `own` is the place of the row's own value
 * @returns {{node: HTMLElement, point: (place: number) => void}}
 */
export function curves({ title, x, lines, own, range = null, writeX, writeY, moved }) {
  const [low, high] = range ?? bounds(lines);
  const [from, to] = [x[0], x.at(-1)];
  const toX = (value) => LEFT + ((value - from) / (to - from || 1)) * (WIDTH - LEFT - 10);
  const toY = (value) => TOP + (1 - (value - low) / (high - low || 1)) * (HEIGHT - TOP - BOTTOM);
  const plot = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "curves", "aria-hidden": "true" });
  for (const tick of ticks(low, high)) plot.append(s("line", { x1: LEFT, x2: WIDTH - 10, y1: toY(tick), y2: toY(tick), class: "grid" }),
    s("text", { x: LEFT - 6, y: toY(tick) + 4, "text-anchor": "end" }, writeY(tick)));
  for (const place of marks(x)) plot.append(s("text", { x: toX(x[place]), y: HEIGHT - 6, "text-anchor": place === 0 ? "start" : place === x.length - 1 ? "end" : "middle" }, writeX(x[place])));
  if (own !== null) plot.append(s("line", { x1: toX(x[own]), x2: toX(x[own]), y1: TOP, y2: HEIGHT - BOTTOM, class: "own" }));
  lines.forEach(({ values }, i) => {
    const path = values.map((value, place) => `${place ? "L" : "M"}${toX(x[place]).toFixed(1)} ${toY(value).toFixed(1)}`).join("");
    plot.append(s("path", { d: path, class: "line", stroke: seriesColour(i), "stroke-dasharray": i >= 8 ? `${2 + 3 * Math.floor(i / 8)} 3` : "none" }));
    if (own !== null) plot.append(s("circle", { cx: toX(x[own]), cy: toY(values[own]), r: 3.5, fill: seriesColour(i) }));
  });
  const cursor = s("line", { y1: TOP, y2: HEIGHT - BOTTOM, class: "cursor" });
  plot.append(cursor);
  plot.addEventListener("pointermove", (event) => moved(nearest(x, toX, plot, event)));
  const legend = lines.length > 1 ? h("ul", { class: "legend" }, ...lines.map(({ label }, i) => h("li", {}, h("span", { vars: { swatch: seriesColour(i) } }), label))) : null;
  const point = (place) => { cursor.setAttribute("x1", toX(x[place])); cursor.setAttribute("x2", toX(x[place])); };
  return { node: h("figure", {}, h("figcaption", { text: title }), plot, legend), point };
}

/** The range of the values with a little air, and more where they hardly differ, so that rounding is not taken for a slope. */
function bounds(lines) {
  const values = lines.flatMap((line) => line.values);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const air = Math.max((high - low) * 0.06, Math.abs(high) * 1e-3, 1e-9);
  return [low - air, high + air];
}

const marks = (x) => [...new Set([0, Math.round((x.length - 1) / 2), x.length - 1])];

function nearest(x, toX, plot, event) {
  const box = plot.getBoundingClientRect();
  const at = ((event.clientX - box.left) / box.width) * WIDTH;
  return x.reduce((best, value, place) => (Math.abs(toX(value) - at) < Math.abs(toX(x[best]) - at) ? place : best), 0);
}
