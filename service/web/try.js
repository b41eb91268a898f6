/** The Try it view: spell a row, send it, read what every task says, why its gate chose, and what each expert is worth. */
import * as api from "./api.js";
import { card, expertName, h, heatmap, number, probability, signed, weight } from "./dom.js";
import { goldenRows } from "./fields.js";
import { RowForm, parseRow } from "./form.js";

const TOP_K = 8;

export function renderTry(view, { manifest }) {
  new TryView(view, manifest).reset();
}

class TryView {
  constructor(view, manifest) {
    this.manifest = manifest;
    this.examples = goldenRows(manifest);
    this.next = 0;
    this.form = new RowForm(manifest.features);
    this.problem = h("div", { role: "alert" });
    this.answer = h("div", { class: "stack", "aria-live": "polite", id: "answer" });
    this.send = h("button", { class: "primary", text: "Predict" });
    view.replaceChildren(h("div", { class: "columns" }, this.formCard(), this.answer));
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

  reset() {
    this.example();
    this.answer.replaceChildren(h("p", { class: "card empty", text: "Press Predict to see every task's prediction and the gate weights behind it." }));
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
      const { predictions, version } = await api.predict(this.manifest.name, row);
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
    const parts = [this.predictionCard(prediction, version)];
    if (prediction.gate_weights) parts.push(this.gateCard(row, prediction));
    parts.push(this.shellCard(row));
    this.answer.replaceChildren(...parts);
  }

  predictionCard({ tasks }, version) {
    const boxes = this.manifest.tasks.map((task) => predictionBox(task, tasks[task.name]));
    return card("Predictions", h("p", { class: "soft", text: `From version ${version}.` }), h("div", { class: "predictions" }, ...boxes));
  }

  gateCard(row, { gate_weights: gates }) {
    const names = this.manifest.tasks.map((task) => task.name);
    const experts = Array.from({ length: this.manifest.experts }, (_, e) => expertName(e));
    const tops = names.map((name) => gates[name].indexOf(Math.max(...gates[name])));
    const more = h("div", { class: "stack", "aria-live": "polite" });
    const ask = (options, render) => async (event) => {
      event.target.disabled = true;
      try {
        more.replaceChildren(render(await api.inspect(this.manifest.name, row, options)));
      } catch (error) {
        more.replaceChildren(h("p", { class: "notice bad", text: error.message }));
      } finally {
        event.target.disabled = false;
      }
    };
    const why = h("button", { type: "button", text: "Which features moved the gates?", on: { click: ask({ contributions: true, top_k: TOP_K }, (a) => this.contributions(a, tops)) } });
    const without = h("button", { type: "button", text: "What if an expert were left out?", on: { click: ask({ ablation: true }, (a) => this.ablation(a)) } });
    const map = heatmap({ caption: "Gate weights of this row; the outlined expert weighs most", rows: names, columns: experts, values: names.map((name) => gates[name]), mark: (r, c) => c === tops[r] });
    return card("Gates", map, h("div", { class: "row" }, why, without), more);
  }

  contributions(answer, tops) {
    const { tasks } = answer.rows[0];
    const blocks = this.manifest.tasks.map((task, t) => contributionTable(task.name, tops[t], tasks[task.name].contributions[tops[t]]));
    const sentence = "The gate is linear, so its logit is exactly the value at the average row plus one share for each feature. Shown for the expert each task leans on most.";
    return h("div", { class: "stack" }, h("p", { class: "soft", text: sentence }), h("div", { class: "grid" }, ...blocks));
  }

  ablation(answer) {
    const { tasks } = answer.rows[0];
    const names = this.manifest.tasks.map((task) => task.name);
    const experts = Array.from({ length: this.manifest.experts }, (_, e) => `without ${e}`);
    const moves = names.map((name) => tasks[name].ablation.map((move) => largest(move)));
    const scale = moves.map((line) => Math.max(...line.map(Math.abs), 1e-12));
    const rows = names.map((name, r) => heatmap({ caption: `How ${name} moves`, rows: [name], columns: experts, values: [moves[r]], format: (v) => signed(v), share: (v) => Math.abs(v) / scale[r] }));
    return h("div", { class: "stack" }, h("p", { class: "soft", text: "Change of each prediction when one expert is left out and the gate spreads its weight over the rest." }), ...rows);
  }

  shellCard(row) {
    const { name } = this.manifest;
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

/** A prediction in the task's own terms: a value, how likely the positive class, or the likeliest class and the others. */
function predictionBox(task, value) {
  const box = (text, share, ...rest) => h("div", { class: "prediction", data: { task: task.name } }, h("h3", { text: task.name }), h("p", { class: "value", text }), share === null ? null : meter(share), ...rest);
  if (task.kind === "regression") return box(number(value), null);
  if (task.kind === "binary") return box(probability(value), value, h("p", { class: "soft", text: `probability of ${task.classes[1] ?? "yes"}` }));
  const ranked = value.map((p, k) => [p, task.classes[k]]).sort((a, b) => b[0] - a[0]);
  const others = ranked.slice(1, 4).map(([p, name]) => h("li", { text: `${name} ${probability(p)}` }));
  return box(ranked[0][1], ranked[0][0], h("p", { class: "soft", text: probability(ranked[0][0]) }), h("ul", { class: "soft" }, ...others));
}

const meter = (share) => h("div", { class: "meter", "aria-hidden": "true" }, h("span", { vars: { share } }));

function contributionTable(task, expert, { base, logit, features }) {
  const most = Math.max(...features.map((f) => Math.abs(f.contribution)), 1e-12);
  const line = (f) => h("tr", {}, h("th", { scope: "row", text: f.feature }), h("td", { class: "number", text: signed(f.contribution) }),
    h("td", { "aria-hidden": "true" }, h("span", { class: `bar ${f.contribution < 0 ? "minus" : ""}`, vars: { share: Math.abs(f.contribution) / most } })));
  return h("div", {}, h("h3", { text: `${task}, ${expertName(expert)}` }), h("p", { class: "soft", text: `Logit ${weight(logit)}: ${weight(base)} at the average row and these shares` }),
    h("table", { class: "plain contributions" }, h("caption", { class: "sr", text: `Contributions to the gate logit of ${expertName(expert)} for ${task}` }), h("tbody", {}, ...features.map(line))));
}
