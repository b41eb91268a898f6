/** What has happened to the gates, from the answers of four calls: who took over, why, whether it is worse, what would mend it. */
import { cellNames, risen } from "../../cells.js";
import { hasDrifted } from "../../levels.js";
import { taskOf, worstFirst } from "../../verdicts.js";

const LEAST_GAIN = 0.02;
const LEAST_MOVED = 0.01;
const MOST_CAUSES = 3;
const LEAST_FAULT = 0.05;

/**
 * Explain the drift of every task whose gate has drifted.
 * @param {Object} manifest
 * @param {Object} traffic answer of GET .../gates
 * @param {Object} drift answer of GET .../drift
 * @param {Object|null} quality answer of GET .../quality
 */
export function findings(manifest, traffic, drift, quality) {
  return traffic.task_names.filter((name) => hasDrifted(traffic.tasks[name].drift?.level)).map((name) => {
    const gate = drift?.gates[name] ?? null;
    const judged = taskOf(quality, traffic.version, name);
    const causes = (gate?.because ?? []).filter((cause, i) => i === 0 || cause.moved_weight >= LEAST_MOVED).slice(0, MOST_CAUSES).map((cause) => explainCause(manifest, drift, judged, { ...cause, was: traffic.baseline.tasks[name].utilisation }));
    return { task: name, level: traffic.tasks[name].drift.level, ...moves(traffic, name), divergence: gate?.jensen_shannon ?? null, causes, judged, threshold: traffic.thresholds.jensen_shannon.moderate };
  });
}

/** Experts whose utilisation has grown and fallen, the greatest change first. */
function moves(traffic, name) {
  const [now, was] = [traffic.tasks[name].utilisation, traffic.baseline.tasks[name].utilisation];
  const all = now.map((value, expert) => ({ expert, now: value, was: was[expert], gain: value - was[expert] })).sort((a, b) => b.gain - a.gain);
  return { took: all.filter(({ gain }) => gain >= LEAST_GAIN).slice(0, MOST_CAUSES), gave: all.filter(({ gain }) => gain <= -LEAST_GAIN).reverse().slice(0, MOST_CAUSES) };
}

/** A cause with the value that came more often, what is wrong with its values, and what the labels say of it. */
function explainCause(manifest, drift, judged, { was, ...cause }) {
  const figures = drift.features[cause.feature];
  const names = cellNames(manifest, cause.feature);
  const top = figures?.cells ? risen(figures.cells)[0] : null;
  const value = top ? { ...top, name: names[top.cell] } : null;
  const moved = weightMoved(cause.logit_shift, was);
  return { ...cause, value, towards: moved[0]?.expert ?? null, away: moved.at(-1)?.expert ?? null, faults: figures ? faults(figures) : [], there: judged && there(judged, cause.feature, value) };
}

/** Where shifts of logits move the weight, to first order, the greatest gain first: an expert without weight gives none away. */
function weightMoved(shifts, was) {
  const seen = shifts.map((shift, expert) => ({ shift, expert })).filter(({ shift }) => shift !== null);
  const mean = seen.reduce((sum, { shift, expert }) => sum + was[expert] * shift, 0);
  return seen.map(({ shift, expert }) => ({ expert, gain: was[expert] * (shift - mean) })).sort((a, b) => b.gain - a.gain);
}

/** Shares of values that are missing, unknown or out of range, where they have grown. */
function faults(figures) {
  const words = { missing: "missing", unknown: "unknown to training", out_of_range: "outside of the range of training" };
  return Object.entries(words).filter(([key]) => figures[key] && figures[key].now - figures[key].baseline >= LEAST_FAULT).map(([key, text]) => ({ text, ...figures[key] }));
}

/** The segment of the value that came more often; of a number the worst of the feature's ranges; null without any. */
function there(judged, feature, value) {
  const parts = worstFirst(judged, judged.segments.filter((segment) => segment.feature === feature));
  return parts.find((part) => part.value === value?.name) ?? parts[0] ?? null;
}
