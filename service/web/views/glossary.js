/** The Glossary view: the definition of every figure of the page. */
import { DEFINITIONS } from "../definitions.js";
import { card, h } from "../dom.js";

export function view(context) {
  const entries = Object.entries(DEFINITIONS).map(([term, { title, short, definition, page }]) =>
    h("div", { id: `term-${term}`, tabindex: "-1" }, h("dt", { text: title }), h("dd", {}, h("p", { text: short }), h("p", { text: definition }), h("p", { class: "soft", text: `More in ${page}.` }))));
  context.node.replaceChildren(card("Glossary", h("dl", { class: "glossary" }, ...entries)));
  const show = () => {
    const term = context.node.querySelector(`#term-${CSS.escape(context.params.get("term") ?? "")}`);
    term?.scrollIntoView({ block: "center" });
    term?.focus({ preventScroll: true });
  };
  return { show };
}
