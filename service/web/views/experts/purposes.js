/** What an expert is for: the values that raise its gates, from the mean contributions over validation rows. */
import { cellNames } from "../../cells.js";
import { percent } from "../../format.js";

const LEAST_SHARE = 0.01;

/**
 * @returns {{sentence: string, byTask: Map<string, {feature: string, value: string, contribution: number}[]>}} the cells of each
 *   task, those that raise most first; no entry where the file does not tell
 */
export function purposes(manifest, expert) {
  const names = new Map();
  const nameOf = (feature) => names.get(feature) ?? names.set(feature, cellNames(manifest, feature)).get(feature);
  const raising = manifest.baseline?.raising ?? null;
  const byTask = new Map(manifest.tasks.filter(({ name }) => raising?.[name]).map(({ name }) => [name,
    raising[name][expert].filter(({ contribution }) => contribution > 0).map((cell) => ({ ...cell, value: nameOf(cell.feature)[cell.cell] }))]));
  return { sentence: sentence(manifest, expert, byTask), byTask };
}

/** One line: its shares, the largest first, and the values that raise it in the task that leans on it most. */
function sentence(manifest, expert, byTask) {
  const shares = manifest.tasks.map(({ name }) => ({ name, share: manifest.gates.tasks[name].utilisation[expert] })).filter(({ share }) => share >= LEAST_SHARE).sort((a, b) => b.share - a.share);
  if (!shares.length) return "hardly used by any task";
  const used = `${shares.slice(0, 3).map(({ name, share }) => `${percent(share, 0)} of ${name}`).join(", ")}${shares.length > 3 ? ` and ${shares.length - 3} more tasks` : ""}`;
  const cells = byTask.get(shares[0].name) ?? [];
  return cells.length ? `${used}; raised by ${cells.slice(0, 2).map(({ feature, value }) => `${feature}: ${value}`).join(", ")}` : used;
}
