/** Tables: plain ones, and heatmaps whose cells are coloured by value. What is wider than its place scrolls, and says so. */
import { h, paint } from "./dom.js";
import { weight } from "./format.js";

/**
 * A place that scrolls sideways: reached by the keyboard, faded at the edge beyond which there is more, with a word on it.
 * @param {string} label what a screen reader calls it
 */
export function scroller(label, child) {
  const hint = h("p", { class: "hint more", "aria-hidden": "true", text: "Scroll sideways for the rest →", hidden: true });
  const place = h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": label }, child);
  const look = () => {
    const rest = place.scrollWidth - place.clientWidth;
    hint.hidden = rest <= 1;
    place.dataset.more = [place.scrollLeft > 1 && "before", place.scrollLeft < rest - 1 && "after"].filter(Boolean).join(" ");
  };
  place.addEventListener("scroll", look, { passive: true });
  const observer = new ResizeObserver(look);
  observer.observe(place);
  observer.observe(child);
  return h("div", { class: "scroller" }, place, hint);
}

/** A name that may be broken behind its underscores. */
export const breakable = (name) => name.split(/(?<=_)/).flatMap((part, i) => (i ? [h("wbr"), part] : [part]));

/**
 * A table whose cells are coloured by value.
 * @param {{caption: string, rows: string[], columns: string[], values: number[][], format?: Function, share?: Function,
 *   mark?: (r: number, c: number) => boolean, small?: boolean}} options `small`: as wide as it needs to be, not as its place is
 */
export function heatmap({ caption, rows, columns, values, format = weight, share = (v) => v, mark = null, small = false }) {
  const head = h("tr", {}, h("td", {}), ...columns.map((name) => h("th", { scope: "col" }, ...name.split(" ").map((word) => h("span", {}, ...breakable(`${word} `))))));
  const body = rows.map((name, r) => h("tr", {}, h("th", { scope: "row" }, ...breakable(name)), ...columns.map((_, c) => heatCell(values[r]?.[c], format, share, r, c, mark))));
  return scroller(caption, h("table", { class: `heat ${small ? "small" : ""}` }, h("caption", { text: caption }), h("thead", {}, head), h("tbody", {}, ...body)));
}

function heatCell(value, format, share, r, c, mark) {
  const cell = h("td", { class: mark?.(r, c) ? "top-expert" : null, text: format(value, r, c) });
  if (value !== null && value !== undefined) paint(cell, share(value, r, c));
  return cell;
}

/**
 * A table of text and numbers.
 * @param {{caption: string, columns: (string|{title: string, number?: boolean})[], rows: (string|Node)[][]}} options the first
 *   cell of a row is its heading; `number` aligns a column to the right. On a phone a row becomes a block, each cell behind its title.
 */
export function plainTable({ caption, columns, rows }) {
  const heads = columns.map((column) => (typeof column === "string" ? { title: column } : column));
  const cell = (content, c) => h(c ? "td" : "th", { scope: c ? null : "row", class: heads[c].number ? "number" : null, data: { title: heads[c].title } }, content);
  const head = h("tr", {}, ...heads.map(({ title, number }) => h("th", { scope: "col", class: number ? "number" : null, text: title })));
  const body = rows.map((cells) => h("tr", {}, ...cells.map(cell)));
  return scroller(caption, h("table", { class: "plain blocks" }, h("caption", { class: "sr", text: caption }), h("thead", {}, head), h("tbody", {}, ...body)));
}
