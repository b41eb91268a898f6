/** Cells of a feature's or a prediction's baseline, by their names: docs/artifact.md has their order. */
import { number } from "./format.js";

const day = (seconds) => new Date(1000 * seconds).toISOString().slice(0, 16).replace("T", " ");

function bins(edges, written, unit = "") {
  if (!edges.length) return ["all values"];
  const between = edges.slice(1).map((edge, i) => `${written(edges[i])} to ${written(edge)}${unit}`);
  return [`under ${written(edges[0])}${unit}`, ...between, `${written(edges.at(-1))}${unit} and more`];
}

/**
 * Name the cells of a feature, in the order of shares.
 * @returns {string[]}
 */
export function cellNames(manifest, name) {
  const place = manifest.features.findIndex((feature) => feature.name === name);
  const [feature, cells] = [manifest.features[place], manifest.baseline.features[place]];
  const written = feature.kind === "datetime" ? day : number;
  if (cells.edges) return [...bins(cells.edges, written), `under ${written(feature.minimum)}: below training`, `over ${written(feature.maximum)}: above training`, "missing"];
  const values = cells.values ?? cells.shares.map((_, group) => `group ${group} of ids`);
  return [...values, "other values", "unknown to training", "missing"];
}

/** Whether the cells of a feature have an order of their own, which is not that of their shares. */
export const isOrdered = (manifest, name) => Boolean(manifest.baseline.features[manifest.features.findIndex((feature) => feature.name === name)].edges);

/** Name the cells of a prediction; a conditional of a funnel is a probability. */
export function predictionCellNames(manifest, name) {
  const { edges, classes } = manifest.baseline.predictions[name];
  const task = manifest.tasks.find((one) => one.name === name);
  if (edges) return task?.kind === "regression" ? bins(edges, number) : bins(edges, (share) => number(100 * share), "\u202f%");
  return [...classes.map((place) => task.classes[place]), "other classes"];
}

/**
 * The cells whose share has grown or fallen most.
 * @returns {{cell: number, now: number, was: number}[]} the greatest rise first
 */
export function risen({ now, baseline }) {
  return now.map((share, cell) => ({ cell, now: share, was: baseline[cell] })).sort((a, b) => b.now - b.was - (a.now - a.was));
}
