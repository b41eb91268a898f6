/** A form made from the manifest: fields, the row they spell, and rows pasted as JSON or CSV. */
import { h, number, shortest } from "./dom.js";

const FIRST_SHOWN = 24;
const MISSING = "";
const OTHER = "\u0000other";

/** The form's fields for one model. Text that is no number is sent as it is, so that the service says what is wrong. */
export class RowForm {
  constructor(features) {
    this.features = features;
    this.fields = features.map((feature, index) => new Field(feature, index));
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
    return Object.fromEntries(this.fields.map((field) => [field.feature.name, field.read()]).filter(([, value]) => value !== null));
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

class Field {
  constructor(feature, index) {
    this.feature = feature;
    const id = `feature-${index}`;
    this.control = feature.kind === "numeric" ? h("input", { id, inputmode: "decimal", autocomplete: "off", placeholder: "missing" }) : vocabularySelect(id, feature);
    this.control.setAttribute("aria-describedby", `${id}-hint`);
    this.other = h("input", { "aria-label": `Another value of ${feature.name}`, placeholder: "another value", hidden: true });
    if (feature.kind !== "numeric") this.control.addEventListener("change", () => this.showOther());
    this.wrong = h("span", { class: "wrong-text", id: `${id}-wrong` });
    const hint = feature.kind === "numeric" ? `${number(feature.minimum)} to ${number(feature.maximum)}` : `${feature.vocabulary.length} values`;
    this.node = h("div", { class: "field" }, h("label", { for: id, text: feature.name }), this.control, this.other, h("span", { class: "hint", id: `${id}-hint`, text: hint }), this.wrong);
  }

  showOther() {
    this.other.hidden = this.control.value !== OTHER;
    if (!this.other.hidden) this.other.focus();
  }

  read() {
    const text = this.control.value === OTHER ? this.other.value : this.control.value;
    if (this.feature.kind !== "numeric") return text === MISSING ? null : text;
    const trimmed = text.trim();
    if (trimmed === "") return null;
    return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(trimmed) && Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
  }

  write(value) {
    if (this.feature.kind === "numeric") {
      this.control.value = typeof value === "number" ? shortest(value) : (value ?? "");
      return;
    }
    const text = value === null ? MISSING : String(value);
    const listed = text === MISSING || this.feature.vocabulary.includes(text);
    this.control.value = listed ? text : OTHER;
    this.other.value = listed ? "" : text;
    this.other.hidden = listed;
  }

  complain(message) {
    this.node.classList.toggle("wrong", Boolean(message));
    this.wrong.textContent = message ?? "";
    this.control.setAttribute("aria-invalid", message ? "true" : "false");
    this.control.setAttribute("aria-describedby", `${this.control.id}-hint${message ? ` ${this.wrong.id}` : ""}`);
  }
}

function vocabularySelect(id, feature) {
  const values = [...feature.vocabulary].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  return h("select", { id }, h("option", { value: MISSING, text: "(missing)" }), ...values.map((value) => h("option", { value, text: value })), h("option", { value: OTHER, text: "another value…" }));
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
  const typed = (name, cell) => (cell === "" ? null : features.find((f) => f.name === name)?.kind === "numeric" && Number.isFinite(Number(cell)) ? Number(cell) : cell);
  if (second === undefined) return byOrder(first.map((cell, index) => (features[index] ? typed(features[index].name, cell) : cell)), features);
  return Object.fromEntries(first.map((name, index) => [name, typed(name, second[index] ?? "")]));
}

/** Split a CSV line as RFC 4180 quotes it; cells are trimmed. */
function splitCsvLine(line) {
  const cells = [...line.matchAll(/("(?:[^"]|"")*"|[^,]*)(,|$)/g)];
  const kept = cells.slice(0, cells.findIndex((match) => match[2] === "") + 1);
  return kept.map(([, cell]) => (cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell.trim()));
}
