/** A comparison of two versions as tables: tasks, and experts that were matched. */
import { h } from "./dom.js";
import { nameOf } from "./experts.js";
import { number, percent, weight } from "./format.js";
import { plainTable } from "./tables.js";

const MATCHES = { good: "The experts of both are the same ones, though their numbers may differ.", partly: "Some experts are the same ones; the others have no like in the other version.",
  none: "The trainings have divided the work differently: a comparison by expert means nothing.", too_few_rows: "Too few rows yet to tell which experts belong together." };

/**
 * @param {Object} answer of GET .../comparison or .../shadow
 * @param {[number, number]} versions the two
 */
export function comparedTables(answer, [one, other], manifests) {
  const number1 = (title) => ({ title, number: true });
  const tasks = Object.entries(answer.tasks).map(([name, { kind, mean_absolute_difference: mean, largest_absolute_difference: largest, disagreement, gates }]) => {
    const apart = (value) => (kind === "regression" || value === null ? number(value) : `${number(100 * value)} points`);
    return [name, apart(mean), apart(largest), percent(disagreement), number(gates?.jensen_shannon ?? null), percent(gates?.top_expert_agreement ?? null)];
  });
  const nodes = [plainTable({ caption: "Differences by task", columns: ["Task", number1("Mean difference"), number1("Largest"), number1("Another class"), number1("Gates apart (JS)"), number1("Same top expert")], rows: tasks })];
  if (answer.expert_match) nodes.push(h("p", { class: "soft", text: MATCHES[answer.expert_match] }));
  if (answer.experts) nodes.push(expertTable(answer, one, other, manifests));
  return nodes;
}

function expertTable(answer, one, other, manifests) {
  const name = (version, expert) => nameOf(manifests.get(version) ?? {}, expert);
  const names = Object.entries(answer.tasks).filter(([, { gates }]) => gates?.utilisation);
  const use = ({ expert, shadow_expert: partner }) => names.map(([, { gates }]) => `${weight(gates.utilisation[expert])} → ${weight(partner === null ? null : gates.shadow_utilisation[partner])}`);
  const rows = answer.experts.map((match) => [name(one, match.expert), match.shadow_expert === null ? "none" : name(other, match.shadow_expert), match.good ? "the same" : "another", number(match.correlation), ...use(match)]);
  const columns = [`Version ${one}`, `Version ${other}`, "Match", { title: "Correlation", number: true }, ...names.map(([name]) => ({ title: `Share of ${name}`, number: true }))];
  return plainTable({ caption: "Matched experts", columns, rows });
}
