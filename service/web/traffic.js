/** The Traffic view: what the gates do now, beside the baseline, with the drift from it; asks again every second. */
import * as api from "./api.js";
import { LineChart } from "./charts.js";
import { card, expertName, h, heatmap, number, percent, weight } from "./dom.js";

const WINDOWS = { "1m": "last minute", "5m": "last 5 minutes", "1h": "last hour" };
const EVERY_MS = 1000;
const LEVELS = { stable: ["good", "stable"], moderate: ["warn", "moderate drift"], major: ["bad", "major drift"], too_few_rows: ["warn", "too few rows to tell"] };

export class TrafficView {
  constructor(view, { manifest }) {
    this.view = view;
    this.manifest = manifest;
    this.window = "1m";
    this.timer = null;
    this.running = false;
    this.charts = [];
    this.build();
  }

  build() {
    this.status = h("p", { class: "soft", role: "status" });
    this.problem = h("div", { role: "alert" });
    this.buttons = Object.keys(WINDOWS).map((name) => h("button", { type: "button", text: WINDOWS[name], data: { window: name }, "aria-pressed": String(name === this.window), on: { click: () => this.choose(name) } }));
    this.figures = h("div", { class: "stack", id: "traffic-figures" });
    this.overTime = h("div", { class: "stack" });
    const head = h("div", { class: "row spread" }, h("h2", { text: "Live traffic" }), h("div", { class: "row", role: "group", "aria-label": "Window" }, ...this.buttons));
    this.view.replaceChildren(h("div", { class: "stack" }, h("section", { class: "card" }, head, this.status), this.problem, this.figures, this.overTime));
    if (this.manifest.gates) this.buildCharts();
  }

  buildCharts() {
    const tasks = this.manifest.tasks.map((task) => task.name);
    const experts = Array.from({ length: this.manifest.experts }, (_, e) => expertName(e));
    this.entropyChart = new LineChart({ title: "Normalised entropy: 1 spreads over all experts, 0 uses one", labels: tasks });
    this.useCharts = tasks.map((task) => new LineChart({ title: `Utilisation of ${task}`, labels: experts }));
    this.charts = [this.entropyChart, ...this.useCharts];
    this.overTime.replaceChildren(card("Over time", h("div", { class: "grid" }, ...this.charts.map((chart) => chart.node))));
    this.overTime.hidden = true;
  }

  choose(name) {
    this.window = name;
    this.buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.window === name)));
    this.refresh();
  }

  start() {
    if (this.running) return;
    this.running = true;
    this.refresh();
  }

  stop() {
    this.running = false;
    clearTimeout(this.timer);
    this.charts.forEach((chart) => chart.destroy());
  }

  async refresh() {
    clearTimeout(this.timer);
    const asked = this.window;
    try {
      const report = await api.traffic(this.manifest.name, asked);
      if (asked !== this.window || !this.running) return;
      this.lastSeen = new Date();
      this.problem.replaceChildren();
      this.show(report);
    } catch (error) {
      if (!this.running) return;
      if (error.status === 409) return this.noGates(error);
      this.showProblem(error);
    }
    if (this.running) this.timer = setTimeout(() => this.refresh(), EVERY_MS);
  }

  noGates(error) {
    this.overTime.hidden = true;
    this.figures.replaceChildren(h("p", { class: "card empty", text: error.message }));
    this.status.textContent = "This model has no gates.";
  }

  showProblem(error) {
    const since = this.lastSeen ? ` The figures below are from ${this.lastSeen.toLocaleTimeString("en")}.` : "";
    this.problem.replaceChildren(h("p", { class: "notice bad", text: `${error.message}${since} Trying again every second.` }));
  }

  show(report) {
    this.status.textContent = `${report.rows.toLocaleString("en")} ${report.rows === 1 ? "row" : "rows"} in the ${WINDOWS[report.window]}, version ${report.version}, all workers together.`;
    this.overTime.hidden = report.rows === 0;
    if (report.rows === 0) {
      const sentence = `No rows in the ${WINDOWS[report.window]}. Send some, from Try it or with curl, and they appear here within two seconds.`;
      this.figures.replaceChildren(h("p", { class: "card empty", text: sentence }));
      return;
    }
    this.figures.replaceChildren(verdict(report), utilisationCard(report), driftCard(report), similarityCard(report) ?? "");
    this.drawCharts(report.series);
  }

  drawCharts({ resolution_s: step, rows, tasks }) {
    const ages = rows.map((_, i) => (i - rows.length + 1) * step);
    const names = this.manifest.tasks.map((task) => task.name);
    this.entropyChart.draw(ages, names.map((name) => tasks[name].normalised_entropy));
    this.useCharts.forEach((chart, t) => chart.draw(ages, Array.from({ length: this.manifest.experts }, (_, e) => tasks[names[t]].utilisation.map((point) => point?.[e] ?? null))));
  }
}

