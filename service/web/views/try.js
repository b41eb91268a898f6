/** The Try it view: spell a row, send it, read what every task says, why its gate chose, and what each expert is worth. */
import * as api from "../api.js";
import { contributionBlock, topK } from "../contributions.js";
import { announcer, card, h } from "../dom.js";
import { doubts } from "../doubts.js";
import { explain, explained } from "../explain.js";
import { goldenRows } from "../fields.js";
import { RowForm, parseRow } from "../form.js";
import { namesOf, ofGate } from "../experts.js";
import { aligned } from "../format.js";
import { bringIntoSight, panes } from "../layout.js";
import { doubtNotice, predictionBoxes } from "../predictions.js";
import { roleOf } from "../served.js";
import { heatmap } from "../tables.js";

export function view(context) {
  const tried = new TryView(context);
  return { changed: ({ version }) => version && tried.swapped(), hide: () => context.keepRow(tried.form.read()) };
}

class TryView {
  constructor(context) {
    this.context = context;
    this.said = announcer();
    this.build(context.row);
  }

  build(row) {
    const { manifest, node } = this.context;
    this.manifest = manifest;
    this.examples = goldenRows(manifest);
    this.next = 0;
    this.form = new RowForm(manifest);
    this.problem = h("div", { role: "alert" });
    this.answer = h("div", { class: "stack", id: "answer" }, h("p", { class: "card empty", text: "Press Predict to see every task's prediction and the gate weights behind it." }));
    this.send = h("button", { class: "primary", text: "Predict" });
    node.replaceChildren(this.said, panes(this.formCard(), this.answer, "Answer"));
    if (row) this.form.fill(row);
    else this.example();
  }

  /** Another version is served: what is typed stays, as far as it has such features, and so does the answer. */
  swapped() {
    const { manifest, state } = this.context;
    const row = this.form.read();
    const answer = [...this.answer.childNodes].filter((node) => !node.classList.contains("stale"));
    const answered = this.answer.querySelector(".predictions");
    const same = JSON.stringify(manifest.features) === JSON.stringify(this.manifest.features);
    if (same) this.manifest = manifest;
    else this.build(row);
    const stale = h("p", { class: "notice stale", text: `Version ${state.version} is served now; what stands here is of the version before. Press Predict to ask the new one.` });
    if (answered) this.answer.replaceChildren(stale, ...answer);
  }

  formCard() {
    const example = h("button", { type: "button", text: "Example row", on: { click: () => this.example() } });
    const clear = h("button", { type: "button", text: "Clear", on: { click: () => this.form.fill({}) } });
    const form = h("form", { novalidate: true, on: { submit: (event) => this.submit(event) } }, this.form.node, this.problem, h("div", { class: "row actions" }, this.send, example, clear));
    return card("A row", h("p", { class: "soft", text: "A feature left empty is missing: a number counts as its mean in training, anything else as none. Ranges are those of the training rows." }), this.pasteBox(), form);
  }

  pasteBox() {
    const text = h("textarea", { id: "pasted", spellcheck: "false", placeholder: '{"feature": 1.5, …}  or  a CSV line, with or without its header' });
    const wrong = h("p", { class: "wrong-text", role: "alert" });
    const use = () => {
      try {
        this.form.fill(this.known(parseRow(text.value, this.manifest.features)));
        wrong.textContent = "";
      } catch (error) {
        wrong.textContent = error.message;
      }
    };
    return h("details", {}, h("summary", { text: "Paste a row" }), h("label", { for: "pasted", class: "sr", text: "JSON or CSV row" }), text, wrong, h("button", { type: "button", text: "Fill the form", on: { click: use } }));
  }

  /** Refuse names the model does not have: a form has no field to show them in. */
  known(row) {
    const names = new Set(this.manifest.features.map((feature) => feature.name));
    const strangers = Object.keys(row).filter((name) => !names.has(name));
    if (strangers.length) throw new Error(`The model has no feature ${strangers.slice(0, 3).map((name) => `“${name}”`).join(", ")}.`);
    return row;
  }

  example() {
    this.form.fill(this.examples[this.next % this.examples.length] ?? {});
    this.next += 1;
  }

  async submit(event) {
    event.preventDefault();
    const row = this.form.read();
    this.problem.replaceChildren();
    this.form.mark([]);
    this.send.disabled = true;
    try {
      const { predictions, version } = await api.predict(this.context.name, row);
      this.show(row, predictions[0], version);
    } catch (error) {
      this.complain(error);
    } finally {
      this.send.disabled = false;
    }
  }

