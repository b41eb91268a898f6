/**
 * The frame: which model, which view, and the lives of the views.
 *
 * A view is a module and a line in views.js. The module exports
 *
 *   export function view(context) { ...; return { show, hide, changed }; }
 *
 * It is called once for a model, when its tab is first opened. Each of the three may be absent, as may all of them:
 *
 *   show()      each time it comes into sight, or its parameters change: ask, begin to poll
 *   hide()      each time it goes out of sight: stop polling, let charts go
 *   changed({ version })  the model's state is another one, and where `version` is true its manifest too. A view without it
 *               is made anew when the version changes, one with it keeps what a person has typed.
 *
 * The context has
 *
 *   node        the view's <section>, empty and labelled; the view fills it
 *   name, manifest, state   of the model as it is now: metadata of the served version, and its entry of GET v1/models
 *   manifests   Map of version to manifest, of all versions that were served while the page was open
 *   swaps       [{ from, to, at: Date }] that the page has seen
 *   params      URLSearchParams behind the view's address, `#/model/view?key=value`
 *   href(view, params), go(view, params)   the address of a view, and the way there; null is this view
 *   row, keepRow(row)       the row that views share: what stands in the form of Try it, or null before that was opened
 *
 * Views are also made anew when the colours change. What several views need is in dom.js (elements, cards, choices),
 * format.js (numbers), tables.js, charts.js, explain.js with definitions.js (a figure explains itself) and layout.js (panes).
 */
import * as api from "./api.js";
import { Context, Model } from "./context.js";
import { h, onThemeChange } from "./dom.js";
import { askForKey } from "./key.js";
import { Live } from "./live.js";
import { address, route } from "./route.js";
import { badgeText, swapNotice } from "./served.js";
import { leadTo } from "./tour.js";
import { VIEWS } from "./views.js";

const byId = (id) => document.getElementById(id);

/** The page of one service: at most one model at a time, its views, and the one in sight. */
class Page {
  constructor() {
    this.model = null;
    this.opened = new Map();
    this.current = null;
    this.live = new Live({ model: () => this.model, listed: (models) => this.list(models), changed: (what) => this.changed(what), failed: (error) => this.badge(error) });
  }

  async start() {
    try {
      this.models = (await api.models()).models;
    } catch (error) {
      return error.status === 401 ? undefined : this.fail(`The models could not be read. ${error.message}`);
    }
    byId("model-select").addEventListener("change", (event) => (location.hash = address(event.target.value, this.current?.id ?? VIEWS[0].id)));
    addEventListener("hashchange", () => this.follow());
    onThemeChange(() => this.anew());
    await this.follow();
    return this.live.start();
  }

  /** Offer the models there are; the choice is hidden where there is none. */
  list(models) {
    this.models = models;
    const choice = byId("model-select");
    const names = models.map(({ name }) => name);
    if (names.join() !== [...choice.options].map(({ value }) => value).join()) choice.replaceChildren(...names.map((name) => h("option", { value: name, text: name })));
    if (this.model) choice.value = this.model.state.name;
    choice.closest("label").hidden = names.length < 2;
    if (!this.model && this.wanted()?.ready) this.follow();
  }

  /** The model that the address names, else the default one. */
  wanted() {
    const { name: asked } = route();
    return this.models.find(({ name }) => name === asked) ?? this.models.find((model) => model.default) ?? this.models[0];
  }

  /** Go where the address says; what it does not say, or says wrongly, is the default. */
  async follow() {
    if (!byId("view-key").hidden) return undefined;
    if (!this.models.length) return this.fail("No model is loaded yet. Train one, or point MMOE_MODELS at a directory that holds one.");
    const asked = route();
    const { name } = this.wanted();
    const { id } = VIEWS.find((one) => one.id === asked.view) ?? VIEWS[0];
    if (asked.name !== name || asked.view !== id) history.replaceState(null, "", address(name, id, Object.fromEntries(asked.params)));
    if (name !== this.model?.state.name && !(await this.load(name))) return undefined;
    return this.show(id);
  }

