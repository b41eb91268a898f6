/** A sweep over a scale: curves of all predictions and gates, and one slider that reads them at a value. */
import { curves } from "../../curves.js";
import { card, h } from "../../dom.js";
import { explain } from "../../explain.js";
import { nameOf, ofGate } from "../../experts.js";
import { number, percent, probability, weight } from "../../format.js";
import { plainTable } from "../../tables.js";
import { moment } from "./values.js";

export function curveCards(manifest, feature, values, { predictions, version }) {
  const own = values.findIndex((one) => one.own);
  const x = values.map(({ value }) => value);
  const figures = [];
  const made = (options) => { const figure = curves({ x, own: own < 0 ? null : own, writeX: feature.kind === "datetime" ? (at) => moment(at).slice(0, 10) : number, moved: (place) => point(place), ...options }); figures.push(figure); return figure.node; };
  const predicted = manifest.tasks.map((task) => made(predictionFigure(task, predictions)));
  const gates = manifest.gates ? manifest.tasks.map(({ name }) => made(gateFigure(manifest, name, predictions))) : [];
  const slider = h("input", { type: "range", min: 0, max: values.length - 1, value: Math.max(own, 0), "aria-label": `Value of ${feature.name}`, on: { input: () => point(Number(slider.value)) } });
  const [at, readout] = [h("output", {}), h("div", {})];
  const point = (place) => {
    slider.value = place;
    slider.setAttribute("aria-valuetext", values[place].label);
    at.textContent = `${feature.name} ${values[place].label}${values[place].own ? ", as the row has it" : ""}`;
    readout.replaceChildren(read(manifest, predictions[place]));
    figures.forEach((figure) => figure.point(place));
  };
  point(Math.max(own, 0));
  const head = card("At a value", h("p", { class: "soft", text: `From version ${version}. Move the slider, or point at a curve; the dashed line is the row's own value${own < 0 ? ", which is missing" : ""}.` }), h("div", { class: "slider" }, slider, at), readout);
  const cards = [head, card(`Predictions over ${feature.name}`, h("div", { class: "grid" }, ...predicted))];
  if (gates.length) cards.push(card([`Gates over ${feature.name}`, explain("gate_weights")], h("div", { class: "grid" }, ...gates)));
  return [...cards, numbersCard(manifest, feature, values, predictions)];
}

function predictionFigure(task, predictions) {
  const values = predictions.map(({ tasks }) => tasks[task.name]);
  if (task.kind === "regression") return { title: task.name, lines: [{ label: task.name, values }], writeY: number };
  if (task.kind === "binary") return { title: `${task.name}: probability of ${task.classes[1] ?? "yes"}`, lines: [{ label: task.name, values }], writeY: (value) => percent(value, value < 0.02 && value > 0 ? 2 : 0) };
  const spread = task.classes.map((label, k) => ({ label, values: values.map((one) => one[k]) }));
  const lines = spread.sort((a, b) => Math.max(...b.values) - Math.max(...a.values)).slice(0, 8);
  return { title: `${task.name}: probability of each class`, lines, range: [0, 1], writeY: (value) => percent(value, 0) };
}

function gateFigure(manifest, name, predictions) {
  const seen = manifest.gates.average_logits[manifest.tasks.findIndex((task) => task.name === name)];
  const lines = seen.map((logit, e) => ({ logit, label: nameOf(manifest, e), values: predictions.map(({ gate_weights: gates }) => gates[name][e]) })).filter(({ logit }) => logit !== null);
  return { title: `Gate of ${name}`, lines, range: [0, 1], writeY: number };
}

/** All tasks at one value: prediction, and the experts that weigh most. */
function read(manifest, { tasks, gate_weights: gates }) {
  const rows = manifest.tasks.map((task) => [task.name, text(task, tasks[task.name]), gates ? top(manifest, ofGate(manifest, task.name, gates[task.name])) : "–"]);
  return plainTable({ caption: "Predictions and gates at the value", columns: ["Task", { title: "Prediction", number: true }, "Experts of most weight"], rows });
}

const top = (manifest, weights) => weights.map((value, e) => [value, e]).filter(([value]) => value !== null).sort((a, b) => b[0] - a[0]).slice(0, 3).map(([value, e]) => `${nameOf(manifest, e)} ${weight(value)}`).join(", ");

/** A prediction in a few characters; of classes the likeliest. */
export function text(task, value) {
  if (task.kind === "regression") return number(value);
  if (task.kind === "binary") return probability(value);
  const best = value.indexOf(Math.max(...value));
  return `${task.classes[best]} ${probability(value[best])}`;
}

function numbersCard(manifest, feature, values, predictions) {
  const columns = [feature.name, ...manifest.tasks.map(({ name }) => ({ title: name, number: true }))];
  const rows = values.map(({ label, own }, i) => [own ? `${label} (the row)` : label, ...manifest.tasks.map((task) => text(task, predictions[i].tasks[task.name]))]);
  return card("The numbers", h("details", {}, h("summary", { text: "Predictions at every value, as a table" }), plainTable({ caption: `Predictions over ${feature.name}`, columns, rows })));
}
