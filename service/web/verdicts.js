/** Verdicts of labels: a part of a task's rows beside the test rows of training, by the rule of docs/quality.md. */
import { number } from "./format.js";

export const WORSE = "worse than test rows";

/** Metrics of which more is better. */
const RISING = new Set(["auc", "pr_auc", "accuracy", "macro_f1", "r2", "gauc"]);
export const isRising = (metric) => RISING.has(metric);
export const metricName = (metric) => metric.replaceAll("_", " ").replace("auc", "AUC").replace(/^pr /, "PR-");

/**
 * Judge a part as the whole task was judged: worse where the whole interval lies beyond the margin.
 * @param {Object} task of `quality`, with its verdict
 * @param {{rows: number, metrics: Object|null}} part of its rows: a period, an expert's, a segment
 * @returns {{state: string, metric: string|null, estimate: Object|null}}
 */
export function judge({ verdict }, { metrics }) {
  if (metrics === null) return { state: "too few rows", metric: verdict.metric ?? null, estimate: null };
  const estimate = metrics[verdict.metric] ?? null;
  if (!verdict.metric || !estimate) return { state: "not comparable", metric: null, estimate: null };
  const rising = isRising(verdict.metric);
  const best = (rising ? estimate.high : estimate.low) ?? estimate.value;
  const worse = rising ? verdict.test - best : best - verdict.test;
  return { state: worse > verdict.margin ? WORSE : "as on test rows", metric: verdict.metric, estimate };
}

/** An estimate as text: 0.712 (0.661 to 0.763). */
export function written(estimate) {
  if (!estimate) return "–";
  return estimate.low === null || estimate.low === undefined ? number(estimate.value) : `${number(estimate.value)} (${number(estimate.low)} to ${number(estimate.high)})`;
}

/** Segments of a task, those that are worst first; those with too few rows last. */
export function worstFirst(task, parts) {
  const rank = ({ verdict: { state, metric, estimate } }) => (estimate === null ? Infinity : (isRising(metric) ? 1 : -1) * estimate.value - (state === WORSE ? 1e9 : 0));
  return parts.map((part) => ({ ...part, verdict: judge(task, part) })).sort((a, b) => rank(a) - rank(b) || b.rows - a.rows);
}

/** The task of a version as the labels judge it; null where nothing is told of it. */
export const taskOf = (quality, version, name) => quality?.versions.find((one) => one.version === version)?.tasks.find(({ task }) => task === name) ?? null;