  async load(name) {
    this.asked = name;
    let state, manifest;
    try {
      state = await api.modelState(name);
      manifest = await api.metadata(name, state.version);
    } catch (error) {
      if (error.status !== 401) this.fail(`The model ${name} could not be read. ${error.message}`);
      return false;
    }
    if (this.asked !== name) return false;
    this.forget();
    byId("failure").replaceChildren();
    this.model = new Model(state, manifest);
    byId("model-title").textContent = name;
    byId("swap").replaceChildren();
    byId("tabs").replaceChildren(...VIEWS.map((one) => h("a", { href: address(name, one.id), data: { view: one.id }, text: one.title })));
    leadTo(name);
    this.list(this.models);
    this.badge();
    return true;
  }

  async show(id) {
    const model = this.model;
    this.tabs(id);
    if (this.current?.id !== id) this.current?.hide?.();
    const opened = this.opened.get(id) ?? (await this.open(id));
    if (model !== this.model || this.opened.get(id) !== opened || route().view !== id) return;
    this.current = opened;
    for (const [other, { context }] of this.opened) context.node.hidden = other !== id;
    opened.show?.();
  }

  async open(id) {
    const one = VIEWS.find((view) => view.id === id);
    const node = h("section", { id: `view-${id}`, "aria-label": one.title, hidden: true });
    const opened = { id, context: new Context(this.model, node, id) };
    this.opened.set(id, opened);
    byId("main").append(node);
    try {
      Object.assign(opened, (await one.load()).view(opened.context));
    } catch (error) {
      node.replaceChildren(h("p", { class: "notice bad", role: "alert", text: `This view could not be drawn; reload the page to try again. ${error.message}` }));
      console.error(error);
    }
    return opened;
  }

  tabs(id) {
    for (const link of byId("tabs").children) {
      if (link.dataset.view === id) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${VIEWS.find((one) => one.id === id).title} · ${this.model.state.name}`;
  }

  changed({ version }) {
    this.badge();
    if (version) byId("swap").replaceChildren(swapNotice(this.model));
    for (const [id, opened] of [...this.opened]) {
      if (opened.changed) opened.changed({ version });
      else if (version) this.close(id);
    }
    if (!this.opened.has(this.current?.id)) this.follow();
  }

  anew() {
    this.forget();
    if (this.model) this.follow();
  }

  forget() {
    for (const id of [...this.opened.keys()]) this.close(id);
    this.current = null;
  }

  close(id) {
    const opened = this.opened.get(id);
    opened.hide?.();
    opened.context.node.remove();
    this.opened.delete(id);
  }

  badge(error = null) {
    const badge = byId("model-state");
    badge.className = error || !this.model ? "badge bad" : "badge";
    const text = error || !this.model ? "not available" : badgeText(this.model.state);
    if (badge.textContent !== text) badge.textContent = text;
  }

  /** Show the form for the key instead of everything else; with a key that works the page begins anew. */
  needKey({ refused }) {
    this.live.stop();
    this.forget();
    this.badge();
    Object.assign(byId("model-state"), { className: "badge bad", textContent: "no key" });
    askForKey(byId("view-key"), refused);
  }

  fail(sentence) {
    this.forget();
    this.model = null;
    this.badge();
    byId("failure").replaceChildren(h("p", { class: "notice bad", role: "alert", text: sentence }));
  }
}

/** Keep the height of the header, under which panes stay in sight. */
function measureHeader() {
  const top = document.querySelector(".top");
  new ResizeObserver(() => document.documentElement.style.setProperty("--top", `${top.offsetHeight}px`)).observe(top);
}

const page = new Page();
addEventListener(api.KEY_NEEDED, (event) => page.needKey(event.detail));
const forget = byId("forget-key");
forget.hidden = !api.hasKey();
forget.addEventListener("click", () => {
  api.useKey(null);
  location.reload();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address is the view's
  byId("main").focus();
});
measureHeader();
page.start();
