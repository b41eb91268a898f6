/** Keep the page up to date: which models there are, and which version of the chosen one is served, pinned, shadowed. */
import * as api from "./api.js";

const EVERY_MS = 3000;

/** Asks every few seconds while the page is in sight, and tells what has changed. */
export class Live {
  /** @param {{model: () => (Model|null), listed: Function, changed: Function, failed: Function}} told */
  constructor(told) {
    this.told = told;
    this.timer = null;
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
  }

  start() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), EVERY_MS);
  }

  stop() {
    clearTimeout(this.timer);
    this.timer = null;
  }

  async look() {
    if (this.timer === null) return;
    this.stop();
    if (document.hidden) return this.start();
    try {
      await this.compare((await api.models()).models);
      this.told.failed(null);
    } catch (error) {
      if (error.status === 401) return undefined;
      this.told.failed(error);
    }
    return this.start();
  }

  async compare(listed) {
    const model = this.told.model();
    this.told.listed(listed);
    const state = listed.find(({ name }) => name === model?.state.name);
    if (!state) return;
    const version = state.version !== null && state.version !== model.state.version;
    const different = text(state) !== text(model.state);
    if (version) model.swapped(state, await api.metadata(state.name, state.version));
    model.state = state;
    if (different && model === this.told.model()) this.told.changed({ version });
  }
}

/** A state as text, without what the list of models does not tell. */
const text = ({ model_version_status: _, ...state }) => JSON.stringify(state);
