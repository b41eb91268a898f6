/** Two distributions side by side: what came now beside what training had, a line a cell. */
import { h } from "./dom.js";
import { percent } from "./format.js";
import { scroller } from "./tables.js";

const SHOWN = 24;

/**
 * A table of cells with two bars each.
 * @param {{caption: string, names: string[], shares: {now: number[], baseline: number[]}, ordered?: boolean}} options `ordered`: the
 *   cells stay in their order; else those of the largest shares come first
 */
export function distribution({ caption, names, shares: { now, baseline }, ordered = false }) {
  const used = names.map((name, cell) => ({ name, now: now[cell], was: baseline[cell] })).filter((cell) => cell.now > 0 || cell.was > 0);
  const lines = ordered ? used : used.sort((a, b) => Math.max(b.now, b.was) - Math.max(a.now, a.was)).slice(0, SHOWN);
  const most = Math.max(...lines.flatMap((cell) => [cell.now, cell.was]), 1e-9);
  const bar = (kind, share) => h("span", { class: `twin ${kind}`, vars: { share: share / most } });
  const row = (cell) => h("tr", {}, h("th", { scope: "row", text: cell.name }), h("td", { class: "number", text: percent(cell.was) }), h("td", { class: "number", text: percent(cell.now) }),
    h("td", { class: "twins", "aria-hidden": "true" }, bar("was", cell.was), bar("now", cell.now)));
  const head = h("tr", {}, ...["Value", "Training", "Now", ""].map((text, i) => h(i < 3 ? "th" : "td", { scope: i < 3 ? "col" : null, class: i === 1 || i === 2 ? "number" : null, text })));
  return scroller(caption, h("table", { class: "plain dense" }, h("caption", { class: "sr", text: caption }), h("thead", {}, head), h("tbody", {}, ...lines.map(row))));
}
