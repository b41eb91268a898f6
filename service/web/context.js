/** What a view is given: the model, its state as it is now, and the ways to other views. See app.js. */
import { address, route } from "./route.js";

/** A model as the page knows it; one for all of its views. */
export class Model {
  constructor(state, manifest) {
    this.state = state;
    this.manifest = manifest;
    this.manifests = new Map([[state.version, manifest]]);
    this.swaps = [];
    this.row = null;
  }

  /** Take a new version: its manifest counts from now on, and the swap is remembered. */
  swapped(state, manifest) {
    this.swaps.push({ from: this.state.version, to: state.version, at: new Date() });
    this.manifest = manifest;
    this.manifests.set(state.version, manifest);
  }
}

export class Context {
  constructor(model, node, id) {
    this.model = model;
    this.node = node;
    this.id = id;
  }

  get name() { return this.model.state.name; }
  get manifest() { return this.model.manifest; }
  get manifests() { return this.model.manifests; }
  get state() { return this.model.state; }
  get swaps() { return this.model.swaps; }
  get row() { return this.model.row; }
  get params() { return route().params; }

  keepRow(row) { this.model.row = row; }

  /** The address of another view of the model, for a link. */
  href(view, params) { return address(this.name, view ?? this.id, params); }

  /** Go there; without a view, change the parameters of this one. */
  go(view, params) { location.hash = this.href(view, params); }
}
