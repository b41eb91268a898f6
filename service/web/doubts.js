/** What training has not seen of a row: numbers and moments outside of its range, unknown values. */
import { number } from "./format.js";

/**
 * Say what is doubtful about a feature's value; null where nothing is, or nothing can be told.
 * @param {Object} feature of the manifest
 * @param {*} value as a row of JSON holds it
 * @param {Object} manifest
 * @returns {string|null} a sentence without the feature's name
 */
export function doubt(feature, value, manifest) {
  if (value === null || value === undefined || value === "") return null;
  if (feature.kind === "numeric") return outside(value, feature, number);
  if (feature.kind === "datetime") return outside(seconds(value), feature, moment);
  if (!feature.vocabulary) return null;
  const values = (Array.isArray(value) ? value : [value]).filter((one) => typeof one === "string" && !isKnown(one, feature, manifest));
  if (!values.length) return null;
  const listed = feature.vocabulary_size > feature.vocabulary.length ? `is not among the ${feature.vocabulary.length.toLocaleString("en")} most frequent values, and may be unknown` : "is unknown: training did not have it";
  return `“${values[0]}” ${listed}${values.length > 1 ? `, nor are ${values.length - 1} more` : ""}`;
}

/** All doubts of a row: the features and what is said of them. */
export function doubts(manifest, row) {
  return manifest.features.map((feature) => ({ feature: feature.name, text: doubt(feature, row[feature.name], manifest) })).filter(({ text }) => text);
}

/** Bounds are float32, and so is what the model reads. */
function outside(value, { minimum, maximum, missing_values: missing = [] }, written) {
  if (typeof value !== "number" || missing.includes(value) || minimum === undefined || maximum === undefined) return null;
  const [seen, low, high] = [value, minimum, maximum].map(Math.fround);
  if (seen >= low && seen <= high) return null;
  return `${written(value)} is ${seen < low ? "under" : "over"} what training has seen, ${written(minimum)} to ${written(maximum)}`;
}

function isKnown(text, feature, { category_text: form = {}, training_table: table = {} }) {
  const stripped = form.strip ? text.trim() : text;
  const prepared = form.normalization ? stripped.normalize(form.normalization) : stripped;
  return prepared === "" || feature.vocabulary.includes(prepared) || (table.missing ?? []).includes(prepared);
}

const seconds = (value) => (typeof value === "string" ? Date.parse(value) / 1000 : value);
const moment = (value) => new Date(1000 * value).toISOString().slice(0, 16).replace("T", " ");
