/** A tour of four sentences for who has never seen the page; put away, it stays away, and a button brings it back. */
import { h } from "./dom.js";
import { address, route } from "./route.js";

const SEEN = "mmoe-tour-seen";
const here = (view, text) => h("a", { data: { view }, text });

/** Point the tour's links at the views of a model. */
export function leadTo(name) {
  for (const link of document.querySelectorAll("#tour a")) link.href = address(name, link.dataset.view);
}

/** A page that may keep nothing shows it again. */
function remembered(value = null) {
  try {
    if (value !== null) localStorage.setItem(SEEN, value);
    return localStorage.getItem(SEEN);
  } catch {
    return null;
  }
}

function sentences() {
  return [
    ["A model here has several experts, and each task has a gate: for every row it weighs the experts anew, and the weights sum to 1."],
    ["First ", here("try", "predict a row"), ", see which experts each task listens to, and ask which features moved them; then ", here("sweep", "sweep a feature"), " or ", here("compare", "compare two rows"),
      ", and read ", here("experts", "what each expert is for"), "."],
    ["With traffic, look ", here("drift", "at its drift"), ": it says which experts have taken over, for which task, because of which feature, whether the labels find it worse there, and what would bring it back."],
    ["Beside a figure stands a “?”, which explains it; ", here("glossary", "all definitions"), " are in one place."],
  ];
}

class Tour {
  constructor() {
    this.place = document.getElementById("tour");
    this.button = h("button", { type: "button", id: "tour-button", class: "aside", "aria-expanded": "false", text: "Tour", on: { click: () => (this.place.hidden ? this.open(true) : this.close()) } });
    document.querySelector(".top-row").append(this.button);
    if (remembered() === null) this.open(false);
  }

  open(asked) {
    const close = h("button", { type: "button", text: "Close the tour", on: { click: () => this.close() } });
    const title = h("h2", { text: "New here? Four sentences", tabindex: "-1" });
    this.place.replaceChildren(h("section", { class: "card", "aria-label": "Tour" }, h("div", { class: "row spread" }, title, close), h("ol", { class: "tour" }, ...sentences().map((parts) => h("li", {}, ...parts)))));
    leadTo(route().name ?? "");
    this.place.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    if (asked) title.focus();
  }

  close() {
    remembered("1");
    this.place.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    this.button.focus();
  }
}

new Tour();
