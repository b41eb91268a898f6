/** The form that asks for an API key, where the service has keys. */
import * as api from "./api.js";
import { h } from "./dom.js";

/**
 * Show the form; a key that works is kept for this tab, and the page begins anew.
 * @param {HTMLElement} view
 * @param {boolean} refused whether a key was sent and is not known
 */
export function askForKey(view, refused) {
  const text = refused ? "The service does not know this key." : "";
  if (!view.hidden) return tell(view, text);
  const input = h("input", { id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "key-wrong" });
  const use = async (event) => {
    event.preventDefault();
    const key = input.value.trim();
    if (!api.isKey(key)) return tell(view, "A key has letters, digits and signs, and no blanks.");
    api.useKey(key);
    try {
      await api.models();
    } catch (error) {
      if (error.status !== 401) tell(view, error.message);
      api.useKey(null);
      return;
    }
    location.reload();
  };
  view.replaceChildren(
    h(
      "form",
      { class: "card stack", on: { submit: use } },
      h("h2", { text: "This service asks for an API key" }),
      h("div", { class: "field" }, h("label", { for: "key", text: "API key" }), input, h("span", { id: "key-wrong", class: "wrong-text", role: "alert" })),
      h("p", { class: "soft", text: "It stays in this tab, until you close it." }),
      h("div", { class: "row" }, h("button", { class: "primary", text: "Use this key" })),
    ),
  );
  view.hidden = false;
  tell(view, text);
  input.focus();
}

const tell = (view, text) => (view.querySelector("#key-wrong").textContent = text);
