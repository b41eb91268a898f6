/** What the comparison of a shadow with the served version has found so far. */
import { comparedTables } from "./compared.js";
import { card, h } from "./dom.js";
import { explain } from "./explain.js";
import { count } from "./format.js";

/**
 * @param {Object} found answer of GET .../shadow
 * @param {Map<number, Object>} manifests by version, those that the page has
 */
export function shadowCard(found, manifests) {
  const { version, shadow, active, rows, dropped_rows: dropped, failed_rows: failed } = found;
  const left = [dropped ? `${count(dropped)} left out` : "", failed ? `${count(failed)} failed` : ""].filter(Boolean).join(", ");
  const sentence = `Version ${shadow} beside version ${version}, ${active ? "as it runs" : "ended"}: ${count(rows)} rows compared${left ? `, ${left}` : ""}.`;
  return card(["Shadow", explain("shadow")], h("p", { class: "soft", text: sentence }), ...(rows ? comparedTables(found, [version, shadow], manifests) : []));
}
