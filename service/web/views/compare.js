/** The Compare view: two rows, or a row before and after an edit, side by side; one request behind it. */
import * as calls from "../calls.js";
import { announcer, card, choice, h } from "../dom.js";
import { RowForm } from "../form.js";
import { bringIntoSight, panes } from "../layout.js";
import { rowChoice, shown, startingRow } from "../row_choice.js";
import { changesCard, contributionsCard, gatesCard, predictionsCard } from "./compare/answer.js";

const LISTED = 12;

export function view(context) {
  new CompareView(context);
  return {};
}

class CompareView {
  constructor(context) {
    this.context = context;
    this.before = startingRow(context);
    this.form = new RowForm(context.manifest);
    this.form.fill(this.before);
    this.said = announcer();
    this.problem = h("div", { role: "alert" });
    this.first = h("p", { class: "soft" });
    this.differing = h("p", { class: "soft", role: "status" });
    this.answer = h("div", { class: "stack", id: "compared" }, h("p", { class: "card empty", text: "Change something in row B, and press Compare to see what it changes." }));
    this.send = h("button", { class: "primary", text: "Compare" });
    const form = h("form", { novalidate: true, on: { submit: (event) => this.submit(event), input: () => this.tell(), change: () => this.tell() } }, this.form.node,
      this.problem, h("div", { class: "row actions" }, this.send, this.button("B as A", () => this.take(this.form.read())), this.button("Swap", () => this.swap())));
    const one = card("Row A, before", this.first, rowChoice(context, "row A", (row) => this.take(row)));
    const two = card("Row B, after", this.differing, rowChoice(context, "row B", (row) => this.fill(row)), form);
    context.node.replaceChildren(this.said, panes(h("div", { class: "stack" }, one, two), this.answer, "What differs"));
    this.tell();
  }

  button(text, click) {
    return h("button", { type: "button", text, on: { click } });
  }

  take(row) {
    this.before = row;
    this.tell();
  }

  fill(row) {
    this.form.fill(row);
    this.tell();
  }

  swap() {
    const row = this.form.read();
    this.fill(this.before);
    this.take(row);
  }

  /** Say what row A is, and in which features row B differs from it. */
  tell() {
    const names = this.context.manifest.features.map(({ name }) => name);
    const given = names.filter((name) => (this.before[name] ?? null) !== null);
    this.first.textContent = `${given.slice(0, 6).map((name) => `${name} ${shown(this.before[name])}`).join("; ")}${given.length > 6 ? `; and ${given.length - 6} more` : ""}` || "Every feature is missing.";
    const row = this.form.read();
    const changed = differences(names, this.before, row);
    this.differing.textContent = changed.length ? `Differs from row A in ${changed.slice(0, 5).join(", ")}${changed.length > 5 ? ` and ${changed.length - 5} more` : ""}.` : "The same as row A.";
  }

  async submit(event) {
    event.preventDefault();
    const rows = [this.before, this.form.read()];
    this.problem.replaceChildren();
    this.form.mark([]);
    this.send.disabled = true;
    try {
      this.show(rows, await this.ask(rows));
    } catch (error) {
      const rest = this.form.mark((error.errors ?? []).filter(({ row }) => row !== 0));
      this.problem.replaceChildren(h("div", { class: "notice bad" }, h("p", { text: error.message }), rest.length ? h("ul", {}, ...rest.map((one) => h("li", { text: one.message }))) : null));
    } finally {
      this.send.disabled = false;
    }
  }

  /** A model without gates has predictions alone. */
  async ask(rows) {
    const { name, manifest } = this.context;
    if (manifest.gates) return calls.inspectRows(name, rows, { predictions: true, contributions: true, compared_with: 0, top_k: LISTED });
    const { version, predictions } = await calls.tryRows(this.context, rows);
    return { version, rows: predictions.map(({ tasks }) => ({ predictions: tasks, tasks: {} })) };
  }

  show(rows, answer) {
    const { manifest } = this.context;
    const names = differences(manifest.features.map(({ name }) => name), ...rows);
    const parts = [predictionsCard(manifest, answer), changesCard(names, ...rows)];
    if (manifest.gates) parts.push(gatesCard(manifest, answer), contributionsCard(manifest, answer));
    this.answer.replaceChildren(...parts);
    this.said.textContent = `Compared by version ${answer.version}.`;
    bringIntoSight(this.answer);
  }
}

const differences = (names, one, other) => names.filter((name) => JSON.stringify(one[name] ?? null) !== JSON.stringify(other[name] ?? null));
