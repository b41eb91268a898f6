/** The values of a sweep: a feature over its range, or its most frequent values; the row's own among them. */
import { number } from "../../format.js";

const POINTS = 41;
const MOST_VALUES = 30;

/** Kinds that can be swept; a bag is swept by each of its values alone. */
export const canSweep = ({ kind, vocabulary }) => kind === "numeric" || kind === "datetime" || Boolean(vocabulary);
export const isScale = ({ kind }) => kind === "numeric" || kind === "datetime";

const seconds = (value) => (typeof value === "string" ? Date.parse(value) / 1000 : value);
export const moment = (value) => new Date(1000 * value).toISOString().slice(0, 16).replace("T", " ");

/** The row's value on the feature's scale; null where it is missing. */
export function ownValue(feature, row) {
  const value = row[feature.name] ?? null;
  if (value === null || value === "") return null;
  return feature.kind === "datetime" ? seconds(value) : value;
}

/**
 * @returns {{value: *, label: string, own: boolean}[]} in order; the row's own value is one of them, marked
 * @throws {Error} where the range is not one
 */
export function sweptValues(feature, row, manifest, { from, to }) {
  const own = ownValue(feature, row);
  return isScale(feature) ? onScale(feature, own, from, to) : listed(feature, own, manifest);
}

function onScale(feature, own, from, to) {
  if (!(Number.isFinite(from) && Number.isFinite(to) && from < to)) throw new Error(`The range is ${from} to ${to}; expected two numbers, the smaller first.`);
  const even = Array.from({ length: POINTS }, (_, i) => from + ((to - from) * i) / (POINTS - 1));
  const rounded = feature.kind === "datetime" ? even.map(Math.round) : even.map((value) => Number(value.toPrecision(6)));
  const values = [...new Set([...rounded, ...(typeof own === "number" ? [own] : [])])].sort((a, b) => a - b);
  return values.map((value) => ({ value, label: feature.kind === "datetime" ? moment(value) : number(value), own: value === own }));
}

/** The most frequent values, as the baseline or the vocabulary has them, then the row's own and a missing one. */
function listed(feature, own, manifest) {
  const frequent = manifest.baseline?.features[manifest.features.indexOf(feature)].values ?? [];
  const known = [...new Set([...frequent, ...feature.vocabulary])].slice(0, MOST_VALUES);
  const bag = feature.kind === "bag";
  const alone = (value) => (bag ? [value] : value);
  const same = (value) => JSON.stringify(alone(value)) === JSON.stringify(own);
  const values = known.map((value) => ({ value: alone(value), label: value, own: same(value) }));
  const extra = own !== null && !values.some((one) => one.own) ? [{ value: own, label: bag ? own.join(", ") : own, own: true }] : [];
  return [...extra, ...values, { value: null, label: "missing", own: own === null }];
}
