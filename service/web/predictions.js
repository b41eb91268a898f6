/** Predictions in their tasks' own terms, each beside what the training rows give without any feature. */
import { h } from "./dom.js";
import { explained } from "./explain.js";
import { number, probability } from "./format.js";

/** All tasks' predictions of a row. */
export function predictionBoxes(manifest, tasks, doubtful = false) {
  return h("div", { class: "predictions" }, ...manifest.tasks.map((task) => predictionBox(task, tasks[task.name], doubtful)));
}

/**
 * A value, how likely the positive class is, or the likeliest class and the others.
 * @param {Object} task of the manifest
 * @param {number|number[]} value
 * @param {boolean} doubtful whether the row has values that training has not seen
 */
export function predictionBox(task, value, doubtful = false) {
  const base = task.baseline?.constant ?? null;
  const { text, share, basis, lines } = { regression, binary, multiclass }[task.kind](task, value, base);
  const pill = doubtful ? h("p", {}, h("span", { class: "pill warn", text: "outside of training" })) : null;
  return h("div", { class: "prediction", data: { task: task.name } }, h("h3", { text: task.name }), h("p", { class: "value", text }), share === null ? null : meter(share, basis?.share ?? null),
    ...lines, basis === null ? null : h("p", { class: "soft base" }, ...explained(basis.text, "base_rate")), pill);
}

function regression(_, value, base) {
  return { text: number(value), share: null, basis: base === null ? null : { text: `mean in training ${number(base)}` }, lines: [] };
}

function binary(task, value, base) {
  const basis = base === null ? null : { share: base, text: `base rate ${probability(base)}${ratio(value, base)}` };
  return { text: probability(value), share: value, basis, lines: [h("p", { class: "soft", text: `probability of ${task.classes[1] ?? "yes"}` })] };
}

function multiclass(task, value, base) {
  const ranked = value.map((p, k) => ({ p, name: task.classes[k], base: base?.[k] ?? null })).sort((a, b) => b.p - a.p);
  const [first, ...others] = ranked;
  const line = ({ p, name, base: rate }) => h("li", { text: `${name} ${probability(p)}${rate === null ? "" : ` (base rate ${probability(rate)})`}` });
  const basis = first.base === null ? null : { share: first.base, text: `base rate ${probability(first.base)}${ratio(first.p, first.base)}` };
  return { text: first.name, share: first.p, basis, lines: [h("p", { class: "soft", text: probability(first.p) }), h("ul", { class: "soft" }, ...others.slice(0, 3).map(line))] };
}

/** How many times the base rate, where that says something. */
function ratio(value, base) {
  const times = value / base;
  return Number.isFinite(times) && times >= 0.001 && times < 1000 ? `; this is ${number(Number(times.toPrecision(2)))} times that` : "";
}

const meter = (share, base) => h("div", { class: "meter", "aria-hidden": "true" }, h("span", { vars: { share } }), base === null ? null : h("i", { vars: { share: base } }));

/** What of the row training has not seen, before anybody relies on the predictions; null where there is nothing. */
export function doubtNotice(found) {
  if (!found.length) return null;
  const line = ({ feature, text }) => h("li", {}, h("strong", { text: feature }), `: ${text}.`);
  const more = found.length > 5 ? [h("li", { text: `and ${found.length - 5} more features` })] : [];
  return h("div", { class: "notice doubts" }, h("p", {}, ...explained("Outside of training: the model has never seen such values, and answers all the same.", "out_of_range")), h("ul", {}, ...found.slice(0, 5).map(line), ...more));
}
