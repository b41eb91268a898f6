/** Predictions of the Drift view: the distribution of each beside that of the validation rows. */
import { predictionCellNames } from "../../cells.js";
import { distribution } from "../../distribution.js";
import { card, h } from "../../dom.js";
import { number } from "../../format.js";
import { levelPill } from "../../levels.js";

/** @returns {HTMLElement|null} null without rows */
export function predictionsCard(manifest, { predictions }) {
  const entries = Object.entries(predictions);
  if (!entries.length) return null;
  const block = ([name, { level, cells, population_stability_index: index }]) => h("div", { data: { prediction: name } },
    h("div", { class: "row" }, h("h3", { text: name }), levelPill(level), h("span", { class: "soft", text: `stability index ${number(index)}` })),
    cells ?
      distribution({ caption: `Predictions of ${name}, in training and now`, names: predictionCellNames(manifest, name), shares: cells, ordered: Boolean(manifest.baseline.predictions[name].edges) }) : h("p", { class: "soft", text: "As in training." }));
  return card("Predictions", h("div", { class: "grid" }, ...entries.map(block)));
}
