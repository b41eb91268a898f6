/** The Sweep view: one feature over its range or values, each task's prediction and gates as curves; one request behind it. */
import * as calls from "../calls.js";
import { announcer, card, choice, h } from "../dom.js";
import { explain } from "../explain.js";
import { number, shortest } from "../format.js";
import { bringIntoSight } from "../layout.js";
import { rowChoice, shown, startingRow } from "../row_choice.js";
import { curveCards } from "./sweep/curve_cards.js";
import { valueCards } from "./sweep/value_cards.js";
import { canSweep, isScale, moment, ownValue, sweptValues } from "./sweep/values.js";

export function view(context) {
  const sweep = new SweepView(context);
  return { show: () => sweep.show() };
}

class SweepView {
  constructor(context) {
    this.context = context;
    this.row = startingRow(context);
    this.features = context.manifest.features.filter(canSweep);
    this.feature = this.features[0];
    this.said = announcer();
    this.problem = h("div", { role: "alert" });
    this.range = h("div", { class: "row" });
    this.about = h("p", { class: "soft" });
    this.answer = h("div", { class: "stack", id: "swept" });
    if (!this.features.length) return context.node.replaceChildren(card("Sweep", h("p", { text: "This model has hashed ids alone, which have no range and no list of values to go through." })));
    const names = this.features.map(({ name }) => [name, name]);
    this.choose = choice("Feature", names, this.feature.name, (name) => this.take(name));
    const form = h("form", { novalidate: true, on: { submit: (event) => this.submit(event) } }, h("div", { class: "row" }, this.choose, this.range, h("button", { class: "primary", text: "Sweep" })), this.problem);
    const rows = h("details", {}, h("summary", { text: "Of another row" }), rowChoice(context, "the row", (row) => { this.row = row; this.take(this.feature.name); }));
    context.node.replaceChildren(h("div", { class: "stack" }, this.said, card(["Sweep", explain("sweep")], this.about, form, rows), this.answer));
    this.take(this.feature.name);
  }

  show() {
    const asked = this.context.params.get("feature");
    if (!this.features.some(({ name }) => name === asked)) return;
    this.choose.querySelector("select").value = asked;
    this.take(asked);
    this.sweep();
  }

  /** Take a feature: its range, and what the row has there. */
  take(name) {
    this.feature = this.features.find((feature) => feature.name === name);
    const { minimum, maximum, kind } = this.feature;
    const own = ownValue(this.feature, this.row);
    const written = kind === "datetime" && own !== null ? moment(own) : typeof own === "number" ? number(own) : shown(own);
    this.about.textContent = `Everything else of the row stays as it is; its ${name} is ${written}.`;
    if (!isScale(this.feature)) return this.range.replaceChildren();
    const input = (value) => (kind === "datetime" ? h("input", { type: "datetime-local", value: new Date(1000 * value).toISOString().slice(0, 19), step: 1 }) : h("input", { inputmode: "decimal", size: 8, value: shortest(value) }));
    const field = (label, value) => h("label", { class: "choice" }, h("span", { text: label }), input(value));
    return this.range.replaceChildren(field("from", minimum), field("to", maximum));
  }

  bounds() {
    const read = ({ value, type }) => (type === "datetime-local" ? Date.parse(`${value}Z`) / 1000 : value.trim() === "" ? NaN : Number(value));
    const [from, to] = [...this.range.querySelectorAll("input")].map(read);
    return { from, to };
  }

  submit(event) {
    event.preventDefault();
    this.sweep();
  }

  async sweep() {
    const { manifest } = this.context;
    const feature = this.feature;
    this.problem.replaceChildren();
    try {
      const values = sweptValues(feature, this.row, manifest, this.bounds());
      const answer = await calls.tryRows(this.context, values.map(({ value }) => ({ ...this.row, [feature.name]: value })));
      const cards = isScale(feature) ? curveCards(manifest, feature, values, answer) : valueCards(manifest, feature, values, answer);
      this.answer.replaceChildren(...cards);
      this.said.textContent = `Swept ${feature.name} over ${values.length} values, by version ${answer.version}.`;
      bringIntoSight(this.answer);
    } catch (error) {
      const lines = (error.errors ?? []).slice(0, 3).map(({ message, feature: at }) => h("li", { text: at ? `${at}: ${message}` : message }));
      this.problem.replaceChildren(h("div", { class: "notice bad" }, h("p", { text: error.message }), lines.length ? h("ul", {}, ...lines) : null));
    }
  }
}
