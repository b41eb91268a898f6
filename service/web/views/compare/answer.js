/** What differs between two rows: predictions, values, gates, contributions. */
import { card, choice, h } from "../../dom.js";
import { explain } from "../../explain.js";
import { nameOf, namesOf, ofGate } from "../../experts.js";
import { aligned, number, probability, signed, weight } from "../../format.js";
import { shown } from "../../row_choice.js";
import { heatmap, plainTable } from "../../tables.js";

const number3 = (title) => ({ title, number: true });

export function predictionsCard(manifest, { rows: [a, b], version }) {
  const lines = manifest.tasks.flatMap((task) => predictionLines(task, a.predictions[task.name], b.predictions[task.name]));
  return card("Predictions", h("p", { class: "soft", text: `From version ${version}.` }), plainTable({ caption: "Predictions of both rows", columns: ["Task", number3("Row A"), number3("Row B"), number3("Difference")], rows: lines }));
}

function predictionLines(task, a, b) {
  if (task.kind === "regression") return [[task.name, number(a), number(b), signed(b - a)]];
  const points = (from, to) => `${signed(100 * (to - from))} points`;
  if (task.kind === "binary") return [[`${task.name} = ${task.classes[1] ?? "yes"}`, probability(a), probability(b), points(a, b)]];
  const moved = a.map((value, k) => k).sort((x, y) => Math.abs(b[y] - a[y]) - Math.abs(b[x] - a[x])).slice(0, 4);
  return moved.map((k) => [`${task.name} = ${task.classes[k]}`, probability(a[k]), probability(b[k]), points(a[k], b[k])]);
}

export function changesCard(names, one, other) {
  if (!names.length) return card("Values that differ", h("p", { class: "soft", text: "None: the rows are the same." }));
  return card(`Values that differ (${names.length})`, plainTable({ caption: "Values that differ", columns: ["Feature", "Row A", "Row B"], rows: names.slice(0, 40).map((name) => [name, shown(one[name]), shown(other[name])]) }));
}

export function gatesCard(manifest, { rows: [a, b] }) {
  const names = manifest.tasks.map(({ name }) => name);
  const columns = namesOf(manifest);
  const gates = (row) => names.map((name) => ofGate(manifest, name, row.tasks[name].gate_weights));
  const moved = names.map((name) => ofGate(manifest, name, b.tasks[name].gate_weights.map((value, e) => value - a.tasks[name].gate_weights[e])));
  const most = Math.max(...moved.flat().map(Math.abs), 1e-9);
  const map = (caption, values, rest = {}) => heatmap({ caption, rows: names, columns, values, ...rest });
  const difference = map("Difference, row B less row A", moved, { format: aligned(moved.flat()), share: (value) => Math.abs(value) / most });
  return card(["Gates", explain("gate_weights")], difference, map("Gate weights of row A", gates(a)), map("Gate weights of row B", gates(b)));
}

/** For one task and expert at a time, the features whose centred contributions differ most. */
export function contributionsCard(manifest, answer) {
  const place = h("div", { class: "stack" });
  const [, b] = answer.rows;
  let task = mostMoved(manifest, answer);
  const show = () => place.replaceChildren(contributionBlock(manifest, task, b.tasks[task], answer.rows[0].tasks[task]));
  const choose = choice("Task", manifest.tasks.map(({ name }) => [name, name]), task, (name) => { task = name; show(); });
  show();
  return card(["Because of which feature", explain("contributions")], h("p", { class: "soft", text: "The change of each feature's centred contribution from row A to row B: to the right it moves weight towards the expert. What does not differ contributes the same." }), choose, place);
}

function mostMoved(manifest, { rows: [a, b] }) {
  const moved = ({ name }) => a.tasks[name].gate_weights.reduce((sum, value, e) => sum + Math.abs(value - b.tasks[name].gate_weights[e]), 0);
  return manifest.tasks.reduce((best, task) => (moved(task) > moved(best) ? task : best)).name;
}

function contributionBlock(manifest, task, gate, before) {
  const seen = gate.contributions.map((entry, e) => e).filter((e) => gate.contributions[e] !== null);
  const gains = seen.map((e) => gate.gate_weights[e] - before.gate_weights[e]);
  const place = h("div", {});
  const show = (expert) => place.replaceChildren(changeTable(manifest, task, expert, gate.contributions[expert].features));
  const first = seen[gains.indexOf(Math.max(...gains))];
  show(first);
  return h("div", { class: "stack tight" }, choice("Towards", seen.map((e) => [e, `${nameOf(manifest, e)}: ${weight(before.gate_weights[e])} → ${weight(gate.gate_weights[e])}`]), first, (value) => show(Number(value))), place);
}

function changeTable(manifest, task, expert, features) {
  const moved = features.filter(({ change }) => change !== 0);
  if (!moved.length) return h("p", { class: "soft", text: "No feature contributes otherwise." });
  const format = aligned(moved.flatMap(({ centred, change }) => [centred, change]));
  const rows = moved.map(({ feature, centred, change }) => [feature, format(centred - change), format(centred), format(change)]);
  return plainTable({ caption: `Change of contributions to the gate logit of ${nameOf(manifest, expert)} for ${task}`, columns: ["Feature", number3("In row A"), number3("In row B"), number3("Change")], rows });
}
