/** The cards of live traffic: what is out of order, which experts are used, the drift from the baseline, similar tasks. */
import { card, h } from "./dom.js";
import { explain, explained } from "./explain.js";
import { nameOf, namesOf, ofGate } from "./experts.js";
import { count, number, percent, weight } from "./format.js";
import { heatmap, plainTable } from "./tables.js";

const LEVELS = { stable: ["good", "stable"], moderate: ["warn", "moderate drift"], major: ["bad", "major drift"], too_few_rows: ["warn", "too few rows to tell"] };

/** A word on a level of drift. */
export function pill(level) {
  const [kind, text] = LEVELS[level] ?? ["warn", level];
  return h("span", { class: `pill ${kind}`, text });
}

/** What is out of order, in sentences; or that nothing is; or that there are too few rows to tell. */
export function verdict(report) {
  const { dead_experts: dead, collapsed_gates: collapsed, tasks, rows, thresholds } = report;
  if (!dead || !collapsed) {
    const sentence = `Too few rows to tell: ${count(rows)} of the ${thresholds.least_rows} that a verdict on dead experts, collapsed gates and drift needs.`;
    return h("div", { class: "notice", id: "traffic-verdict" }, h("p", { text: sentence }));
  }
  const lines = [];
  if (dead.length) lines.push(explained(`Dead: ${dead.map((expert) => nameOf(report, expert)).join(", ")}, used under ${percent(thresholds.dead_expert_utilisation, 2)} by every task.`, "dead_expert"));
  if (collapsed.length) lines.push(explained(`Collapsed: the gate of ${collapsed.join(", ")} gives one expert at least ${percent(thresholds.collapsed_gate_utilisation, 0)}.`, "collapsed_gate"));
  const of = (levels) => Object.entries(tasks).filter(([, { drift }]) => levels.includes(drift.level));
  const drifted = of(["moderate", "major"]);
  if (drifted.length) lines.push([`Drifted from the baseline: ${drifted.map(([name, task]) => `${name} (${task.drift.level})`).join(", ")}.`]);
  const unsure = of(["too_few_rows"]).map(([name]) => name);
  const good = lines.length === 0;
  if (good) lines.push([`No dead expert, no collapsed gate${unsure.length ? "." : ", no drift beyond its threshold."}`]);
  if (unsure.length) lines.push([`Too few rows yet to tell whether ${unsure.join(", ")} drifted.`]);
  return h("div", { class: `notice ${good && !unsure.length ? "good" : ""}`, id: "traffic-verdict" }, ...lines.map((parts) => h("p", {}, ...parts)));
}

export function utilisationCard(report) {
  const { tasks, baseline } = report;
  const names = Object.keys(tasks);
  const map = (caption, source) => heatmap({ caption, rows: names, columns: namesOf(report), values: names.map((name) => ofGate(report, name, source[name].utilisation)) });
  const facts = names.map((name) => h("div", {}, h("dt", { text: `Entropy of ${name}` }), h("dd", { text: `${weight(tasks[name].normalised_entropy)} (baseline ${weight(baseline.tasks[name].normalised_entropy)})` })));
  return card(["Utilisation: which experts each task leans on", explain("utilisation")], h("p", { class: "soft", text: "Mean gate weight of every expert; each line sums to 1." }),
    map("Now", tasks), map(`Baseline (${count(baseline.rows)} validation rows)`, baseline.tasks), h("dl", { class: "figures" }, ...facts));
}

export function driftCard(report) {
  const { tasks, thresholds, baseline } = report;
  const { jensen_shannon: js, population_stability_index: psi } = thresholds;
  const rows = Object.entries(tasks).map(([name, { drift, utilisation }]) => [name, pill(drift.level), number(drift.jensen_shannon), number(drift.population_stability_index), tookOverMost(report, utilisation, baseline.tasks[name].utilisation)]);
  const meaning = `Jensen-Shannon says whether work has moved between experts (moderate from ${js.moderate}, major from ${js.major}), the stability index whether the spread of the weights has changed (moderate from ${psi.moderate}, major from ${psi.major}). What chance alone would give so few rows is taken off first.`;
  return card(["Drift from the baseline", explain("jensen_shannon"), explain("stability_index")], h("p", { class: "soft", text: meaning }),
    plainTable({ caption: "Drift per task", columns: ["Task", "Verdict", { title: "Jensen-Shannon", number: true }, { title: "Stability index", number: true }, "Took over most"], rows }));
}

/** Name the expert whose utilisation has grown most over the baseline, and from what to what. */
function tookOverMost(report, now, then) {
  const gains = now.map((value, e) => value - then[e]);
  const most = gains.indexOf(Math.max(...gains));
  return `${nameOf(report, most)}: ${weight(then[most])} → ${weight(now[most])}`;
}

export function similarityCard({ task_names: names, similarity, baseline }) {
  if (names.length < 2) return null;
  const map = (caption, values) => heatmap({ caption, rows: names, columns: names, values, small: true });
  return card(["Similarity of the tasks", explain("similarity")], h("div", { class: "row tops" }, map("Now", similarity), map("Baseline", baseline.similarity)));
}

/** What all instances did together, as Prometheus knows it. */
export function fleetCard({ rows, instances, tasks }, manifest) {
  const names = Object.keys(tasks);
  const list = instances.map(({ instance, rows: of }) => `${instance} ${count(Math.round(of))}`);
  const shown = list.length > 6 ? [...list.slice(0, 6), `and ${list.length - 6} more`] : list;
  const sentence = `${count(Math.round(rows))} rows of ${instances.length} ${instances.length === 1 ? "instance" : "instances"}: ${shown.join(", ")}. By Prometheus, so some seconds late and rounded.`;
  return card(["All instances together", explain("instance")], h("p", { class: "soft", text: rows > 0 ? sentence : "Prometheus knows of no rows of this version in the window yet." }),
    rows > 0 ? heatmap({ caption: "Utilisation over all instances", rows: names, columns: namesOf(manifest), values: names.map((name) => ofGate(manifest, name, tasks[name].utilisation ?? [])) }) : null);
}
