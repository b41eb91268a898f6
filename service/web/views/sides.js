/** Two loaded versions on the same rows of live traffic, experts matched; and a canary as it runs. */
import * as api from "../api.js";
import * as calls from "../calls.js";
import { card, choice, h, morph } from "../dom.js";
import { explain } from "../explain.js";
import { count, percent } from "../format.js";
import { Poll, WINDOWS } from "../polling.js";
import { comparedTables } from "../compared.js";

const EVERY_MS = 5000;
const ALONE = "Only one version is loaded. Let another one be a shadow or a canary (Versions), or keep several loaded with MMOE_LOADED_VERSIONS=2.";
const SILENT = "No rows of this window are kept. Send some to the served version, and they are compared here.";

export function view(context) {
  const sides = new SidesView(context);
  return { show: () => sides.show(), hide: () => sides.poll.stop(), changed: () => sides.changed() };
}

class SidesView {
  constructor(context) {
    Object.assign(this, { context, window: "1h", told: null, pair: [] });
    this.choices = h("div", { class: "row" });
    this.place = h("div", { class: "stack" });
    this.canary = h("div", {});
    this.poll = new Poll({ everyMs: EVERY_MS, ask: () => this.ask(), show: (answer) => this.answered(answer), fail: (error) => this.place.replaceChildren(h("p", { class: "notice", role: "alert", text: error.message })) });
    context.node.replaceChildren(h("div", { class: "stack" }, card(["Two versions on the same rows", explain("matched_experts")], this.choices, this.place), this.canary));
  }

  show() {
    this.changed();
    return this.poll.start();
  }

  loaded() {
    return this.context.state.versions.filter(({ state }) => state === "loaded").map(({ version }) => version);
  }

  /** Offer the versions that are loaded; the served one and another at first. */
  changed() {
    const loaded = this.loaded();
    if (loaded.join() === this.told) return;
    this.told = loaded.join();
    if (!this.pair.every((version) => loaded.includes(version)) || this.pair.length < 2) {
      const served = loaded.includes(this.context.state.version) ? this.context.state.version : loaded[0];
      this.pair = [served, loaded.find((version) => version !== served)];
    }
    const take = (place) => (value) => { this.pair[place] = Number(value); this.poll.now(); };
    const versions = loaded.map((version) => [version, version]);
    const windows = choice("Rows of the", WINDOWS, this.window, (value) => { this.window = value; this.poll.now(); });
    if (loaded.length < 2) this.choices.replaceChildren();
    else this.choices.replaceChildren(choice("Version", versions, this.pair[0], take(0)), choice("beside", versions, this.pair[1], take(1)), windows);
    this.poll.now();
  }

  async ask() {
    const { name, state } = this.context;
    const found = this.loaded().length < 2 ? null : await calls.comparison(name, ...this.pair, this.window);
    return { found, canary: state.canary ? await this.traffic(state) : null };
  }

  /** Rows of the last five minutes that the served version and its canary have answered; of a model with gates. */
  async traffic({ version, canary }) {
    const rows = async (one) => (await api.traffic(this.context.name, "5m", one)).rows;
    try {
      return { ...canary, rows: await Promise.all([rows(version), rows(canary.version)]) };
    } catch (error) {
      return { ...canary, error };
    }
  }

  answered({ found, canary }) {
    const text = found === null ? ALONE : found.rows ? `${count(found.rows)} rows of the served version's traffic, a sample that one worker has kept, answered by both.` : SILENT;
    morph(this.place, h("div", {}, h("p", { class: "soft", text }), ...(found?.rows ? comparedTables(found, [found.version, found.other], this.context.manifests) : [])));
    this.canary.replaceChildren(canary ? card(["Canary as it runs", explain("canary")], h("p", { text: running(canary) })) : "");
  }
}

function running({ version, share, rows, error }) {
  const asked = `Version ${version} is to answer ${percent(share)} of the requests`;
  return error ? `${asked}. ${error.message}` : `${asked}; of the rows of the last 5 minutes it has answered ${count(rows[1])}, ${percent(rows[1] / Math.max(rows[0] + rows[1], 1))}.`;
}
