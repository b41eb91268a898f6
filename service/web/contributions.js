/** Which features moved a row's gates: shares centred over the experts, with the rest, and the sum they add up to. */
import { choice, h } from "./dom.js";
import { nameOf } from "./experts.js";
import { aligned, weight } from "./format.js";
import { breakable, scroller } from "./tables.js";

const SHOWN = 8;
const MOST_SHARES = 40_000;

/** How many features to ask for: all, unless the answer would be megabytes. */
export function topK({ tasks, experts, features }) {
  return tasks.length * experts * features.length <= MOST_SHARES ? undefined : 40;
}

/**
 * Centre one expert's logit over the experts that its gate sees.
 * @param {Object[]} entries `contributions` of a task, null for experts that the gate does not see
 * @returns {{base: number, logit: number, features: {feature: string, centred: number}[]}} largest shares first
 */
export function centred(entries, expert) {
  const seen = entries.filter((entry) => entry !== null);
  const mean = (key) => seen.reduce((sum, entry) => sum + entry[key], 0) / seen.length;
  const { base, logit, features } = entries[expert];
  const ranked = [...features].sort((a, b) => Math.abs(b.centred) - Math.abs(a.centred));
  return { base: base - mean("base"), logit: logit - mean("logit"), features: ranked };
}

/** A task's gate: a choice of the expert, and where its weight comes from. */
export function contributionBlock(manifest, task, gate) {
  const { contributions: entries, gate_weights: weights } = gate;
  const options = entries.map((entry, e) => [e, `${nameOf(manifest, e)}: weight ${weight(weights[e])}`]).filter(([e]) => entries[e] !== null);
  const place = h("div", {});
  const show = (expert) => place.replaceChildren(contributionTable(manifest, task, expert, centred(entries, expert)));
  show(gate.top_expert);
  return h("div", { class: "contribution-block", data: { task } }, h("div", { class: "row spread" }, h("h3", { text: task }), choice("Towards", options, gate.top_expert, (value) => show(Number(value)))), place);
}

function contributionTable(manifest, task, expert, { base, logit, features }) {
  const shown = features.slice(0, SHOWN);
  const rest = logit - base - shown.reduce((sum, { centred: share }) => sum + share, 0);
  const others = manifest.features.length - shown.length;
  const lines = [...shown.map((one) => ({ name: one.feature, share: one.centred })), ...(others > 0 ? [{ name: `rest: ${others} other features`, share: rest, kind: "rest" }] : []), { name: "at the average row", share: base, kind: "base" }];
  const most = Math.max(...lines.map(({ share }) => Math.abs(share)), Math.abs(logit), 1e-12);
  const format = aligned([...lines.map(({ share }) => share), logit]);
  const line = ({ name, share, kind = null }) => h("tr", { class: kind }, h("th", { scope: "row" }, ...breakable(name)), h("td", { class: "number", text: format(share) }), h("td", { "aria-hidden": "true" }, bar(share / most)));
  const caption = `Centred contributions to the gate logit of ${nameOf(manifest, expert)} for ${task}`;
  return scroller(caption, h("table", { class: "plain contributions" }, h("caption", { class: "sr", text: caption }), h("tbody", {}, ...lines.map(line)), h("tfoot", {}, line({ name: "sum: logit over the mean of all experts", share: logit, kind: "total" }))));
}

/** A bar to the right of the middle for a share towards the expert, to the left for one away from it. */
export const bar = (share) => h("span", { class: "axis" }, h("span", { class: `bar ${share < 0 ? "minus" : ""}`, vars: { share: Math.abs(share) } }));
