/** The Traffic view: what the gates do now, beside the baseline, with the drift from it; asks again every second. */
import * as api from "../api.js";
import { LineChart } from "../charts.js";
import { card, choice, h, morph } from "../dom.js";
import { explain, explained } from "../explain.js";
import { namesOf } from "../experts.js";
import { compact, count } from "../format.js";
import { ages, joined, swapMarks } from "../timeline.js";
import { driftCard, fleetCard, similarityCard, utilisationCard, verdict } from "../traffic_cards.js";

const WINDOWS = { "1m": "last minute", "5m": "last 5 minutes", "1h": "last hour" };
const EVERY_MS = 1000;
const ALL_EVERY_MS = 5000;
const FORGET_MS = 30_000;
const MOST_CHARTS = 4;

export function view(context) {
  const traffic = new TrafficView(context);
  return { show: () => traffic.start(), hide: () => traffic.stop() };
}

class TrafficView {
  constructor(context) {
    Object.assign(this, { context, manifest: context.manifest, timer: null, allTimer: null, running: false, charts: [], before: null });
    this.instances = new Map();
    this.build();
  }

  get window() {
    const asked = this.context.params.get("window");
    return asked in WINDOWS ? asked : "1m";
  }

  build() {
    this.status = h("p", { class: "soft" }); // not a live region: it changes every second
    this.whose = h("div", { class: "row" });
    this.problem = h("div", { role: "alert" });
    this.buttons = Object.keys(WINDOWS).map((name) => h("button", { type: "button", text: WINDOWS[name], data: { window: name }, on: { click: () => this.go({ window: name }) } }));
    this.figures = h("div", { class: "stack", id: "traffic-figures" });
    this.all = h("div", {});
    this.overTime = h("div", { class: "stack" });
    const head = h("div", { class: "row spread" }, h("h2", { text: "Live traffic" }), h("div", { class: "row", role: "group", "aria-label": "Window" }, ...this.buttons));
    this.context.node.replaceChildren(h("div", { class: "stack" }, h("section", { class: "card" }, head, this.status, this.whose), this.problem, this.figures, this.all, this.overTime));
    if (this.manifest.gates) this.buildCharts();
  }

  buildCharts() {
    const tasks = this.manifest.tasks.map((task) => task.name);
    this.entropyChart = new LineChart({ title: "Normalised entropy: 1 spreads over all experts, 0 uses one", labels: tasks, beside: explain("entropy") });
    this.useCharts = new Map(tasks.map((task) => [task, new LineChart({ title: `Utilisation of ${task}`, labels: namesOf(this.manifest), beside: explain("utilisation") })]));
    const grid = h("div", { class: "grid" });
    const draw = (chosen) => {
      this.charts.forEach((chart) => chart.destroy());
      this.shown = chosen;
      this.charts = [this.entropyChart, ...chosen.map((task) => this.useCharts.get(task))];
      grid.replaceChildren(...this.charts.map((chart) => chart.node));
    };
    const many = tasks.length > MOST_CHARTS;
    draw(many ? tasks.slice(0, 1) : tasks);
    this.overTime.replaceChildren(card("Over time", many ? choice("Experts of", tasks.map((task) => [task, task]), tasks[0], (task) => draw([task])) : null, grid));
    this.overTime.hidden = true;
  }

  /** Change the address, which makes the frame show this view again. */
  go(params) {
    this.context.go(null, { ...Object.fromEntries(this.context.params), ...params });
  }

