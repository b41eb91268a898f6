/** Calls of the views that look at traffic, quality and versions; those of rows that are typed are in api.js. */
import { at, call, post } from "./api.js";

const query = (given) => new URLSearchParams(Object.entries(given).filter(([, value]) => value !== null && value !== undefined)).toString();

export const drift = (name, window, cells = "moved") => call(`${at(name)}/drift?${query({ window, cells })}`);
export const segments = (name, window, feature) => call(`${at(name)}/segments?${query({ window, feature })}`);
export const comparison = (name, version, other, window) => call(`${at(name, version)}/comparison?${query({ other, window })}`);
export const inspectRows = (name, rows, options) => post(`${at(name)}:gates`, { instances: rows, ...options });

/**
 * Predictions and gate weights of rows that are made up: by an inspection, which is not traffic; a model without gates knows
 * predictions alone.
 * @returns {Promise<{version: number, predictions: {tasks: Object, gate_weights: Object|null}[]}>}
 */
export async function tryRows({ name, manifest }, rows) {
  if (!manifest.gates) return post(`${at(name)}:predict`, { instances: rows });
  const { version, rows: inspected } = await inspectRows(name, rows, { predictions: true });
  const gates = (tasks) => Object.fromEntries(Object.entries(tasks).map(([task, gate]) => [task, gate.gate_weights]));
  return { version, predictions: inspected.map(({ predictions, tasks }) => ({ tasks: predictions, gate_weights: gates(tasks) })) };
}

/** What the labels say; null where the service does not tell, with the reason. */
export async function quality(name) {
  try {
    return { found: await call(`${at(name)}/quality`), reason: null };
  } catch (error) {
    if (error.status !== 404) throw error;
    return { found: null, reason: error.message };
  }
}
