/** Estimates with their intervals, a line each, on one scale with a reference: a forest plot as a table. */
import { h } from "./dom.js";
import { count } from "./format.js";
import { verdictPill } from "./levels.js";
import { scroller } from "./tables.js";
import { metricName, written } from "./verdicts.js";

/**
 * @param {{caption: string, first: string, metric: string|null, reference: number|null, lines: {name: string, rows: number,
 *   verdict: {state: string, estimate: Object|null}, more?: Node}[]}} options `reference` is the value on the test rows, drawn as a line
 */
export function forest({ caption, first, metric, reference, lines }) {
  const bounds = lines.flatMap(({ verdict: { estimate } }) => (estimate ? [estimate.value, estimate.low ?? estimate.value, estimate.high ?? estimate.value] : []));
  const [low, high] = [Math.min(...bounds, reference ?? Infinity), Math.max(...bounds, reference ?? -Infinity)];
  const at = (value) => (high > low ? (value - low) / (high - low) : 0.5);
  const titles = [first, "Verdict", "Labelled rows", metric ? `${metricName(metric)}, 95 % interval` : "Metric", ""];
  const head = h("tr", {}, ...titles.map((text, i) => (text ? h("th", { scope: "col", class: i === 2 ? "number" : null, text }) : h("td", {}))));
  const cell = (place, kind, ...content) => h("td", { class: kind, data: { title: titles[place] } }, ...content);
  const row = ({ name, rows, verdict, more }) => h("tr", {}, h("th", { scope: "row" }, h("span", { text: name }), more), cell(1, null, verdictPill(verdict.state)), cell(2, "number", count(rows)),
    cell(3, "nowrap", written(verdict.estimate)), h("td", { class: "span", "aria-hidden": "true" }, whisker(verdict.estimate, reference, at)));
  return scroller(caption, h("table", { class: "plain dense blocks" }, h("caption", { class: "sr", text: caption }), h("thead", {}, head), h("tbody", {}, ...lines.map(row))));
}

function whisker(estimate, reference, at) {
  const parts = reference === null ? [] : [h("i", { class: "test", vars: { at: at(reference) } })];
  if (estimate) {
    const [from, to] = [estimate.low ?? estimate.value, estimate.high ?? estimate.value];
    parts.push(h("i", { class: "range", vars: { at: at(from), to: at(to) } }), h("i", { class: "dot", vars: { at: at(estimate.value) } }));
  }
  return h("span", { class: "whisker" }, ...parts);
}
