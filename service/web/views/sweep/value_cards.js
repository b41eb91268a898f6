/** A sweep over values that have no scale: a line a value, with predictions and the weights of a gate. */
import { card, choice, h } from "../../dom.js";
import { explain } from "../../explain.js";
import { namesOf, ofGate } from "../../experts.js";
import { heatmap, plainTable } from "../../tables.js";
import { text } from "./curve_cards.js";

export function valueCards(manifest, feature, values, { predictions, version }) {
  const named = values.map(({ label, own }) => (own ? `${label} (the row)` : label));
  const columns = [feature.name, ...manifest.tasks.map(({ name }) => ({ title: name, number: true }))];
  const rows = named.map((label, i) => [label, ...manifest.tasks.map((task) => text(task, predictions[i].tasks[task.name]))]);
  const cards = [card(`Predictions by ${feature.name}`, h("p", { class: "soft", text: `From version ${version}; the values that are most frequent in training, the row's own, and none.` }), plainTable({ caption: `Predictions by ${feature.name}`, columns, rows }))];
  if (!manifest.gates) return cards;
  const place = h("div", {});
  const show = (task) => place.replaceChildren(heatmap({ caption: `Gate of ${task} by ${feature.name}`, rows: named, columns: namesOf(manifest), values: predictions.map(({ gate_weights: gates }) => ofGate(manifest, task, gates[task])), mark: (r, c) => values[r].own && gateTop(predictions[r].gate_weights[task]) === c }));
  show(manifest.tasks[0].name);
  return [...cards, card([`Gates by ${feature.name}`, explain("gate_weights")], choice("Gate of", manifest.tasks.map(({ name }) => [name, name]), manifest.tasks[0].name, show), place)];
}

const gateTop = (weights) => weights.indexOf(Math.max(...weights));
