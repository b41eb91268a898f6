/** The features of the Drift view: ranked by drift or by their part in a gate's, each with its two distributions. */
import { cellNames, isOrdered } from "../../cells.js";
import { distribution } from "../../distribution.js";
import { card, choice, h } from "../../dom.js";
import { explain } from "../../explain.js";
import { nameOf } from "../../experts.js";
import { number, percent, signed, weight } from "../../format.js";
import { levelPill } from "../../levels.js";

const FIRST_SHOWN = 12;

export class FeatureList {
  /** @param {() => void} ask asks the service again: a feature was opened whose cells are not here yet */
  constructor(context, ask) {
    this.context = context;
    this.ask = ask;
    this.lines = new Map();
    this.drift = null;
    this.by = "drift";
    this.all = false;
    this.list = h("div", { class: "feature-list" });
    this.more = h("button", { type: "button", text: "Show all features", hidden: true, on: { click: () => this.reveal() } });
    this.sort = h("div", {});
    this.node = card(["Features", explain("stability_index")], this.sort, this.list, this.more);
    this.node.id = "drift-features";
  }

  /** Look at one feature: open it and bring it into sight, once there is an answer. */
  open(name) {
    this.wanted = name;
  }

  forget() {
    this.order = null;
  }

  wantsAllCells() {
    return Boolean(this.wanted) || [...this.lines.values()].some((line) => line.node.open && line.cells === null) || this.keeps;
  }

  reveal() {
    this.all = true;
    const first = [...this.list.children].find((node) => node.hidden);
    this.arrange();
    first?.querySelector("summary").focus();
  }

  update(drift) {
    this.drift = drift;
    this.choices();
    for (const [name, figures] of Object.entries(drift.features)) {
      if (!this.lines.has(name)) this.lines.set(name, new FeatureLine(this.context.manifest, name, () => this.opened(name)));
      this.lines.get(name).update(figures, parts(drift, name));
    }
    this.keeps = [...this.lines.values()].some((line) => line.node.open && line.level === "stable");
    this.arrange();
    if (this.wanted && this.lines.has(this.wanted)) this.bring(this.lines.get(this.wanted));
  }

  bring(line) {
    this.wanted = null;
    line.node.hidden = false;
    line.node.open = true;
    line.node.scrollIntoView({ block: "center" });
    line.node.querySelector("summary").focus({ preventScroll: true });
  }

  opened(name) {
    if (this.lines.get(name).cells === null) this.ask();
  }

  choices() {
    const gates = Object.entries(this.drift.gates).filter(([, { because }]) => because).map(([task]) => [task, `part in the drift of ${task}'s gate`]);
    const asked = gates.map(([task]) => task).join();
    if (asked === this.asked) return;
    this.asked = asked;
    if (this.by !== "drift" && !gates.some(([task]) => task === this.by)) this.by = "drift";
    this.sort.replaceChildren(gates.length ? choice("Ranked by", [["drift", "drift of the feature"], ...gates], this.by, (by) => { this.by = by; this.order = null; this.arrange(); }) : "");
  }

  /** Put the lines in order; while a person reads one they stay where they are. */
  arrange() {
    const names = this.ranked();
    const busy = this.order?.length === names.length && (this.list.contains(document.activeElement) || [...this.lines.values()].some((line) => line.node.open));
    if (!busy && this.order?.join("\n") !== names.join("\n")) {
      this.order = names;
      this.list.replaceChildren(...names.map((name) => this.lines.get(name).node));
    }
    [...this.list.children].forEach((node, i) => (node.hidden = !this.all && i >= FIRST_SHOWN && !node.open));
    this.more.hidden = this.all || names.length <= FIRST_SHOWN;
    this.more.textContent = `Show all ${names.length} features`;
    if (!names.length) this.list.replaceChildren(h("p", { class: "soft", text: "No rows in this window." }));
  }

  ranked() {
    const names = Object.keys(this.drift.features);
    if (this.by === "drift") return names;
    const moved = new Map(this.drift.gates[this.by].because.map((cause) => [cause.feature, cause.moved_weight]));
    return names.sort((a, b) => (moved.get(b) ?? 0) - (moved.get(a) ?? 0));
  }
}

/** A feature's part in the drift of each gate. */
const parts = (drift, name) => Object.entries(drift.gates).flatMap(([task, { because }]) => (because ?? []).filter(({ feature }) => feature === name).map((cause) => ({ task, ...cause })));

class FeatureLine {
  constructor(manifest, name, opened) {
    Object.assign(this, { manifest, name, cells: null });
    this.level = null;
    this.pill = h("span", {});
    this.index = h("span", { class: "soft" });
    this.body = h("div", { class: "stack" });
    this.node = h("details", { data: { feature: name } }, h("summary", {}, h("span", { class: "feature-name", text: name }), this.pill, this.index), this.body);
    this.node.addEventListener("toggle", () => { if (this.node.open) { this.draw(); opened(); } });
  }

  update(figures, gates) {
    if (this.level !== figures.level) this.pill.replaceChildren(levelPill(figures.level));
    Object.assign(this, { figures, gates, level: figures.level, cells: figures.cells });
    const moved = gates.length ? `; moves ${weight(Math.max(...gates.map((gate) => gate.moved_weight)))} of a gate's weight` : "";
    this.index.textContent = `stability index ${number(figures.population_stability_index)} (${number(figures.population_stability_index_by_chance)} by chance)${moved}`;
    if (this.node.open) this.draw();
  }

  draw() {
    const shown = this.cells === null ? h("p", { class: "soft", text: "Asking for its distribution…" })
      : distribution({ caption: `Distribution of ${this.name}, in training and now`, names: cellNames(this.manifest, this.name), shares: this.cells, ordered: isOrdered(this.manifest, this.name) });
    const kinds = [["missing", "Missing"], ["unknown", "Unknown to training"], ["out_of_range", "Out of range"]].filter(([key]) => this.figures?.[key]);
    const facts = kinds.map(([key, title]) => h("div", {}, h("dt", { text: title }), h("dd", { text: `${percent(this.figures[key].now)} (training ${percent(this.figures[key].baseline)})` })));
    this.body.replaceChildren(h("dl", { class: "figures" }, ...facts), ...this.gates.map((gate) => partSentence(this.manifest, gate)), shown);
  }
}

/** A feature's part in the drift of one gate, with the experts whose logits it shifts most. */
function partSentence(manifest, { task, moved_weight: moved, logit_shift: shifts }) {
  const seen = shifts.map((shift, expert) => ({ shift, expert })).filter(({ shift }) => shift !== null).sort((a, b) => Math.abs(b.shift) - Math.abs(a.shift));
  return h("p", { text: `Gate of ${task}: moves ${weight(moved)} of the weight; logits ${seen.slice(0, 4).map(({ shift, expert }) => `${nameOf(manifest, expert)} ${signed(shift)}`).join(", ")}.` });
}