  start() {
    this.buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.window === this.window)));
    this.running = true;
    this.refresh();
  }

  stop() {
    Object.assign(this, { running: false, summing: false });
    clearTimeout(this.timer);
    clearTimeout(this.allTimer);
    this.charts.forEach((chart) => chart.destroy());
  }

  async refresh() {
    clearTimeout(this.timer);
    const asked = this.window;
    try {
      const report = await api.traffic(this.context.name, asked);
      if (asked !== this.window || !this.running) return;
      this.lastSeen = new Date();
      this.problem.replaceChildren();
      await this.take(report);
    } catch (error) {
      if (!this.running) return;
      if (error.status === 409) return this.noGates(error);
      this.showProblem(error);
    }
    clearTimeout(this.timer);
    if (this.running) this.timer = setTimeout(() => this.refresh(), EVERY_MS);
  }

  /** Behind a balancer another instance may answer each time: show one of them, and say which. */
  async take(report) {
    const now = Date.now();
    for (const [instance, at] of this.instances) if (now - at > FORGET_MS) this.instances.delete(instance);
    this.instances.set(report.instance, now);
    const chosen = this.context.params.get("instance");
    this.instance = this.instances.has(chosen) ? chosen : this.instances.has(this.instance) ? this.instance : report.instance;
    this.nameInstance();
    if (report.summed && this.summing !== report.window) this.refreshAll(report.window);
    if (report.instance !== this.instance) return;
    if (this.context.swaps.length) await this.lookBack(report);
    if (this.running) this.show(report);
  }

  nameInstance() {
    const names = [...this.instances.keys()].sort();
    if (this.named === `${names.join()} ${this.instance}`) return;
    this.named = `${names.join()} ${this.instance}`;
    const text = names.length === 1 ? `Instance ${names[0]}, all its workers together.` : `${names.length} instances answer at this address; these are the figures of one.`;
    this.whose.replaceChildren(h("span", { class: "soft" }, ...explained(text, "instance")), ...(names.length > 1 ? [choice("Instance", names.map((name) => [name, name]), this.instance, (instance) => this.go({ instance }))] : []));
  }

  /** The series of the version before, for the time before the swap. */
  async lookBack({ window }) {
    const { from, at } = this.context.swaps.at(-1);
    if (this.before?.from === from && this.before.window === window && this.before.at - at > 5000) return;
    try {
      this.before = { from, window, at: Date.now(), report: await api.traffic(this.context.name, window, from) };
    } catch {
      this.before = null; // its figures are not kept any more
    }
  }

  /** Ask for the sum of all instances, again and again, where a Prometheus has it. */
  async refreshAll(window) {
    clearTimeout(this.allTimer);
    this.summing = window;
    try {
      const report = await api.trafficOfAll(this.context.name, window);
      if (this.summing !== window) return;
      morph(this.all, h("div", {}, fleetCard(report, this.manifest)));
    } catch (error) {
      this.all.replaceChildren(h("p", { class: "notice", text: error.message }));
    }
    if (this.running && this.summing === window) this.allTimer = setTimeout(() => this.refreshAll(window), ALL_EVERY_MS);
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
    const { rows, window, version, window_s: seconds } = report;
    this.status.textContent = `${count(rows)} ${rows === 1 ? "row" : "rows"} in the ${WINDOWS[window]} (${compact(rows / seconds)} rows/s), version ${version}.`;
    this.overTime.hidden = rows === 0;
    if (rows === 0) {
      const sentence = `No rows in the ${WINDOWS[window]}. Send some, from Try it or with curl, and they appear here within two seconds.`;
      this.figures.replaceChildren(h("p", { class: "card empty", text: sentence }));
      return;
    }
    morph(this.figures, h("div", {}, verdict(report), utilisationCard(report), driftCard(report), similarityCard(report)));
    this.drawCharts(report);
  }

  drawCharts(report) {
    const series = joined(report.series, this.before?.report.instance === report.instance ? this.before.report.series : null);
    const at = ages(series);
    const marks = swapMarks(report, this.context.swaps);
    const names = this.manifest.tasks.map((task) => task.name);
    const { tasks: baseline } = report.baseline;
    this.entropyChart.draw(at, names.map((name) => series.tasks[name].normalised_entropy), { baselines: names.map((name) => baseline[name].normalised_entropy), marks });
    for (const name of this.shown) {
      const lines = Array.from({ length: this.manifest.experts }, (_, e) => series.tasks[name].utilisation.map((point) => point?.[e] ?? null));
      this.useCharts.get(name).draw(at, lines, { baselines: baseline[name].utilisation, marks });
    }
  }
}
