/** Which version is served, what else there is, and what has changed from one version to another, in words. */
import { h } from "./dom.js";
import { count, number, percent } from "./format.js";

/** The state of a model in a line: "version 3, pinned; canary 4 (5 %); shadow 5 (10 %)". */
export function badgeText(state) {
  if (state.version === null) return state.note ?? "no version is served";
  const parts = [`version ${state.version}${state.pinned === state.version ? ", pinned" : ""}`];
  if (state.canary) parts.push(`canary ${share(state.canary)}`);
  if (state.shadow) parts.push(`shadow ${share(state.shadow)}`);
  return parts.join("; ");
}

const share = (other) => (typeof other === "number" ? other : `${other.version} (${percent(other.share, other.share < 0.01 ? 2 : 0)})`);

/** What a version is for now: "served, pinned", "canary, 5 %", or nothing. */
export function roleOf(version, { version: served, pinned, canary, shadow }) {
  const roles = [];
  if (version === served) roles.push("served");
  if (version === pinned) roles.push("pinned");
  if (version === canary?.version) roles.push(`canary, ${percent(canary.share, 0)}`);
  if (version === shadowed(shadow)) roles.push("shadow");
  return roles.join(", ");
}

/** The version of a shadow, which the state names by number. */
export const shadowed = (shadow) => shadow?.version ?? shadow ?? null;

/** What one version has that another has not, in sentences; none where all that is told here is the same. */
export function changes(from, to) {
  return [...named("Feature", from.features, to.features), ...named("Task", from.tasks, to.tasks), ...structure(from, to), ...metrics(from, to), ...origin(from, to)];
}

function named(kind, before, after) {
  const [had, has] = [before, after].map((list) => new Set(list.map(({ name }) => name)));
  const list = (names) => (names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", "));
  const [fresh, gone] = [[...has].filter((name) => !had.has(name)), [...had].filter((name) => !has.has(name))];
  return [fresh.length && `${kind}s new: ${list(fresh)}.`, gone.length && `${kind}s gone: ${list(gone)}.`].filter(Boolean);
}

function structure(from, to) {
  const told = [["Architecture", from.architecture, to.architecture], ["Experts", from.experts, to.experts], ["Parameters", count(from.provenance.parameters), count(to.provenance.parameters)]];
  return told.filter(([, before, after]) => before !== after).map(([what, before, after]) => `${what}: ${before} → ${after}.`);
}

function metrics(from, to) {
  return to.tasks.flatMap((task) => {
    const before = from.tasks.find(({ name }) => name === task.name)?.metrics ?? {};
    const moved = Object.entries(task.metrics ?? {}).filter(([name, value]) => name in before && number(before[name]) !== number(value));
    return moved.length ? [`${task.name} on its test rows: ${moved.map(([name, value]) => `${name.replaceAll("_", " ")} ${number(before[name])} → ${number(value)}`).join(", ")}.`] : [];
  });
}

function origin({ provenance: from }, { provenance: to }) {
  const rows = [from, to].map(({ data }) => data?.rows?.train);
  const sentences = [];
  if (from.data?.source !== to.data?.source) sentences.push(`Trained from ${to.data?.source ?? "another source"}.`);
  else if (from.data?.digest !== to.data?.digest) sentences.push("The table has changed.");
  if (rows[0] !== rows[1]) sentences.push(`Training rows: ${count(rows[0])} → ${count(rows[1])}.`);
  return sentences;
}

/** The notice of the latest swap, which a person may put away. */
export function swapNotice({ swaps, manifests }) {
  const { from, to, at } = swaps.at(-1);
  const found = changes(manifests.get(from), manifests.get(to));
  const notice = h("div", { class: "notice swap" });
  const close = h("button", { type: "button", text: "Close", on: { click: () => notice.remove() } });
  const text = `Version ${to} is served now, in place of ${from} (${at.toLocaleTimeString("en")}).`;
  notice.append(h("div", { class: "row spread" }, h("p", { text }), close), h("ul", {}, ...(found.length ? found : ["Same features, tasks and metrics."]).map((sentence) => h("li", { text: sentence }))));
  return notice;
}
