/** Build elements, format numbers, colour by value: what every view needs and no more. */

/**
 * Make an element.
 * @param {string} tag
 * @param {Object} props `class`, `text`, `on` (event handlers), `data`, `vars` (CSS variables); others become attributes.
 * @param {...(Node|string|null|false)} children
 */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") node.className = value;
    else if (key === "text") node.textContent = value;
    else if (key === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (key === "data") Object.assign(node.dataset, value);
    else if (key === "vars") for (const [name, v] of Object.entries(value)) node.style.setProperty(`--${name}`, v);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const card = (title, ...children) => h("section", { class: "card" }, h("h2", { text: title }), ...children);

/** Four significant digits at most, without a tail of zeros; what six decimals would show as 0, as a power of ten. */
export function number(value) {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && Math.abs(value) < 1e-4) return Number(value).toExponential(1).replaceAll("-", "−");
  return Number(Number(value).toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 7 }).replace("-", "−");
}

/** The fewest digits that still mean the same float32: 12.47 and not 12.470000267028809. */
export function shortest(value) {
  for (let digits = 1; digits < 17; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
}
export const weight = (value) => (value === null || value === undefined ? "–" : value.toFixed(3));
export const percent = (value, digits = 1) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(digits)}\u202f%`);

/** A probability: one decimal, and two digits that differ from 0 or 100 where one decimal would hide them. */
export function probability(value) {
  const rest = Math.min(value, 1 - value);
  return percent(value, rest > 0 && rest < 0.001 ? Math.min(6, Math.ceil(-Math.log10(rest)) - 1) : 1);
}
export const signed = (value) => (value === 0 ? "0" : `${value < 0 ? "−" : "+"}${number(Math.abs(value))}`);
export const expertName = (index) => `expert ${index}`;

const dark = matchMedia("(prefers-color-scheme: dark)");
export const onThemeChange = (handler) => dark.addEventListener("change", handler);

const RAMPS = { light: [[255, 255, 255], [67, 56, 202]], dark: [[32, 36, 54], [165, 180, 252]] };

/** Colour a cell by a share in [0, 1]; black or white text, whichever reads better: one of them always has 4.5 : 1. */
export function paint(cell, share) {
  const [low, high] = RAMPS[dark.matches ? "dark" : "light"];
  const t = Math.min(1, Math.max(0, share ?? 0));
  const rgb = low.map((value, channel) => Math.round(value + t * (high[channel] - value)));
  cell.style.backgroundColor = `rgb(${rgb.join(" ")})`;
  cell.style.color = contrast(rgb, [0, 0, 0]) >= contrast(rgb, [255, 255, 255]) ? "#000" : "#fff";
}

const luminance = (rgb) => rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);

/** Contrast ratio of two colours as WCAG 2 defines it. */
function contrast(a, b) {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

/** Eight colours that stay apart for most colour-blind readers (after Okabe and Ito), then repeated. */
const SERIES = { light: ["#0063a6", "#b34700", "#00795c", "#a3407a", "#6b5b00", "#3a3a8c", "#c0392b", "#555b6e"], dark: ["#6cb8f0", "#f5a05a", "#5ad1ae", "#e79ac6", "#e6d65c", "#a9a9f5", "#ff8a80", "#b9c0d4"] };
export const seriesColour = (index) => SERIES[dark.matches ? "dark" : "light"][index % 8];

/**
 * A table whose cells are coloured by value.
 * @param {{caption: string, rows: string[], columns: string[], values: number[][], format?: Function, share?: Function, mark?: (r: number, c: number) => boolean}} options
 */
export function heatmap({ caption, rows, columns, values, format = weight, share = (v) => v, mark = null }) {
  const head = h("tr", {}, h("td", {}), ...columns.map((name) => h("th", { scope: "col" }, ...name.split(" ").map((word) => h("span", { text: `${word} ` })))));
  const body = rows.map((name, r) => h("tr", {}, h("th", { scope: "row", text: name }), ...columns.map((_, c) => heatCell(values[r]?.[c], format, share, mark?.(r, c)))));
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption }, h("table", { class: "heat" }, h("caption", { text: caption }), h("thead", {}, head), h("tbody", {}, ...body)));
}

function heatCell(value, format, share, marked) {
  const cell = h("td", { class: marked ? "top-expert" : null, text: format(value) });
  if (value !== null && value !== undefined) paint(cell, share(value));
  return cell;
}
