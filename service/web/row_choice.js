/** Rows to begin with: the one last predicted, examples, and what a person pastes. */
import { h } from "./dom.js";
import { goldenRows } from "./fields.js";
import { parseRow } from "./form.js";
import { shortest } from "./format.js";

/** Example rows, their numbers as a person would write them. */
const examplesOf = (manifest) => goldenRows(manifest).map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, typeof value === "number" ? shortest(value) : value])));

/** The row that the views share, or the first example. */
export const startingRow = ({ row, manifest }) => row ?? examplesOf(manifest)[0] ?? {};

/**
 * Buttons that give a row: an example after the other, the row of Try it, a pasted one.
 * @param {Object} context
 * @param {string} label what the row is, as in "row A"
 * @param {(row: Object) => void} give
 */
export function rowChoice(context, label, give) {
  const examples = examplesOf(context.manifest);
  let next = 0;
  const example = h("button", { type: "button", text: "Example row", "aria-label": `Example row as ${label}`, on: { click: () => give(examples[next++ % examples.length] ?? {}) } });
  const tried = h("button", { type: "button", text: "Row of Try it", "aria-label": `Row of Try it as ${label}`, hidden: !context.row, on: { click: () => give(context.row) } });
  const text = h("textarea", { spellcheck: "false", "aria-label": `JSON or CSV of ${label}`, placeholder: '{"feature": 1.5, …}  or  a CSV line' });
  const wrong = h("p", { class: "wrong-text", role: "alert" });
  const use = () => {
    try {
      give(parseRow(text.value, context.manifest.features));
      wrong.textContent = "";
    } catch (error) {
      wrong.textContent = error.message;
    }
  };
  const paste = h("details", {}, h("summary", { text: `Paste ${label}` }), text, wrong, h("button", { type: "button", text: `Use as ${label}`, on: { click: use } }));
  return h("div", { class: "stack tight" }, h("div", { class: "row" }, example, tried), paste);
}

/** A value of a row in a few characters. */
export function shown(value) {
  if (value === null || value === undefined || (Array.isArray(value) && !value.length)) return "missing";
  const text = Array.isArray(value) ? value.join(", ") : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
