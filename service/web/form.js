/** A form made from the manifest: fields, the row they spell, and rows pasted as JSON or CSV. */
import { h } from "./dom.js";
import { doubt } from "./doubts.js";
import { fieldOf, valueOfCell } from "./fields.js";

const FIRST_SHOWN = 24;
let forms = 0;

/** The form's fields for one model; each marks a value that training has not seen. */
export class RowForm {
  constructor(manifest) {
    const { features } = manifest;
    forms += 1;
    this.features = features;
    this.fields = features.map((feature, index) => new Field(feature, `form-${forms}-feature-${index}`, manifest));
    this.more = h("button", { type: "button", text: `Show all ${features.length} features`, on: { click: () => this.reveal() } });
    this.more.hidden = features.length <= FIRST_SHOWN;
    this.fields.slice(FIRST_SHOWN).forEach((field) => (field.node.hidden = true));
    this.node = h("div", {}, h("div", { class: "fields" }, ...this.fields.map((field) => field.node)), this.more);
  }

  reveal() {
    const first = this.fields.find((field) => field.node.hidden);
    this.fields.forEach((field) => (field.node.hidden = false));
    this.more.hidden = true;
    first?.control.focus();
  }

  /** The row as an object; a feature left empty is left out, which means missing. */
  read() {
    return Object.fromEntries(this.fields.map((field) => [field.feature.name, field.of.read()]).filter(([, value]) => value !== null));
  }

  fill(row) {
    this.fields.forEach((field) => field.write(row[field.feature.name] ?? null));
    this.mark([]);
  }

  /** Show the service's messages at their fields; return those that belong to none. */
  mark(errors) {
    const byName = new Map(errors.filter((e) => e.feature).map((e) => [e.feature, e.message]));
    let first = null;
    for (const field of this.fields) {
      const message = byName.get(field.feature.name) ?? null;
      field.complain(message);
      if (message && !first) first = field;
    }
    if (first?.node.hidden) this.reveal();
    first?.control.focus();
    const known = new Set(this.features.map((feature) => feature.name));
    return errors.filter((e) => !known.has(e.feature));
  }
}

/** A labelled control with its hint, a word on a value that training has not seen, and, where the service refuses it, its words. */
class Field {
  constructor(feature, id, manifest) {
    this.feature = feature;
    this.manifest = manifest;
    this.of = fieldOf(feature, id);
    this.control = this.of.control;
    this.doubt = h("span", { class: "doubt-text", id: `${id}-doubt` });
    this.wrong = h("span", { class: "wrong-text", id: `${id}-wrong` });
    const hint = h("span", { class: "hint", id: `${id}-hint`, text: this.of.hint });
    this.node = h("div", { class: "field", on: { input: () => this.judge(), change: () => this.judge() } }, h("label", { for: id, text: feature.name }), this.control, this.of.more, hint, this.doubt, this.wrong);
    this.complain(null);
  }

  write(value) {
    this.of.write(value);
    this.judge();
  }

  judge() {
    const text = doubt(this.feature, this.of.read(), this.manifest);
    this.node.classList.toggle("doubtful", Boolean(text));
    this.doubt.textContent = text ?? "";
  }

  complain(message) {
    this.node.classList.toggle("wrong", Boolean(message));
    this.wrong.textContent = message ?? "";
    this.control.setAttribute("aria-invalid", message ? "true" : "false");
    this.control.setAttribute("aria-describedby", `${this.control.id}-hint ${this.doubt.id}${message ? ` ${this.wrong.id}` : ""}`);
  }
}

/**
 * Read one pasted row: a JSON object or list (also inside `instances`), a CSV line in the model's order, or a CSV header and a line.
 * @throws {Error} with a sentence for the reader
 */
export function parseRow(text, features) {
  const trimmed = text.trim();
  if (!trimmed) throw new Error("Nothing was pasted. Paste a JSON object, or a CSV line with or without its header.");
  return /^[[{]/.test(trimmed) ? fromJson(trimmed, features) : fromCsv(trimmed, features);
}

function fromJson(text, features) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`This is not valid JSON: ${error.message}.`);
  }
  if (Array.isArray(value?.instances)) value = value.instances[0];
  if (Array.isArray(value) && (Array.isArray(value[0]) || (value[0] && typeof value[0] === "object"))) value = value[0];
  return Array.isArray(value) ? byOrder(value, features) : value;
}

function byOrder(values, features) {
  if (values.length !== features.length) throw new Error(`The row has ${values.length} values; the model has ${features.length} features. Paste a JSON object or a CSV header to name them.`);
  return Object.fromEntries(features.map((feature, index) => [feature.name, values[index]]));
}

function fromCsv(text, features) {
  const [first, second] = text.split(/\r?\n/).filter((line) => line.trim()).map(splitCsvLine);
  const byName = new Map(features.map((feature) => [feature.name, feature]));
  if (second === undefined) return byOrder(first.map((cell, index) => valueOfCell(features[index], cell)), features);
  return Object.fromEntries(first.map((name, index) => [name, valueOfCell(byName.get(name), second[index] ?? "")]));
}

/** Split a CSV line as RFC 4180 quotes it; cells are trimmed. */
function splitCsvLine(line) {
  const cells = [...line.matchAll(/("(?:[^"]|"")*"|[^,]*)(,|$)/g)];
  const kept = cells.slice(0, cells.findIndex((match) => match[2] === "") + 1);
  return kept.map(([, cell]) => (cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell.trim()));
}
