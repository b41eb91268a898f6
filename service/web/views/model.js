/** The Model view: what is loaded, where it came from, how well it did, what it reads. */
import { card, h } from "../dom.js";
import { explain, explained } from "../explain.js";
import { seen } from "../fields.js";
import { namesOf, ofGate } from "../experts.js";
import { count, number, percent, probability } from "../format.js";
import { roleOf } from "../served.js";
import { heatmap, plainTable } from "../tables.js";

const pair = (term, value) => h("div", {}, h("dt", { text: term }), h("dd", { text: value }));

const ARCHITECTURE = { mmoe: "MMoE: a gate per task", omoe: "OMoE: one gate for all tasks", cgc: "CGC: experts of each task beside shared ones", shared_bottom: "Shared-Bottom: no gates", single_task: "a network per task: no gates" };

export function view(context) {
  const { manifest, node } = context;
  const served = h("dl", { class: "figures" });
  const tell = () => served.replaceChildren(...facts(context));
  tell();
  node.replaceChildren(h("div", { class: "stack" }, card("What is served", served), taskTable(manifest), baselineCard(manifest), featureTable(manifest), provenanceCard(manifest.provenance)));
  const changed = ({ version }) => (version ? view(context) : tell());
  return { changed };
}

function facts({ manifest, state }) {
  const { provenance } = manifest;
  const rows = provenance.data?.rows ?? {};
  return [pair("Model", manifest.name), pair("Version", `${state.version} (${roleOf(state.version, state)})`), pair("Architecture", ARCHITECTURE[manifest.architecture] ?? manifest.architecture),
    pair("Experts", manifest.experts || "–"), pair("Parameters", count(provenance.parameters)), pair("Trained", trainedAt(provenance.created_at)),
    pair("From", provenance.data?.source ?? "–"), pair("Rows", Object.entries(rows).map(([split, of]) => `${count(of)} ${split}`).join(", ") || "–")];
}

const trainedAt = (text) => (text ? new Date(text).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" }) : "–");

function taskTable({ tasks }) {
  const names = [...new Set(tasks.flatMap((task) => Object.keys(task.metrics ?? {})))];
  const columns = ["Task", "Kind", "Classes", { title: "Base rate or mean", number: true }, ...names.map((name) => ({ title: name.replaceAll("_", " "), number: true }))];
  const rows = tasks.map((task) => [task.name, task.kind, (task.classes ?? []).join(", ") || "–", base(task), ...names.map((name) => number(task.metrics?.[name]))]);
  return card(["Tasks and their test metrics", explain("base_rate")], plainTable({ caption: "Test metrics per task", columns, rows }));
}

function base({ kind, baseline }) {
  const constant = baseline?.constant;
  if (constant === undefined || constant === null) return "–";
  if (kind === "multiclass") return constant.map((share) => probability(share)).join(", ");
  return kind === "binary" ? probability(constant) : number(constant);
}

function baselineCard(manifest) {
  const { gates, tasks } = manifest;
  if (!gates) return card("Gates", h("p", { class: "soft", text: "This architecture has no gates, so there is nothing to inspect." }));
  const names = tasks.map((task) => task.name);
  return card(["Gates on the validation rows", explain("utilisation")],
    h("p", { class: "soft", text: `The mean weight each task gives each expert over ${count(gates.rows)} rows: the baseline that live traffic is compared with.` }),
    heatmap({ caption: "Baseline utilisation, tasks by experts", rows: names, columns: namesOf(manifest), values: names.map((name) => ofGate(manifest, name, gates.tasks[name].utilisation)) }),
    names.length > 1 ? h("p", { class: "soft" }, ...explained("How alike the tasks weigh the experts: 1 the same on every row, 0 none in common.", "similarity")) : null,
    names.length > 1 ? heatmap({ caption: "Similarity of the tasks' gates", rows: names, columns: names, values: gates.similarity, small: true }) : null);
}

function featureTable({ features }) {
  const rows = features.map((f) => [f.name, f.kind, seen(f), percent(f.missing_share)]);
  return card(`Features (${features.length})`, plainTable({ caption: "Features", columns: ["Feature", "Kind", "Seen in training", { title: "Missing", number: true }], rows }));
}

function provenanceCard({ config, ...rest }) {
  return card("Provenance", h("pre", { tabindex: "0", text: JSON.stringify(rest, null, 2) }),
    config ? h("details", {}, h("summary", { text: "The configuration it was trained with" }), h("pre", { tabindex: "0", text: typeof config === "string" ? config : JSON.stringify(config, null, 2) })) : null);
}
