/** The Model view: what is loaded, where it came from, how well it did, what it reads. */
import { card, h, heatmap, expertName, number, percent } from "./dom.js";
import { seen } from "./fields.js";

const pair = (term, value) => h("div", {}, h("dt", { text: term }), h("dd", { text: value }));

const ARCHITECTURE = { mmoe: "MMoE: a gate per task", omoe: "OMoE: one gate for all tasks", shared_bottom: "Shared-Bottom: no gates", single_task: "a network per task: no gates" };

export function renderModel(view, { manifest, state }) {
  const { provenance } = manifest;
  const rows = provenance.data?.rows ?? {};
  const facts = h("dl", { class: "figures" },
    pair("Model", manifest.name), pair("Version", state.version), pair("Architecture", ARCHITECTURE[manifest.architecture] ?? manifest.architecture),
    pair("Experts", manifest.experts || "–"), pair("Parameters", provenance.parameters?.toLocaleString("en") ?? "–"), pair("Trained", trainedAt(provenance.created_at)),
    pair("From", provenance.data?.source ?? "–"), pair("Rows", Object.entries(rows).map(([split, count]) => `${count.toLocaleString("en")} ${split}`).join(", ") || "–"));
  view.replaceChildren(h("div", { class: "stack" },
    card("What is served", facts), taskTable(manifest), baselineCard(manifest), featureTable(manifest), provenanceCard(provenance)));
}

const trainedAt = (text) => (text ? new Date(text).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" }) : "–");

function taskTable({ tasks }) {
  const names = [...new Set(tasks.flatMap((task) => Object.keys(task.metrics ?? {})))];
  const head = h("tr", {}, ...["Task", "Kind", "Classes", ...names.map((name) => name.replaceAll("_", " "))].map((text, i) => h("th", { scope: "col", class: i > 2 ? "number" : null, text })));
  const line = (task) => h("tr", {}, h("th", { scope: "row", text: task.name }), h("td", { text: task.kind }), h("td", { text: (task.classes ?? []).join(", ") || "–" }),
    ...names.map((name) => h("td", { class: "number", text: number(task.metrics?.[name]) })));
  return card("Tasks and their test metrics", h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Test metrics per task" }, h("table", { class: "plain" }, h("thead", {}, head), h("tbody", {}, ...tasks.map(line)))));
}

function baselineCard({ gates, tasks, experts }) {
  if (!gates) return card("Gates", h("p", { class: "soft", text: "This architecture has no gates, so there is nothing to inspect." }));
  const names = tasks.map((task) => task.name);
  return card("Gates on the validation rows",
    h("p", { class: "soft", text: `The mean weight each task gives each expert over ${gates.rows.toLocaleString("en")} rows: the baseline that live traffic is compared with.` }),
    heatmap({ caption: "Baseline utilisation, tasks by experts", rows: names, columns: Array.from({ length: experts }, (_, e) => expertName(e)), values: names.map((name) => gates.tasks[name].utilisation) }),
    names.length > 1 ? heatmap({ caption: "Similarity of the tasks' gates (1 = the same experts, 0 = none in common)", rows: names, columns: names, values: gates.similarity }) : null);
}

function featureTable({ features }) {
  const head = h("tr", {}, ...["Feature", "Kind", "Seen in training", "Missing"].map((text, i) => h("th", { scope: "col", class: i === 3 ? "number" : null, text })));
  const line = (f) => h("tr", {}, h("th", { scope: "row", text: f.name }), h("td", { text: f.kind }), h("td", { text: seen(f) }), h("td", { class: "number", text: percent(f.missing_share) }));
  return card(`Features (${features.length})`, h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Features" }, h("table", { class: "plain" }, h("thead", {}, head), h("tbody", {}, ...features.map(line)))));
}

function provenanceCard({ config, ...rest }) {
  return card("Provenance", h("pre", { tabindex: "0", text: JSON.stringify(rest, null, 2) }),
    config ? h("details", {}, h("summary", { text: "The configuration it was trained with" }), h("pre", { tabindex: "0", text: typeof config === "string" ? config : JSON.stringify(config, null, 2) })) : null);
}
