/** Numbers as every view writes them. What is not known is a dash; a minus is a minus sign. */

const MINUS = "−";
const NARROW = "\u202f";
const POWERS = ["⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"];
const known = (value) => value !== null && value !== undefined;

/** Four significant digits at most, without a tail of zeros; what is tiny or huge as a power of ten: 8.1 × 10⁻⁵. */
export function number(value) {
  if (!known(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e12)) return power(value);
  return Number(Number(value).toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 7 }).replace("-", MINUS);
}

function power(value) {
  const [digits, exponent] = Number(value).toExponential(1).split("e");
  const raised = [...String(Math.abs(exponent))].map((digit) => POWERS[digit]).join("");
  return `${digits.replace("-", MINUS)}${NARROW}×${NARROW}10${exponent < 0 ? "⁻" : ""}${raised}`;
}

/** A whole number with its thousands apart: 12,345. */
export const count = (value) => (known(value) ? value.toLocaleString("en") : "–");

const PREFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

/** A rate or a large count in three digits, as Prometheus and Grafana write it: 12.3 k. */
export function compact(value) {
  if (!known(value)) return "–";
  const [scale, prefix] = PREFIXES.find(([least]) => Math.abs(value) >= 0.9995 * least) ?? [1, ""];
  const shown = Number((value / scale).toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 6 }).replace("-", MINUS);
  return prefix ? `${shown}${NARROW}${prefix}` : shown;
}

/** The fewest digits that still mean the same float32: 12.47 and not 12.470000267028809. */
export function shortest(value) {
  for (let digits = 1; digits < 17; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
}

export const weight = (value) => (known(value) ? value.toFixed(3) : "–");
export const percent = (value, digits = 1) => (known(value) ? `${(100 * value).toFixed(digits)}${NARROW}%` : "–");

/** A probability: one decimal, two next to 0 and 1, and beyond them only on which side it is. */
export function probability(value) {
  if (!known(value)) return "–";
  const rest = Math.min(value, 1 - value);
  if (rest > 0 && rest < 1e-4) return value < 0.5 ? `< 0.01${NARROW}%` : `> 99.99${NARROW}%`;
  return percent(value, rest > 0 && rest < 1e-3 ? 2 : 1);
}

export const signed = (value) => (value === 0 ? "0" : `${value < 0 ? MINUS : "+"}${number(Math.abs(value))}`);

/**
 * A format with as many decimals for all of some values that belong together as the largest needs for three digits: columns
 * line up, and what is negligible beside the others is 0.
 * @param {number[]} values
 * @returns {(value: number) => string} with its sign
 */
export function aligned(values) {
  const largest = Math.max(0, ...values.filter(known).map(Math.abs));
  if (largest === 0) return (value) => (known(value) ? "0" : "–");
  if (largest < 1e-6 || largest >= 1e12) return (value) => (known(value) ? signed(value) : "–");
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(largest)));
  return (value) => {
    if (!known(value)) return "–";
    const size = Math.abs(value).toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
    return /[1-9]/.test(size) ? `${value < 0 ? MINUS : "+"}${size}` : "0";
  };
}

export const expertName = (index) => `expert ${index}`;