  complain(error) {
    const rest = this.form.mark(error.errors ?? []);
    const lines = rest.length ? h("ul", {}, ...rest.map((e) => h("li", { text: e.message }))) : null;
    this.problem.replaceChildren(h("div", { class: "notice bad" }, h("p", { text: error.message }), lines));
  }

  show(row, prediction, version) {
    const parts = [this.predictionCard(row, prediction, version)];
    if (prediction.gate_weights) parts.push(this.gateCard(row, prediction, version));
    parts.push(this.shellCard(row));
    this.answer.replaceChildren(...parts);
    this.said.textContent = `Answered by version ${version}.`;
    bringIntoSight(this.answer);
  }

  predictionCard(row, { tasks }, version) {
    const found = doubts(this.manifest, row);
    return card("Predictions", h("p", { class: "soft", text: this.origin(version) }), doubtNotice(found), predictionBoxes(this.manifest, tasks, found.length > 0));
  }

  /** Say which version has answered, and that it is the canary where it is not the served one. */
  origin(version) {
    const { state } = this.context;
    const role = roleOf(version, state);
    return version === state.version || !role ? `From version ${version}.` : `From version ${version} (${role}); version ${state.version} is served.`;
  }

  gateCard(row, { gate_weights: gates }, version) {
    const names = this.manifest.tasks.map((task) => task.name);
    const tops = names.map((name) => gates[name].indexOf(Math.max(...gates[name])));
    const more = h("div", { class: "stack", "aria-live": "polite" });
    const ask = (options, show) => async () => {
      try {
        more.replaceChildren(show(await api.inspect(this.context.name, row, options, version)));
      } catch (error) {
        more.replaceChildren(h("p", { class: "notice bad", role: "alert", text: error.message }));
      }
    };
    const why = h("button", { type: "button", text: "Which features moved the gates?", on: { click: ask({ contributions: true, top_k: topK(this.manifest) }, (a) => this.contributions(a)) } });
    const without = h("button", { type: "button", text: "What if an expert were left out?", on: { click: ask({ ablation: true }, (a) => this.ablation(a)) } });
    const map = heatmap({ caption: "Gate weights of this row; the outlined expert weighs most", rows: names, columns: namesOf(this.manifest), values: names.map((name) => ofGate(this.manifest, name, gates[name])), mark: (r, c) => c === tops[r] });
    return card(["Gates", explain("gate_weights")], map, h("div", { class: "row" }, why, without), more);
  }

  contributions(answer) {
    const { tasks } = answer.rows[0];
    const blocks = this.manifest.tasks.map(({ name }) => contributionBlock(this.manifest, name, tasks[name]));
    const sentence = "Bars to the right move weight towards the chosen expert, to the left away from it. They add up to its gate logit, less the mean of all experts, which is all that a softmax heeds.";
    return h("div", { class: "stack" }, h("p", { class: "soft" }, ...explained(sentence, "contributions")), h("div", { class: "grid" }, ...blocks));
  }

  ablation(answer) {
    const { tasks: manifest } = this.manifest;
    const { tasks } = answer.rows[0];
    const unit = ({ kind }) => (kind === "regression" ? 1 : 100);
    const moves = manifest.map((task) => ofGate(this.manifest, task.name, tasks[task.name].ablation.map((move) => unit(task) * largest(move))));
    const formats = moves.map(aligned);
    const scale = moves.map((line) => Math.max(...line.map(Math.abs), 1e-12));
    const rows = manifest.map((task) => (task.kind === "regression" ? task.name : `${task.name}, % points`));
    const map = heatmap({ caption: "Change of each prediction without the expert", rows, columns: namesOf(this.manifest), values: moves, format: (v, r) => formats[r](v), share: (v, r) => Math.abs(v) / scale[r] });
    const sentence = "One expert is left out at a time, and the gate spreads its weight over the rest; of several classes, the one that moves most. 0 is nothing beside the task's greatest change.";
    return h("div", { class: "stack" }, h("p", { class: "soft" }, ...explained(sentence, "ablation")), map);
  }

  shellCard(row) {
    const { name } = this.context;
    const both = [...copied("curl", api.curlLine(name, row)), h("h3", { text: "And in Python" }), ...copied("python", api.pythonLines(name, row))];
    return card("The same from a shell", h("div", { class: "stack" }, ...both));
  }
}

/** Text to take along, and a button that does where the browser lets it. */
function copied(id, text) {
  const copy = h("button", { type: "button", text: "Copy", on: { click: async () => { await navigator.clipboard.writeText(text); copy.textContent = "Copied"; } } });
  return [h("pre", { tabindex: "0", id, text }), navigator.clipboard ? copy : null];
}

/** For a multiclass task the class that moves most; else the one number. */
const largest = (move) => (Array.isArray(move) ? move.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0) : move);
