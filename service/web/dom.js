/** Build elements, colour by value: what every view needs and no more. */

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

/** A card; its title is text, or [text, explain("term")] for a button beside the heading. */
export function card(title, ...children) {
  const [text, ...beside] = [title].flat();
  return h("section", { class: "card" }, h("div", { class: "row title" }, h("h2", { text }), ...beside), ...children);
}

/** A sentence for a screen reader, in a node that stays: it is read when its text changes. */
export const announcer = () => h("p", { class: "sr", role: "status" });

let choices = 0;

/**
 * A labelled choice of one.
 * @param {string} label
 * @param {[string|number, string][]} options value and text of each
 * @param {(value: string) => void} onChange
 */
export function choice(label, options, chosen, onChange) {
  const id = `choice-${(choices += 1)}`;
  const node = h("select", { id, on: { change: () => onChange(node.value) } }, ...options.map(([value, text]) => h("option", { value, text, selected: String(value) === String(chosen) })));
  return h("span", { class: "choice" }, h("label", { for: id, text: label }), node);
}

/**
 * Bring the children of a place to the form of a fresh tree's, in place: focus, scrolling and open explanations stay.
 * @param {Node} old in the document; its listeners stay too, so that those of the fresh tree must mean the same
 * @param {Node} fresh of which the text, classes and styles are taken
 */
export function morph(old, fresh) {
  while (old.childNodes.length > fresh.childNodes.length) old.lastChild.remove();
  [...fresh.childNodes].forEach((child, i) => {
    const before = old.childNodes[i];
    if (!before) old.append(child);
    else if (before.nodeName !== child.nodeName || before.childNodes.length !== child.childNodes.length || before.id !== child.id || !sameExplainer(before, child)) before.replaceWith(child);
    else if (before.nodeType === Node.TEXT_NODE) before.data === child.data || (before.data = child.data);
    else morphElement(before, child);
  });
}

function morphElement(old, fresh) {
  if (old.classList.contains("explainer")) return;
  if (old.style.cssText !== fresh.style.cssText) old.style.cssText = fresh.style.cssText;
  for (const name of ["class", "aria-label"]) {
    const value = fresh.getAttribute(name);
    if (value === null) old.removeAttribute(name);
    else if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  morph(old, fresh);
}

const sameExplainer = (old, fresh) => !old.classList?.contains("explainer") || old.dataset.term === fresh.dataset.term;

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
