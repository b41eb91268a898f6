/** "Explain this figure": a button beside it, a sentence on demand, and the way to its definition. */
import { DEFINITIONS } from "./definitions.js";
import { h } from "./dom.js";

let made = 0;

/**
 * A button that explains a figure.
 * @param {string} term a key of DEFINITIONS
 */
export function explain(term) {
  const { title, short } = DEFINITIONS[term];
  const id = `explained-${(made += 1)}`;
  const link = h("a", { href: glossaryHref(term), text: "Definition" });
  const box = h("span", { id, popover: "auto", class: "explanation", role: "group", "aria-label": title }, h("strong", { text: title }), h("span", { text: short }), link);
  const button = h("button", { type: "button", class: "explain", popovertarget: id, "aria-label": `Explain ${title.toLowerCase()}`, text: "?" });
  box.addEventListener("toggle", (event) => event.newState === "open" && place(box, button));
  return h("span", { class: "explainer", data: { term } }, button, box);
}

/** A figure's name with the button behind it. */
export const explained = (text, term) => [`${text} `, explain(term)];

const glossaryHref = (term) => `#/${location.hash.split("/")[1] ?? ""}/glossary?term=${term}`;

/** Below its button, inside the window. */
function place(box, button) {
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = box;
  const below = at.bottom + 6 + height <= innerHeight;
  box.style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`;
  box.style.top = `${below ? at.bottom + 6 : Math.max(8, at.top - height - 6)}px`;
}
