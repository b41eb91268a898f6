/** Names of experts: where tasks have experts of their own beside shared ones (CGC), whose it is stands behind the number. */
import { expertName } from "./format.js";

const ownersOf = ({ own_experts: own }) => Object.entries(own ?? {});

/** Whether tasks have experts of their own. */
export const hasOwn = (model) => ownersOf(model).length > 0;

/** @returns {string|null} the task whose gate alone sees the expert; null for one that all gates see */
export const ownerOf = (model, expert) => ownersOf(model).find(([, own]) => own.includes(expert))?.[0] ?? null;

/**
 * Name an expert.
 * @param {{own_experts?: Object<string, number[]>}} model a manifest, or a report of traffic
 */
export function nameOf(model, expert) {
  if (!hasOwn(model)) return expertName(expert);
  const owner = ownerOf(model, expert);
  return `${expertName(expert)} (${owner === null ? "shared" : `of ${owner}`})`;
}

/** @param {{experts: number, own_experts?: Object<string, number[]>}} model */
export const namesOf = (model) => Array.from({ length: model.experts }, (_, expert) => nameOf(model, expert));

/** Whether the gate of a task sees an expert. */
export const sees = (model, task, expert) => [null, task].includes(ownerOf(model, expert));

/** What a task has for each expert, null in place of those that its gate does not see. */
export const ofGate = (model, task, values) => values.map((value, expert) => (sees(model, task, expert) ? value : null));
