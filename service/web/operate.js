/** Change what is served, with a key of an admin that is kept for this view alone: pin, roll back, canary, shadow. */
import * as api from "./api.js";
import { choice, h } from "./dom.js";
import { explain } from "./explain.js";
import { shadowed } from "./served.js";

export class Operation {
  /** @param {Context} context @param {() => void} done called after each change */
  constructor(context, done) {
    Object.assign(this, { context, done, version: null });
    this.key = h("input", { type: "password", id: "admin-key", autocomplete: "off", spellcheck: "false", on: { change: () => done() } });
    this.share = h("input", { id: "share-percent", inputmode: "decimal", value: "10", size: "4" });
    this.said = h("p", { role: "status", class: "soft" });
    this.wrong = h("p", { role: "alert", class: "wrong-text" });
    this.actions = h("div", { class: "stack" });
    const field = h("div", { class: "field" }, h("label", { for: "admin-key", text: "Key of an admin" }), this.key, h("span", { class: "hint", text: "It is used for the calls of this tab, and forgotten with it." }));
    this.node = h("details", { class: "card" }, h("summary", { text: "Change what is served" }), h("div", { class: "stack" }, field, this.actions, this.said, this.wrong));
  }

  get secret() {
    return this.key.value.trim();
  }

  /** Offer what the state allows; drawn anew when it changes. */
  draw() {
    const { state } = this.context;
    const versions = state.versions.filter((one) => one.state !== "refused").map((one) => [one.version, `version ${one.version}`]);
    if (!versions.some(([version]) => version === this.version)) this.version = versions.find(([version]) => version !== state.version)?.[0] ?? versions[0]?.[0] ?? null;
    const button = (text, verb, body, sentence) => h("button", { type: "button", text, on: { click: () => this.ask(verb, body(), sentence()) } });
    const chosen = () => ({ version: this.version });
    const some = () => ({ version: this.version, share: Number(this.share.value) / 100 });
    const none = () => ({ version: null });
    this.actions.replaceChildren(
      h("div", { class: "row" }, choice("Version", versions, this.version, (value) => (this.version = Number(value))),
        button("Serve it", "pin", chosen, () => `Serve version ${this.version} to everybody, in place of ${state.version}?`),
        button("Roll back", "rollback", () => ({}), () => (state.canary ? `End the canary, and serve version ${state.version} to everybody?` : `Serve the version before ${state.version} to everybody?`)),
        state.pinned === null ? null : button("Serve the highest again", "pin", none, () => "End the pin, and serve the highest version?")),
      h("div", { class: "row" }, h("label", { for: "share-percent", text: "Share in %" }), this.share,
        button("Shadow it", "shadow", some, () => `Let version ${this.version} answer this share too, unseen?`),
        shadowed(state.shadow) === null ? null : button("End the shadow", "shadow", none, () => "End the comparison?"), explain("shadow"),
        "canary" in state ? button("Canary", "canary", some, () => `Let version ${this.version} answer this share of the callers?`) : null,
        state.canary ? button("End the canary", "canary", none, () => "Give all callers the served version again?") : null, "canary" in state ? explain("canary") : null));
  }

  async ask(verb, body, sentence) {
    if (!confirm(sentence)) return;
    this.wrong.textContent = "";
    this.said.textContent = "Asking …";
    try {
      await api.change(this.context.name, verb, body, this.secret);
      this.said.textContent = "Done. The table above follows within seconds.";
    } catch (error) {
      this.said.textContent = "";
      this.wrong.textContent = error.message;
    }
    this.done();
  }
}
