/** Two panes: on a desktop side by side, where the second stays in sight and scrolls apart; on a phone one below the other. */
import { h } from "./dom.js";

const DESKTOP = matchMedia("(min-width: 60rem)");

/** @param {string} label what a screen reader calls the second pane, which has the answer to what the first one asks */
export function panes(first, second, label) {
  return h("div", { class: "panes" }, h("div", { class: "pane" }, first), h("div", { class: "pane answer", role: "region", "aria-label": label, tabindex: "-1" }, second));
}

/**
 * Bring an answer into sight. A desktop has it in its own pane, which begins again at its top; a phone goes to its heading, and
 * so does the focus.
 * @param {HTMLElement} node of the answer, with a heading in it
 */
export function bringIntoSight(node) {
  if (DESKTOP.matches) {
    node.closest(".pane")?.scrollTo({ top: 0 });
    return;
  }
  const heading = node.querySelector("h2, h3");
  if (!heading) return;
  heading.setAttribute("tabindex", "-1");
  heading.focus({ preventScroll: true });
  heading.scrollIntoView({ block: "start" });
}
