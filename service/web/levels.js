/** Levels of drift and verdicts of labels, as words and colours. */
import { h } from "./dom.js";

const LEVELS = { stable: ["good", "stable"], moderate: ["warn", "moderate drift"], major: ["bad", "major drift"], too_few_rows: ["none", "too few rows to tell"] };
const VERDICTS = { "worse than test rows": "bad", "as on test rows": "good", "too few rows": "none", "not comparable": "none" };

export const pill = (kind, text) => h("span", { class: `pill ${kind}`, text });
export const levelPill = (level) => pill(...(LEVELS[level] ?? ["none", level]));
export const verdictPill = (state) => pill(VERDICTS[state] ?? "none", state);
export const hasDrifted = (level) => level === "moderate" || level === "major";
