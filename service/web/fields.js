/** What a person types for a feature, by its kind: the control, the value of JSON that it spells, and that of a CSV cell. */
import { h } from "./dom.js";
import { number, shortest } from "./format.js";

const MISSING = "";
const OTHER = "\u0000other";
const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
const FIRST_MS = -62_135_596_800_000;
const LAST_MS = 253_402_300_799_999;

/** Text that is not a number is sent as it is, so that the service says what is wrong. */
class NumericField {
  constructor(feature, id) {
    this.control = h("input", { id, inputmode: "decimal", autocomplete: "off", placeholder: "missing" });
    this.hint = `${number(feature.minimum)} to ${number(feature.maximum)}`;
  }

  read() {
    const text = this.control.value.trim();
    return text === "" ? null : numberOr(text);
  }

  write(value) {
    this.control.value = typeof value === "number" ? shortest(value) : (value ?? "");
  }
}

class CategoricalField {
  constructor(feature, id) {
    this.vocabulary = feature.vocabulary;
    this.control = vocabularySelect(id, feature.vocabulary);
    this.control.addEventListener("change", () => this.showOther());
    this.more = h("input", { "aria-label": `Another value of ${feature.name}`, placeholder: "another value", hidden: true });
    this.hint = `${size(feature).toLocaleString("en")} values`;
  }

  showOther() {
    this.more.hidden = this.control.value !== OTHER;
    if (!this.more.hidden) this.more.focus();
  }

  read() {
    const text = this.control.value === OTHER ? this.more.value : this.control.value;
    return text === MISSING ? null : text;
  }

  write(value) {
    const text = value === null ? MISSING : String(value);
    const listed = text === MISSING || this.vocabulary.includes(text);
    this.control.value = listed ? text : OTHER;
    this.more.value = listed ? "" : text;
    this.more.hidden = listed;
  }
}

class HashedField {
  constructor(feature, id) {
    this.control = h("input", { id, autocomplete: "off", spellcheck: "false", placeholder: "missing" });
    this.hint = `any id; ${buckets(feature)}`;
  }

  read() {
    return this.control.value === "" ? null : this.control.value;
  }

  write(value) {
    this.control.value = value ?? "";
  }
}

/** One value a line, since a value may hold a comma. */
class BagField {
  constructor(feature, id) {
    this.control = h("textarea", { id, class: "bag", rows: 2, autocomplete: "off", spellcheck: "false", placeholder: "one value a line" });
    this.hint = feature.vocabulary ? `of ${few(feature, 3)}` : `any values; ${buckets(feature)}`;
  }

  read() {
    const values = this.control.value.split("\n").filter((line) => line.trim() !== "");
    return values.length ? values : null;
  }

  write(value) {
    this.control.value = (Array.isArray(value) ? value : [value ?? ""]).join("\n");
  }
}

/** A moment in UTC, whatever the zone of the one who types. */
class DatetimeField {
  constructor(feature, id) {
    this.name = feature.name;
    this.control = h("input", { id, type: "datetime-local", step: 1, min: "0001-01-01T00:00:00", max: "9999-12-31T23:59:59" });
    this.hint = `UTC; ${day(feature.minimum)} to ${day(feature.maximum)}`;
  }

  read() {
    return this.control.value === "" ? null : `${this.control.value}Z`;
  }

  /** @throws {Error} for what is not a moment: the control could not show it */
  write(value) {
    this.control.value = value === null ? "" : utc(value, this.name);
  }
}

const FIELDS = { numeric: NumericField, categorical: CategoricalField, hashed: HashedField, bag: BagField, datetime: DatetimeField };

export const fieldOf = (feature, id) => new FIELDS[feature.kind](feature, id);

/** The value of JSON that a cell of a table spells; null for an empty one. */
export function valueOfCell(feature, cell) {
  if (cell === "") return null;
  if (feature?.kind === "bag") return cell.split(feature.separator).filter((value) => value !== "");
  return feature?.kind === "numeric" || feature?.kind === "datetime" ? numberOr(cell) : cell;
}

/** What the model tab says of a feature's values. */
export function seen(feature) {
  const { kind, table } = feature;
  const shared = table ? `; in the table of ${table}` : "";
  if (kind === "numeric") return `${number(feature.minimum)} to ${number(feature.maximum)}, mean ${number(feature.mean)}`;
  if (kind === "datetime") return `${day(feature.minimum)} to ${day(feature.maximum)} UTC; ${feature.parts.join(", ").replaceAll("_", " ")}`;
  if (kind === "hashed") return `any id, ${buckets(feature)}${shared}`;
  const values = feature.vocabulary ? few(feature, 8) : `any values, ${buckets(feature)}`;
  return `${values}${kind === "bag" ? `; ${number(feature.mean_values)} a cell, ${feature.pooling}` : ""}${shared}`;
}

/** The golden rows as rows of JSON. */
export function goldenRows({ features, golden }) {
  const of = (...kinds) => features.filter((feature) => kinds.includes(feature.kind));
  const parts = [
    [of("numeric"), golden.numeric, (_, value) => value],
    [of("categorical", "hashed", "bag"), golden.categorical, (feature, text) => (feature.kind === "bag" ? valueOfCell(feature, text) : text || null)],
    [of("datetime"), golden.datetime, (_, seconds) => (seconds === null || 1000 * seconds < FIRST_MS ? null : seconds)]];
  const count = Math.max(...parts.map(([, rows]) => rows?.length ?? 0));
  return Array.from({ length: count }, (_, r) => Object.fromEntries(
    parts.flatMap(([columns, rows, read]) => columns.map((feature, c) => [feature.name, read(feature, rows[r][c])]))));
}

const numberOr = (text) => (NUMBER.test(text.trim()) && Number.isFinite(Number(text)) ? Number(text) : text);
const buckets = (feature) => `${feature.buckets.toLocaleString("en")} buckets`;
const size = (feature) => feature.vocabulary_size ?? feature.vocabulary.length;

/** The most frequent values of a vocabulary, and how many others it has. */
function few(feature, most) {
  const more = size(feature) - most;
  return feature.vocabulary.slice(0, most).join(", ") + (more > 0 ? ` and ${more.toLocaleString("en")} more` : "");
}
const day = (seconds) => new Date(1000 * seconds).toISOString().slice(0, 10);

function vocabularySelect(id, vocabulary) {
  const values = [...vocabulary].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  return h("select", { id }, h("option", { value: MISSING, text: "(missing)" }), ...values.map((value) => h("option", { value, text: value })), h("option", { value: OTHER, text: "another value…" }));
}

/** Epoch seconds, or ISO 8601 with a zone, as the control takes it. */
function utc(value, name) {
  const zoned = typeof value === "string" && /(z|[-+]\d\d:?\d\d)$/i.test(value);
  const moment = typeof value === "number" ? 1000 * value : zoned ? Date.parse(value) : NaN;
  if (!(FIRST_MS <= moment && moment <= LAST_MS)) throw new Error(`“${name}” is ${JSON.stringify(value)}; expected epoch seconds or a time with its zone, such as "2026-11-28T18:30:00Z".`);
  return new Date(1000 * Math.floor(moment / 1000)).toISOString().slice(0, 19);
}