/** What is out of order, in sentences; or that nothing is. */
function verdict({ dead_experts: dead, collapsed_gates: collapsed, tasks, thresholds }) {
  if (!dead || !collapsed) {
    return h("div", { class: "notice", id: "traffic-verdict" }, h("p", { text: `Too few rows to tell: verdicts need ${thresholds.least_rows}.` }));
  }
  const lines = [];
  if (dead.length) lines.push(`Dead: ${dead.map(expertName).join(", ")}, used under ${percent(thresholds.dead_expert_utilisation, 2)} by every task.`);
  if (collapsed.length) lines.push(`Collapsed: the gate of ${collapsed.join(", ")} gives one expert at least ${percent(thresholds.collapsed_gate_utilisation, 0)}.`);
  const drifted = Object.entries(tasks).filter(([, task]) => ["moderate", "major"].includes(task.drift.level));
  if (drifted.length) lines.push(`Drifted from the baseline: ${drifted.map(([name, task]) => `${name} (${task.drift.level})`).join(", ")}.`);
  const unsure = Object.entries(tasks).filter(([, task]) => task.drift.level === "too_few_rows").map(([name]) => name);
  const good = lines.length === 0;
  const items = good ? [`No dead expert, no collapsed gate${unsure.length ? "." : ", no drift beyond its threshold."}`] : lines;
  if (unsure.length) items.push(`Too few rows yet to tell whether ${unsure.join(", ")} drifted.`);
  return h("div", { class: `notice ${good ? "good" : ""}`, id: "traffic-verdict" }, ...items.map((text) => h("p", { text })));
}

function utilisationCard({ tasks, baseline, experts }) {
  const names = Object.keys(tasks);
  const columns = Array.from({ length: experts }, (_, e) => expertName(e));
  const map = (caption, source) => heatmap({ caption, rows: names, columns, values: names.map((name) => source[name].utilisation) });
  const facts = names.map((name) => h("div", {}, h("dt", { text: `Entropy of ${name}` }), h("dd", { text: `${weight(tasks[name].normalised_entropy)} (baseline ${weight(baseline.tasks[name].normalised_entropy)})` })));
  return card("Utilisation: which experts each task leans on", h("p", { class: "soft", text: "Mean gate weight of every expert; each line sums to 1." }),
    map("Now", tasks), map(`Baseline (${baseline.rows.toLocaleString("en")} validation rows)`, baseline.tasks), h("dl", { class: "figures" }, ...facts));
}

function driftCard({ tasks, thresholds, baseline }) {
  const { jensen_shannon: js, population_stability_index: psi } = thresholds;
  const head = h("tr", {}, ...["Task", "Verdict", "Jensen-Shannon", "Stability index", "Took over most"].map((text, i) => h("th", { scope: "col", class: i === 2 || i === 3 ? "number" : null, text })));
  const line = ([name, { drift, utilisation }]) => h("tr", {}, h("th", { scope: "row", text: name }), h("td", {}, pill(drift.level)), h("td", { class: "number", text: number(drift.jensen_shannon) }),
    h("td", { class: "number", text: number(drift.population_stability_index) }), h("td", { text: tookOverMost(utilisation, baseline.tasks[name].utilisation) }));
  const meaning = `Jensen-Shannon divergence says whether work has moved between experts (moderate from ${js.moderate}, major from ${js.major}); the population stability index whether the spread of the weights has changed (moderate from ${psi.moderate}, major from ${psi.major}). What chance alone would give so few rows is taken off first.`;
  return card("Drift from the baseline", h("p", { class: "soft", text: meaning }),
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Drift per task" }, h("table", { class: "plain" }, h("thead", {}, head), h("tbody", {}, ...Object.entries(tasks).map(line)))));
}

function pill(level) {
  const [kind, text] = LEVELS[level] ?? ["warn", level];
  return h("span", { class: `pill ${kind}`, text });
}

/** Name the expert whose utilisation has grown most over the baseline, and from what to what. */
function tookOverMost(now, then) {
  const gains = now.map((value, e) => value - then[e]);
  const most = gains.indexOf(Math.max(...gains));
  return `${expertName(most)}: ${weight(then[most])} → ${weight(now[most])}`;
}

function similarityCard({ task_names: names, similarity, baseline }) {
  if (names.length < 2) return null;
  const map = (caption, values) => heatmap({ caption, rows: names, columns: names, values });
  return card("Similarity of the tasks", h("p", { class: "soft", text: "1: two tasks weigh the experts alike on every row; 0: they share none. Mean over rows of 1 − Jensen-Shannon divergence." }),
    h("div", { class: "grid" }, map("Now", similarity), map("Baseline", baseline.similarity)));
}
