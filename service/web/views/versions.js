/** The Versions view: what there is, what each version is for now, and what it would change. */
import * as api from "../api.js";
import { card, h } from "../dom.js";
import { explain } from "../explain.js";
import { changes, roleOf } from "../served.js";
import { plainTable } from "../tables.js";

export function view(context) {
  const versions = new VersionsView(context);
  return { show: () => versions.refresh(), changed: () => versions.refresh() };
}

class VersionsView {
  constructor(context) {
    this.context = context;
    this.fetched = new Map();
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
    const { state, node, swaps } = this.context;
    const rows = state.versions.map((one) => [String(one.version), roleOf(one.version, state) || "–", one.reason ? `${one.state}: ${one.reason}` : one.state, this.difference(one.version)]);
    const table = plainTable({ caption: "Versions", columns: ["Version", "Role", "State", "Against the served version"], rows });
    const seen = swaps.map(({ from, to, at }) => h("li", { text: `${at.toLocaleTimeString("en")}: version ${to} took over from ${from}.` }));
    const note = state.note ? h("p", { class: "notice", text: state.note }) : null;
    node.replaceChildren(h("div", { class: "stack" }, card(["Versions", explain("canary"), explain("shadow")], h("p", { class: "soft", text: "The highest version that is valid is served, or the one that is pinned. Up to date within seconds." }), note, table),
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
