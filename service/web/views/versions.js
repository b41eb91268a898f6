/** The Versions view: what there is, what each version is for, what it would change; a shadow as it runs; promote, roll back. */
import * as api from "../api.js";
import { card, h, morph } from "../dom.js";
import { explain } from "../explain.js";
import { Operation } from "../operate.js";
import { changes, roleOf, shadowed } from "../served.js";
import { shadowCard } from "../shadow_card.js";
import { plainTable } from "../tables.js";

const EVERY_MS = 3000;

export function view(context) {
  const versions = new VersionsView(context);
  return { show: () => versions.show(), hide: () => versions.hide(), changed: () => versions.show() };
}

class VersionsView {
  constructor(context) {
    this.context = context;
    this.fetched = new Map();
    this.timer = null;
    this.told = h("div", { class: "stack" });
    this.shadow = h("div", {});
    this.operation = new Operation(context, () => this.compare());
    context.node.replaceChildren(h("div", { class: "stack" }, this.told, this.shadow, this.operation.node));
  }

  show() {
    this.visible = !this.context.node.hidden;
    this.refresh();
    if (this.visible) this.compare();
  }

  hide() {
    this.visible = false;
    clearTimeout(this.timer);
  }

  /** Ask what a shadow has found; it is an admin's call, so that a service with keys wants the key first. */
  async compare() {
    clearTimeout(this.timer);
    const { name, state } = this.context;
    if (shadowed(state.shadow) === null) this.shadow.replaceChildren();
    else {
      try {
        morph(this.shadow, h("div", {}, shadowCard(await api.shadow(name, this.operation.secret), this.context.manifests)));
      } catch (error) {
        const refused = [401, 403].includes(error.status);
        this.shadow.replaceChildren(card("Shadow", h("p", { class: "soft", text: refused ? `What it has found is told to an admin, whose key may be given below. ${error.message}` : error.message })));
        if (refused) return;
      }
    }
    if (this.visible) this.timer = setTimeout(() => this.compare(), EVERY_MS);
  }

  /** Draw what is known, then ask for the manifests of loaded versions that are not. */
  async refresh() {
    this.draw();
    const unknown = this.context.state.versions.filter(({ version, state }) => state === "loaded" && !this.manifestOf(version));
    for (const { version } of unknown) {
      try {
        this.fetched.set(version, await api.metadata(this.context.name, version));
      } catch {
        continue; // let go meanwhile; the next state of the model says so
      }
      this.draw();
    }
  }

  manifestOf(version) {
    return this.context.manifests.get(version) ?? this.fetched.get(version);
  }

  draw() {
    const { state, swaps } = this.context;
    this.operation.draw();
    const rows = state.versions.map((one) => [String(one.version), roleOf(one.version, state) || "–", one.reason ? `${one.state}: ${one.reason}` : one.state, this.difference(one.version)]);
    const table = plainTable({ caption: "Versions", columns: ["Version", "Role", "State", "Against the served version"], rows });
    const seen = swaps.map(({ from, to, at }) => h("li", { text: `${at.toLocaleTimeString("en")}: version ${to} took over from ${from}.` }));
    const note = state.note ? h("p", { class: "notice", text: state.note }) : null;
    morph(this.told, h("div", {}, card(["Versions", explain("canary"), explain("shadow")], h("p", { class: "soft", text: "The highest version that is valid is served, or the one that is pinned. Up to date within seconds." }), note, table),
      seen.length ? card("Swaps while this page was open", h("ul", {}, ...seen)) : null));
  }

  difference(version) {
    if (version === this.context.state.version) return h("span", { class: "soft", text: "this is the one" });
    const manifest = this.manifestOf(version);
    if (!manifest) return h("span", { class: "soft", text: "not loaded, so it cannot be compared here" });
    const found = changes(this.context.manifest, manifest);
    return found.length ? h("ul", { class: "changes" }, ...found.map((text) => h("li", { text }))) : "the same features, tasks and metrics";
  }
}
