/** The Experts view: what each is for, how much each task leans on it, what is lost without it, how well it answers. */
import * as api from "../api.js";
import * as calls from "../calls.js";
import { card, h } from "../dom.js";
import { explain, explained } from "../explain.js";
import { hasOwn, nameOf, namesOf, ofGate, sees } from "../experts.js";
import { aligned, number, percent, weight } from "../format.js";
import { heatmap, plainTable } from "../tables.js";
import { purposes } from "./experts/purposes.js";
import { isRising, metricName, taskOf, written } from "../verdicts.js";

const OPEN_AT_ONCE = 8;

export function view(context) {
  if (!context.manifest.gates) {
    context.node.replaceChildren(card("Experts", h("p", { text: "This architecture has no gates, and so no experts that could be told apart." })));
    return {};
  }
  const experts = new ExpertsView(context);
  return { show: () => experts.show() };
}

class ExpertsView {
  constructor(context) {
    this.context = context;
    this.live = null;
    this.judged = null;
    this.problem = h("div", { role: "alert" });
    this.cards = h("div", { class: "stack", id: "experts" });
    context.node.replaceChildren(h("div", { class: "stack" }, this.problem, this.overview(), this.cards));
    this.draw();
  }

  async show() {
    const { name } = this.context;
    this.bring(this.context.params.get("expert"));
    try {
      const [live, quality] = await Promise.all([api.traffic(name, "1h").catch(() => null), calls.quality(name)]);
      Object.assign(this, { live: live?.rows ? live : null, judged: quality.found });
      this.draw();
      this.bring(this.context.params.get("expert"));
    } catch (error) {
      this.problem.replaceChildren(h("p", { class: "notice bad", text: error.message }));
    }
  }

  bring(expert) {
    const node = expert === null ? null : this.cards.querySelector(`[data-expert="${CSS.escape(expert)}"]`);
    if (!node) return;
    node.open = true;
    node.scrollIntoView({ block: "start" });
    node.querySelector("summary").focus({ preventScroll: true });
  }

  overview() {
    const { manifest } = this.context;
    const names = manifest.tasks.map(({ name }) => name);
    const map = heatmap({ caption: `Share of each task's work by expert, over ${manifest.gates.rows.toLocaleString("en")} validation rows`, rows: names, columns: namesOf(manifest), values: names.map((name) => ofGate(manifest, name, manifest.gates.tasks[name].utilisation)) });
    const figures = [["Weighs most where", "raising"], ["Lost without it", "without"], ["Where it leads", "leading_expert"], ...(hasOwn(manifest) ? [["Shared, or of a task", "own_experts"]] : [])].map(([text, term]) => h("span", {}, ...explained(text, term)));
    return card(["Who does what", explain("utilisation")], map, h("div", { class: "row soft" }, "Of each expert below: ", ...figures));
  }

  draw() {
    const { manifest } = this.context;
    const open = new Set([...this.cards.children].filter((node) => node.open).map((node) => node.dataset.expert));
    const first = this.cards.childElementCount === 0 && manifest.experts <= OPEN_AT_ONCE;
    const focused = document.activeElement?.closest("[data-expert]")?.dataset.expert;
    this.cards.replaceChildren(...Array.from({ length: manifest.experts }, (_, expert) => this.expert(expert, first || open.has(String(expert)))));
    if (focused !== undefined) this.cards.querySelector(`[data-expert="${focused}"] summary`)?.focus({ preventScroll: true });
  }

  expert(expert, open) {
    const { manifest } = this.context;
    const { sentence, byTask } = purposes(manifest, expert);
    const rows = manifest.tasks.map((task) => this.line(task, expert, byTask.get(task.name)));
    const columns = ["Task", { title: "Share in training", number: true }, { title: "Share now (1 h)", number: true }, "Weighs most where", "Lost without it", "Where it leads"];
    return h("details", { class: "card expert", open, data: { expert } }, h("summary", {}, h("h2", { text: nameOf(manifest, expert) }), h("span", { class: "soft", text: sentence })), plainTable({ caption: `What ${nameOf(manifest, expert)} does for each task`, columns, rows }));
  }

  line(task, expert, cells) {
    const { gates } = this.context.manifest;
    const now = this.live?.tasks[task.name]?.utilisation?.[expert] ?? null;
    if (!sees(this.context.manifest, task.name, expert)) return [task.name, "–", "–", "not seen by this task", "–", "–"];
    return [task.name, weight(gates.tasks[task.name].utilisation[expert]), weight(now), where(cells), this.lost(task, expert), this.leads(task, expert, gates.tasks[task.name].top_expert_share[expert])];
  }

  /** What the validation rows say; a file of an older trainer does not. */
  lost(task, expert) {
    const entry = this.context.manifest.baseline?.without?.[task.name]?.[expert];
    if (entry === undefined) return "not in this file";
    if (entry === null) return "–";
    const format = aligned([...this.context.manifest.baseline.without[task.name].map((one) => one?.loss ?? null)]);
    const moved = task.kind === "regression" ? number(entry.moved) : `${number(100 * entry.moved)} points`;
    return `${entry.loss === null ? "" : `${task.kind === "regression" ? "RMSE" : "log loss"} ${format(entry.loss)}; `}prediction moves ${moved}`;
  }

  leads(task, expert, share) {
    const judged = taskOf(this.judged, this.context.state.version, task.name);
    const part = judged?.by_expert.find((one) => one.expert === expert);
    const estimate = part?.metrics?.[judged.verdict.metric] ?? null;
    if (!estimate) return `${percent(share)} of rows${part ? `; ${part.rows} labelled rows, too few` : ""}`;
    return `${percent(share)} of rows; labels: ${metricName(judged.verdict.metric)} ${written(estimate)}${isRising(judged.verdict.metric) ? "" : ", less is better"}`;
  }
}

function where(cells) {
  if (cells === undefined) return "not in this file";
  if (!cells.length) return "nowhere in particular";
  return h("ul", { class: "bare" }, ...cells.map(({ feature, value, contribution }) => h("li", { text: `${feature}: ${value} (logit +${number(contribution)})` })));
}
