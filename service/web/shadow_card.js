/** What the comparison of a shadow with the served version has found so far. */
import { card, h } from "./dom.js";
import { explain } from "./explain.js";
import { nameOf } from "./experts.js";
import { count, number, percent, weight } from "./format.js";
import { plainTable } from "./tables.js";

const MATCHES = {
  good: "The experts match: each has a partner that is used on the same rows.",
  partly: "Some experts have a partner that is used on the same rows; others have divided the work differently.",
  none: "The two trainings have divided the work differently, so a comparison by expert means nothing.",
  too_few_rows: "Too few rows yet to match the experts.",
};

/**
 * @param {Object} found answer of GET .../shadow
 * @param {Map<number, Object>} manifests by version, those that the page has
 */
export function shadowCard(found, manifests) {
  const { version, shadow, active, rows, dropped_rows: dropped, failed_rows: failed, tasks, expert_match: match, experts } = found;
  const left = [dropped ? `${count(dropped)} left out` : "", failed ? `${count(failed)} failed` : ""].filter(Boolean).join(", ");
  const sentence = `Version ${shadow} beside version ${version}, ${active ? "as it runs" : "ended"}: ${count(rows)} rows compared${left ? `, ${left}` : ""}.`;
  const columns = ["Task", "What differs", { title: "Largest difference", number: true }, { title: "Gates: Jensen-Shannon", number: true }, { title: "Gates: same top expert", number: true }];
  const lines = Object.entries(tasks).map(([task, one]) => [task, differs(one), number(one.largest_absolute_difference), number(one.gates?.jensen_shannon), percent(one.gates?.top_expert_agreement)]);
  return card(["Shadow", explain("shadow")], h("p", { class: "soft", text: sentence }), rows ? plainTable({ caption: "Differences of the shadow", columns, rows: lines }) : null,
    match ? h("p", { class: "soft", text: MATCHES[match] }) : null, experts ? matchTable(experts, tasks, [manifests.get(version) ?? {}, manifests.get(shadow) ?? {}]) : null);
}

function differs({ kind, disagreement, mean_absolute_difference: mean }) {
  return kind === "regression" ? `${number(mean)} on average` : `${percent(disagreement)} in another class, ${number(mean)} on average`;
}

/** Each expert with its partner, and how both are used by each task over the compared rows. */
function matchTable(experts, tasks, [served, beside]) {
  const gated = Object.entries(tasks).filter(([, { gates }]) => gates?.utilisation);
  const use = ({ gates }, expert, partner) => `${weight(gates.utilisation[expert])} → ${partner === null ? "–" : weight(gates.shadow_utilisation[partner])}`;
  const rows = experts.map(({ expert, shadow_expert: partner, correlation, good }) => [nameOf(served, expert), partner === null ? "none" : `${nameOf(beside, partner)}${good ? "" : " (poor match)"}`, number(correlation), ...gated.map(([, task]) => use(task, expert, partner))]);
  return plainTable({ caption: "Experts and their partners", columns: ["Served", "Shadow", { title: "Correlation", number: true }, ...gated.map(([task]) => ({ title: `Use by ${task}`, number: true }))], rows });
}
