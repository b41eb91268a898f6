/** The Drift view: what happened and why; every feature's distribution beside that of training; predictions likewise. */
import * as api from "../api.js";
import * as calls from "../calls.js";
import { announcer, card, choice, h } from "../dom.js";
import { FeatureList } from "./drift/features.js";
import { predictionsCard } from "./drift/predictions.js";
import { explain } from "../explain.js";
import { count } from "../format.js";
import { happened } from "./drift/happened.js";
import { Poll, WINDOWS } from "../polling.js";

const EVERY_MS = 3000;

export function view(context) {
  const drift = new DriftView(context);
  return { show: () => drift.show(), hide: () => drift.poll.stop() };
}

class DriftView {
  constructor(context) {
    this.context = context;
    this.window = context.params.get("window") ?? "5m";
    this.status = h("p", { class: "soft" });
    this.said = announcer();
    this.problem = h("div", { role: "alert" });
    this.happened = h("div", { class: "stack", id: "happened" });
    this.features = new FeatureList(context, () => this.poll.now());
    this.predictions = h("div", { class: "stack" });
    this.poll = new Poll({ everyMs: EVERY_MS, ask: () => this.ask(), show: (answer) => this.answered(answer), fail: (error) => this.failed(error) });
    const window = choice("Window", WINDOWS, this.window, (value) => this.choose(value));
    const head = card(["Drift", explain("feature_drift")], h("div", { class: "row spread" }, this.status, window));
    context.node.replaceChildren(h("div", { class: "stack" }, head, this.said, this.problem, this.happened, this.features.node, this.predictions));
  }

  show() {
    this.features.open(this.context.params.get("feature"));
    this.poll.start();
  }

  choose(window) {
    this.window = window;
    this.features.forget();
    this.poll.now();
  }

  /** The four answers that belong together; a model without gates has no traffic of them. */
  async ask() {
    const { name, manifest } = this.context;
    const cells = this.features.wantsAllCells() ? "all" : "moved";
    const [drift, traffic, quality] = await Promise.all([calls.drift(name, this.window, cells), manifest.gates ? api.traffic(name, this.window) : null, calls.quality(name)]);
    return { drift, traffic, quality };
  }

  answered({ drift, traffic, quality }) {
    this.problem.replaceChildren();
    const enough = drift.effective_rows >= drift.thresholds.least_rows;
    const sample = `judged by a sample worth ${count(Math.round(drift.effective_rows))}${enough ? "" : `; verdicts need ${drift.thresholds.least_rows}`}`;
    this.status.textContent = `${count(drift.rows)} rows in the ${WINDOWS.find(([id]) => id === this.window)[1]}, version ${drift.version}, ${sample}.`;
    const told = happened(this.context, { drift, traffic, quality, window: this.window });
    if (this.happened.textContent !== told.textContent) this.happened.replaceChildren(told);
    this.features.update(drift);
    this.predictions.replaceChildren(predictionsCard(this.context.manifest, drift) ?? "");
    const level = `Drift of features: ${drift.level.replaceAll("_", " ")}.`;
    if (this.said.textContent !== level) this.said.textContent = level;
  }

  failed(error) {
    this.problem.replaceChildren(h("p", { class: `notice ${error.status === 404 ? "" : "bad"}`, text: error.message }));
  }
}
