/** The Segments view: gates and predictions of live traffic by the values of a feature. */
import * as calls from "../calls.js";
import { cellNames, isOrdered } from "../cells.js";
import { card, choice, h } from "../dom.js";
import { explain } from "../explain.js";
import { namesOf, ofGate } from "../experts.js";
import { count, number, percent, probability } from "../format.js";
import { levelPill } from "../levels.js";
import { Poll, WINDOWS } from "../polling.js";
import { heatmap, plainTable } from "../tables.js";

const EVERY_MS = 3000;

export function view(context) {
  const segments = new SegmentsView(context);
  return { show: () => segments.poll.start(), hide: () => segments.poll.stop() };
}

class SegmentsView {
  constructor(context) {
    this.context = context;
    this.window = "5m";
    this.feature = context.params.get("feature");
    this.task = context.manifest.tasks[0].name;
    this.head = h("div", { class: "row" });
    this.status = h("p", { class: "soft" });
    this.place = h("div", { class: "stack" });
    this.poll = new Poll({ everyMs: EVERY_MS, ask: () => calls.segments(context.name, this.window, this.feature), show: (answer) => this.answered(answer), fail: (error) => this.failed(error) });
    context.node.replaceChildren(h("div", { class: "stack" }, card(["Segments of live traffic", explain("live_segment")], this.head, this.status), this.place));
  }

  failed(error) {
    this.told = null;
    this.head.replaceChildren();
    this.status.textContent = "";
    this.place.replaceChildren(h("p", { class: error.status === 404 ? "card" : "notice bad", role: "alert", text: error.message }));
  }

  answered(answer) {
    this.choices(answer);
    this.status.textContent = `${count(answer.rows)} rows in the ${WINDOWS.find(([id]) => id === answer.window)[1]}, version ${answer.version}, by a sample of them.`;
    const names = cellNames(this.context.manifest, answer.feature);
    const segments = answer.segments.map((segment) => ({ ...segment, name: names[segment.cell] }));
    if (!isOrdered(this.context.manifest, answer.feature)) segments.sort((a, b) => b.share.now - a.share.now);
    this.place.replaceChildren(...(segments.length ? [this.table(segments), ...this.gates(answer, segments)] : [h("p", { class: "card empty", text: "No rows in this window. Send some, and they appear here within a few seconds." })]));
  }

  /** The choices stay the same nodes while the same features can be asked for, so that they keep the focus. */
  choices(answer) {
    const told = answer.features.join("\n");
    if (told === this.told) return;
    this.told = told;
    const ask = (key) => (value) => { this[key] = value; this.poll.now(); };
    const tasks = this.context.manifest.tasks.map(({ name }) => [name, name]);
    const by = choice("By", answer.features.map((name) => [name, name]), answer.feature, ask("feature"));
    this.head.replaceChildren(by, choice("Window", WINDOWS, this.window, ask("window")), this.context.manifest.gates ? choice("Gate of", tasks, this.task, ask("task")) : "");
  }

  table(segments) {
    const { tasks } = this.context.manifest;
    const columns = ["Value", { title: "Rows", number: true }, { title: "Share now", number: true }, { title: "in training", number: true }, ...tasks.map(({ name }) => ({ title: `Mean of ${name}`, number: true }))];
    const rows = segments.map(({ name, rows: came, share, predictions }) => [name, count(came), percent(share.now), percent(share.baseline), ...tasks.map((task) => mean(task, predictions[task.name]))]);
    return card("Rows and predictions", plainTable({ caption: "Rows and mean predictions by segment", columns, rows }));
  }

  gates(answer, segments) {
    const { manifest } = this.context;
    if (!answer.baseline[this.task]) return [];
    const rows = ["training, all rows", ...segments.map(({ name }) => name)];
    const map = heatmap({ caption: `Utilisation for ${this.task} by segment`, rows, columns: namesOf(manifest), values: [answer.baseline[this.task], ...segments.map(({ tasks }) => tasks[this.task].utilisation)].map((values) => ofGate(manifest, this.task, values)) });
    const judged = segments.map(({ name, effective_rows: rows_, tasks }) => [name, levelPill(tasks[this.task].level), number(tasks[this.task].jensen_shannon), count(Math.round(rows_))]);
    const columns = ["Value", "Apart from training as a whole", { title: "Jensen-Shannon", number: true }, { title: "Sampled rows", number: true }];
    return [card([`Gate of ${this.task}`, explain("utilisation")], map),
      card(["How far each segment's gate is from all training rows", explain("jensen_shannon")], plainTable({ caption: `Distance of the gate of ${this.task} by segment`, columns, rows: judged }))];
  }
}

/** A mean prediction; of classes the likeliest one. */
function mean(task, value) {
  if (task.kind === "regression") return number(value);
  if (task.kind === "binary") return probability(value);
  const best = value.indexOf(Math.max(...value));
  return `${task.classes[best]} ${probability(value[best])}`;
}
